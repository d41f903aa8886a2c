//! `report.json` of SWE-bench for one instance.

use serde_json::{Value, json};
use swegym_core::{InstanceId, Patch, PatchOutcome, TestsReport, Verdict};

/// The report in the form of SWE-bench 5: `{instance_id: {...}}`. `prediction` is `None` where the model gave none.
pub fn instance_report(instance_id: &InstanceId, prediction: Option<&Patch>, verdict: &Verdict) -> Value {
    let mut report = json!({
        "patch_is_None": prediction.is_none(),
        "patch_exists": prediction.is_some(),
        "patch_successfully_applied": matches!(verdict.patch, PatchOutcome::Applied { .. }),
        "resolved": verdict.resolved,
        "infra_failure": verdict.failure.is_some(),
    });
    if let Some(failure) = &verdict.failure {
        report["infra_failure_reason"] = failure.to_string().into();
    }
    if let Some(tests) = &verdict.tests {
        report["tests_status"] = tests_status(tests);
    }
    json!({ instance_id.as_str(): report })
}

/// All four groups: the last two are never filled, upstream neither.
fn tests_status(tests: &TestsReport) -> Value {
    let empty = json!({"success": [], "failure": []});
    json!({
        "FAIL_TO_PASS": {"success": tests.fail_to_pass.success, "failure": tests.fail_to_pass.failure},
        "PASS_TO_PASS": {"success": tests.pass_to_pass.success, "failure": tests.pass_to_pass.failure},
        "FAIL_TO_FAIL": empty,
        "PASS_TO_FAIL": empty,
    })
}
