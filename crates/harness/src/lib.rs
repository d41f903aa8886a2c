//! The harness: puts a patch onto a fresh tree, runs the tests of the instance and grades what they print.
//!
//! Parsing and grading are pure. What runs in the sandbox is hostile: its log is bytes that may hold anything, and
//! files that the tests depend on are brought back to what they were before it is run.

mod apply;
mod apply_sequence;
mod directives;
mod evaluate;
mod git;
mod grade;
mod parsers;
mod patch_paths;
mod profile;
mod report;
mod test_files;

pub use apply::{apply_by, apply_patch, apply_patch_with};
pub use apply_sequence::{ApplyCommand, ApplySequence};
pub use directives::{directives, reset_files, test_command};
pub use evaluate::{EvalLimits, Evaluation, evaluate};
pub use grade::{grade, is_resolved};
pub use parsers::{ParserName, parse, parser_of};
pub use profile::Profile;
pub use report::instance_report;
