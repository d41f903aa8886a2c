//! The shell: every call is a `bash` of its own.

use std::time::Duration;

use serde_json::json;
use swegym_core::ToolSpec;
use swegym_sandbox::{ExecOutput, ExecRequest, ExecStatus, OutputLimit, Sandbox};

use super::arguments::Arguments;
use super::toolbox::ToolError;
use crate::ScaffoldConfig;
use crate::clip::clip_output;

pub(super) const NAME: &str = "execute_bash";

/// Bytes of one argument of a program: Linux takes less than 128 KiB.
const ARGUMENT_LIMIT: usize = 100_000;

pub(super) fn spec(config: &ScaffoldConfig) -> ToolSpec {
    let (repo_dir, seconds) = (&config.repo_dir, config.command_time_limit.as_secs_f64());
    let description = format!(
        "Runs a command in bash and shows what it printed (standard output and standard error together) and \
         its exit code.\n\
         Every call starts a new shell in {repo_dir}: a change of directory, variables and activated \
         environments do not last until the next call, so chain what belongs together with `&&`. Changes to \
         files do last, and so do processes started in the background (redirect their output to a file).\n\
         There is no terminal and no standard input. A command that takes longer than its timeout is killed \
         together with everything it started. The middle of a long output is left out."
    );
    ToolSpec {
        name: NAME.to_owned(),
        description,
        parameters: json!({
            "type": "object",
            "properties": {
                "command": {"type": "string", "description": "The command, of one line or several."},
                "timeout": {
                    "type": "number",
                    "description": format!("Seconds after which it is killed: at most {seconds}, which is also the default."),
                },
            },
            "required": ["command"],
        }),
    }
}

/// Runs the command; the observation is its output and how it ended.
pub(super) async fn run(
    sandbox: &dyn Sandbox,
    config: &ScaffoldConfig,
    arguments: &Arguments,
    time_left: Duration,
) -> Result<String, ToolError> {
    let command = arguments.text("command")?;
    if command.contains('\0') {
        return Err(ToolError::refused("the command holds a NUL character"));
    }
    let asked = arguments.optional_positive("timeout")?;
    let allowed = config.command_time_limit.min(time_left);
    let time_limit = asked.map_or(allowed, |seconds| at_most(seconds, allowed));
    // A character has four bytes at most: what is kept is never less than what is shown.
    let half = config.observation_limit.saturating_mul(2).saturating_add(4);
    let request = request(command)
        .in_folder(&config.repo_dir)
        .within(time_limit)
        .keeping(OutputLimit { head: half, tail: half })
        .merged();
    let output = sandbox.exec(&request).await?;
    Ok(observation(&output, config.observation_limit, time_limit))
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
        let ends = text.char_indices().map(|(start, c)| start + c.len_utf8());
        let end = ends.take_while(|end| *end <= ARGUMENT_LIMIT).last()?;
        let (piece, rest) = text.split_at(end);
        text = rest;
        Some(piece)
    })
}

fn at_most(seconds: f64, limit: Duration) -> Duration {
    Duration::try_from_secs_f64(seconds).map_or(limit, |asked| asked.min(limit))
}

fn observation(output: &ExecOutput, limit: usize, time_limit: Duration) -> String {
    let mut text = clip_output(&output.stdout, limit);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text + &trailer(output.status, time_limit)
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
    fn no_timeout_exceeds_the_limit() {
        let limit = Duration::from_secs(9);
        for (seconds, expected) in [(0.5, 0.5), (9.5, 9.0), (1e300, 9.0)] {
            assert_eq!(at_most(seconds, limit).as_secs_f64(), expected);
        }
    }
}
