//! The command line as it is typed. What it means is worked out in `settings` and the commands.

mod gateway;
mod images;
mod model;
mod outside;
mod runs;
mod sandbox;
mod scaffold;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use swegym_harness::Profile;

pub(crate) use gateway::GatewayArgs;
pub(crate) use images::{BuildArgs, CheckArgs, DuArgs, GcArgs, ImagesCommand, ListArgs, VerifyArgs};
pub(crate) use model::{ModelArgs, ToolFormat};
pub(crate) use outside::OutsideArgs;
pub(crate) use runs::{
    EvidenceName, ExportName, ImportName, RunsCommand, RunsExportArgs, RunsImportArgs, RunsListArgs,
    RunsShowArgs,
};
pub(crate) use sandbox::{BackendName, ImageSource, SandboxArgs};
pub(crate) use scaffold::{BehaviourName, ScaffoldArgs, ScaffoldName};

/// Turn real software tasks into training environments for coding agents
#[derive(Debug, Parser)]
#[command(name = "swegym", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// Print nothing but data and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole pipeline on real code: plant bugs, roll out, verify
    ///
    /// Takes real packages, builds their images, plants bugs that their tests find, rolls out the built-in
    /// policies `gold` and `noop` (and a model, when one is given), verifies every patch in a fresh sandbox and
    /// prints a table. Run it again to resume.
    ///
    /// Example: swegym quickstart --model my-model --base-url http://localhost:8000/v1
    Quickstart(Box<QuickstartArgs>),
    /// Roll out a policy on instances and verify its patches
    ///
    /// Example: swegym rollout -i tasks.jsonl --repos repos --specs specs.json --model my-model --base-url
    /// http://localhost:8000/v1 -j 16 -k 4
    Rollout(Box<RolloutArgs>),
    /// Verify predictions by running tests
    ///
    /// Example: swegym eval -i tasks.jsonl --repos repos --predictions preds.jsonl -j 8
    ///
    /// Grade it anew: swegym eval -i tasks.jsonl --regrade runs/eval-preds --profile swebench5
    Eval(EvalArgs),
    /// Run the tests of instances often, with the gold patch and with none, and find those that are not reliable
    ///
    /// Writes `validation.json`: for each required test how often it passed, and which are put into quarantine because
    /// their results were not always the same. `--validation` of `rollout` and `eval` leaves these out.
    ///
    /// Example: swegym validate -i tasks.jsonl --repos repos --runs 5 -o validated
    Validate(ValidateArgs),
    /// Build, show, check, remove, pull and push images
    #[command(subcommand)]
    Images(ImagesCommand),
    /// List, show, export and import runs
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Pass the calls of outside agents on to a model endpoint, and record them as trajectories
    ///
    /// An agent that is pointed at http://ADDRESS/r/NAME/v1 has its calls recorded under NAME; `DELETE /r/NAME`, an
    /// hour without a call or Ctrl-C close a rollout and write its trajectory. Where SWEGYM_GATEWAY_SECRET is set, a
    /// rollout needs the key that `POST /r/NAME` gives out, and whoever opens or closes one proves it by that secret.
    ///
    /// Example: swegym gateway --base-url http://localhost:8000/v1 --listen 127.0.0.1:8089 -o recordings
    Gateway(GatewayArgs),
    /// Check what this machine can do, and say how to mend what it cannot
    ///
    /// Example: swegym doctor --clean
    Doctor(DoctorArgs),
}

/// Flags of `quickstart`.
#[derive(Debug, Args)]
pub(crate) struct QuickstartArgs {
    /// Folder for instances, repositories and runs
    #[arg(short, long, default_value = "swegym-quickstart", value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Rollouts at once [default: number of processors]
    #[arg(short, long, value_parser = at_least_one)]
    pub(crate) jobs: Option<usize>,
    /// Seed of the choice of bugs
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
}

/// Where help lists flags of policies that are no model.
const POLICY: &str = "Built-in policies";
/// Where help lists flags about the run as a whole.
const RUN: &str = "Run";

/// Flags of `rollout`.
#[derive(Debug, Args)]
pub(crate) struct RolloutArgs {
    /// Rollouts of each instance
    #[arg(short = 'k', long, help_heading = RUN, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) samples: u32,
    #[command(flatten)]
    pub(crate) set: InstanceArgs,
    /// Let the agent's commands reach this host by HTTP and HTTPS (repeatable)
    ///
    /// A name, `*.name` or an address, `:port` after it for others than 80 and 443. Evaluation reaches nothing.
    #[arg(long, value_name = "HOST", help_heading = "Sandboxes", hide_short_help = true)]
    pub(crate) allow_host: Vec<String>,
    /// Built-in policy, in place of a model
    #[arg(long, value_enum, conflicts_with = "model", required_unless_present = "model", help_heading = POLICY)]
    pub(crate) policy: Option<BuiltinPolicy>,
    /// Script of the policy `scripted`
    ///
    /// A JSON list of assistant messages, or an object instance id -> list.
    #[arg(long, value_name = "FILE", required_if_eq("policy", "scripted"), help_heading = POLICY, hide_short_help = true)]
    pub(crate) script: Option<PathBuf>,
    /// What the policy `replay` plays again: a trajectory, or a run directory
    #[arg(long, value_name = "FILE|RUN", required_if_eq("policy", "replay"), help_heading = POLICY, hide_short_help = true)]
    pub(crate) trajectory: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) scaffold: ScaffoldArgs,
    #[command(flatten)]
    pub(crate) outside: OutsideArgs,
}

