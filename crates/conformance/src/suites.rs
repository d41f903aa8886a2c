//! What ours must give for the records of each vector file.

mod agent_loop;
mod apply;
mod bash_split;
mod collect;
mod directives;
mod editor;
mod eval_scripts;
mod events;
mod fncall;
mod grading;
mod issue_links;
mod lite;
mod log_parsers;
mod moatless;
mod patches;
mod prompts;
mod requirements;
mod run_report;
mod stuck;
mod truncate;
mod validation;
mod versions;

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
    Suite { name: "collect", check: collect::check },
    Suite { name: "eval_scripts", check: eval_scripts::check },
    Suite { name: "issue_links", check: issue_links::check },
    Suite { name: "requirements", check: requirements::check },
    Suite { name: "versions", check: versions::check },
    Suite { name: "log_parsers", check: log_parsers::check },
    Suite { name: "grading", check: grading::check },
    Suite { name: "validation", check: validation::check },
    Suite { name: "run_report", check: run_report::check },
    Suite { name: "patches", check: patches::check },
    Suite { name: "apply", check: apply::check },
    Suite { name: "directives", check: directives::check },
    Suite { name: "lite", check: lite::check },
    Suite { name: "fncall", check: fncall::check },
    Suite { name: "editor", check: editor::check },
    Suite { name: "truncate", check: truncate::check },
    Suite { name: "moatless", check: moatless::check },
    Suite { name: "bash_split", check: bash_split::check },
    Suite { name: "stuck", check: stuck::check },
    Suite { name: "agent_loop", check: agent_loop::check },
    Suite { name: "prompts", check: prompts::check },
];
