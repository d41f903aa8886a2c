//! Taking the patch: what a rollout changed in the repository, as bytes that apply to the base commit.
//!
//! What belongs to it: every change to a file of the base commit, and the files that were made, unless git ignores
//! them (by `.gitignore` or `.git/info/exclude`) or their names are those of build products or scratch files. Where
//! git's own files were destroyed, the base commit is read from the image again. Of changes beyond the size limit there
//! is no patch, nor where the folder itself is gone: then the rollout has brought forth nothing, and its trajectory says
//! why.

use std::time::Duration;

use swegym_core::{Message, Patch, Problem, Role, Trajectory};
use swegym_sandbox::{ExecOutput, ExecRequest, ExecStatus, OutputLimit, Sandbox, SandboxError};

use crate::base_commit::BaseCommit;
use crate::clip::last;
use crate::{AgentCause, AgentError, Outcome, ScaffoldConfig};

const SCRIPT: &str = include_str!("take_patch.sh");

/// New files that are never part of the work, as patterns of a `.gitignore`: what running Python and its tests, patching
/// and editing leave behind, and scripts at the top whose names say that they reproduce the problem. Files of the base
/// commit are not affected.
const LEFT_OUT: [&str; 20] = [
    "__pycache__/",
    "*.pyc",
    "*.pyo",
    "*.egg-info/",
    ".eggs/",
    ".pytest_cache/",
    ".hypothesis/",
    ".mypy_cache/",
    ".ruff_cache/",
    ".tox/",
    ".nox/",
    ".ipynb_checkpoints/",
    ".coverage",
    ".coverage.*",
    "*.orig",
    "*.rej",
    "*.swp",
    "*~",
    "/reproduce*.py",
    "/repro_*.py",
];
const SIZE_LIMIT: usize = 16 << 20;
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(300);
/// Characters of git's complaints that are kept.
const MESSAGE_LIMIT: usize = 1000;

/// Takes the patch of a rollout that has ended. Where the policy left nothing that a patch can be taken of, the patch is
/// empty, and a last message of the trajectory, which nobody was shown, says why.
pub(crate) async fn conclude(
    sandbox: &dyn Sandbox,
    config: &ScaffoldConfig,
    problem: &Problem,
    mut trajectory: Trajectory,
) -> Result<Outcome, AgentError> {
    match take_patch(sandbox, config, problem).await {
        Ok(Ok(patch)) => Ok(Outcome { trajectory, patch }),
        Ok(Err(why)) => {
            trajectory.messages.push(Message::text(Role::User, format!("There is no patch: {why}")));
            Ok(Outcome { trajectory, patch: Patch::default() })
        }
        Err(cause) => Err(AgentError::new(cause, trajectory)),
    }
}

/// Compares the files of the repository with the base commit, whatever state it was left in: deletions, modes and binary
/// files included. The inner error is why the policy's own doing leaves no patch.
async fn take_patch(
    sandbox: &dyn Sandbox,
    config: &ScaffoldConfig,
    problem: &Problem,
) -> Result<Result<Patch, String>, AgentCause> {
    let mut compared = compare(sandbox, config, problem, None).await?;
    // What was planted among git's own files can hold it up for ever, so running out of time counts as well.
    if matches!(compared.status, ExecStatus::Exited(1..) | ExecStatus::TimedOut)
        && let Some(base) = BaseCommit::of_image(sandbox, config, problem).await?
    {
        compared = compare(sandbox, config, problem, Some(base)).await?;
    }
    patch_of(compared)
}

/// Runs the comparison: with the repository's own objects, or with those of the image.
async fn compare(
    sandbox: &dyn Sandbox,
    config: &ScaffoldConfig,
    problem: &Problem,
    from_image: Option<BaseCommit>,
) -> Result<ExecOutput, SandboxError> {
    let base = problem.base_commit.as_str();
    let object_format = if base.len() == 64 { "sha256" } else { "sha1" };
    let excluded = from_image.as_ref().map_or("", |base| &base.exclude);
    let left_out = format!("{}\n{excluded}", LEFT_OUT.join("\n"));
    let variables = [
        ("REPO", config.repo_dir.as_str()),
        ("BASE", base),
        ("OBJECT_FORMAT", object_format),
        ("OBJECTS", if from_image.is_some() { "stdin" } else { "own" }),
        ("EXCLUDE", &left_out),
        ("ADDED", if config.new_files { "--all" } else { "--update" }),
    ];
    let mut request = ExecRequest::shell(SCRIPT)
        .in_folder("/")
        .within(TIME_LIMIT)
        .keeping(OutputLimit { head: SIZE_LIMIT, tail: 0 });
    request.env = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    request.stdin = from_image.map(|base| base.pack);
    sandbox.exec(&request).await
}

fn patch_of(output: ExecOutput) -> Result<Result<Patch, String>, AgentCause> {
    let end = match output.status {
        ExecStatus::Exited(0) => return Ok(within_limit(output)),
        ExecStatus::Exited(code) => {
            let said = output.stderr.to_text();
            return Ok(Err(format!("git ended with exit code {code}: {}", last(said.trim(), MESSAGE_LIMIT))));
        }
        ExecStatus::Signaled(signal) => format!("was killed by signal {signal}"),
        ExecStatus::TimedOut => format!("took longer than {} s", TIME_LIMIT.as_secs()),
        ExecStatus::OutOfMemory => "needed more memory than the sandbox has".to_owned(),
    };
    Err(AgentCause::PatchKilled { end })
}

fn within_limit(output: ExecOutput) -> Result<Patch, String> {
    let mut bytes = output.stdout.head;
    bytes.extend_from_slice(&output.stdout.tail);
    let size = bytes.len() as u64 + output.stdout.dropped;
    if output.stdout.dropped > 0 || bytes.len() > SIZE_LIMIT {
        return Err(format!("it would have {size} bytes, more than the limit of {SIZE_LIMIT}"));
    }
    Ok(Patch::new(bytes))
}
