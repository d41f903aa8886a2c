//! `swegym eval --regrade`: saved logs, graded anew.

use std::fs;
use std::path::Path;

use anyhow::Context;
use swegym_core::{Instance, RolloutRecord};
use swegym_data::{RunView, write_atomic};
use swegym_harness::{GradeError, LogVerdict, Profile, json_text, regrade};

use super::inputs;
use super::run_report;
use crate::args::EvalArgs;
use crate::exit::Exit;
use crate::printer::Printer;

/// Runs the command. What was recorded stays as it is.
pub(crate) fn run(run: &Path, args: &EvalArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let instances = inputs::load_set(&args.set.source)?.instances;
    let view = RunView::open(run)?;
    let profile = args.set.profile;
    let folder = args.set.output.clone().unwrap_or_else(|| run.join("regrade").join(profile.as_str()));
    let (mut records, mut resolved) = (view.records()?, 0);
    records.retain(|record| instances.iter().any(|instance| *instance.id() == record.key.instance_id));
    for record in &records {
        let instance = instances.iter().find(|instance| *instance.id() == record.key.instance_id);
        let instance = instance.context("find an instance of the run")?;
        let rollout = view.rollout_dir(&record.key);
        let graded = grade_one(profile, instance, record, &rollout)?;
        let now = graded.as_ref().is_some_and(|graded| graded.as_ref().is_ok_and(LogVerdict::resolved));
        resolved += usize::from(now);
        if now != record.resolved() {
            printer.data(&changed(record, now, graded.as_ref()));
        }
        if let Some(Ok(graded)) =
            graded.filter(|graded| graded.as_ref().is_ok_and(|graded| graded.tests.is_some()))
        {
            let path = report_path(&folder, record);
            let parent = path.parent().context("find the folder of a report")?;
            fs::create_dir_all(parent).with_context(|| format!("make the folder `{}`", parent.display()))?;
            let report = graded.report(instance.id().as_str());
            write_atomic(&path, json_text(&report).as_bytes())?;
        }
    }
    let report = |record: &RolloutRecord| fs::read_to_string(report_path(&folder, record)).ok();
    let written =
        run_report::write(&folder, &run_report::run_id(run), profile, (&instances, &records), report)?;
    let before = records.iter().filter(|record| record.resolved()).count();
    printer.data(&format!(
        "{} rollouts: {resolved} resolved by the rules of `{profile}`, {before} as recorded",
        records.len()
    ));
    if let Some(path) = written {
        printer.line(&format!("wrote {}", path.display()));
    }
    Ok(Exit::Done)
}

fn report_path(folder: &Path, record: &RolloutRecord) -> std::path::PathBuf {
    let name = record.key.instance_id.as_str();
    folder.join(name).join(record.key.sample.to_string()).join("report.json")
}

/// None where nothing was evaluated, or the patch is empty: upstream does not look at those.
fn grade_one(
    profile: Profile,
    instance: &Instance,
    record: &RolloutRecord,
    rollout: &Path,
) -> anyhow::Result<Option<Result<LogVerdict, GradeError>>> {
    let Some(verdict) = record.verdict.as_ref().filter(|_| !record.empty_patch) else { return Ok(None) };
    let path = rollout.join("eval/test_output.txt");
    let log = fs::read(&path).with_context(|| format!("read `{}`", path.display()))?;
    Ok(Some(regrade(profile, instance, verdict, &log)))
}

fn changed(record: &RolloutRecord, now: bool, graded: Option<&Result<LogVerdict, GradeError>>) -> String {
    let word = |resolved| if resolved { "resolved" } else { "not resolved" };
    let reason = match graded {
        Some(Err(error)) => format!(": upstream fails to {error}"),
        Some(Ok(graded)) if graded.tests.is_none() => ": the log does not show that the tests ran".to_owned(),
        _ => {
            let recorded = record.verdict.as_ref().and_then(|verdict| verdict.reason.as_ref());
            recorded.map(|reason| format!(" (recorded: {reason})")).unwrap_or_default()
        }
    };
    format!("{}: {} -> {}{reason}", record.key, word(record.resolved()), word(now))
}
