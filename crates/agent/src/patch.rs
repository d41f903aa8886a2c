//! Taking the patch: what a rollout changed in the repository, as bytes that apply to the base commit.

use std::time::Duration;

use swegym_core::{CommitId, Patch};
use swegym_sandbox::{ExecOutput, ExecRequest, ExecStatus, OutputLimit, Sandbox};

use crate::AgentCause;
use crate::clip::last;

const SCRIPT: &str = include_str!("take_patch.sh");

/// New files that are never part of the work, as patterns of a `.gitignore`: what running Python and its
/// tests leaves behind. Files of the base commit are not affected.
const BUILD_PRODUCTS: [&str; 6] =
    ["__pycache__/", "*.pyc", "*.egg-info/", ".pytest_cache/", ".hypothesis/", ".coverage"];
const SIZE_LIMIT: usize = 16 << 20;
const TIME_LIMIT: Duration = Duration::from_secs(300);
/// Characters of git's complaints that go into an error.
const MESSAGE_LIMIT: usize = 1000;

/// Compares the files under `repo_dir` with `base`, whatever state the repository was left in: new files that
/// it does not ignore, deletions, modes and binary files included.
pub(crate) async fn take_patch(
    sandbox: &dyn Sandbox,
    repo_dir: &str,
    base: &CommitId,
) -> Result<Patch, AgentCause> {
    let object_format = if base.as_str().len() == 64 { "sha256" } else { "sha1" };
    let build_products = BUILD_PRODUCTS.join("\n");
    let variables = [
        ("REPO", repo_dir),
        ("BASE", base.as_str()),
        ("OBJECT_FORMAT", object_format),
        ("EXCLUDE", &build_products),
    ];
    let mut request = ExecRequest::shell(SCRIPT)
        .in_folder("/")
        .within(TIME_LIMIT)
        .keeping(OutputLimit { head: SIZE_LIMIT, tail: 0 });
    request.env = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    patch_of(sandbox.exec(&request).await?)
}

fn patch_of(output: ExecOutput) -> Result<Patch, AgentCause> {
    if !output.success() {
        return Err(AgentCause::Patch {
            end: ending(output.status),
            message: last(output.stderr.to_text().trim(), MESSAGE_LIMIT).to_owned(),
            killed: output.exit_code().is_none(),
        });
    }
    let mut bytes = output.stdout.head;
    bytes.extend_from_slice(&output.stdout.tail);
    let size = bytes.len() as u64 + output.stdout.dropped;
    if output.stdout.dropped > 0 || bytes.len() > SIZE_LIMIT {
        return Err(AgentCause::PatchTooLarge { bytes: size, limit: SIZE_LIMIT });
    }
    Ok(Patch::new(bytes))
}

fn ending(status: ExecStatus) -> String {
    match status {
        ExecStatus::Exited(code) => format!("ended with exit code {code}"),
        ExecStatus::Signaled(signal) => format!("was killed by signal {signal}"),
        ExecStatus::TimedOut => format!("took longer than {} s", TIME_LIMIT.as_secs()),
        ExecStatus::OutOfMemory => "needed more memory than the sandbox has".to_owned(),
    }
}
