//! `MODEL.RUN.json`: the report of a run in the schema of SWE-bench, for its tools.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use swegym_core::{Instance, RolloutRecord};
use swegym_data::write_atomic;
use swegym_harness::{Profile, RunInstance, RunPrediction, RunReportInput, json_text, run_report};

/// Writes it into `folder`, under the rules of a profile. `report` gives the text of an instance's `report.json`, where
/// its tests ran. None where there is no prediction.
pub(crate) fn write(
    folder: &Path,
    run_id: &str,
    profile: Profile,
    (dataset, records): (&[Arc<Instance>], &[RolloutRecord]),
    report: impl Fn(&RolloutRecord) -> Option<String>,
) -> anyhow::Result<Option<PathBuf>> {
    let reports: Vec<Option<String>> = dataset
        .iter()
        .map(|instance| {
            records.iter().find(|record| record.key.instance_id == *instance.id()).and_then(&report)
        })
        .collect();
    let instances: Vec<RunInstance<'_>> = dataset
        .iter()
        .zip(&reports)
        .map(|(instance, report)| RunInstance {
            instance_id: instance.id().as_str(),
            image: "",
            report: report.as_deref(),
            log: "",
        })
        .collect();
    let predictions: Vec<RunPrediction<'_>> = records
        .iter()
        .map(|record| RunPrediction {
            instance_id: record.key.instance_id.as_str(),
            model: &record.policy,
            has_patch: !record.empty_patch,
        })
        .collect();
    if predictions.is_empty() {
        return Ok(None);
    }
    let input = RunReportInput { run_id, dataset: &instances, predictions: &predictions, leftovers: None };
    let made = run_report(profile, &input)?;
    // The name comes from the predictions.
    let name = made.file_name.replace(['/', '\0'], "_");
    std::fs::create_dir_all(folder).with_context(|| format!("make the folder `{}`", folder.display()))?;
    let path = folder.join(name);
    write_atomic(&path, json_text(&made.report).as_bytes())?;
    Ok(Some(path))
}

/// The name of a run: that of its folder.
pub(crate) fn run_id(folder: &Path) -> String {
    let name = std::path::absolute(folder).ok();
    let name = name.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "run".to_owned())
}
