//! The same attacks under the rules of upstream: the files of the test patch are reset, and the log alone is graded.
//! Only what these attacks touch of the rules is here.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use swegym_core::{Grading, TestStatus, TestStatuses};
use swegym_harness::{ParserName, parse};
use swegym_sandbox::{ExecRequest, ExecStatus, OutputLimit};

use crate::lab::{Attack, Lab};

const START: &str = ">>>>> Start Test Output";
const END: &str = ">>>>> End Test Output";

/// How many attacks a rule set takes for a solution.
#[derive(Clone, Copy, Default)]
pub(crate) struct Fooled {
    pub(crate) swegym: usize,
    pub(crate) swebench4: usize,
    pub(crate) swebench5: usize,
}

impl AddAssign for Fooled {
    fn add_assign(&mut self, other: Self) {
        self.swegym += other.swegym;
        self.swebench4 += other.swebench4;
        self.swebench5 += other.swebench5;
    }
}

impl fmt::Display for Fooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fools {}/{}/{}", self.swegym, self.swebench4, self.swebench5)
    }
}

/// Applies the prediction and the test patch as upstream does, runs the tests and grades the log.
pub(crate) async fn evaluate(lab: &Lab, prediction: &str, attack: &Attack) -> Fooled {
    let sandbox = lab.sandbox().await;
    let grading = lab.instance().grading;
    sandbox.write_file("/tmp/patch.diff", prediction.as_bytes()).await.unwrap();
    sandbox.write_file("/tmp/tests.diff", grading.test_patch.as_bytes()).await.unwrap();
    let script = format!(
        "cd /testbed
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
git apply -v /tmp/patch.diff || patch --batch --fuzz=5 -p1 -i /tmp/patch.diff || exit
{}
git checkout HEAD tests/test_calc.py
git apply -v /tmp/tests.diff
echo '{START}'
python3 -m pytest -rA tests/test_calc.py
code=$?
echo '{END}'
echo \">>>>> Test Exit Code: $code\"",
        attack.eval_commands.join("\n"),
    );
    let request =
        ExecRequest::new(["bash", "-c", &script]).within(Duration::from_secs(attack.seconds)).merged();
    let output = sandbox.exec(&request.keeping(OutputLimit { head: 64 << 20, tail: 0 })).await.unwrap();
    sandbox.destroy().await.unwrap();
    if output.status == ExecStatus::TimedOut {
        return Fooled::default();
    }
    grade(&output.stdout.to_text(), &grading)
}

fn grade(log: &str, grading: &Grading) -> Fooled {
    let statuses = |text: &str| parse(ParserName::Pytest, text.as_bytes());
    let is_graded = log.to_lowercase().contains("applied patch") && !log.contains(">>>>> Tests Errored");
    let all = statuses(log);
    let region = log.split_once(START).and_then(|(_, rest)| Some(rest.split_once(END)?.0));
    let in_region = region.map(statuses).map(|found| if found.is_empty() { all.clone() } else { found });
    let failed = |found: &TestStatuses| {
        found.values().any(|status| matches!(status, TestStatus::Failed | TestStatus::Error))
    };
    let exits_badly = !log.contains(">>>>> Test Exit Code: 0\n");
    let believable = |found: &TestStatuses| !found.is_empty() && (!exits_badly || failed(found));
    Fooled {
        swegym: usize::from(is_graded && resolves(&all, grading, |_| true)),
        swebench4: usize::from(in_region.as_ref().is_some_and(|found| resolves(found, grading, |_| true))),
        swebench5: usize::from(
            in_region.is_some_and(|found| believable(&found) && resolves(&found, grading, |f2p| !f2p)),
        ),
    }
}

/// Whether nothing failed or is missing; `may_skip` says of a list (FAIL_TO_PASS or not) whether skipping is no failure.
fn resolves(statuses: &TestStatuses, grading: &Grading, may_skip: fn(bool) -> bool) -> bool {
    let fine = |id: &String, fail_to_pass: bool| match statuses.get(id) {
        Some(TestStatus::Passed | TestStatus::Xfail) => true,
        Some(TestStatus::Skipped) => may_skip(fail_to_pass),
        Some(TestStatus::Failed | TestStatus::Error) | None => false,
    };
    grading.fail_to_pass.iter().all(|id| fine(id, true))
        && grading.pass_to_pass.iter().all(|id| fine(id, false))
}
