//! A command in a `bash` of its own, as the scaffold `mini` runs each of them.

use std::time::Duration;

use swegym_sandbox::{ExecOutput, ExecRequest, ExecStatus, OutputLimit, Sandbox, SandboxError};

use crate::ScaffoldConfig;
use crate::clip::clip_output;

/// Bytes of one argument of a program: Linux takes less than 128 KiB.
const ARGUMENT_LIMIT: usize = 100_000;

/// How much of an output has to be kept, so that never less is there than is shown: a character has four bytes at most.
pub(crate) fn kept(observation_limit: usize) -> OutputLimit {
    let half = observation_limit.saturating_mul(2).saturating_add(4);
    OutputLimit { head: half, tail: half }
}

/// Runs a command in the repository, `time_limit` at most.
pub(crate) async fn run_alone(
    sandbox: &dyn Sandbox,
    config: &ScaffoldConfig,
    command: &str,
    time_limit: Duration,
) -> Result<ExecOutput, SandboxError> {
    let request = request(command)
        .in_folder(&config.repo_dir)
        .within(time_limit)
        .keeping(kept(config.observation_limit))
        .merged();
    sandbox.exec(&request).await
}

/// A command that is too long for one argument, such as one that carries a patch, is put together inside.
fn request(command: &str) -> ExecRequest {
    if command.len() <= ARGUMENT_LIMIT {
        return ExecRequest::shell(command);
    }
    let join = ["bash", "-c", "IFS=; eval \"unset IFS; set --\n$*\"", "bash"];
    ExecRequest::new(join.into_iter().chain(pieces(command)))
}

fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let most = text.len().min(ARGUMENT_LIMIT);
        let end = (0..=most).rev().find(|end| text.is_char_boundary(*end))?;
        let (piece, rest) = text.split_at(end);
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// What a command printed, and how it ended.
pub(crate) fn observation(output: &ExecOutput, limit: usize, time_limit: Duration) -> String {
    with_trailer(clip_output(&output.stdout, limit), &trailer(output.status, time_limit))
}

/// A text with a line below it.
pub(crate) fn with_trailer(mut text: String, trailer: &str) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text + trailer
}

fn trailer(status: ExecStatus, time_limit: Duration) -> String {
    match status {
        ExecStatus::Exited(code) => format!("[exit code {code}]"),
        ExecStatus::Signaled(signal) => format!("[killed by signal {signal}]"),
        ExecStatus::TimedOut => format!(
            "[timed out after {} s; the command and everything it started were killed]",
            time_limit.as_secs_f64()
        ),
        ExecStatus::OutOfMemory => "[killed: the memory limit of the sandbox was reached]".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swegym_sandbox::Captured;

    fn ended(status: ExecStatus, printed: &str) -> String {
        let output = ExecOutput {
            status,
            stdout: Captured { head: printed.into(), ..Captured::default() },
            stderr: Captured::default(),
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            peak_memory: 0,
        };
        observation(&output, 100, Duration::from_millis(1500))
    }

    #[test]
    fn an_observation_ends_with_how_the_command_ended() {
        assert_eq!(ended(ExecStatus::Exited(0), ""), "[exit code 0]");
        assert_eq!(ended(ExecStatus::Exited(2), "a\n"), "a\n[exit code 2]");
        assert_eq!(ended(ExecStatus::Signaled(11), "a"), "a\n[killed by signal 11]");
        assert!(ended(ExecStatus::TimedOut, "a").starts_with("a\n[timed out after 1.5 s;"));
        assert!(ended(ExecStatus::OutOfMemory, "").contains("memory limit"));
    }

    #[test]
    fn a_long_command_comes_in_pieces_of_whole_characters() {
        let text = "aü".repeat(ARGUMENT_LIMIT);
        let pieces: Vec<&str> = pieces(&text).collect();
        assert!(pieces.len() > 2 && pieces.iter().all(|piece| piece.len() <= ARGUMENT_LIMIT));
        assert_eq!(pieces.concat(), text);
    }
}