/// Flags of `eval`.
#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// Predictions (JSONL, JSON list or JSON object), or `gold` for the instances' own patches, or `empty`
    #[arg(long, value_name = "FILE|gold|empty", required_unless_present = "regrade")]
    pub(crate) predictions: Option<String>,
    /// Grade the saved logs of this run anew by the rules of `--profile`, and run nothing
    #[arg(long, value_name = "RUN", conflicts_with = "predictions")]
    pub(crate) regrade: Option<PathBuf>,
    /// Also look for what an image shows of the answer, and for what tests leave outside of the repository; findings
    /// go into the verdicts, and change none
    #[arg(long, conflicts_with = "regrade")]
    pub(crate) audit: bool,
    #[command(flatten)]
    pub(crate) set: InstanceArgs,
}

/// Flags of `validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Runs with the gold patch, and as many without a patch
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    #[command(flatten)]
    pub(crate) set: InstanceArgs,
}

/// What is worked on.
#[derive(Debug, Args)]
#[command(next_help_heading = "Instances")]
pub(crate) struct SetArgs {
    /// Instances: SWE-Gym or SWE-bench rows, JSONL or a JSON list
    #[arg(short, long = "instance", required = true, value_name = "FILE")]
    pub(crate) instances: Vec<PathBuf>,
    /// Folder of git repositories that images are built from
    ///
    /// They are named `owner__name` or `owner/name`, bare or not.
    #[arg(long, value_name = "DIR")]
    pub(crate) repos: Option<PathBuf>,
    /// Environment specs: a TOML or JSON file, or a folder of them [default: those of SWE-Gym and SWE-bench, built in]
    #[arg(long, value_name = "FILE|DIR", hide_short_help = true)]
    pub(crate) specs: Option<PathBuf>,
    /// Interpreter in place of the one that the specs name, such as 3.11
    #[arg(long, value_name = "VERSION", hide_short_help = true)]
    pub(crate) python: Option<String>,
    /// Work on this instance alone (repeatable)
    #[arg(long, value_name = "ID")]
    pub(crate) only: Vec<String>,
    /// Work on the first N instances
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

/// What is worked on, and where the results go.
#[derive(Debug, Args)]
pub(crate) struct InstanceArgs {
    #[command(flatten)]
    pub(crate) source: SetArgs,
    /// Run directory [default: runs/POLICY]
    #[arg(short, long, value_name = "DIR", help_heading = RUN)]
    pub(crate) output: Option<PathBuf>,
    /// Rollouts at once [default: number of processors]
    #[arg(short, long, value_parser = at_least_one, help_heading = RUN)]
    pub(crate) jobs: Option<usize>,
    /// Leave out the tests that this file puts into quarantine; `validate` writes it
    #[arg(long, value_name = "FILE", help_heading = RUN, hide_short_help = true)]
    pub(crate) validation: Option<PathBuf>,
    /// Seconds that the tests of one instance may take
    #[arg(long, help_heading = RUN, default_value_t = 1800, value_name = "SECONDS", hide_short_help = true)]
    pub(crate) eval_timeout: u64,
    /// Whose rules verdicts follow: `strict`, `swegym`, `swebench4` or `swebench5`
    ///
    /// `swegym` is the fork of SWE-bench that SWE-Gym was made with; `strict` cannot be fooled by what code in the sandbox
    /// prints.
    #[arg(long, help_heading = RUN, default_value_t, value_name = "NAME", hide_short_help = true)]
    pub(crate) profile: Profile,
    #[command(flatten)]
    pub(crate) sandbox: SandboxArgs,
}

/// Policies that need no model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BuiltinPolicy {
    /// Applies the known fix by ordinary tool calls.
    Gold,
    /// Ends at once.
    Noop,
    /// Plays the answers of `--script`.
    Scripted,
    /// Gives the answers of `--trajectory` again, and says where the observations differ.
    Replay,
}

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Remove what killed processes left behind, here and in container daemons that can be reached
    #[arg(long)]
    pub(crate) clean: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Form of data on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}
