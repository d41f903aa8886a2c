//! Grading: statuses of tests against what the instance asks for. Strict: silence and skipping are failures.

use swegym_core::{Grading, TestGroup, TestStatus, TestStatuses, TestsReport};

/// Compares the statuses with the two lists of an instance; order and repetitions stay.
///
/// A test succeeds when it passed, or failed as was expected of it. One that is missing from the log, was skipped,
/// failed or could not run does not.
pub fn grade(statuses: &TestStatuses, grading: &Grading) -> TestsReport {
    TestsReport {
        fail_to_pass: group(statuses, &grading.fail_to_pass),
        pass_to_pass: group(statuses, &grading.pass_to_pass),
    }
}

/// Whether every required test succeeded. A report without any test that had to turn proves nothing.
pub fn is_resolved(report: &TestsReport) -> bool {
    !report.fail_to_pass.success.is_empty()
        && report.fail_to_pass.failure.is_empty()
        && report.pass_to_pass.failure.is_empty()
}

fn group(statuses: &TestStatuses, ids: &[String]) -> TestGroup {
    let succeeds = |id: &&String| matches!(statuses.get(*id), Some(TestStatus::Passed | TestStatus::Xfail));
    let (success, failure) = ids.iter().partition::<Vec<_>, _>(succeeds);
    let owned = |ids: Vec<&String>| ids.into_iter().cloned().collect();
    TestGroup { success: owned(success), failure: owned(failure) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;
    use swegym_core::Patch;

    use super::*;
    use crate::{ParserName, parse};

    fn grading(fail_to_pass: &[&str], pass_to_pass: &[&str]) -> Grading {
        let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        Grading {
            patch: Patch::default(),
            test_patch: Patch::default(),
            fail_to_pass: owned(fail_to_pass),
            pass_to_pass: owned(pass_to_pass),
        }
    }

    fn resolved(log: &str) -> bool {
        let statuses = parse(ParserName::Pytest, log.as_bytes());
        is_resolved(&grade(&statuses, &grading(&["t::a"], &["t::b", "t::c"])))
    }

    #[test]
    fn everything_asked_for_must_pass() {
        assert!(resolved("PASSED t::a\nXFAIL t::b\nPASSED t::c\nFAILED t::other"));
        assert!(!resolved("PASSED t::a\nPASSED t::b"), "missing");
        assert!(!resolved("PASSED t::a\nPASSED t::b\nFAILED t::c"));
        assert!(!resolved("ERROR t::a\nPASSED t::b\nPASSED t::c"));
        assert!(!resolved(""), "no test ran");
    }

    #[test]
    fn skipping_everything_resolves_nothing() {
        assert!(!resolved("SKIPPED t::a\nSKIPPED t::b\nSKIPPED t::c"));
        assert!(!resolved("PASSED t::a\nPASSED t::b\nSKIPPED t::c"));
    }

    #[test]
    fn a_report_without_tests_resolves_nothing() {
        assert!(!is_resolved(&TestsReport::default()));
    }

    #[test]
    fn ids_cut_at_a_space_are_found_and_the_last_line_counts() {
        let statuses = parse(ParserName::Pytest, b"PASSED t::a[x y]\nFAILED t::a[x z] - no\n");
        let report = grade(&statuses, &grading(&["t::a[x"], &[]));
        assert_eq!(report.fail_to_pass.failure, ["t::a[x"]);
    }

    #[test]
    fn order_and_repetitions_stay() {
        let statuses = parse(ParserName::Pytest, b"PASSED t::a\nPASSED t::b\n");
        let report = grade(&statuses, &grading(&["t::b", "t::x", "t::a", "t::b"], &[]));
        assert_eq!(report.fail_to_pass.success, ["t::b", "t::a", "t::b"]);
        assert_eq!(report.fail_to_pass.failure, ["t::x"]);
    }

    /// Upstream leaves skipped tests out of the count; where there are none, and something is asked for, the rules
    /// are the same.
    #[test]
    fn agrees_with_upstream_where_nothing_is_skipped() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/grading.jsonl");
        let Ok(vectors) = std::fs::read_to_string(&path) else {
            eprintln!("skipped: {} is absent", path.display());
            return;
        };
        let mut count = 0;
        for line in vectors.lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            let Ok(statuses) = serde_json::from_value::<TestStatuses>(record["status_map"].clone()) else {
                continue;
            };
            let list = |field: &str| serde_json::from_value::<Vec<String>>(record[field].clone()).unwrap();
            let mut grading = grading(&[], &[]);
            grading.fail_to_pass = list("FAIL_TO_PASS");
            grading.pass_to_pass = list("PASS_TO_PASS");
            let skipped = |id: &String| statuses.get(id) == Some(&TestStatus::Skipped);
            let mut asked = grading.fail_to_pass.iter().chain(&grading.pass_to_pass);
            if asked.any(skipped) || grading.fail_to_pass.is_empty() {
                continue;
            }
            let report = grade(&statuses, &grading);
            let expected = &record["expected"]["fork"];
            let actual = serde_json::to_value(&report).unwrap();
            for list in ["FAIL_TO_PASS", "PASS_TO_PASS"] {
                assert_eq!(actual[list], expected["report"][list], "{}", record["id"]);
            }
            assert_eq!(is_resolved(&report), expected["resolution"] == "RESOLVED_FULL", "{}", record["id"]);
            count += 1;
        }
        println!("{count} reports agree");
        assert!(count > 0);
    }
}
