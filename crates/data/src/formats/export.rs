//! Exports of runs, for other programs. The same runs give the same bytes; one rollout at a time is in memory.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use swegym_core::{EventKind, Evidence, Finding, InstanceId, RolloutKey, RolloutRecord};

use super::atif::Atif;
use super::mini::Mini;
use super::openhands::OpenHands;
use super::predictions::Predictions;
use super::rollout::Rollout;
use super::sft::{Sft, ToolFormat};
use crate::atomic::create_folders;
use crate::{DataError, RunView};

/// What was written: a file, or a folder with a file for each rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Where it is.
    pub path: PathBuf,
    /// Rows or files in it.
    pub rows: usize,
    /// Those whose patch is not UTF-8 and so could not be written exactly; `patch.diff` has it byte for byte.
    pub not_utf8: usize,
}

/// Formats that runs are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// `output.jsonl` and `output.with_completions.jsonl.gz` of OpenHands.
    OpenHands,
    /// `<id>/<id>.traj.json` and `preds.json` of mini-swe-agent.
    Mini,
    /// `<id>/<sample>/trajectory.json` of Harbor.
    Atif,
    /// Conversations for fine-tuning, a row each.
    Sft(ToolFormat),
    /// Patches, a row each.
    Predictions,
}

impl ExportFormat {
    /// Whether it is one file (or one for each sample); the others are folders.
    pub fn is_file(self) -> bool {
        matches!(self, Self::Sft(_) | Self::Predictions)
    }

    /// Where it goes in the folder of exports of a run.
    pub fn default_name(self) -> &'static str {
        match self {
            Self::OpenHands => "",
            Self::Mini => "mini",
            Self::Atif => "atif",
            Self::Sft(_) => "sft.jsonl",
            Self::Predictions => "predictions.jsonl",
        }
    }

    fn writer(self, path: &Path) -> Result<Box<dyn Writer>, DataError> {
        Ok(match self {
            Self::OpenHands => Box::new(OpenHands::create(path)?),
            Self::Mini => Box::new(Mini::create(path)?),
            Self::Atif => Box::new(Atif::create(path)),
            Self::Sft(form) => Box::new(Sft::create(path, form)?),
            Self::Predictions => Box::new(Predictions::create(path.to_owned())?),
        })
    }
}

/// Which rollouts are exported.
#[derive(Debug, Clone, Default)]
pub struct ExportOptions {
    /// Only those that the verdict says are resolved.
    pub only_resolved: bool,
    /// Only those of these instances; all when empty.
    pub only: Vec<InstanceId>,
    /// Only those whose verdict has none of these findings.
    pub unwanted: Unwanted,
    /// Only those whose verdict rests on this.
    pub evidence: Option<Evidence>,
}

/// Findings for which a rollout is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unwanted {
    /// Those of these kinds.
    Kinds(Vec<String>),
    /// All.
    Any,
}

impl Default for Unwanted {
    /// None.
    fn default() -> Self {
        Self::Kinds(Vec::new())
    }
}

impl Unwanted {
    fn has(&self, finding: &Finding) -> bool {
        match self {
            Self::Kinds(kinds) => kinds.contains(&finding.kind),
            Self::Any => true,
        }
    }
}

impl ExportOptions {
    fn wants(&self, key: &RolloutKey) -> bool {
        self.only.is_empty() || self.only.contains(&key.instance_id)
    }

    /// Whether the verdict is as it is asked for. A rollout without one has no findings and rests on nothing.
    fn takes(&self, record: &RolloutRecord) -> bool {
        let findings = record.verdict.iter().flat_map(|verdict| &verdict.findings);
        let evidence = record.verdict.as_ref().map(|verdict| verdict.evidence);
        (record.resolved() || !self.only_resolved)
            && (self.evidence.is_none() || self.evidence == evidence)
            && !findings.into_iter().any(|finding| self.unwanted.has(finding))
    }
}

/// Takes one rollout after the other.
pub(crate) trait Writer {
    /// Writes a rollout; false where the format has no place for it.
    fn add(&mut self, rollout: &Rollout) -> Result<bool, DataError>;

    /// Puts everything in its place.
    fn finish(self: Box<Self>) -> Result<Vec<Export>, DataError>;
}

/// Writes rollouts of runs to `path`, in order of runs, instances and samples; gives back what was written, and how
/// many rollouts the format has no place for.
///
/// The rollouts of an instance in a later run count on from those of the runs before it, as samples of one run.
///
/// # Errors
/// [`DataError`] when a rollout cannot be read or a file cannot be written.
pub fn export_runs(
    runs: &[RunView],
    format: ExportFormat,
    path: &Path,
    options: &ExportOptions,
) -> Result<(Vec<Export>, usize), DataError> {
    let mut writer = format.writer(path)?;
    let mut left_out = 0;
    let mut taken: HashMap<InstanceId, u32> = HashMap::new();
    for run in runs {
        let started = start_times(run)?;
        let before = taken.clone();
        for key in run.keys()?.into_iter().filter(|key| options.wants(key)) {
            let Some(record) = run.committed(&key)? else {
                continue;
            };
            let first = before.get(&key.instance_id).copied().unwrap_or_default();
            let sample = first.saturating_add(key.sample);
            taken.insert(key.instance_id.clone(), sample.saturating_add(1));
            if !options.takes(&record) {
                continue;
            }
            let (trajectory, patch) = (run.trajectory(&key)?, run.patch(&key)?);
            let started = started.get(&key).copied();
            let written = writer.add(&Rollout { record, trajectory, patch, sample, started })?;
            left_out += usize::from(!written);
        }
    }
    Ok((writer.finish()?, left_out))
}

/// When the attempt that counts of each rollout began.
fn start_times(run: &RunView) -> Result<HashMap<RolloutKey, Timestamp>, DataError> {
    let started = run.events()?.into_iter().filter_map(|event| match event.kind {
        EventKind::RolloutStarted { key, .. } => Some((key, event.at)),
        _ => None,
    });
    Ok(started.collect())
}

/// Writes the patches of all completed rollouts as predictions, in order of instances.
///
/// A prediction file holds one row an instance, so each sample has its own: `exports/predictions.jsonl` those of
/// sample 0 (also when there are none), `exports/predictions.<sample>.jsonl` those of the others.
///
/// # Errors
/// [`DataError`] when a rollout cannot be read or a file cannot be written.
pub fn export_predictions(run: &RunView) -> Result<Vec<Export>, DataError> {
    into_run(run, ExportFormat::Predictions, &ExportOptions::default())
}

/// Writes the conversations of all resolved rollouts to `exports/sft.jsonl`, in order of instances and samples.
///
/// # Errors
/// [`DataError`] when a rollout cannot be read or the file cannot be written.
pub fn export_sft(run: &RunView) -> Result<Vec<Export>, DataError> {
    let options = ExportOptions { only_resolved: true, ..ExportOptions::default() };
    into_run(run, ExportFormat::Sft(ToolFormat::Native), &options)
}

fn into_run(run: &RunView, format: ExportFormat, options: &ExportOptions) -> Result<Vec<Export>, DataError> {
    let folder = create_folders(run.path(), Path::new("exports"))?;
    let path = folder.join(format.default_name());
    Ok(export_runs(std::slice::from_ref(run), format, &path, options)?.0)
}
