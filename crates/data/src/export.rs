//! Exports of a run, for other tools. The same run gives the same bytes.

mod text;

pub use text::sft_text;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use swegym_core::{InstanceId, Message, RolloutRecord, RolloutStatus, ToolSpec};

use crate::atomic::create_folders;
use crate::error::IoContext;
use crate::{AtomicFile, DataError, Prediction, RunView, write_predictions};

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Where it is.
    pub path: PathBuf,
    /// Rows in it.
    pub rows: usize,
    /// Rows whose patch is not UTF-8 and so could not be written exactly; `patch.diff` has it byte for byte.
    pub not_utf8: usize,
}

/// Writes the patches of all completed rollouts as predictions, in order of instances.
///
/// A prediction file holds one row an instance, so each sample has its own: `exports/predictions.jsonl` those of
/// sample 0 (also when there are none), `exports/predictions.<sample>.jsonl` those of the others.
///
/// # Errors
/// [`DataError`] when a rollout cannot be read or a file cannot be written.
pub fn export_predictions(run: &RunView) -> Result<Vec<Export>, DataError> {
    let folder = create_folders(run.path(), Path::new("exports"))?;
    let mut samples = BTreeMap::from([(0, Vec::new())]);
    for record in run.records()?.into_iter().filter(|record| record.status == RolloutStatus::Completed) {
        let prediction = Prediction {
            model_patch: run.patch(&record.key)?,
            instance_id: record.key.instance_id,
            model_name_or_path: record.policy,
        };
        samples.entry(record.key.sample).or_default().push(prediction);
    }
    let export = |(sample, predictions): (u32, Vec<Prediction>)| {
        let name = match sample {
            0 => "predictions.jsonl".to_owned(),
            sample => format!("predictions.{sample}.jsonl"),
        };
        let path = folder.join(name);
        write_predictions(&path, &predictions)?;
        Ok(Export {
            path,
            rows: predictions.len(),
            not_utf8: predictions.iter().filter(|p| is_not_utf8(p)).count(),
        })
    };
    samples.into_iter().map(export).collect()
}

fn is_not_utf8(prediction: &Prediction) -> bool {
    prediction.model_patch.as_ref().is_some_and(|patch| std::str::from_utf8(patch.as_bytes()).is_err())
}

/// A line of `sft.jsonl`: a conversation for fine-tuning, in the form of chat completions.
#[derive(Serialize)]
struct SftRow<'a> {
    messages: &'a [Message],
    tools: Vec<Tool<'a>>,
    instance_id: &'a InstanceId,
    sample: u32,
    model: &'a str,
    resolved: bool,
}

#[derive(Serialize)]
struct Tool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: &'a ToolSpec,
}

/// Writes the conversations of all resolved rollouts to `exports/sft.jsonl`, in order of instances and samples.
///
/// # Errors
/// [`DataError`] when a rollout cannot be read or the file cannot be written.
pub fn export_sft(run: &RunView) -> Result<Export, DataError> {
    let path = create_folders(run.path(), Path::new("exports"))?.join("sft.jsonl");
    let mut file = AtomicFile::create(&path)?;
    let mut rows = 0;
    for record in run.records()?.iter().filter(|record| record.resolved()) {
        rows += usize::from(write_sft_row(run, record, &mut file)?);
    }
    file.commit()?;
    Ok(Export { path, rows, not_utf8: 0 })
}

/// Whether there is a conversation to write: the gold policy resolves without one.
fn write_sft_row(run: &RunView, record: &RolloutRecord, file: &mut AtomicFile) -> Result<bool, DataError> {
    let Some(trajectory) = run.trajectory(&record.key)?.filter(|trajectory| !trajectory.messages.is_empty())
    else {
        return Ok(false);
    };
    let row = SftRow {
        messages: &trajectory.messages,
        tools: trajectory.tools.iter().map(|function| Tool { kind: "function", function }).collect(),
        instance_id: &record.key.instance_id,
        sample: record.key.sample,
        model: &record.policy,
        resolved: record.resolved(),
    };
    let written = serde_json::to_writer(&mut *file, &row).map_err(io::Error::from);
    written.and_then(|()| file.write_all(b"\n")).context("write", run.path())?;
    Ok(true)
}
