//! The lists of an instance from its two validation runs.

use serde_json::{Value, json};
use swegym_harness::{validation_lists, validation_report};

use super::grading::statuses;
use crate::compare::same;

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let (gold, empty) = (statuses(&record["gold_status_map"])?, statuses(&record["empty_status_map"])?);
    let lists = validation_lists(&gold, &empty);
    let ours = json!({
        "gold_report": validation_report(true, Some(&gold)),
        "empty_report": validation_report(true, Some(&empty)),
        "FAIL_TO_PASS": lists.fail_to_pass,
        "PASS_TO_PASS": lists.pass_to_pass,
        "validated": lists.validated(),
    });
    same("validation", &ours, &record["expected"])
}
