//! The fork's report of a run.

use serde_json::{Value, json};
use swegym_harness::{Profile, RunInstance, RunLeftovers, RunPrediction, RunReportInput, run_report};

use crate::compare::same;

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let (ids, containers, images) =
        (texts(record, "dataset_ids")?, texts(record, "running_containers")?, texts(record, "images")?);
    let reports: Vec<Option<String>> =
        ids.iter().map(|id| record["report_files"].get(id).map(Value::to_string)).collect();
    let image_names: Vec<String> =
        ids.iter().map(|id| format!("sweb.eval.x86_64.{}:latest", id.to_lowercase())).collect();
    let dataset = ids.iter().zip(&image_names).zip(&reports).map(|((instance_id, image), report)| {
        RunInstance { instance_id, image, report: report.as_deref(), log: "" }
    });
    let predictions = record["predictions"].as_object().ok_or("there are no predictions")?;
    let predictions = predictions.iter().map(|(instance_id, prediction)| {
        let model = prediction["model_name_or_path"].as_str().unwrap_or_default();
        let has_patch = prediction["model_patch"].as_str().is_some_and(|patch| !patch.is_empty());
        RunPrediction { instance_id, model, has_patch }
    });
    let input = RunReportInput {
        run_id: record["run_id"].as_str().unwrap_or_default(),
        dataset: &dataset.collect::<Vec<_>>(),
        predictions: &predictions.collect::<Vec<_>>(),
        leftovers: Some(RunLeftovers { containers: &containers, images: &images }),
    };
    let ours = match run_report(Profile::Swegym, &input) {
        Ok(run) => json!({ "file_name": run.file_name, "report": run.report, "stdout": run.stdout }),
        Err(error) => json!({ "__error__": error.upstream_exception() }),
    };
    same("run", &ours, &record["expected"])?;
    let keys =
        |value: &Value| value["report"].as_object().map(|report| json!(report.keys().collect::<Vec<_>>()));
    same("order of keys", &json!(keys(&ours)), &json!(keys(&record["expected"])))
}

fn texts(record: &Value, field: &str) -> Result<Vec<String>, String> {
    serde_json::from_value(record[field].clone()).map_err(|error| format!("`{field}`: {error}"))
}
