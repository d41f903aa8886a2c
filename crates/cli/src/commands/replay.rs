//! The policy `replay`: where its trajectories come from, and what becomes of the differences that it finds.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde_json::json;
use swegym_core::{Instance, RolloutKey, Trajectory};
use swegym_data::{RunView, load_trajectory};
use swegym_model::{Difference, DifferenceSink, ModelError, ReplayPolicy};
use swegym_runner::PolicyFactory;

use super::policies::NamedPolicy;
use crate::printer::Printer;

/// What of a run directory lists the differences, one JSON object a line.
const DIFFERENCES: &str = "replay_differences.jsonl";

/// Recorded trajectories.
enum Source {
    /// Of one rollout; it is played for each that is made of the same instance.
    File(Arc<Trajectory>),
    Run(RunView),
}

/// The policy that plays `path` again: a trajectory, or a run directory. Differences go into the run at `folder`.
pub(crate) fn policy(path: &Path, folder: Option<&Path>, printer: &Printer) -> anyhow::Result<NamedPolicy> {
    let source = if path.is_dir() {
        Source::Run(RunView::open(path)?)
    } else {
        let trajectory = load_trajectory(path)?;
        Source::File(Arc::new(
            trajectory.with_context(|| format!("find the trajectory `{}`", path.display()))?,
        ))
    };
    let folder = folder.map_or_else(|| Path::new("runs").join("replay"), Path::to_owned);
    let printer = printer.clone();
    let factory: PolicyFactory = Arc::new(move |instance: &Instance, sample| {
        let key = RolloutKey { instance_id: instance.id().clone(), sample };
        let sink = sink(key.clone(), folder.join(DIFFERENCES), printer.clone());
        Ok(Box::new(ReplayPolicy::new(source.of(&key)?, sink)))
    });
    let settings =
        toml::Table::from_iter([("trajectory".to_owned(), path.to_string_lossy().into_owned().into())]);
    Ok(NamedPolicy { name: "replay".to_owned(), factory, settings, client: None })
}

impl Source {
    fn of(&self, key: &RolloutKey) -> Result<Arc<Trajectory>, ModelError> {
        let setup = |message: String| ModelError::Setup { message };
        let found = match self {
            Self::File(trajectory) => {
                (trajectory.instance_id == key.instance_id).then(|| Arc::clone(trajectory))
            }
            Self::Run(run) => run.trajectory(key).map_err(|error| setup(error.to_string()))?.map(Arc::new),
        };
        found.ok_or_else(|| setup(format!("there is no recorded trajectory of `{key}`")))
    }
}

/// Says a difference, and writes it down. That it cannot be written is no reason to give a rollout up.
fn sink(key: RolloutKey, path: PathBuf, printer: Printer) -> DifferenceSink {
    Arc::new(move |difference: &Difference| {
        let Difference { step, position, expected, got, .. } = difference;
        let shown =
            |text: &Option<String>| text.as_ref().map_or("nothing".to_owned(), |text| format!("{text:?}"));
        printer.line(&format!(
            "{key}: before step {step}, message {position} differs: recorded {}, now {}",
            shown(expected),
            shown(got)
        ));
        let mut line = json!({"instance_id": key.instance_id, "sample": key.sample});
        if let (Some(line), Ok(serde_json::Value::Object(fields))) =
            (line.as_object_mut(), serde_json::to_value(difference))
        {
            line.extend(fields);
        }
        let file = OpenOptions::new().create(true).append(true).open(&path);
        if let Err(error) = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())) {
            printer.line(&format!("note: the difference is not kept in `{}`: {error}", path.display()));
        }
    })
}
