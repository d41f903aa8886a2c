//! `swegym validate`: whether instances do what they say, over and over.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use swegym_core::{Instance, Patch, RolloutRecord, TestStatus};
use swegym_data::{InstanceValidation, ObservedRun, RunView, VALIDATION_SCHEMA_VERSION, ValidationFile};
use swegym_runner::PredictionSolver;
use swegym_sandbox::Network;

use super::inputs::{self, Inputs};
use super::runs::{Ended, Run};
use crate::args::ValidateArgs;
use crate::engine::{Engine, cancelled_by_signals, default_jobs};
use crate::exit::Exit;
use crate::printer::Printer;

/// The two kinds of runs, as folders and predictions.
const KINDS: [&str; 2] = ["gold", "empty"];

/// Runs the command.
pub(crate) async fn run(args: ValidateArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let inputs = inputs::load(&args.set)?;
    let folder = args.set.output.clone().unwrap_or_else(|| Path::new("runs").join("validate"));
    let cancel = cancelled_by_signals(printer)?;
    let engine = Engine::start_with(&args.set.sandbox, printer).await?;
    let images = engine.images(&inputs, &args.set.sandbox)?;
    let mut records = BTreeMap::new();
    for kind in KINDS {
        let run = one_kind(kind, &args, &inputs, &folder)?;
        let ended: Ended = run.execute(engine.backend.clone(), images.clone(), &cancel, printer).await?;
        if ended.exit() == Exit::Interrupted {
            printer.line("interrupted: the same command finishes the rest");
            return Ok(Exit::Interrupted);
        }
        records.insert(kind, ended.row.records);
    }
    let file = judge(&inputs.instances, &records, &folder, args.runs)?;
    let path = folder.join("validation.json");
    file.write(&path)?;
    for (id, instance) in &file.instances {
        printer.data(&line(id.as_str(), instance));
    }
    summary(&file, printer);
    printer.line(&format!("wrote {}", path.display()));
    let failed = file.instances.values().any(|instance| instance.failed > 0);
    Ok(if failed { Exit::Incomplete } else { Exit::Done })
}

fn one_kind(kind: &str, args: &ValidateArgs, inputs: &Inputs, folder: &Path) -> anyhow::Result<Run> {
    let patch = |instance: &Instance| match kind {
        "gold" => instance.grading.patch.clone(),
        _ => Patch::default(),
    };
    let prediction = |instance: &Arc<Instance>| (instance.id().clone(), (kind.to_owned(), patch(instance)));
    let mut settings = inputs.settings.clone();
    settings.extend(args.set.sandbox.settings()?);
    settings.insert("profile".to_owned(), args.set.profile.as_str().into());
    settings.insert("predictions".to_owned(), kind.into());
    Ok(Run {
        settings,
        solver: Arc::new(PredictionSolver { predictions: inputs.instances.iter().map(prediction).collect() }),
        name: kind.to_owned(),
        folder: folder.join(kind),
        digests: inputs.digests.clone(),
        instances: inputs.instances.clone(),
        samples: args.runs,
        jobs: args.set.jobs.unwrap_or_else(default_jobs),
        eval_time: Duration::from_secs(args.set.eval_timeout),
        profile: args.set.profile,
        audit: false,
        sandbox: args.set.sandbox.limits(),
        network: Network::None,
    })
}

fn judge(
    instances: &[Arc<Instance>],
    records: &BTreeMap<&str, Vec<RolloutRecord>>,
    folder: &Path,
    runs: u32,
) -> anyhow::Result<ValidationFile> {
    let mut judged = BTreeMap::new();
    for instance in instances {
        let (mut observed, mut failed) = (Vec::new(), 0);
        for (kind, records) in records {
            let view = RunView::open(&folder.join(kind))?;
            for record in records.iter().filter(|record| record.key.instance_id == *instance.id()) {
                match &record.verdict {
                    Some(verdict) if verdict.failure.is_none() => observed.push(ObservedRun {
                        gold: *kind == KINDS[0],
                        resolved: verdict.resolved,
                        statuses: statuses(&view.rollout_dir(&record.key))?,
                    }),
                    _ => failed += 1,
                }
            }
        }
        judged.insert(instance.id().clone(), InstanceValidation::of(&instance.grading, &observed, failed));
    }
    Ok(ValidationFile { schema_version: VALIDATION_SCHEMA_VERSION, runs, instances: judged })
}

/// A line of `results.jsonl`.
#[derive(Deserialize)]
struct TestResult {
    test: String,
    status: TestStatus,
}

fn statuses(rollout: &Path) -> anyhow::Result<BTreeMap<String, TestStatus>> {
    let path = rollout.join("eval/results.jsonl");
    let text = fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
    let results = text.lines().map(|line| {
        let TestResult { test, status } = serde_json::from_str(line)?;
        Ok((test, status))
    });
    let results: Result<_, serde_json::Error> = results.collect();
    results.with_context(|| format!("read `{}`", path.display()))
}

fn line(id: &str, instance: &InstanceValidation) -> String {
    let InstanceValidation { gold, empty, quarantine, failed, .. } = instance;
    let word = if instance.valid { "valid" } else { "NOT valid" };
    let mut text =
        format!("{id}  {word}  gold {}/{}  empty {}/{}", gold.passed, gold.runs, empty.passed, empty.runs);
    if !quarantine.is_empty() {
        text.push_str(&format!("  {} tests in quarantine", quarantine.len()));
    }
    if *failed > 0 {
        text.push_str(&format!("  {failed} runs could not be executed"));
    }
    text
}

fn summary(file: &ValidationFile, printer: &Printer) {
    let sum = |of: &dyn Fn(&InstanceValidation) -> swegym_data::Tally| {
        let (mut passed, mut runs) = (0, 0);
        for tally in file.instances.values().map(of) {
            passed += tally.passed;
            runs += tally.runs;
        }
        format!("{passed}/{runs}")
    };
    let valid = file.instances.values().filter(|instance| instance.valid).count();
    printer.data(&format!("{valid} of {} instances are valid", file.instances.len()));
    printer.data(&format!(
        "resolved: gold {}, empty {}; without tests in quarantine: gold {}, empty {}",
        sum(&|instance| instance.gold),
        sum(&|instance| instance.empty),
        sum(&|instance| instance.gold_without_quarantine),
        sum(&|instance| instance.empty_without_quarantine)
    ));
}
