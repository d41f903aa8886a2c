//! Which tests an instance asks for: those that a run with the gold patch and one with an empty patch tell apart.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::RawStatuses;

/// The lists of an instance, in the order of ids: upstream writes them in no order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ValidationLists {
    /// Tests that fail with the empty patch and pass with the gold patch.
    pub fail_to_pass: Vec<String>,
    /// Tests that pass with both.
    pub pass_to_pass: Vec<String>,
}

impl ValidationLists {
    /// Whether the instance is kept: a test tells that the patch is right.
    pub fn validated(&self) -> bool {
        !self.fail_to_pass.is_empty()
    }
}

/// The rule of the fork, with which SWE-Gym was made. A test that could not run without the gold patch, or does not
/// show up there, is in neither list.
pub fn validation_lists(gold: &RawStatuses, empty: &RawStatuses) -> ValidationLists {
    let passed: BTreeSet<&str> = ids(gold, "PASSED").collect();
    let and = |word| passed.iter().filter(move |id| empty.get(id) == Some(word)).map(|id| (*id).to_owned());
    ValidationLists { fail_to_pass: and("FAILED").collect(), pass_to_pass: and("PASSED").collect() }
}

/// `report.json` of one of the two runs, without the id around it: what passed and what failed, in the order of the log.
/// `statuses` is what [`statuses_of_log`](crate::statuses_of_log) gives.
pub fn validation_report(has_patch: bool, statuses: Option<&RawStatuses>) -> Value {
    let statuses = statuses.filter(|_| has_patch);
    let tests = statuses.map(|statuses| {
        let list = |word| ids(statuses, word).collect::<Vec<_>>();
        (list("PASSED"), list("FAILED"))
    });
    let mut report = json!({
        "patch_is_None": false,
        "patch_exists": has_patch,
        "patch_successfully_applied": tests.is_some(),
        "resolved": tests.as_ref().is_some_and(|(pass, fail)| fail.is_empty() && !pass.is_empty()),
    });
    if !has_patch {
        report["none"] = true.into();
    }
    if let Some((pass, fail)) = tests {
        report["tests_status"] = json!({ "PASS": pass, "FAIL": fail });
    }
    report
}

fn ids<'a>(statuses: &'a RawStatuses, word: &'a str) -> impl Iterator<Item = &'a str> {
    statuses.iter().filter(move |(_, known)| *known == word).map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(words: &[(&str, &str)]) -> RawStatuses {
        words.iter().copied().collect()
    }

    #[test]
    fn only_a_failure_that_turns_to_a_pass_counts() {
        let gold =
            statuses(&[("d", "PASSED"), ("a", "PASSED"), ("b", "PASSED"), ("c", "PASSED"), ("x", "XFAIL")]);
        let empty =
            statuses(&[("a", "ERROR"), ("c", "FAILED"), ("d", "FAILED"), ("x", "FAILED"), ("b", "PASSED")]);
        let lists = validation_lists(&gold, &empty);
        assert_eq!((lists.fail_to_pass.join(" "), lists.pass_to_pass.join(" ")), ("c d".into(), "b".into()));
        assert!(lists.validated());
        assert!(!validation_lists(&empty, &gold).validated());
    }

    #[test]
    fn reports_say_whether_the_tests_ran() {
        assert_eq!(validation_report(false, None)["none"], true);
        assert_eq!(validation_report(true, None)["patch_successfully_applied"], false);
        let report =
            validation_report(true, Some(&statuses(&[("b", "PASSED"), ("e", "ERROR"), ("a", "PASSED")])));
        assert_eq!(report["tests_status"], json!({ "PASS": ["b", "a"], "FAIL": [] }));
        assert_eq!(report["resolved"], true, "errors do not count");
    }
}
