//! Puts a patch onto the tree of a sandbox.

use swegym_core::{Patch, PatchOutcome};
use swegym_sandbox::{ExecRequest, Sandbox, SandboxError};

use crate::git::{command, git, said};
use crate::patch_paths::names_git_folder;
use crate::{ApplySequence, Profile};

/// Applies a patch at `/testbed` by the strict rules; see [`ApplySequence::STRICT`]. A blank patch is nothing to
/// apply.
///
/// git changes nothing when it refuses. GNU patch may leave part of a patch that it rejects: after
/// [`PatchOutcome::Rejected`] the sandbox is of no more use.
///
/// # Errors
/// [`SandboxError`] when git cannot be run.
pub async fn apply_patch(sandbox: &dyn Sandbox, patch: &Patch) -> Result<PatchOutcome, SandboxError> {
    apply_patch_with(sandbox, patch, Profile::Strict).await
}

/// Applies a patch at `/testbed` as a profile does. Upstream profiles try a blank patch like any other, and some
/// reject it.
///
/// # Errors
/// [`SandboxError`] when git cannot be run.
pub async fn apply_patch_with(
    sandbox: &dyn Sandbox,
    patch: &Patch,
    profile: Profile,
) -> Result<PatchOutcome, SandboxError> {
    if profile == Profile::Strict && patch.is_empty() {
        return Ok(PatchOutcome::Empty);
    }
    apply_by(sandbox, patch, &ApplySequence::of(profile)).await
}

/// Applies a patch at `/testbed` with the commands of a sequence. The patch travels byte for byte.
///
/// # Errors
/// [`SandboxError`] when git cannot be run.
pub async fn apply_by(
    sandbox: &dyn Sandbox,
    patch: &Patch,
    sequence: &ApplySequence,
) -> Result<PatchOutcome, SandboxError> {
    if let Some(path) = sequence.patch_file {
        sandbox.write_file(path, patch.as_bytes()).await?;
    }
    let only_git = sequence.guards_git_folder && names_git_folder(patch.as_bytes());
    let mut reasons = Vec::new();
    for command in sequence.commands {
        let is_git = command.argv.first() == Some(&"git");
        if only_git && !is_git {
            continue;
        }
        let tried = match sandbox.exec(&request(command.argv).with_stdin(patch.as_bytes())).await {
            Err(SandboxError::Start { .. }) if !is_git => continue, // not part of this image
            tried => tried?,
        };
        match command.applied_by {
            Some(by) if tried.success() => return Ok(PatchOutcome::Applied { by: by.to_owned() }),
            Some(by) => reasons.push(format!("{by}: {}", said(&tried))),
            None => {}
        }
    }
    Ok(PatchOutcome::Rejected { reason: reasons.join("\n") })
}

fn request(argv: &[&str]) -> ExecRequest {
    match argv {
        ["git", args @ ..] => git(args),
        argv => command(argv),
    }
}
