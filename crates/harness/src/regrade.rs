//! Grading a saved run anew, without running anything.

use swegym_core::{Instance, PatchOutcome, Verdict};

use crate::findings::XFAIL_UNFOUNDED;
use crate::{GradeError, LogVerdict, LoggedRun, Profile, grade_log};

const START: &str = ">>>>> Start Test Output";
const END: &str = ">>>>> End Test Output";

/// What a profile makes of the log that an evaluation left.
///
/// A log alone proves nothing to the strict rules: what a strict evaluation could not believe stays unresolved.
///
/// The strict evaluation's log has nothing in it but what the tests print: for upstream's rules, its patch, its ends
/// and its exit code are told around it, as upstream's script does. A patch that did not apply, an evaluation that ran
/// into the time limit, and one that left no log are graded as if nothing had run.
///
/// # Errors
/// [`GradeError`] where upstream crashes, and writes no report.
pub fn regrade(
    profile: Profile,
    instance: &Instance,
    verdict: &Verdict,
    log: &[u8],
) -> Result<LogVerdict, GradeError> {
    let is_doubtful = profile == Profile::Strict && is_doubtful(verdict);
    let has_applied = !matches!(verdict.patch, PatchOutcome::Rejected { .. });
    let ran = has_applied && !verdict.timed_out && !log.is_empty() && !is_doubtful;
    let is_upstreams = contains(log, START.as_bytes()) || contains(log, b"+ git apply -v -");
    let log = match (ran, is_upstreams) {
        (false, _) => Vec::new(),
        (true, true) => log.to_vec(),
        (true, false) => told(log, verdict.exit_code),
    };
    let run = LoggedRun {
        instance_id: instance.id().as_str(),
        repo: instance.problem.repo.as_str(),
        parser: None,
        has_patch: true,
        log: &log,
        lists: (&instance.grading).into(),
    };
    grade_log(profile, &run)
}

/// Whether the evaluation saw more than the log shows, and it spoke against the prediction.
fn is_doubtful(verdict: &Verdict) -> bool {
    verdict.inconsistent || verdict.findings.iter().any(|finding| finding.kind == XFAIL_UNFOUNDED)
}

fn told(log: &[u8], exit_code: Option<i32>) -> Vec<u8> {
    let code = exit_code.map(|code| format!(">>>>> Test Exit Code: {code}\n")).unwrap_or_default();
    let before = format!("Applied patch of the tests\n{START}\n");
    [before.as_bytes(), log, format!("\n{END}\n{code}").as_bytes()].concat()
}

fn contains(log: &[u8], text: &[u8]) -> bool {
    log.split(|byte| *byte == b'\n').any(|line| line.windows(text.len()).any(|window| window == text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use swegym_core::{Evidence, VERDICT_SCHEMA_VERSION};

    use super::*;

    fn resolved(profile: Profile, log: &str, change: impl Fn(&mut Verdict)) -> bool {
        let row = json!({
            "repo": "getmoto/moto", "instance_id": "getmoto__moto-1", "base_commit": "a".repeat(40),
            "version": "5.0", "patch": "", "test_patch": "", "problem_statement": "",
            "FAIL_TO_PASS": ["t::a"], "PASS_TO_PASS": ["t::b"],
        });
        let instance = Instance::from_row(row.as_object().unwrap().clone()).unwrap();
        let mut verdict = Verdict {
            schema_version: VERDICT_SCHEMA_VERSION,
            resolved: false,
            patch: PatchOutcome::Applied { by: "git apply".to_owned() },
            tests: None,
            reason: None,
            evidence: Evidence::Log,
            inconsistent: false,
            findings: Vec::new(),
            profiles: Default::default(),
            exit_code: Some(0),
            timed_out: false,
            test_ms: 0,
            failure: None,
        };
        change(&mut verdict);
        regrade(profile, &instance, &verdict, log.as_bytes()).unwrap().resolved()
    }

    #[test]
    fn a_log_of_ours_is_graded_under_every_profile() {
        for profile in Profile::ALL {
            assert!(resolved(profile, "PASSED t::a\nPASSED t::b\n", |_| ()), "{profile}");
            assert!(!resolved(profile, "PASSED t::a\nFAILED t::b\n", |_| ()), "{profile}");
            assert!(!resolved(profile, "PASSED t::a\nPASSED t::b\n", |verdict| verdict.timed_out = true));
        }
        let skipped = "SKIPPED t::a\nSKIPPED t::b\n";
        let believes = Profile::ALL.map(|profile| resolved(profile, skipped, |_| ()));
        assert_eq!(believes, [true, true, false, false]);
    }

    #[test]
    fn strict_does_not_believe_the_log_of_what_it_did_not_believe() {
        let forged = |verdict: &mut Verdict| verdict.inconsistent = true;
        let resolves = |profile| resolved(profile, "PASSED t::a\nPASSED t::b\n", forged);
        assert_eq!(Profile::ALL.map(resolves), [true, true, true, false]);
    }

    #[test]
    fn a_patch_that_did_not_apply_resolves_nothing() {
        let rejected =
            |verdict: &mut Verdict| verdict.patch = PatchOutcome::Rejected { reason: "no".to_owned() };
        for profile in Profile::ALL {
            assert!(!resolved(profile, "PASSED t::a\nPASSED t::b\n", rejected), "{profile}");
        }
    }
}
