//! Grading under a profile: a log or statuses -> what the instance's tests did, in the files that upstream writes.

mod infra;
mod json_text;
mod lists;
mod log;
mod lookup;
mod run_report;
mod validation;
mod verdict;

pub use infra::{InfraFailure, InfraTier};
pub use json_text::json_text;
pub use lists::{GradeReport, Resolution, TestLists, grade_with};
pub use log::statuses_of_log;
pub use run_report::{RunInstance, RunLeftovers, RunPrediction, RunReport, RunReportInput, run_report};
pub use validation::{ValidationLists, validation_lists, validation_report};
pub use verdict::{LogVerdict, LoggedRun, grade_log};
