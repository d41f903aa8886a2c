//! The harness's result for one patch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Failure;

/// Version of the stored form of [`Verdict`].
pub const VERDICT_SCHEMA_VERSION: u32 = 1;

/// Status of one test, as SWE-bench names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TestStatus {
    /// It passed.
    Passed,
    /// An assertion failed or an exception was raised.
    Failed,
    /// It could not run: import, fixture or collection error.
    Error,
    /// It was skipped.
    Skipped,
    /// It failed, as was expected of it.
    Xfail,
}

/// Test id -> status, in the order of ids.
pub type TestStatuses = BTreeMap<String, TestStatus>;

/// What became of the prediction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum PatchOutcome {
    /// There was nothing to apply.
    Empty,
    /// It applied.
    Applied {
        /// The command that did it.
        by: String,
    },
    /// It does not apply: a result, not a failure of infrastructure.
    Rejected {
        /// What the tools said, shortened.
        reason: String,
    },
}

/// The tests of one list, by result. Ids keep the order and the repetitions of the instance's list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TestGroup {
    /// Those that did what the list asks for.
    pub success: Vec<String>,
    /// Those that did not.
    pub failure: Vec<String>,
}

/// Results of the two lists of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TestsReport {
    /// Tests that the fix must turn from failing to passing.
    #[serde(rename = "FAIL_TO_PASS")]
    pub fail_to_pass: TestGroup,
    /// Tests that must go on passing.
    #[serde(rename = "PASS_TO_PASS")]
    pub pass_to_pass: TestGroup,
}

/// Where the results of single tests come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// What the test command printed, where whatever runs can print too.
    #[default]
    Log,
    /// Reports of the test runner over a channel of their own, with which the log agrees.
    Channel,
}

/// Something that the harness noticed about a prediction or a test run, whatever the result.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Short stable name, such as `forged_log`; `docs/formats.md` lists them.
    pub kind: String,
    /// For people: what it is about.
    pub detail: String,
}

/// What the rules of one profile say of a test run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProfileResult {
    /// It is resolved.
    Resolved,
    /// It is not.
    Unresolved,
    /// They crash on the log, which resolves nothing.
    Error,
}

impl ProfileResult {
    /// Of rules that came to a result.
    pub fn of(resolved: bool) -> Self {
        if resolved { Self::Resolved } else { Self::Unresolved }
    }
}

/// The harness's result for one patch on one instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// [`VERDICT_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Whether every required test did what is asked of it. The reward is 1 when it is, else 0.
    pub resolved: bool,
    /// What became of the prediction.
    pub patch: PatchOutcome,
    /// Results of the required tests; absent when the tests did not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestsReport>,
    /// Why it is not resolved, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where the results of the tests come from.
    #[serde(default)]
    pub evidence: Evidence,
    /// Whether log, reports and exit code contradict each other, so that no result can be believed.
    #[serde(default)]
    pub inconsistent: bool,
    /// What the harness noticed, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Name of a profile -> what its rules make of the same log; empty where all agree, or nothing was compared.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<String, ProfileResult>,
    /// Exit code of the test command, where it ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Whether the tests ran into the time limit.
    pub timed_out: bool,
    /// Milliseconds of the test run.
    pub test_ms: u64,
    /// Set when the verdict says nothing about the patch because the evaluation itself failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}
