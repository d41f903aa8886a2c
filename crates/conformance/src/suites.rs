//! What ours must give for the records of each vector file.

mod grading;
mod log_parsers;
mod run_report;
mod validation;

use serde_json::Value;

/// One vector file.
pub(crate) struct Suite {
    /// Its name, without what follows the first dot.
    pub(crate) name: &'static str,
    /// Runs ours on a record; the error is the first difference.
    pub(crate) check: fn(&Value) -> Result<(), String>,
}

/// All of them, in the order in which they are run.
pub(crate) const SUITES: &[Suite] = &[
    Suite { name: "log_parsers", check: log_parsers::check },
    Suite { name: "grading", check: grading::check },
    Suite { name: "validation", check: validation::check },
    Suite { name: "run_report", check: run_report::check },
];
