//! Puts a patch onto the tree of a sandbox.

use swegym_core::{Patch, PatchOutcome};
use swegym_sandbox::{Sandbox, SandboxError};

use crate::git::{command, git, said};
use crate::patch_paths::names_git_folder;

/// Applies a patch at `/testbed`: exactly with git, and where git refuses, with GNU patch, which forgives wrong line
/// numbers and context. The patch travels byte for byte on standard input.
///
/// git changes nothing when it refuses. GNU patch may leave part of a patch that it rejects: after
/// [`PatchOutcome::Rejected`] the sandbox is of no more use.
///
/// # Errors
/// [`SandboxError`] when git cannot be run.
pub async fn apply_patch(sandbox: &dyn Sandbox, patch: &Patch) -> Result<PatchOutcome, SandboxError> {
    if patch.is_empty() {
        return Ok(PatchOutcome::Empty);
    }
    let applied = |by: &str| PatchOutcome::Applied { by: by.to_owned() };
    let tried = sandbox.exec(&git(&["apply", "--verbose", "-"]).with_stdin(patch.as_bytes())).await?;
    if tried.success() {
        return Ok(applied("git apply"));
    }
    let mut reason = format!("git apply: {}", said(&tried));
    if names_git_folder(patch.as_bytes()) {
        return Ok(PatchOutcome::Rejected { reason });
    }
    let fuzzy = ["patch", "--batch", "--forward", "--fuzz=5", "-p1"];
    match sandbox.exec(&command(&fuzzy).with_stdin(patch.as_bytes())).await {
        Ok(tried) if tried.success() => return Ok(applied("patch --fuzz=5")),
        Ok(tried) => reason.push_str(&format!("\npatch: {}", said(&tried))),
        Err(SandboxError::Start { .. }) => {} // not part of this image
        Err(error) => return Err(error),
    }
    Ok(PatchOutcome::Rejected { reason })
}
