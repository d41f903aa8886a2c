//! The same attacks under the rules of upstream: the files of the test patch are reset, and the log alone is graded.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use swegym_core::Grading;
use swegym_harness::{LoggedRun, ParserName, Profile, grade_log};
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
    grade(&output.stdout.to_bytes(), &grading)
}

/// Whose rules take the log for one of a solution. Rules that crash take it for none.
fn grade(log: &[u8], grading: &Grading) -> Fooled {
    // The fork finds its parser by the id, so this is one of a repository with plain pytest.
    let run = LoggedRun {
        instance_id: "getmoto__moto-1",
        repo: "getmoto/moto",
        parser: Some(ParserName::Pytest),
        has_patch: true,
        log,
        lists: grading.into(),
    };
    let resolves = |profile| {
        let graded = grade_log(profile, &run);
        usize::from(graded.is_ok_and(|graded| graded.resolved()))
    };
    Fooled {
        swegym: resolves(Profile::Swegym),
        swebench4: resolves(Profile::Swebench4),
        swebench5: resolves(Profile::Swebench5),
    }
}
