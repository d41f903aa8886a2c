//! Signs in a log that the environment broke, and not the patch. They explain; no verdict depends on them.

use std::sync::LazyLock;

use regex::RegexSet;
use serde::{Deserialize, Serialize};

/// How sure a sign is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InfraTier {
    /// No change of source code causes it.
    Environment,
    /// A bad patch may cause it too.
    Ambiguous,
}

/// What the log shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InfraFailure {
    /// Its name in reports.
    pub reason: &'static str,
    /// How sure it is.
    pub tier: InfraTier,
}

use InfraTier::{Ambiguous, Environment};

/// Reason, tier and texts; the first that the log has counts. These are the signs of SWE-bench 5.
const SIGNS: [(&str, InfraTier, &str); 8] = [
    ("browser_launch_failed", Environment, "Failed to launch|Failed to connect to the bus"),
    ("display_unavailable", Environment, "cannot open display|Missing X server|unable to open X display"),
    ("out_of_memory", Environment, "Cannot allocate memory|OutOfMemoryError|^Killed$"),
    ("container_unavailable", Environment, "Error response from daemon|Cannot connect to the Docker daemon"),
    ("network_unreachable", Environment, "Could not resolve host|Temporary failure in name resolution"),
    ("missing_module", Ambiguous, "Cannot find module|MODULE_NOT_FOUND|ModuleNotFoundError"),
    ("no_tests_collected", Ambiguous, "no tests ran|collected 0 items"),
    ("tests_timed_out", Ambiguous, r"Timeout error: \d+ seconds exceeded"),
];

#[expect(clippy::unwrap_used, reason = "the patterns are constant and covered by tests")]
static PATTERNS: LazyLock<RegexSet> =
    LazyLock::new(|| RegexSet::new(SIGNS.map(|(_, _, texts)| format!("(?m){texts}"))).unwrap());

impl InfraFailure {
    /// The first sign in a log.
    pub fn in_log(text: &str) -> Option<Self> {
        let found = PATTERNS.matches(text).iter().next()?;
        SIGNS.get(found).map(|(reason, tier, _)| Self { reason, tier: *tier })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> Option<&'static str> {
        InfraFailure::in_log(text).map(|failure| failure.reason)
    }

    #[test]
    fn the_first_sign_of_the_table_counts() {
        let log = "collected 0 items\nKilled\nTimeout error: 1800 seconds exceeded.";
        assert_eq!(reason(log), Some("out_of_memory"));
        assert_eq!(reason("x Killed\nTimeout error: 1800 seconds exceeded."), Some("tests_timed_out"));
        assert_eq!(InfraFailure::in_log("E  ModuleNotFoundError: no").unwrap().tier, InfraTier::Ambiguous);
        assert_eq!(reason("1 failed"), None);
    }
}
