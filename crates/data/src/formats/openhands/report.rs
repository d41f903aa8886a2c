//! The report of an evaluation, as OpenHands keeps it beside a patch.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use swegym_core::{Boundary, Evidence, Failure, PatchOutcome, VERDICT_SCHEMA_VERSION, Verdict};

/// The report of a verdict.
pub(super) fn write(verdict: &Verdict) -> Value {
    json!({
        "empty_generation": verdict.patch == PatchOutcome::Empty,
        "resolved": verdict.resolved,
        "failed_apply_patch": matches!(verdict.patch, PatchOutcome::Rejected { .. }),
        "error_eval": verdict.failure.is_some(),
        "test_timeout": verdict.timed_out,
    })
}

/// The verdict of a row, where it was evaluated.
pub(super) fn read(row: &Value) -> Option<Verdict> {
    let reports = [row.get("report"), row.pointer("/test_result/report")];
    let report = reports.into_iter().flatten().find(|report| report.get("resolved").is_some())?;
    let says = |field: &str| report.get(field).and_then(Value::as_bool).unwrap_or_default();
    let patch = match () {
        () if says("empty_generation") => PatchOutcome::Empty,
        () if says("failed_apply_patch") => PatchOutcome::Rejected { reason: "as imported".to_owned() },
        () => PatchOutcome::Applied { by: "as imported".to_owned() },
    };
    let failure = says("error_eval").then(|| Failure {
        boundary: Boundary::Harness,
        kind: "imported".to_owned(),
        message: "the evaluation ended with an error".to_owned(),
        retryable: false,
    });
    let verdict = imported_verdict(says("resolved"));
    Some(Verdict { patch, timed_out: says("test_timeout"), failure, ..verdict })
}

/// A verdict of which nothing else is known.
pub(crate) fn imported_verdict(resolved: bool) -> Verdict {
    Verdict {
        schema_version: VERDICT_SCHEMA_VERSION,
        resolved,
        patch: PatchOutcome::Applied { by: "as imported".to_owned() },
        tests: None,
        reason: None,
        evidence: Evidence::Log,
        inconsistent: false,
        findings: Vec::new(),
        profiles: BTreeMap::new(),
        exit_code: None,
        timed_out: false,
        test_ms: 0,
        failure: None,
    }
}
