//! The evaluation of one prediction in a fresh sandbox.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::{join, try_join};
use swegym_core::{
    Evidence, Failure, Finding, Instance, Patch, PatchOutcome, TestCommand, TestGroup, TestStatus,
    TestStatuses, TestsReport, VERDICT_SCHEMA_VERSION, Verdict,
};
use swegym_sandbox::{ExecOutput, ExecRequest, ExecStatus, OutputLimit, Sandbox, SandboxError};

use crate::agreement::Accounts;
use crate::channel::{self, Key, PLUGIN, PLUGIN_PATH, Session};
use crate::findings::{
    GIT_FOLDER_TOUCHED, HARNESS_FILES_CHANGED, OUTPUT_FLOOD, RUNNER_KILLED, TIME_LIMIT, XFAIL_UNFOUNDED,
    finding, finding_of,
};
use crate::git::TESTBED;
use crate::patch_paths::names_git_folder;
use crate::steps::Blocked;
use crate::test_files::Restored;
use crate::{Survey, apply_patch, grade, is_resolved, parse, parser_of, test_command};

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
/// The sandbox must be fresh: made from the image that was surveyed, and nothing run in it. It must be able to list
/// changed files and to unpack archives. An empty prediction is evaluated like any other; one that does not apply, or
/// gets in the way of the tests, is not resolved.
///
/// # Errors
/// [`SandboxError`] when the sandbox fails; then there is no verdict.
pub async fn evaluate(
    sandbox: &dyn Sandbox,
    survey: &Survey,
    command: &TestCommand,
    prediction: &Patch,
    limits: &EvalLimits,
) -> Result<Evaluation, SandboxError> {
    let instance = &*survey.instance;
    let mut evaluation = Evaluation::new(script(instance, command));
    let tests = match &survey.tests {
        Ok(tests) => tests,
        Err(failure) => return Ok(evaluation.failed(failure.clone())),
    };
    if names_git_folder(prediction.as_bytes()) {
        evaluation.verdict.findings.push(finding(GIT_FOLDER_TOUCHED, "the prediction names a `.git` folder"));
    }
    evaluation.verdict.patch = apply_patch(sandbox, prediction).await?;
    if let PatchOutcome::Rejected { .. } = evaluation.verdict.patch {
        return Ok(evaluation.unresolved("the patch does not apply".to_owned()));
    }
    let restored = match tests.bring_up_to_date(sandbox, prediction).await {
        Ok(restored) => restored,
        Err(Blocked::Sandbox(error)) => return Err(error),
        Err(Blocked::Step { step, said, .. }) => {
            return Ok(evaluation.unresolved(format!("the prediction makes it impossible to {step}: {said}")));
        }
    };
    let run = TestRun::execute(sandbox, &evaluation.script, command, limits).await?;
    Ok(evaluation.graded(&run, instance, &restored).compared(instance))
}

fn script(instance: &Instance, command: &TestCommand) -> String {
    let test = test_command(&instance.problem.repo, &command.test_cmd, &instance.grading.test_patch);
    let mut lines = vec!["#!/bin/bash".to_owned(), format!("cd {TESTBED}")];
    if channel::is_pytest(&command.test_cmd) {
        lines.extend(channel::without(&command.eval_commands));
        lines.extend(channel::setup());
    } else {
        lines.extend(command.eval_commands.iter().cloned());
    }
    lines.extend([test, String::new()]);
    lines.join("\n")
}

/// What came of running the tests.
struct TestRun {
    output: ExecOutput,
    /// What pytest said apart from the log, where it is pytest and the sandbox has a way for it.
    session: Option<Session>,
    /// Whether the test command ends as its pytest does.
    exits_as_pytest: bool,
    /// Whether the script and the plugin are still what they were.
    harness_files_changed: bool,
}

impl TestRun {
    async fn execute(
        sandbox: &dyn Sandbox,
        script: &str,
        command: &TestCommand,
        limits: &EvalLimits,
    ) -> Result<Self, SandboxError> {
        let request = ExecRequest::new(["bash", SCRIPT]).in_folder(TESTBED).merged();
        let request = request.within(limits.time_limit).keeping(limits.log_limit);
        let exits_as_pytest = !command.test_cmd.contains(['|', ';', '&', '\n']);
        let run = |output, session, harness_files_changed| Self {
            output,
            session,
            exits_as_pytest,
            harness_files_changed,
        };
        let write_script = sandbox.write_file(SCRIPT, script.as_bytes());
        if !channel::is_pytest(&command.test_cmd) {
            write_script.await?;
            return Ok(run(sandbox.exec(&request).await?, None, false));
        }
        try_join(write_script, sandbox.write_file(PLUGIN_PATH, PLUGIN.as_bytes())).await?;
        let key = Key::new()?;
        let (output, written) = match sandbox.exec_with_channel(&request, &key.channel()).await {
            Err(SandboxError::Unsupported { .. }) => {
                return Ok(run(sandbox.exec(&request).await?, None, false));
            }
            ran => ran?,
        };
        let same = join(is_still(sandbox, PLUGIN_PATH, PLUGIN), is_still(sandbox, SCRIPT, script)).await;
        Ok(run(output, Some(Session::read(&key, &written)), same != (true, true)))
    }
}

