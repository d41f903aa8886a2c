//! Whether channel, log and exit code of a pytest run tell the same story, and whether the code under test had a hand
//! in it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use swegym_core::{Finding, Grading, TestStatus, TestStatuses};

use crate::channel::{Session, Test};
use crate::findings::{
    CHANNEL_CONTRADICTS_LOG, CHANNEL_FORGED, CHANNEL_MISSING, EARLY_EXIT, EXIT_CODE_CONTRADICTS, FORGED_LOG,
    FORGED_REPORT, OUTCOME_REWRITTEN, PLUGIN_INJECTED, PROCESS_PROBED, REQUIRED_DESELECTED, RESULTS_MISSING,
    RUNNER_PATCHED, finding, finding_of,
};
use crate::git::TESTBED;
use crate::patch_paths::Paths;
use crate::{ParserName, parse};

/// One run of the tests, from all sides.
pub(crate) struct Accounts<'a> {
    pub(crate) session: &'a Session,
    /// What the log says of each test.
    pub(crate) logged: &'a TestStatuses,
    pub(crate) parser: ParserName,
    /// Exit code of the script, where it ended by itself.
    pub(crate) exit_code: Option<i32>,
    /// Whether the test command ends as its pytest does.
    pub(crate) exits_as_pytest: bool,
    pub(crate) grading: &'a Grading,
    /// Files that the prediction changed, relative to the repository.
    pub(crate) predicted: &'a Paths,
}

/// What comes of it.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    /// Statuses under the ids that a log would show.
    pub(crate) statuses: TestStatuses,
    /// What contradicts: with any of these nothing can be believed.
    pub(crate) contradictions: Vec<Finding>,
    /// What is worth knowing and harms nothing.
    pub(crate) notes: Vec<Finding>,
}

