//! Validation files: how the tests of instances behaved over many runs with the gold patch and with none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use swegym_core::{Grading, InstanceId, TestStatus, TestStatuses};

use crate::error::IoContext;
use crate::{DataError, write_atomic};

/// Version of the stored form of [`ValidationFile`].
pub const VALIDATION_SCHEMA_VERSION: u32 = 1;

/// How often something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// It did.
    pub passed: u32,
    /// It could have.
    pub runs: u32,
}

impl Tally {
    /// Mean of the posterior of its probability, with a uniform prior: (passed + 1) / (runs + 2).
    pub fn posterior(self) -> f64 {
        (f64::from(self.passed) + 1.0) / (f64::from(self.runs) + 2.0)
    }

    fn count(&mut self, passed: bool) {
        self.runs += 1;
        self.passed += u32::from(passed);
    }

    fn is_mixed(self) -> bool {
        self.passed > 0 && self.passed < self.runs
    }
}

/// A required test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TestValidation {
    /// Runs with the gold patch in which it passed.
    pub gold: Tally,
    /// Runs without a patch in which it passed.
    pub empty: Tally,
    /// [`Tally::posterior`] of both.
    pub posterior: [f64; 2],
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct InstanceValidation {
    /// Runs that resolved it: with the gold patch, and with none.
    pub gold: Tally,
    /// See `gold`.
    pub empty: Tally,
    /// Evaluations that could not be executed; they are not among the runs.
    pub failed: u32,
    /// The same without the tests in quarantine.
    pub gold_without_quarantine: Tally,
    /// The same without the tests in quarantine.
    pub empty_without_quarantine: Tally,
    /// Required tests whose result was not the same in all runs of a kind.
    pub quarantine: BTreeSet<String>,
    /// Whether, without these, the gold patch always resolves it, nothing never does, and a test is left to turn.
    pub valid: bool,
    /// Every required test.
    pub tests: BTreeMap<String, TestValidation>,
}

/// What one evaluation showed.
#[derive(Debug, Clone)]
pub struct ObservedRun {
    /// Whether the gold patch was applied; otherwise none was.
    pub gold: bool,
    /// Whether the verdict says resolved.
    pub resolved: bool,
    /// Every test that was seen.
    pub statuses: TestStatuses,
}

/// The file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValidationFile {
    /// [`VALIDATION_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Runs of each kind that were asked for.
    pub runs: u32,
    /// Instances, by id.
    pub instances: BTreeMap<InstanceId, InstanceValidation>,
}

impl ValidationFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`DataError`] when it cannot be read, is malformed, or of a later version.
    pub fn load(path: &Path) -> Result<Self, DataError> {
        let text = fs::read_to_string(path).context("read", path)?;
        let malformed = |error: serde_json::Error| DataError::Malformed {
            path: path.to_owned(),
            message: error.to_string(),
        };
        let value: Value = serde_json::from_str(&text).map_err(malformed)?;
        let found = value["schema_version"].as_u64().unwrap_or(0);
        if found > u64::from(VALIDATION_SCHEMA_VERSION) {
            return Err(DataError::TooNew { path: path.to_owned(), found, known: VALIDATION_SCHEMA_VERSION });
        }
        serde_json::from_value(value).map_err(malformed)
    }

    /// Writes it.
    ///
    /// # Errors
    /// [`DataError::Io`] when it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        let malformed = |error: serde_json::Error| DataError::Malformed {
            path: path.to_owned(),
            message: error.to_string(),
        };
        let mut json = serde_json::to_vec_pretty(self).map_err(malformed)?;
        json.push(b'\n');
        write_atomic(path, &json)
    }
}

impl InstanceValidation {
    /// From what the runs of an instance showed.
    pub fn of(grading: &Grading, runs: &[ObservedRun], failed: u32) -> Self {
        let mut validation = Self { failed, ..Self::default() };
        let required = grading.fail_to_pass.iter().chain(&grading.pass_to_pass);
        for id in required {
            let test = tally(id, runs);
            if test.gold.is_mixed() || test.empty.is_mixed() {
                validation.quarantine.insert(id.clone());
            }
            validation.tests.insert(id.clone(), test);
        }
        let kept = without(grading, &validation.quarantine);
        for run in runs {
            let resolved = !kept.fail_to_pass.is_empty() && resolves(&kept, run, &validation);
            let (all, stable) = match run.gold {
                true => (&mut validation.gold, &mut validation.gold_without_quarantine),
                false => (&mut validation.empty, &mut validation.empty_without_quarantine),
            };
            all.count(run.resolved);
            stable.count(resolved);
        }
        let Tally { passed, runs } = validation.gold_without_quarantine;
        validation.valid = runs > 0 && passed == runs && validation.empty_without_quarantine.passed == 0;
        validation
    }
}