/// Whether a file holds what was written into it.
async fn is_still(sandbox: &dyn Sandbox, path: &str, content: &str) -> bool {
    let limit = content.len() as u64 + 1;
    sandbox.read_file(path, limit).await.is_ok_and(|found| found == content.as_bytes())
}

impl Evaluation {
    /// Of nothing yet.
    pub(crate) fn new(script: String) -> Self {
        let verdict = Verdict {
            schema_version: VERDICT_SCHEMA_VERSION,
            resolved: false,
            patch: PatchOutcome::Empty,
            tests: None,
            reason: None,
            evidence: Evidence::Log,
            inconsistent: false,
            findings: Vec::new(),
            profiles: BTreeMap::new(),
            exit_code: None,
            timed_out: false,
            test_ms: 0,
            failure: None,
        };
        Self { verdict, log: Vec::new(), script, statuses: TestStatuses::new() }
    }

    /// The evaluation itself failed.
    pub(crate) fn failed(mut self, failure: Failure) -> Self {
        self.verdict.failure = Some(failure);
        self.unresolved("the evaluation failed".to_owned())
    }

    pub(crate) fn unresolved(mut self, reason: String) -> Self {
        self.verdict.reason = Some(reason);
        self
    }

    /// An expected failure is as good as a pass only where the sources of the tests speak of such.
    fn refuse_expected_failures(&mut self, instance: &Instance, restored: &Restored) -> Option<Finding> {
        let grading = &instance.grading;
        let required = grading.fail_to_pass.iter().chain(&grading.pass_to_pass);
        let unfounded: BTreeSet<&String> = required
            .filter(|id| self.statuses.get(*id) == Some(&TestStatus::Xfail) && !restored.may_xfail(id))
            .collect();
        for id in &unfounded {
            self.statuses.insert((*id).clone(), TestStatus::Failed);
        }
        finding_of(XFAIL_UNFOUNDED, "nothing in the tests expects failures of", unfounded)
    }

    fn graded(mut self, run: &TestRun, instance: &Instance, restored: &Restored) -> Self {
        let output = &run.output;
        self.log = output.stdout.to_bytes();
        let parser = parser_of(&instance.problem.repo);
        self.statuses = parse(parser, &self.log);
        let mut findings = std::mem::take(&mut self.verdict.findings);
        findings.extend_from_slice(&restored.findings);
        findings.extend(findings_of(run));
        let mut contradiction = None;
        if let Some(session) = &run.session {
            let accounts = Accounts {
                session,
                logged: &self.statuses,
                parser,
                exit_code: output.exit_code(),
                exits_as_pytest: run.exits_as_pytest,
                grading: &instance.grading,
                predicted: &restored.predicted,
            };
            let agreement = accounts.compare();
            self.verdict.evidence = Evidence::Channel;
            self.verdict.inconsistent = !agreement.contradictions.is_empty() || run.harness_files_changed;
            contradiction = agreement.contradictions.first().map(|first| first.detail.clone());
            findings.extend(agreement.contradictions);
            findings.extend(agreement.notes);
            self.statuses = agreement.statuses;
            findings.extend(self.refuse_expected_failures(instance, restored));
        }
        let report = grade(&self.statuses, &instance.grading);
        let mut reason = objection(output.status, &self.statuses, &report);
        if self.verdict.inconsistent && matches!(output.status, ExecStatus::Exited(_)) {
            let what = contradiction.unwrap_or_else(|| "files of the harness were changed".to_owned());
            reason = Some(format!("inconsistent: {what}"));
        }
        findings.sort_unstable();
        let verdict = &mut self.verdict;
        verdict.findings = findings;
        verdict.resolved = reason.is_none();
        verdict.reason = reason;
        verdict.tests = Some(report);
        verdict.exit_code = output.exit_code();
        verdict.timed_out = output.status == ExecStatus::TimedOut;
        verdict.test_ms = u64::try_from(output.wall.as_millis()).unwrap_or(u64::MAX);
        self
    }
}

/// What is noticed of a run from outside.
fn findings_of(run: &TestRun) -> Vec<Finding> {
    let output = &run.output;
    let mut findings = Vec::new();
    match output.status {
        ExecStatus::TimedOut => findings.push(finding(TIME_LIMIT, "the tests ran into the time limit")),
        ExecStatus::Signaled(signal) => {
            findings.push(finding(RUNNER_KILLED, format!("the test command was killed by signal {signal}")));
        }
        ExecStatus::OutOfMemory | ExecStatus::Exited(_) => {}
    }
    if output.stdout.dropped > 0 {
        let detail = format!("{} bytes of the log were left out", output.stdout.dropped);
        findings.push(finding(OUTPUT_FLOOD, detail));
    }
    if run.harness_files_changed {
        findings.push(finding(HARNESS_FILES_CHANGED, "the script or the plugin of the harness"));
    }
    findings
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
