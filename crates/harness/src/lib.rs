//! The harness: puts a patch onto a fresh tree, runs the tests of the instance and grades what they print.
//!
//! Parsing and grading are pure. What runs in the sandbox is hostile: its log is bytes that may hold anything, and
//! files that the tests depend on are brought back to what they were before it is run.

mod agreement;
mod apply;
mod apply_sequence;
mod audit;
mod channel;
mod differences;
mod directives;
mod error;
mod eval_script;
mod evaluate;
mod findings;
mod git;
mod grade;
mod grading;
mod parsers;
mod patch_paths;
mod profile;
mod regrade;
mod report;
mod runner_config;
mod runner_files;
mod steps;
mod survey;
mod test_files;
mod tree_paths;
mod upstream;
mod xfail;

pub use apply::{apply_by, apply_patch, apply_patch_with};
pub use apply_sequence::{ApplyCommand, ApplySequence};
pub use audit::{ImageAudit, RunAudit, audit_incomplete, is_incomplete, is_leak};
pub use channel::{Key as ChannelKey, Session as ChannelSession};
pub use directives::{directives, reset_files, test_command};
pub use error::GradeError;
pub use eval_script::{EvalScript, published_eval_script};
pub use evaluate::{EvalLimits, Evaluation, evaluate};
pub use findings::FINDING_KINDS;
pub use grade::{grade, is_resolved};
pub use grading::{
    GradeReport, InfraFailure, InfraTier, LogVerdict, LoggedRun, Resolution, RunInstance, RunLeftovers,
    RunPrediction, RunReport, RunReportInput, TestLists, ValidationLists, grade_log, grade_with, json_text,
    run_report, statuses_of_log, validation_lists, validation_report,
};
pub use parsers::{ParserName, RawStatuses, parse, parse_as, parser_of, read_text};
pub use profile::Profile;
pub use regrade::regrade;
pub use report::instance_report;
pub use survey::Survey;
pub use upstream::evaluate_as;
