//! `swegym eval`: predictions from a file, verified.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use swegym_core::{InstanceId, Patch, RolloutRecord};
use swegym_data::{RunView, digest_file, load_predictions};
use swegym_runner::PredictionSolver;
use swegym_sandbox::Network;

use super::inputs::{self, Inputs};
use super::runs::{Run, conclude};
use super::{regrade, run_report};
use crate::args::EvalArgs;
use crate::engine::{Engine, cancelled_by_signals, default_jobs};
use crate::exit::Exit;
use crate::printer::Printer;

/// Runs the command.
pub(crate) async fn run(args: EvalArgs, printer: &Printer) -> anyhow::Result<Exit> {
    if let Some(run) = &args.regrade {
        return regrade::run(run, &args, printer);
    }
    let mut inputs = inputs::load(&args.set)?;
    let dataset = inputs.instances.clone();
    let source = args.predictions.unwrap_or_default();
    let (name, predictions) = predictions(&source, &mut inputs, printer)?;
    let folder = args.set.output.clone().unwrap_or_else(|| Path::new("runs").join(format!("eval-{name}")));
    let cancel = cancelled_by_signals(printer)?;
    let engine = Engine::start_with(&args.set.sandbox, printer).await?;
    let images = engine.images(&inputs, &args.set.sandbox)?;
    let mut settings = inputs.settings;
    settings.extend(args.set.sandbox.settings()?);
    settings.insert("profile".to_owned(), args.set.profile.as_str().into());
    settings.insert("predictions".to_owned(), source.into());
    if args.audit {
        settings.insert("audit".to_owned(), true.into());
    }
    let run = Run {
        settings,
        solver: Arc::new(PredictionSolver { predictions }),
        name,
        folder: folder.clone(),
        digests: inputs.digests,
        instances: inputs.instances,
        samples: 1,
        jobs: args.set.jobs.unwrap_or_else(default_jobs),
        eval_time: Duration::from_secs(args.set.eval_timeout),
        profile: args.set.profile,
        audit: args.audit,
        sandbox: args.set.sandbox.limits(),
        network: Network::None,
    };
    let mut ended = run.execute(engine.backend, images, &cancel, printer).await?;
    let records = (&dataset[..], &ended.row.records[..]);
    let (exports, run_id) = (folder.join("exports"), run_report::run_id(&folder));
    let report = |record: &RolloutRecord| report_of(&folder, record);
    ended.exports.extend(run_report::write(&exports, &run_id, args.set.profile, records, report)?);
    Ok(conclude(&ended, &folder, printer))
}

/// The text of `report.json`, where the tests ran: upstream writes none else.
fn report_of(folder: &Path, record: &RolloutRecord) -> Option<String> {
    record.verdict.as_ref()?.tests.as_ref()?;
    let rollout = RunView::open(folder).ok()?.rollout_dir(&record.key);
    std::fs::read_to_string(rollout.join("eval/report.json")).ok()
}

type Predictions = BTreeMap<InstanceId, (String, Patch)>;

/// The predictions, and a name for the run. Instances without a prediction are left out, and that is said.
fn predictions(
    source: &str,
    inputs: &mut Inputs,
    printer: &Printer,
) -> anyhow::Result<(String, Predictions)> {
    let builtin = |patch: &dyn Fn(&swegym_core::Instance) -> Patch| {
        let pair = |instance: &Arc<swegym_core::Instance>| {
            (instance.id().clone(), (source.to_owned(), patch(instance)))
        };
        inputs.instances.iter().map(pair).collect()
    };
    match source {
        "gold" => return Ok((source.to_owned(), builtin(&|instance| instance.grading.patch.clone()))),
        "empty" => return Ok((source.to_owned(), builtin(&|_| Patch::default()))),
        _ => {}
    }
    let path = Path::new(source);
    let rows = load_predictions(path)?;
    inputs.digests.insert(source.to_owned(), digest_file(path)?);
    let row = |row: swegym_data::Prediction| {
        (row.instance_id, (row.model_name_or_path, row.model_patch.unwrap_or_default()))
    };
    let predictions: Predictions = rows.into_iter().map(row).collect();
    let before = inputs.instances.len();
    inputs.instances.retain(|instance| predictions.contains_key(instance.id()));
    anyhow::ensure!(
        !inputs.instances.is_empty(),
        "match predictions to instances: none of `{source}` is for one of them"
    );
    let (without, unknown) = (before - inputs.instances.len(), predictions.len() - inputs.instances.len());
    if without + unknown > 0 {
        printer.line(&format!(
            "note: {without} instances have no prediction, {unknown} predictions have no instance"
        ));
    }
    let name =
        path.file_stem().map_or_else(|| "predictions".to_owned(), |stem| stem.to_string_lossy().into_owned());
    Ok((name, predictions))
}
