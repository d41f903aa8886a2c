//! The evaluation of one prediction in a fresh sandbox.

use std::time::Duration;

use swegym_core::{
    Boundary, Failure, Instance, Patch, PatchOutcome, TestCommand, TestGroup, TestStatus, TestStatuses,
    TestsReport, VERDICT_SCHEMA_VERSION, Verdict,
};
use swegym_sandbox::{ExecOutput, ExecRequest, ExecStatus, OutputLimit, Sandbox, SandboxError};

use crate::git::TESTBED;
use crate::test_files::{Blocked, TestFiles};
use crate::{apply_patch, grade, is_resolved, parse, parser_of, test_command};

const SCRIPT: &str = "/tmp/swegym-eval.sh";

/// Limits of a test run.
#[derive(Debug, Clone, Copy)]
pub struct EvalLimits {
    /// Wall time of the whole script.
    pub time_limit: Duration,
    /// How much of the log is kept. Results stand at its end.
    pub log_limit: OutputLimit,
}

/// What an evaluation gives.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The result.
    pub verdict: Verdict,
    /// What the script printed; empty when it did not run.
    pub log: Vec<u8>,
    /// The script, for `eval.sh`.
    pub script: String,
    /// Every test that the log shows.
    pub statuses: TestStatuses,
}

/// Applies a prediction, brings the tests up to date, runs them and grades what they print.
///
/// The sandbox must be fresh: made from the image of the instance, and nothing run in it. An empty prediction is
/// evaluated like any other; one that does not apply, or gets in the way of the tests, is not resolved.
///
/// # Errors
/// [`SandboxError`] when the sandbox fails; then there is no verdict.
pub async fn evaluate(
    sandbox: &dyn Sandbox,
    instance: &Instance,
    command: &TestCommand,
    prediction: &Patch,
    limits: &EvalLimits,
) -> Result<Evaluation, SandboxError> {
    let mut evaluation = Evaluation::new(script(instance, command));
    let tests = match TestFiles::survey(sandbox, instance).await {
        Ok(tests) => tests,
        Err(Blocked::Sandbox(error)) => return Err(error),
        Err(Blocked::Step { kind, step, said }) => {
            return Ok(evaluation.failed(kind, format!("failed to {step}: {said}")));
        }
    };
    evaluation.verdict.patch = apply_patch(sandbox, prediction).await?;
    if let PatchOutcome::Rejected { .. } = evaluation.verdict.patch {
        return Ok(evaluation.unresolved("the patch does not apply".to_owned()));
    }
    match tests.bring_up_to_date(sandbox).await {
        Ok(()) => {}
        Err(Blocked::Sandbox(error)) => return Err(error),
        Err(Blocked::Step { step, said, .. }) => {
            return Ok(evaluation.unresolved(format!("the prediction makes it impossible to {step}: {said}")));
        }
    }
    sandbox.write_file(SCRIPT, evaluation.script.as_bytes()).await?;
    let request = ExecRequest::new(["bash", SCRIPT]).in_folder(TESTBED).merged();
    let output = sandbox.exec(&request.within(limits.time_limit).keeping(limits.log_limit)).await?;
    Ok(evaluation.graded(&output, instance))
}

fn script(instance: &Instance, command: &TestCommand) -> String {
    let test = test_command(&instance.problem.repo, &command.test_cmd, &instance.grading.test_patch);
    let mut lines = vec!["#!/bin/bash".to_owned(), format!("cd {TESTBED}")];
    lines.extend(command.eval_commands.iter().cloned());
    lines.extend([test, String::new()]);
    lines.join("\n")
}

impl Evaluation {
    fn new(script: String) -> Self {
        let verdict = Verdict {
            schema_version: VERDICT_SCHEMA_VERSION,
            resolved: false,
            patch: PatchOutcome::Empty,
            tests: None,
            reason: None,
            exit_code: None,
            timed_out: false,
            test_ms: 0,
            failure: None,
        };
        Self { verdict, log: Vec::new(), script, statuses: TestStatuses::new() }
    }

    fn failed(mut self, kind: &str, message: String) -> Self {
        let boundary = Boundary::Harness;
        self.verdict.failure = Some(Failure { boundary, kind: kind.to_owned(), message, retryable: false });
        self.unresolved("the evaluation failed".to_owned())
    }

    fn unresolved(mut self, reason: String) -> Self {
        self.verdict.reason = Some(reason);
        self
    }

    fn graded(mut self, output: &ExecOutput, instance: &Instance) -> Self {
        self.log = output.stdout.to_bytes();
        self.statuses = parse(parser_of(&instance.problem.repo), &self.log);
        let report = grade(&self.statuses, &instance.grading);
        self.verdict.reason = objection(output.status, &self.statuses, &report);
        self.verdict.resolved = self.verdict.reason.is_none();
        self.verdict.tests = Some(report);
        self.verdict.exit_code = output.exit_code();
        self.verdict.timed_out = output.status == ExecStatus::TimedOut;
        self.verdict.test_ms = u64::try_from(output.wall.as_millis()).unwrap_or(u64::MAX);
        self
    }
}

/// Why a test run does not resolve its instance: how it ended, its log and its results must agree that it does.
fn objection(status: ExecStatus, statuses: &TestStatuses, report: &TestsReport) -> Option<String> {
    let bad = |status: &TestStatus| matches!(status, TestStatus::Failed | TestStatus::Error);
    match status {
        ExecStatus::TimedOut => return Some("the tests ran into the time limit".to_owned()),
        ExecStatus::OutOfMemory => return Some("the tests ran into the memory limit".to_owned()),
        ExecStatus::Signaled(signal) => return Some(format!("the tests were killed by signal {signal}")),
        ExecStatus::Exited(code) if statuses.is_empty() => {
            return Some(format!("the log shows no test result; the test command exited with {code}"));
        }
        ExecStatus::Exited(code) if is_resolved(report) => {
            let contradiction = code != 0 && !statuses.values().any(bad);
            return contradiction
                .then(|| format!("the test command exited with {code}, though the log shows no failure"));
        }
        ExecStatus::Exited(_) => {}
    }
    let count = |group: &TestGroup| {
        format!("{} of {}", group.failure.len(), group.failure.len() + group.success.len())
    };
    Some(format!(
        "{} tests of FAIL_TO_PASS and {} of PASS_TO_PASS did not pass",
        count(&report.fail_to_pass),
        count(&report.pass_to_pass)
    ))
}
