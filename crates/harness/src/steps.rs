//! Commands of the harness in a sandbox, each for one step of an evaluation. One that fails ends the evaluation.

use swegym_core::{Boundary, Failure};
use swegym_sandbox::{ExecOutput, ExecRequest, ExecStatus, Sandbox, SandboxError};

use crate::git::{command, said};
use crate::patch_paths::Paths;

/// Why a step could not be made.
pub(crate) enum Blocked {
    /// The sandbox failed.
    Sandbox(SandboxError),
    /// A command failed.
    Step {
        /// Short stable name, for a [`Failure`].
        kind: &'static str,
        /// What it was for, as in "failed to ...".
        step: &'static str,
        /// What it said.
        said: String,
    },
}

/// What a step is: its kind of failure, and what it is for, as in "failed to ...".
pub(crate) type Step = (&'static str, &'static str);

/// What a command prints when it succeeds.
pub(crate) async fn run(
    sandbox: &dyn Sandbox,
    step: Step,
    request: &ExecRequest,
) -> Result<Vec<u8>, Blocked> {
    let output = sandbox.exec(request).await.map_err(Blocked::Sandbox)?;
    if output.success() && output.stdout.dropped == 0 {
        return Ok(output.stdout.head);
    }
    Err(blocked(step, &output))
}

/// What becomes of a command that failed.
pub(crate) fn blocked((kind, step): Step, output: &ExecOutput) -> Blocked {
    Blocked::Step { kind: kind_of(output.status).unwrap_or(kind), step, said: said(output) }
}

/// A failure of the harness. What another attempt may change is how a command was ended, and nothing else.
pub(crate) fn failure(kind: &str, message: String) -> Failure {
    let retryable = matches!(kind, "timeout" | "out_of_memory" | "killed");
    Failure { boundary: Boundary::Harness, kind: kind.to_owned(), message, retryable }
}

/// The kind of failure of a command that did not end by itself.
fn kind_of(status: ExecStatus) -> Option<&'static str> {
    match status {
        ExecStatus::TimedOut => Some("timeout"),
        ExecStatus::OutOfMemory => Some("out_of_memory"),
        ExecStatus::Signaled(_) => Some("killed"),
        ExecStatus::Exited(_) => None,
    }
}

/// A command with these paths behind it: as arguments where they are few, else by `xargs`, which is a process more.
pub(crate) fn over(argv: &[&str], paths: &Paths) -> ExecRequest {
    const FEW_BYTES: usize = 32 << 10;
    let are_few = paths.iter().map(|path| path.len() + 1).sum::<usize>() <= FEW_BYTES;
    let texts: Option<Vec<&str>> = paths.iter().map(|path| str::from_utf8(path).ok()).collect();
    match texts.filter(|_| are_few) {
        Some(texts) => command(&[argv, &texts].concat()),
        None => command(&[&["xargs", "-0"], argv].concat()).with_stdin(with_nuls(paths)),
    }
}

pub(crate) fn nul_separated(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == 0).filter(|entry| !entry.is_empty())
}

pub(crate) fn with_nuls(paths: &Paths) -> Vec<u8> {
    paths.iter().flat_map(|path| path.iter().copied().chain([0])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_paths_are_arguments_and_others_go_by_a_pipe() {
        let paths = |names: &[&[u8]]| names.iter().map(|name| name.to_vec()).collect::<Paths>();
        assert_eq!(over(&["rm", "--"], &paths(&[b"a b", b"-c"])).argv, ["rm", "--", "-c", "a b"]);
        for many in [paths(&[b"\xff"]), paths(&[&[b'a'; 40_000]])] {
            let request = over(&["rm", "--"], &many);
            assert_eq!(request.argv, ["xargs", "-0", "rm", "--"]);
            assert_eq!(request.stdin, Some(with_nuls(&many)));
        }
    }
}
