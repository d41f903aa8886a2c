//! Flags of the command group `runs`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Format, ToolFormat};

/// What to do with runs.
#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// List the runs in a folder
    ///
    /// Example: swegym runs list runs
    List(RunsListArgs),
    /// Show the rollouts of a run, or what happened in one of them
    ///
    /// Example: swegym runs show runs/a getmoto__moto-7365 --sample 2
    Show(RunsShowArgs),
    /// Write the rollouts of runs in a format of other programs
    ///
    /// Example: swegym runs export runs/a runs/b --format openhands --only-resolved -o exported
    Export(RunsExportArgs),
    /// Make a run of rollouts in files of other programs
    ///
    /// Rows and files that cannot be read are named and left out.
    ///
    /// Example: swegym runs import output.with_completions.jsonl.gz -o runs/imported
    Import(RunsImportArgs),
}

/// Flags of `runs list`.
#[derive(Debug, Args)]
pub(crate) struct RunsListArgs {
    /// Folder of runs, or a run
    #[arg(default_value = "runs", value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Flags of `runs show`.
#[derive(Debug, Args)]
pub(crate) struct RunsShowArgs {
    /// The run
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// Show the trajectory of this instance, in place of the list of rollouts
    #[arg(value_name = "INSTANCE")]
    pub(crate) instance: Option<String>,
    /// Which rollout of the instance
    #[arg(long, default_value_t = 0, requires = "instance")]
    pub(crate) sample: u32,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Flags of `runs export`.
#[derive(Debug, Args)]
pub(crate) struct RunsExportArgs {
    /// The runs; an instance's rollouts in later ones count on as further samples
    #[arg(required = true, value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
    /// What to write
    #[arg(long, value_enum)]
    pub(crate) format: ExportName,
    /// A folder, or for `sft` and `predictions` a file [default: in RUN/exports]
    #[arg(short, long, value_name = "DIR|FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Leave out rollouts that are not resolved; `sft` always does, but with `--all`
    #[arg(long)]
    pub(crate) only_resolved: bool,
    /// Leave out rollouts whose verdict has a finding of these kinds, or `any` finding
    ///
    /// `docs/formats.md` lists the kinds. A rollout without a verdict has none.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub(crate) without_findings: Vec<String>,
    /// Leave out rollouts whose verdict rests on anything else
    #[arg(long, value_enum)]
    pub(crate) evidence: Option<EvidenceName>,
    /// For `sft`: write rollouts that are not resolved too
    #[arg(long, conflicts_with = "only_resolved")]
    pub(crate) all: bool,
    /// For `sft`: how calls of tools are written
    #[arg(long, value_enum, default_value_t = ToolFormat::Native)]
    pub(crate) tool_format: ToolFormat,
    /// Export this instance alone (repeatable)
    #[arg(long, value_name = "ID")]
    pub(crate) only: Vec<String>,
}

/// What verdicts rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EvidenceName {
    /// What pytest reported over a socket of its own
    Channel,
    /// What was printed
    Log,
}

/// Formats that runs are exported in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportName {
    /// `output.jsonl` and `output.with_completions.jsonl.gz`
    #[value(name = "openhands")]
    OpenHands,
    /// Trajectories and `preds.json` of mini-swe-agent
    Mini,
    /// Trajectories of Harbor, ATIF 1.8
    Atif,
    /// Conversations for fine-tuning, a row each
    Sft,
    /// Patches, a row each
    Predictions,
}

/// Flags of `runs import`.
#[derive(Debug, Args)]
pub(crate) struct RunsImportArgs {
    /// Files, and folders of them
    #[arg(required = true, value_name = "FILE|DIR")]
    pub(crate) files: Vec<PathBuf>,
    /// What they are
    #[arg(long, value_enum, default_value_t = ImportName::Auto)]
    pub(crate) format: ImportName,
    /// The run that is made; the same command goes on with one that was interrupted
    #[arg(short, long, value_name = "RUN")]
    pub(crate) output: PathBuf,
}

/// Formats that rollouts are imported from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportName {
    /// By their names and what is in them
    Auto,
    /// `output.jsonl` and `output.with_completions.jsonl.gz`, of any version
    #[value(name = "openhands")]
    OpenHands,
    /// Trajectories of mini-swe-agent
    Mini,
    /// Trajectories of SWE-agent
    #[value(name = "swe-agent")]
    SweAgent,
    /// Trajectories of Harbor
    Atif,
}
