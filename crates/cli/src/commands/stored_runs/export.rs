//! `swegym runs export`: rollouts in formats of other programs.

use std::path::PathBuf;

use anyhow::{Context, bail};
use swegym_core::{Evidence, InstanceId};
use swegym_data::{ExportFormat, ExportOptions, RunView, ToolFormat, Unwanted, export_runs};
use swegym_harness::FINDING_KINDS;

use crate::args::{self, EvidenceName, ExportName, RunsExportArgs};
use crate::exit::Exit;
use crate::printer::Printer;

/// Runs the command.
pub(super) fn run(flags: RunsExportArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let tool_format = match flags.tool_format {
        args::ToolFormat::Native => ToolFormat::Native,
        args::ToolFormat::Text => ToolFormat::Text,
    };
    let format = match flags.format {
        ExportName::OpenHands => ExportFormat::OpenHands,
        ExportName::Mini => ExportFormat::Mini,
        ExportName::Atif => ExportFormat::Atif,
        ExportName::Sft => ExportFormat::Sft(tool_format),
        ExportName::Predictions => ExportFormat::Predictions,
    };
    let runs = flags.runs.iter().map(|path| RunView::open(path)).collect::<Result<Vec<_>, _>>()?;
    let only = flags.only.iter().map(|id| InstanceId::new(id.as_str())).collect::<Result<Vec<_>, _>>();
    let options = ExportOptions {
        only_resolved: flags.only_resolved || (flags.format == ExportName::Sft && !flags.all),
        only: only.context("read `--only`")?,
        unwanted: unwanted(flags.without_findings)?,
        evidence: flags.evidence.map(|evidence| match evidence {
            EvidenceName::Channel => Evidence::Channel,
            EvidenceName::Log => Evidence::Log,
        }),
    };
    let path = match flags.output {
        Some(path) => path,
        None => default_path(&runs, format)?,
    };
    let (exports, left_out) = export_runs(&runs, format, &path, &options)?;
    for export in exports {
        printer.data(&format!("{}\t{}", export.path.display(), export.rows));
        if export.not_utf8 > 0 {
            printer.line(&format!(
                "`{}` has {} patches that are not UTF-8 and so not exact; `patch.diff` of the rollout is",
                export.path.display(),
                export.not_utf8
            ));
        }
    }
    if left_out > 0 {
        printer.line(&format!("{left_out} rollouts have nothing that the format could hold"));
    }
    Ok(Exit::Done)
}

/// A kind that nobody knows would leave out nothing, so it is refused.
fn unwanted(kinds: Vec<String>) -> anyhow::Result<Unwanted> {
    if kinds.iter().any(|kind| kind == "any") {
        return Ok(Unwanted::Any);
    }
    match kinds.iter().find(|kind| !FINDING_KINDS.contains(&kind.as_str())) {
        Some(kind) => bail!(
            "read `--without-findings`: there is no kind `{kind}`; choose from any, {}",
            FINDING_KINDS.join(", ")
        ),
        None => Ok(Unwanted::Kinds(kinds)),
    }
}

fn default_path(runs: &[RunView], format: ExportFormat) -> anyhow::Result<PathBuf> {
    let [run] = runs else {
        bail!("choose where several runs go: give `-o`");
    };
    let exports = run.path().join("exports");
    Ok(match format.default_name() {
        "" => exports,
        name => exports.join(name),
    })
}
