//! What ours must give for the records of each vector file.

mod apply;
mod directives;
mod lite;
mod patches;

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
    Suite { name: "patches", check: patches::check },
    Suite { name: "apply", check: apply::check },
    Suite { name: "directives", check: directives::check },
    Suite { name: "lite", check: lite::check },
];
