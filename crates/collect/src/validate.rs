//! Validation by execution: which tests a fix turns, and which must go on passing.

use std::collections::BTreeSet;

use swegym_core::{TestStatus, TestStatuses};

/// What runs without and with the fix say about each test. Ids are in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validation {
    /// Tests that the fix turns from failing to passing.
    pub fail_to_pass: Vec<String>,
    /// Tests that pass without and with it.
    pub pass_to_pass: Vec<String>,
    /// Tests that were not the same in every repetition; they are in neither list.
    pub flaky: Vec<String>,
}

impl Validation {
    /// Whether there is a test to turn and one to keep: without the latter a fix could break everything else.
    pub fn is_useful(&self) -> bool {
        !self.fail_to_pass.is_empty() && !self.pass_to_pass.is_empty()
    }
}

/// Compares repeated runs of the same tests without (`before`) and with the fix (`after`).
///
/// Upstream runs each once; with one repetition this is its rule. Without the fix only `FAILED` counts as
/// failing: a test that is missing or has `ERROR` could not run, as after an import error, and says nothing
/// about the behaviour that the fix is for.
pub fn validate(before: &[TestStatuses], after: &[TestStatuses]) -> Validation {
    let mut validation = Validation::default();
    let ids: BTreeSet<&String> = before.iter().chain(after).flat_map(TestStatuses::keys).collect();
    for id in ids {
        let list = match (agreed(before, id), agreed(after, id)) {
            (Some(Some(TestStatus::Failed)), Some(Some(TestStatus::Passed))) => &mut validation.fail_to_pass,
            (Some(Some(TestStatus::Passed)), Some(Some(TestStatus::Passed))) => &mut validation.pass_to_pass,
            (None, _) | (_, None) => &mut validation.flaky,
            _ => continue,
        };
        list.push(id.clone());
    }
    validation
}

/// What every run says about a test (inner `None`: it is missing); `None` when they do not agree.
fn agreed(runs: &[TestStatuses], id: &str) -> Option<Option<TestStatus>> {
    let mut statuses = runs.iter().map(|run| run.get(id).copied());
    let first = statuses.next().flatten();
    statuses.all(|status| status == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn statuses(text: &str) -> TestStatuses {
        let pairs = text.split_whitespace().map(|pair| pair.split_once('=').unwrap());
        pairs.map(|(id, status)| (id.to_owned(), serde_json::from_value(status.into()).unwrap())).collect()
    }

    #[test]
    fn tests_that_change_between_repetitions_are_left_out() {
        let before = [
            statuses("a=FAILED b=FAILED c=PASSED d=PASSED"),
            statuses("a=FAILED b=PASSED c=PASSED d=PASSED"),
        ];
        let after = [statuses("a=PASSED b=PASSED c=PASSED d=PASSED"), statuses("a=PASSED b=PASSED c=PASSED")];
        let validation = validate(&before, &after);
        assert_eq!(validation.fail_to_pass, ["a"]);
        assert_eq!(validation.pass_to_pass, ["c"]);
        assert_eq!(validation.flaky, ["b", "d"]);
        assert!(validation.is_useful());
    }

    #[test]
    fn a_test_that_could_not_run_is_no_failing_test() {
        let before = [statuses("a=ERROR b=SKIPPED c=XFAIL e=PASSED")];
        let after = [statuses("a=PASSED b=PASSED c=PASSED d=PASSED e=FAILED")];
        assert_eq!(validate(&before, &after), Validation::default());
        assert!(!Validation::default().is_useful());
    }

    #[test]
    fn one_run_each_is_the_rule_of_upstream() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/validation.jsonl");
        let Ok(vectors) = std::fs::read_to_string(path) else {
            eprintln!("SKIPPED: {path} is not there");
            return;
        };
        for line in vectors.lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let run = |name: &str| [serde_json::from_value::<TestStatuses>(case[name].clone()).unwrap()];
            let validation = validate(&run("empty_status_map"), &run("gold_status_map"));
            let expected = &case["expected"];
            assert_eq!(
                serde_json::json!(validation.fail_to_pass),
                expected["FAIL_TO_PASS"],
                "{}",
                case["id"]
            );
            assert_eq!(
                serde_json::json!(validation.pass_to_pass),
                expected["PASS_TO_PASS"],
                "{}",
                case["id"]
            );
            assert_eq!(validation.flaky, [""; 0]);
        }
    }
}
