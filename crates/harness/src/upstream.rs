//! The evaluation of one prediction as upstream does it: its commands, its script, its rules.

use swegym_core::{Instance, Patch, PatchOutcome, TestCommand, TestGroup, TestsReport};
use swegym_sandbox::{ExecOutput, ExecRequest, ExecStatus, Sandbox, SandboxError};

use crate::git::TESTBED;
use crate::steps::failure;
use crate::{
    EvalLimits, EvalScript, Evaluation, LogVerdict, LoggedRun, Profile, apply_patch_with, grade_log,
    reset_files, test_command,
};

const SCRIPT: &str = "/eval.sh";

/// Evaluates a prediction under the rules of an upstream profile, in a fresh sandbox; [`Profile::Strict`] has
/// [`evaluate`](crate::evaluate).
///
/// Upstream does not look at empty patches. Its script is run whole, so that its log can be graded by upstream too; only
/// the repository is not installed again. Where upstream crashes on the log, the evaluation has failed; where it writes no report, the
/// instance is not resolved.
///
/// # Errors
/// [`SandboxError`] when the sandbox fails; then there is no verdict.
pub async fn evaluate_as(
    profile: Profile,
    sandbox: &dyn Sandbox,
    instance: &Instance,
    command: &TestCommand,
    prediction: &Patch,
    limits: &EvalLimits,
) -> Result<Evaluation, SandboxError> {
    let script = script(profile, instance, command);
    let shown = String::from_utf8_lossy(script.as_deref().unwrap_or_default()).into_owned();
    let mut evaluation = Evaluation::new(shown);
    let script = match script {
        _ if prediction.is_empty() => return Ok(evaluation.unresolved("the patch is empty".to_owned())),
        Ok(script) => script,
        Err(message) => return Ok(evaluation.unresolved(message)),
    };
    evaluation.verdict.patch = apply_patch_with(sandbox, prediction, profile).await?;
    if let PatchOutcome::Rejected { .. } = evaluation.verdict.patch {
        return Ok(evaluation.unresolved("the patch does not apply".to_owned()));
    }
    sandbox.write_file(SCRIPT, &script).await?;
    let request = ExecRequest::new(["/bin/bash", SCRIPT]).in_folder(TESTBED).merged();
    let output = sandbox.exec(&request.within(limits.time_limit).keeping(limits.log_limit)).await?;
    Ok(evaluation.graded_as(profile, instance, &output))
}

/// The error says why upstream has no script for the instance.
fn script(profile: Profile, instance: &Instance, command: &TestCommand) -> Result<Vec<u8>, String> {
    let test_patch = &instance.grading.test_patch;
    let test_files =
        reset_files(profile, test_patch).map_err(|error| format!("upstream fails to {error}"))?;
    let script = EvalScript {
        base_commit: &instance.problem.base_commit,
        test_patch,
        test_files: &test_files,
        eval_commands: &command.eval_commands,
        install: None,
        test_command: &test_command(&instance.problem.repo, &command.test_cmd, test_patch),
    };
    Ok(script.text(profile))
}

impl Evaluation {
    fn graded_as(mut self, profile: Profile, instance: &Instance, output: &ExecOutput) -> Self {
        self.log = output.stdout.to_bytes();
        let verdict = &mut self.verdict;
        verdict.exit_code = output.exit_code();
        verdict.timed_out = output.status == ExecStatus::TimedOut;
        verdict.test_ms = u64::try_from(output.wall.as_millis()).unwrap_or(u64::MAX);
        if verdict.timed_out {
            return self.unresolved("the tests ran into the time limit".to_owned());
        }
        let graded = match grade_log(profile, &logged(instance, &self.log)) {
            Ok(graded) => graded,
            Err(error) => return self.failed(failure("parser", format!("upstream fails to {error}"))),
        };
        verdict.resolved = graded.resolved();
        verdict.tests = graded.tests.as_ref().map(|tests| TestsReport {
            fail_to_pass: tests.fail_to_pass.clone(),
            pass_to_pass: tests.pass_to_pass.clone(),
        });
        verdict.reason = reason(&graded);
        self.statuses = graded.statuses.map(crate::RawStatuses::known).unwrap_or_default();
        self
    }
}

fn logged<'a>(instance: &'a Instance, log: &'a [u8]) -> LoggedRun<'a> {
    LoggedRun {
        instance_id: instance.id().as_str(),
        repo: instance.problem.repo.as_str(),
        parser: None,
        has_patch: true,
        log,
        lists: (&instance.grading).into(),
    }
}

/// Why it is not resolved.
pub(crate) fn reason(graded: &LogVerdict) -> Option<String> {
    let Some(tests) = &graded.tests else {
        return Some("the log does not show that the tests ran with the patch applied".to_owned());
    };
    let count = |group: &TestGroup| {
        format!("{} of {}", group.failure.len(), group.failure.len() + group.success.len())
    };
    let (turned, kept) = (count(&tests.fail_to_pass), count(&tests.pass_to_pass));
    (!graded.resolved())
        .then(|| format!("{turned} tests of FAIL_TO_PASS and {kept} of PASS_TO_PASS did not pass"))
}