impl Accounts<'_> {
    /// Compares everything with everything.
    pub(crate) fn compare(&self) -> Agreement {
        let by_log_id = self.by_log_id();
        let mut agreement = Agreement { statuses: statuses(&by_log_id), ..Agreement::default() };
        let contradictions = &mut agreement.contradictions;
        if self.session.begun {
            contradictions.extend(self.ends());
            contradictions.extend(self.results());
            contradictions.extend(self.log(&by_log_id));
            contradictions.extend(self.intrusions());
        } else {
            contradictions.push(finding(CHANNEL_MISSING, "pytest said nothing over the side channel"));
        }
        if self.session.bad_lines > 0 || self.session.flooded {
            let lines = self.session.bad_lines;
            let flood = if self.session.flooded { ", and more than is read" } else { "" };
            let detail = format!("{lines} lines that are not those of the harness{flood}");
            contradictions.push(finding(CHANNEL_FORGED, detail));
        }
        agreement.notes.extend(self.harmless_patches());
        agreement.notes.extend(self.deselected());
        agreement
    }

    /// Tests that the log cannot tell apart, such as those with a space in their names, by the id that it shows.
    fn by_log_id(&self) -> BTreeMap<String, Vec<&Test>> {
        let mut tests: BTreeMap<String, Vec<&Test>> = BTreeMap::new();
        for (id, test) in &self.session.tests {
            tests.entry(log_id(self.parser, id)).or_default().push(test);
        }
        tests
    }

    /// Whether pytest ended, and as its process did.
    fn ends(&self) -> Option<Finding> {
        let failed = |test: &Test| {
            test.shown.iter().any(|status| matches!(status, TestStatus::Failed | TestStatus::Error))
        };
        let some_failed = self.session.collect_errors > 0 || self.session.tests.values().any(failed);
        let Some(code) = self.exit_code else {
            return None; // a signal or a limit is reason enough
        };
        match self.session.exit {
            None | Some(None) => {
                Some(finding(EARLY_EXIT, format!("pytest did not end, but its process did, with {code}")))
            }
            Some(Some(0)) if self.session.collected.as_ref().is_none_or(BTreeSet::is_empty) => {
                Some(finding(RESULTS_MISSING, "pytest ended with 0 and had collected nothing"))
            }
            Some(Some(0)) if some_failed => {
                Some(finding(EXIT_CODE_CONTRADICTS, "pytest ended with 0, though tests failed"))
            }
            Some(Some(status)) if status != code && (self.exits_as_pytest || status == 0) => Some(finding(
                EXIT_CODE_CONTRADICTS,
                format!("pytest ended with {status}, but the test command with {code}"),
            )),
            Some(Some(_)) => None,
        }
    }

    /// Whether there are results of the tests that were collected, and of no others.
    fn results(&self) -> Vec<Finding> {
        let tests = &self.session.tests;
        let nothing = BTreeSet::new();
        let collected = self.session.collected.as_ref().unwrap_or(&nothing);
        let strangers = tests.keys().filter(|id| !collected.contains(*id));
        let unfinished = |id: &&String| tests.get(*id).is_none_or(|test| !test.ended);
        let missing = collected.iter().filter(unfinished);
        let ended_well = self.session.exit == Some(Some(0));
        let rewritten = tests.iter().filter(|(_, test)| test.rewritten.is_some()).map(|(id, _)| id);
        let mut found = Vec::new();
        found.extend(finding_of(FORGED_REPORT, "results of tests that were not collected", strangers));
        found.extend(finding_of(
            OUTCOME_REWRITTEN,
            "tests that raised and are said to have passed",
            rewritten,
        ));
        if ended_well {
            found.extend(finding_of(RESULTS_MISSING, "collected tests without a result", missing));
        }
        found
    }

    /// Whether the log shows what the channel tells. Only what it shows counts: it may be cut, or brief.
    fn log(&self, tests: &BTreeMap<String, Vec<&Test>>) -> Vec<Finding> {
        let (mut better, mut other) = (Vec::new(), Vec::new());
        for (id, status) in self.logged {
            let Some(tests) = tests.get(id) else { continue };
            if tests.iter().any(|test| test.shown.contains(status)) {
                continue;
            }
            let list = if *status == TestStatus::Passed { &mut better } else { &mut other };
            list.push(id);
        }
        let required = self.grading.fail_to_pass.iter().chain(&self.grading.pass_to_pass);
        let passed = |id: &&String| self.logged.get(*id) == Some(&TestStatus::Passed);
        better.extend(required.filter(passed).filter(|id| !tests.contains_key(*id)));
        let mut found = Vec::new();
        found.extend(finding_of(FORGED_LOG, "tests that passed in the log alone", better));
        found.extend(finding_of(
            CHANNEL_CONTRADICTS_LOG,
            "tests of which the log says something else",
            other,
        ));
        found
    }

    /// What the prediction's code did to pytest or the plugin.
    fn intrusions(&self) -> Vec<Finding> {
        let session = self.session;
        let early = session.early.iter().filter(|file| self.is_predicted(file));
        let excuses = session.tests.values().filter_map(|test| test.excused_by.as_ref());
        let speakers = session.speakers.iter().chain(excuses).filter(|file| self.is_predicted(file));
        let speakers: BTreeSet<&String> = speakers.collect();
        let patched = session.tampered.iter().filter(|(_, by)| self.is_intruder(by)).map(|(what, _)| what);
        let probed =
            session.probes.iter().filter(|(_, from)| from.iter().any(|file| self.is_predicted(file)));
        [
            finding_of(PLUGIN_INJECTED, "files of the prediction that ran before the first plugin", early),
            finding_of(FORGED_REPORT, "who reported or excused tests", speakers),
            finding_of(RUNNER_PATCHED, "replaced while the tests ran", patched),
            finding_of(PROCESS_PROBED, "looks into the process of the tests", probed.map(|(what, _)| what)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Required tests that were left out. They have not passed, and this says why.
    fn deselected(&self) -> Option<Finding> {
        let deselected: BTreeSet<String> =
            self.session.deselected.iter().map(|id| log_id(self.parser, id)).collect();
        let required = self.grading.fail_to_pass.iter().chain(&self.grading.pass_to_pass);
        let left_out = required.filter(|id| deselected.contains(*id));
        finding_of(REQUIRED_DESELECTED, "deselected", left_out)
    }

    fn harmless_patches(&self) -> Option<Finding> {
        let harmless = self.session.tampered.iter().filter(|(_, by)| !self.is_intruder(by));
        finding_of(RUNNER_PATCHED, "replaced by plugins", harmless.map(|(what, _)| what))
    }

    /// Whether a file is one that the prediction changed, or none at all, such as `<string>`.
    fn is_predicted(&self, file: &str) -> bool {
        let relative = file.strip_prefix(TESTBED).and_then(|rest| rest.strip_prefix('/'));
        match relative {
            Some(path) => self.predicted.contains(path.as_bytes()),
            None => !file.starts_with('/'),
        }
    }

    /// Whether what replaced a part of pytest comes neither from an installed plugin nor from the base commit.
    fn is_intruder(&self, file: &str) -> bool {
        let is_installed = file.contains("/site-packages/") || file.contains("/dist-packages/");
        let is_base = file.starts_with(TESTBED) && !self.is_predicted(file);
        !is_installed && !is_base
    }
}

/// What a log calls a test.
fn log_id(parser: ParserName, id: &str) -> String {
    let line = format!("PASSED {}", id.replace(['\n', '\r'], " "));
    parse(parser, line.as_bytes()).into_keys().next().unwrap_or_else(|| id.to_owned())
}

/// The worst of tests with one id; none where one of them did not run to its end. Unexpected passes have no status.
fn statuses(tests: &BTreeMap<String, Vec<&Test>>) -> TestStatuses {
    let rank = |status: &TestStatus| match status {
        TestStatus::Failed => 0,
        TestStatus::Error => 1,
        TestStatus::Skipped => 2,
        TestStatus::Xfail => 3,
        TestStatus::Passed => 4,
    };
    let worst = |tests: &Vec<&Test>| {
        let tests = tests.iter().filter(|test| !test.passed_unexpectedly());
        let all: Option<Vec<TestStatus>> = tests.map(|test| test.status()).collect();
        all?.into_iter().min_by_key(rank)
    };
    tests.iter().filter_map(|(id, tests)| Some((id.clone(), worst(tests)?))).collect()
}

#[cfg(test)]
mod tests {
    use swegym_core::Patch;

    use super::*;

    /// A session of tests with what logs may show of them, that ended with this status.
    fn session(tests: &[(&str, &[TestStatus])], exit: i32) -> Session {
        let test = |shown: &[TestStatus]| Test {
            shown: shown.iter().copied().collect(),
            ended: true,
            ..Test::default()
        };
        let tests: BTreeMap<String, Test> =
            tests.iter().map(|(id, shown)| ((*id).to_owned(), test(shown))).collect();
        let collected = Some(tests.keys().cloned().collect());
        Session { begun: true, collected, tests, exit: Some(Some(exit)), ..Session::default() }
    }

    fn compare(session: &Session, log: &str, exit_code: i32) -> Agreement {
        let grading = Grading {
            patch: Patch::default(),
            test_patch: Patch::default(),
            fail_to_pass: vec!["t::a".to_owned()],
            pass_to_pass: Vec::new(),
        };
        let accounts = Accounts {
            session,
            logged: &parse(ParserName::Pytest, log.as_bytes()),
            parser: ParserName::Pytest,
            exit_code: Some(exit_code),
            exits_as_pytest: true,
            grading: &grading,
            predicted: &Paths::from([b"src/x.py".to_vec()]),
        };
        accounts.compare()
    }

    fn kinds(session: &Session, log: &str, exit_code: i32) -> Vec<String> {
        compare(session, log, exit_code).contradictions.into_iter().map(|found| found.kind).collect()
    }

    use TestStatus::{Error, Failed, Passed, Skipped, Xfail};

    #[test]
    fn a_log_may_be_brief_and_name_tests_that_nobody_collected() {
        let good = session(&[("t::a", &[Passed]), ("t::b", &[Xfail])], 0);
        for log in ["", "PASSED t::a\nXFAIL t::b\n", "PASSED inner.py::test_of_a_plugin\n"] {
            assert_eq!(kinds(&good, log, 0), [""; 0], "{log}");
        }
        assert_eq!(compare(&good, "", 0).statuses["t::b"], Xfail);
    }

    #[test]
    fn a_test_that_fails_at_its_end_stands_in_a_log_twice() {
        let both = session(&[("t::a", &[Passed, Error])], 1);
        assert_eq!(kinds(&both, "ERROR t::a\nPASSED t::a\n", 1), [""; 0]);
        assert_eq!(compare(&both, "", 1).statuses["t::a"], Error);
    }

    #[test]
    fn tests_that_a_log_cannot_tell_apart_are_as_bad_as_the_worst() {
        let cut = session(&[("t::a[x y]", &[Failed]), ("t::a[x z]", &[Passed]), ("t::a[x w]", &[])], 1);
        assert_eq!(kinds(&cut, "FAILED t::a[x y]\nPASSED t::a[x z]\n", 1), [""; 0]);
        assert_eq!(compare(&cut, "", 1).statuses["t::a[x"], Failed);
    }

    #[test]
    fn a_log_that_says_something_else_contradicts() {
        assert_eq!(kinds(&session(&[("t::a", &[Failed])], 1), "PASSED t::a\n", 1), ["forged_log"]);
        assert_eq!(kinds(&session(&[("t::b", &[Passed])], 0), "PASSED t::a\n", 0), ["forged_log"]);
        let skipped = session(&[("t::a", &[Skipped])], 0);
        assert_eq!(kinds(&skipped, "FAILED t::a\n", 0), ["channel_contradicts_log"]);
    }

    #[test]
    fn ends_must_fit_together() {
        let passed = session(&[("t::a", &[Passed])], 0);
        assert_eq!(kinds(&passed, "", 3), ["exit_code_contradicts"]);
        assert_eq!(kinds(&session(&[("t::a", &[Failed])], 0), "", 0), ["exit_code_contradicts"]);
        assert_eq!(kinds(&Session { exit: None, ..passed }, "", 0), ["early_exit"]);
        assert_eq!(kinds(&session(&[], 0), "", 0), ["results_missing"]);
        assert_eq!(kinds(&Session::default(), "", 0), ["channel_missing"]);
    }

    #[test]
    fn results_are_those_of_the_collected_tests() {
        let mut odd = session(&[("t::a", &[Passed])], 0);
        odd.collected = Some(BTreeSet::from(["t::b".to_owned()]));
        assert_eq!(kinds(&odd, "", 0), ["forged_report", "results_missing"]);
    }

    #[test]
    fn what_plugins_and_the_base_commit_replace_is_no_contradiction() {
        let mut patched = session(&[("t::a", &[Passed])], 0);
        let replaced = |by: &str| BTreeMap::from([("_pytest.runner.x".to_owned(), by.to_owned())]);
        for by in ["/opt/venv/lib/python3.12/site-packages/p.py", "/testbed/src/other.py"] {
            patched.tampered = replaced(by);
            assert_eq!(kinds(&patched, "", 0), [""; 0], "{by}");
            assert_eq!(compare(&patched, "", 0).notes[0].kind, "runner_patched");
        }
        for by in ["/testbed/src/x.py", "<string>", "", "/tmp/x.py"] {
            patched.tampered = replaced(by);
            assert_eq!(kinds(&patched, "", 0), ["runner_patched"], "{by}");
        }
    }
}
