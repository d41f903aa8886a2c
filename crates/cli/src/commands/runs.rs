//! What `rollout`, `eval` and `quickstart` share: one run into one directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use swegym_core::{FailureClass, Instance, RolloutRecord, RunCounts};
use swegym_data::{RunConfig, RunDir, export_predictions, export_sft};
use swegym_harness::{EvalLimits, Profile};
use swegym_runner::{Images, Limits, RunPlan, Runner, Solver, Workshop};
use swegym_sandbox::{Backend, Network, OutputLimit};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;
use crate::printer::Printer;
use crate::progress::Progress;
use crate::table::{Row, render};

/// Settings that may differ when a run is resumed.
const VOLATILE: [&str; 2] = ["jobs", "base_url"];

/// Bytes kept of the output of the tests of one instance: the most verbose suites print some megabytes.
const LOG_LIMIT: OutputLimit = OutputLimit { head: 4 << 20, tail: 28 << 20 };

/// One run.
pub(crate) struct Run {
    /// Name, for messages.
    pub(crate) name: String,
    /// Its directory.
    pub(crate) folder: PathBuf,
    /// What it is begun or resumed with.
    pub(crate) settings: toml::Table,
    /// SHA-256 of the input files.
    pub(crate) digests: BTreeMap<String, String>,
    pub(crate) instances: Vec<Arc<Instance>>,
    pub(crate) samples: u32,
    pub(crate) jobs: usize,
    pub(crate) eval_time: Duration,
    /// Whose rules verdicts follow.
    pub(crate) profile: Profile,
    /// Whether evaluations and their images are audited.
    pub(crate) audit: bool,
    /// Limits of each sandbox.
    pub(crate) sandbox: swegym_sandbox::Limits,
    /// What the agent's sandboxes reach.
    pub(crate) network: Network,
    pub(crate) solver: Arc<dyn Solver>,
}

/// What a run came to.
pub(crate) struct Ended {
    pub(crate) counts: RunCounts,
    pub(crate) row: Row,
    pub(crate) exports: Vec<PathBuf>,
}

impl Ended {
    /// How the program ends after this run alone.
    pub(crate) fn exit(&self) -> Exit {
        let RunCounts { planned, completed, failed, .. } = self.counts;
        match () {
            () if completed + failed < planned => Exit::Interrupted,
            () if failed > 0 => Exit::Incomplete,
            () => Exit::Done,
        }
    }
}

impl Run {
    /// Runs or resumes it, and writes its exports.
    pub(crate) async fn execute(
        self,
        backend: Arc<dyn Backend>,
        images: Arc<dyn Images>,
        cancel: &CancellationToken,
        printer: &Printer,
    ) -> anyhow::Result<Ended> {
        let run = Arc::new(RunDir::open(&self.folder, &self.config())?);
        let limits = Limits {
            sandbox: self.sandbox,
            profile: self.profile,
            audit: self.audit,
            eval: EvalLimits { time_limit: self.eval_time, log_limit: LOG_LIMIT },
            attempts: 3,
            pause: Duration::from_secs(2),
        };
        let has_trajectories = self.solver.needs_sandbox();
        let workshop =
            Arc::new(Workshop { backend, images, solver: self.solver, network: self.network, limits });
        let plan = RunPlan {
            name: self.name.clone(),
            instances: self.instances,
            samples: self.samples,
            jobs: self.jobs,
        };
        let progress = Box::new(Progress::new(printer.clone()));
        let counts = Runner::new(Arc::clone(&run), workshop, progress)?.run(&plan, cancel).await?;
        let mut exports = export_predictions(&run)?;
        if has_trajectories {
            exports.extend(export_sft(&run)?);
        }
        Ok(Ended {
            counts,
            row: Row { policy: self.name, records: run.records()? },
            exports: exports.into_iter().map(|export| export.path).collect(),
        })
    }

    fn config(&self) -> RunConfig {
        let mut settings = self.settings.clone();
        settings.insert("swegym".to_owned(), env!("CARGO_PKG_VERSION").into());
        settings.insert("samples".to_owned(), i64::from(self.samples).into());
        settings.insert("jobs".to_owned(), i64::try_from(self.jobs).unwrap_or(i64::MAX).into());
        settings.insert(
            "eval_timeout".to_owned(),
            i64::try_from(self.eval_time.as_secs()).unwrap_or(i64::MAX).into(),
        );
        let names: Vec<toml::Value> =
            self.instances.iter().map(|instance| instance.id().as_str().into()).collect();
        settings.insert("instances".to_owned(), names.into());
        let volatile = VOLATILE.map(str::to_owned).to_vec();
        RunConfig { settings, inputs: self.digests.clone(), volatile }
    }
}

/// Prints the table of a run, where it lies, and how to go on.
pub(crate) fn conclude(ended: &Ended, folder: &Path, printer: &Printer) -> Exit {
    printer.data(&render(std::slice::from_ref(&ended.row)));
    printer.line(&format!("run directory: {}", folder.display()));
    for export in &ended.exports {
        printer.line(&format!("wrote {}", export.display()));
    }
    let differing = ended.row.records.iter().filter(|record| differs(record)).count();
    if differing > 0 {
        let verdicts = if differing == 1 { "verdict" } else { "verdicts" };
        printer.line(&format!(
            "note: the profiles differ on {differing} {verdicts} (finding `profiles_differ`)"
        ));
    }
    let RunCounts { planned, completed, failed, .. } = ended.counts;
    let exit = ended.exit();
    match exit {
        Exit::Interrupted => printer.line(&format!(
            "interrupted: {completed} of {planned} rollouts are done; the same command finishes the rest"
        )),
        Exit::Incomplete => printer.line(&format!(
            "{failed} of {planned} rollouts could not be executed ({}); the same command tries these again",
            reasons(&ended.row.records)
        )),
        Exit::Done => {}
    }
    exit
}

fn differs(record: &RolloutRecord) -> bool {
    record.verdict.as_ref().is_some_and(|verdict| !verdict.profiles.is_empty())
}

/// What kept rollouts from being executed: `image 2, killed 1`.
fn reasons(records: &[RolloutRecord]) -> String {
    let mut counts: BTreeMap<FailureClass, usize> = BTreeMap::new();
    for failure in records.iter().filter_map(|record| record.failure.as_ref()) {
        *counts.entry(failure.class()).or_default() += 1;
    }
    let named = counts.iter().map(|(class, count)| format!("{} {count}", class.as_str()));
    named.collect::<Vec<_>>().join(", ")
}
