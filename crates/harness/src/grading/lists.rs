//! Statuses against the lists of an instance.

use serde::{Deserialize, Serialize};
use swegym_core::{Grading, TestGroup};

use super::lookup::Lookup;
use crate::{Profile, RawStatuses};

/// The lists of tests to grade. The data sets have the first two.
#[derive(Debug, Clone, Copy, Default)]
pub struct TestLists<'a> {
    /// Tests that the fix must turn from failing to passing.
    pub fail_to_pass: &'a [String],
    /// Tests that must go on passing.
    pub pass_to_pass: &'a [String],
    /// Tests that fail either way.
    pub fail_to_fail: &'a [String],
    /// Tests that the fix breaks.
    pub pass_to_fail: &'a [String],
}

impl<'a> From<&'a Grading> for TestLists<'a> {
    fn from(grading: &'a Grading) -> Self {
        Self { fail_to_pass: &grading.fail_to_pass, pass_to_pass: &grading.pass_to_pass, ..Self::default() }
    }
}

/// `tests_status` of upstream's `report.json`: the tests of each list that did what is asked, and those that did not.
/// Order and repetitions stay.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct GradeReport {
    /// Tests that the fix must turn from failing to passing.
    pub fail_to_pass: TestGroup,
    /// Tests that must go on passing.
    pub pass_to_pass: TestGroup,
    /// Tests that fail either way; they count for nothing.
    pub fail_to_fail: TestGroup,
    /// Tests that the fix breaks; they count for nothing.
    pub pass_to_fail: TestGroup,
}

/// How much of what is asked was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resolution {
    /// Nothing of it, or something broke.
    #[serde(rename = "RESOLVED_NO")]
    No,
    /// Some tests turned and none broke.
    #[serde(rename = "RESOLVED_PARTIAL")]
    Partial,
    /// All of it.
    #[serde(rename = "RESOLVED_FULL")]
    Full,
}

/// Grades statuses under the rules of a profile.
///
/// A test that passed, or failed as was expected of it, is a success; one that is missing, failed or could not run is
/// a failure. Any other word, skipping among them, is a failure under the strict rules and counts nowhere in the fork
/// and SWE-bench 4, so that skipping everything resolves an instance there. In SWE-bench 5, a skipped test is a failure
/// but where it is to go on passing, and an id that was cut inside its parameters stands for all that start with it.
pub fn grade_with(profile: Profile, statuses: &RawStatuses, lists: &TestLists<'_>) -> GradeReport {
    let mut lookup = Lookup::new(profile, statuses);
    let mut group = |ids: &[String], skipped_succeeds: bool| {
        let mut group = TestGroup::default();
        for id in ids {
            match succeeds(profile, lookup.word(id), skipped_succeeds) {
                Some(true) => group.success.push(id.clone()),
                Some(false) => group.failure.push(id.clone()),
                None => {}
            }
        }
        group
    };
    GradeReport {
        fail_to_pass: group(lists.fail_to_pass, false),
        pass_to_pass: group(lists.pass_to_pass, profile == Profile::Swebench5),
        fail_to_fail: group(lists.fail_to_fail, false),
        pass_to_fail: group(lists.pass_to_fail, false),
    }
}

/// None when the test counts nowhere.
fn succeeds(profile: Profile, word: Option<&str>, skipped_succeeds: bool) -> Option<bool> {
    match (word, profile) {
        (Some("PASSED" | "XFAIL"), _) => Some(true),
        (None | Some("FAILED" | "ERROR"), _) | (_, Profile::Strict) => Some(false),
        (Some("SKIPPED"), Profile::Swebench5) => Some(skipped_succeeds),
        _ => None,
    }
}

impl GradeReport {
    /// Share of the tests that had to turn and did; 1 where none counts.
    pub fn fail_to_pass_rate(&self) -> f64 {
        rate(&self.fail_to_pass)
    }

    /// Share of the tests that had to go on passing and did; 1 where none counts.
    pub fn pass_to_pass_rate(&self) -> f64 {
        rate(&self.pass_to_pass)
    }

    /// Only the strict rules ask that there be a test that turned: elsewhere, empty lists are resolved.
    pub fn resolution(&self, profile: Profile) -> Resolution {
        let proves_nothing = profile == Profile::Strict && self.fail_to_pass.success.is_empty();
        if !self.pass_to_pass.failure.is_empty() || proves_nothing {
            return Resolution::No;
        }
        match (self.fail_to_pass.success.is_empty(), self.fail_to_pass.failure.is_empty()) {
            (_, true) => Resolution::Full,
            (false, false) => Resolution::Partial,
            (true, false) => Resolution::No,
        }
    }
}

fn rate(group: &TestGroup) -> f64 {
    let (success, failure) = (group.success.len(), group.failure.len());
    if success + failure == 0 { 1.0 } else { success as f64 / (success + failure) as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [(&str, &str); 6] = [
        ("passed", "PASSED"),
        ("xfail", "XFAIL"),
        ("failed", "FAILED"),
        ("skipped", "SKIPPED"),
        ("odd", "PASSED:"),
        ("t[x y]", "PASSED"),
    ];

    fn owned(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn resolution(profile: Profile, fail_to_pass: &[&str], pass_to_pass: &[&str]) -> Resolution {
        let (fail_to_pass, pass_to_pass) = (owned(fail_to_pass), owned(pass_to_pass));
        let lists =
            TestLists { fail_to_pass: &fail_to_pass, pass_to_pass: &pass_to_pass, ..TestLists::default() };
        grade_with(profile, &WORDS.into_iter().collect(), &lists).resolution(profile)
    }

    #[test]
    fn profiles_agree_on_plain_results() {
        for profile in Profile::ALL {
            assert_eq!(resolution(profile, &["passed"], &["xfail"]), Resolution::Full, "{profile}");
            assert_eq!(resolution(profile, &["passed", "failed"], &[]), Resolution::Partial, "{profile}");
            assert_eq!(resolution(profile, &["failed", "missing"], &[]), Resolution::No, "{profile}");
            assert_eq!(resolution(profile, &["passed"], &["failed"]), Resolution::No, "{profile}");
            assert_eq!(resolution(profile, &["passed"], &["missing"]), Resolution::No, "{profile}");
        }
    }

    /// Each of these is a way to fool an older profile.
    #[test]
    fn profiles_differ_on_skipped_and_odd_tests_and_on_nothing() {
        use Resolution::{Full, No};
        let all = |fail_to_pass: &[&str], pass_to_pass: &[&str]| {
            Profile::ALL.map(|profile| resolution(profile, fail_to_pass, pass_to_pass))
        };
        assert_eq!(all(&["skipped"], &[]), [Full, Full, No, No]);
        assert_eq!(all(&["passed"], &["skipped"]), [Full, Full, Full, No]);
        assert_eq!(all(&["odd"], &[]), [Full, Full, Full, No]);
        assert_eq!(all(&[], &[]), [Full, Full, Full, No]);
        assert_eq!(all(&["t[x"], &[]), [No, No, Full, No]);
    }

    #[test]
    fn order_and_repetitions_stay_and_count() {
        let ids = owned(&["failed", "passed", "failed", "passed", "passed"]);
        let lists = TestLists { fail_to_pass: &ids, ..TestLists::default() };
        let report = grade_with(Profile::Swegym, &WORDS.into_iter().collect(), &lists);
        assert_eq!(report.fail_to_pass.success, ["passed", "passed", "passed"]);
        assert_eq!(report.fail_to_pass.failure, ["failed", "failed"]);
        assert_eq!((report.fail_to_pass_rate(), report.pass_to_pass_rate()), (0.6, 1.0));
    }
}