/// A run that was not resolved for another reason than tests in quarantine is not resolved without them either.
fn resolves(kept: &Grading, run: &ObservedRun, validation: &InstanceValidation) -> bool {
    let all_pass = kept.fail_to_pass.iter().chain(&kept.pass_to_pass).all(|id| passed(&run.statuses, id));
    let blamed = validation.quarantine.iter().any(|id| !passed(&run.statuses, id));
    run.resolved || (all_pass && blamed)
}

/// The lists of an instance without some tests.
pub fn without(grading: &Grading, quarantine: &BTreeSet<String>) -> Grading {
    let keep = |ids: &[String]| ids.iter().filter(|id| !quarantine.contains(*id)).cloned().collect();
    Grading {
        fail_to_pass: keep(&grading.fail_to_pass),
        pass_to_pass: keep(&grading.pass_to_pass),
        ..grading.clone()
    }
}

fn tally(id: &str, runs: &[ObservedRun]) -> TestValidation {
    let (mut gold, mut empty) = (Tally::default(), Tally::default());
    for run in runs {
        if run.gold { &mut gold } else { &mut empty }.count(passed(&run.statuses, id));
    }
    TestValidation { gold, empty, posterior: [gold.posterior(), empty.posterior()] }
}

fn passed(statuses: &TestStatuses, id: &str) -> bool {
    matches!(statuses.get(id), Some(TestStatus::Passed | TestStatus::Xfail))
}

#[cfg(test)]
mod tests {
    use swegym_core::Patch;

    use super::*;

    fn grading() -> Grading {
        let list = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        Grading {
            patch: Patch::default(),
            test_patch: Patch::default(),
            fail_to_pass: list(&["turns", "turns_often"]),
            pass_to_pass: list(&["stays", "flaky"]),
        }
    }

    fn run(gold: bool, passing: &[&str]) -> ObservedRun {
        let statuses: TestStatuses =
            passing.iter().map(|id| ((*id).to_owned(), TestStatus::Passed)).collect();
        let all = grading();
        let resolved = all.fail_to_pass.iter().chain(&all.pass_to_pass).all(|id| passed(&statuses, id));
        ObservedRun { gold, resolved, statuses }
    }

    #[test]
    fn tests_that_change_their_minds_are_put_into_quarantine() {
        let runs = [
            run(true, &["turns", "turns_often", "stays", "flaky"]),
            run(true, &["turns", "turns_often", "stays"]),
            run(false, &["stays", "flaky"]),
            run(false, &["stays", "flaky"]),
        ];
        let found = InstanceValidation::of(&grading(), &runs, 0);
        assert_eq!(found.quarantine, BTreeSet::from(["flaky".to_owned()]));
        assert_eq!((found.gold, found.gold_without_quarantine), (tally_of(1, 2), tally_of(2, 2)));
        assert!(found.valid);
        let flaky = found.tests["flaky"];
        assert_eq!((flaky.gold, flaky.empty), (tally_of(1, 2), tally_of(2, 2)));
        assert_eq!(flaky.posterior, [0.5, 0.75]);
    }

    #[test]
    fn an_instance_without_a_test_left_to_turn_is_not_valid() {
        let runs = [
            run(true, &["stays", "flaky", "turns", "turns_often"]),
            run(true, &["stays", "flaky"]),
            run(false, &["stays", "flaky"]),
        ];
        let found = InstanceValidation::of(&grading(), &runs, 1);
        assert_eq!(found.quarantine.len(), 2);
        assert_eq!((found.valid, found.failed), (false, 1));
    }

    #[test]
    fn a_verdict_that_other_reasons_spoil_stays_spoiled() {
        let mut spoiled = run(true, &["turns", "turns_often", "stays", "flaky"]);
        spoiled.resolved = false;
        let found = InstanceValidation::of(&grading(), &[spoiled, run(false, &["stays", "flaky"])], 0);
        assert!(found.quarantine.is_empty() && !found.valid);
    }

    #[test]
    fn a_file_makes_a_round_trip_and_later_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("validation.json");
        let runs = [run(true, &["turns"]), run(false, &[])];
        let id = InstanceId::new("o__n-1").unwrap();
        let mut file = ValidationFile {
            schema_version: VALIDATION_SCHEMA_VERSION,
            runs: 1,
            instances: BTreeMap::from([(id, InstanceValidation::of(&grading(), &runs, 0))]),
        };
        file.write(&path).unwrap();
        assert_eq!(ValidationFile::load(&path).unwrap(), file);
        file.schema_version += 1;
        file.write(&path).unwrap();
        assert!(matches!(ValidationFile::load(&path), Err(DataError::TooNew { .. })));
        fs::write(&path, "{}").unwrap();
        assert!(matches!(ValidationFile::load(&path), Err(DataError::Malformed { .. })));
    }

    fn tally_of(passed: u32, runs: u32) -> Tally {
        Tally { passed, runs }
    }
}
