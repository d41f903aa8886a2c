//! `swegym runs list`: the runs in a folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use swegym_core::RolloutStatus;
use swegym_data::RunView;

use crate::args::{Format, RunsListArgs};
use crate::commands::images::columns::render;
use crate::exit::Exit;
use crate::printer::Printer;

/// A line of the list.
#[derive(Serialize, Default)]
struct Entry {
    run: String,
    policies: Vec<String>,
    rollouts: usize,
    resolved: usize,
    /// Rollouts that infrastructure kept from happening.
    failed: usize,
}

/// Runs the command.
pub(super) fn run(args: &RunsListArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let entries = runs_in(&args.folder)?.iter().map(|run| entry(run)).collect::<anyhow::Result<Vec<_>>>()?;
    if args.format == Format::Json {
        for entry in &entries {
            printer.data(&serde_json::to_string(entry)?);
        }
        return Ok(Exit::Done);
    }
    let mut rows =
        vec![["run", "policy", "rollouts", "resolved", "not executed"].map(str::to_owned).to_vec()];
    rows.extend(entries.into_iter().map(|entry| {
        let numbers = [entry.rollouts, entry.resolved, entry.failed].map(|number| number.to_string());
        [vec![entry.run, entry.policies.join(", ")], numbers.to_vec()].concat()
    }));
    printer.data(&render(&rows));
    Ok(Exit::Done)
}

/// The folder itself, or the runs right below it, by name.
fn runs_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let is_run = |path: &Path| path.join("run.toml").is_file();
    if is_run(folder) {
        return Ok(vec![folder.to_owned()]);
    }
    let list = fs::read_dir(folder).with_context(|| format!("list the folder `{}`", folder.display()))?;
    let paths = list.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    let mut runs = paths.with_context(|| format!("list the folder `{}`", folder.display()))?;
    runs.retain(|path| is_run(path));
    runs.sort_unstable();
    Ok(runs)
}

fn entry(path: &Path) -> anyhow::Result<Entry> {
    let run = RunView::open(path)?;
    let mut entry = Entry { run: path.display().to_string(), ..Entry::default() };
    for key in run.keys()? {
        let Some(record) = run.committed(&key)? else {
            continue;
        };
        entry.rollouts += 1;
        entry.resolved += usize::from(record.resolved());
        entry.failed += usize::from(record.status == RolloutStatus::Failed);
        if !entry.policies.contains(&record.policy) {
            entry.policies.push(record.policy);
        }
    }
    Ok(entry)
}
