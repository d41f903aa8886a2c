//! One run of the tests in a sandbox.

use std::time::Duration;

use swegym_core::{TestCommand, TestStatuses};
use swegym_harness::{ParserName, parse};
use swegym_sandbox::{ExecRequest, ExecStatus, OutputLimit, Sandbox, SandboxError};

/// Where the tree lies.
pub(crate) const ROOT: &str = "/testbed";

/// The summary, which says what became of each test, stands at the end of a log.
const LOG_LIMIT: OutputLimit = OutputLimit { head: 4 << 20, tail: 12 << 20 };

/// What one run of the tests showed.
#[derive(Debug, Clone)]
pub(crate) struct TestRun {
    pub(crate) log: String,
    pub(crate) statuses: TestStatuses,
    /// Whether the command ended by itself, not by a signal or a limit.
    pub(crate) ended: bool,
    pub(crate) wall: Duration,
}

impl TestRun {
    /// Runs the tests once, after these additional shell lines.
    pub(crate) async fn execute(
        sandbox: &dyn Sandbox,
        command: &TestCommand,
        setup: &[String],
        time_limit: Duration,
    ) -> Result<Self, SandboxError> {
        let mut script = command.eval_commands.clone();
        script.extend_from_slice(setup);
        script.push(command.test_cmd.clone());
        let request = ExecRequest::shell(script.join("\n"))
            .in_folder(ROOT)
            .within(time_limit)
            .keeping(LOG_LIMIT)
            .merged();
        let output = sandbox.exec(&request).await?;
        let log = output.stdout.to_bytes();
        Ok(Self {
            statuses: parse(ParserName::Pytest, &log),
            log: String::from_utf8_lossy(&log).into_owned(),
            ended: matches!(output.status, ExecStatus::Exited(_)),
            wall: output.wall,
        })
    }

    /// The last lines of the log, for error messages.
    pub(crate) fn log_end(&self) -> String {
        let mut last: Vec<&str> = self.log.lines().rev().take(5).collect();
        last.reverse();
        last.join("\n").chars().take(1000).collect()
    }
}
