//! The harness: puts a patch onto a fresh tree, runs the tests of the instance and grades what they print.
//!
//! Parsing and grading are pure. What runs in the sandbox is hostile: its log is bytes that may hold anything, and
//! files that the tests depend on are brought back to what they were before it is run.

mod agreement;
mod apply;
mod channel;
mod directives;
mod evaluate;
mod findings;
mod git;
mod grade;
mod parsers;
mod patch_paths;
mod report;
mod runner_config;
mod runner_files;
mod test_files;

pub use apply::apply_patch;
pub use directives::{directives, test_command};
pub use evaluate::{EvalLimits, Evaluation, evaluate};
pub use grade::{grade, is_resolved};
pub use parsers::{ParserName, parse, parser_of};
pub use report::instance_report;
