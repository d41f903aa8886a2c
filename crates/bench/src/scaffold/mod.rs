//! What a scaffold takes for itself: time between what it waits for, and memory, with many rollouts at once.
//!
//! Rollouts are real ones, in local sandboxes, of a model that plays a script behind HTTP, in another process; the real
//! client asks it. Time of a step is what passes while neither the model nor the sandbox is asked for anything; what goes
//! before the first answer, such as reading the repository, counts for no step. Memory is read when every rollout has all
//! of its history and waits; that history is subtracted. It is that of this process, so that what rollouts share is in it.

mod clock;
mod model;
mod repository;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde_json::{Value, json};
use swegym_agent::{CodeAct, Mini, Outcome, Scaffold, ScaffoldConfig, Workflow, WorkflowConfig};
use swegym_core::{InstanceId, Problem, RepoName};
use swegym_model::{ChatClient, ChatPolicy, ClientConfig};
use swegym_sandbox::{Backend, LocalBackend, Sandbox, SandboxSpec};
use tokio::sync::Barrier;

use crate::percentile;
use crate::sandbox::{config, spec};
use clock::{Clock, Gated, Timed};
use model::{Endpoint, WORKFLOW_STEPS};
use repository::Repository;

pub(crate) use model::{Measured, serve};

/// What is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Rollouts at once (repeatable)
    #[arg(long, default_values_t = [16, 256])]
    rollouts: Vec<usize>,
    /// Steps of each; the workflow makes as many as it may
    #[arg(long, default_value_t = 30)]
    steps: usize,
    /// Scaffold (repeatable) [default: all]
    #[arg(long, value_enum)]
    scaffold: Vec<Measured>,
    /// A clone whose files the repository has, too
    #[arg(long)]
    clone: Option<PathBuf>,
}

/// Prints a line for each scaffold and number of rollouts. Each is measured in a process of its own, whose memory nothing
/// else has used before.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let scaffolds = match arguments.scaffold.as_slice() {
        [] => &Measured::ALL,
        chosen => chosen,
    };
    if let ([scaffold], [count]) = (scaffolds, arguments.rollouts.as_slice()) {
        println!("{}", measure(*scaffold, *count, arguments)?);
        return Ok(());
    }
    for (scaffold, count) in
        scaffolds.iter().flat_map(|scaffold| arguments.rollouts.iter().map(move |count| (scaffold, count)))
    {
        let mut command = std::process::Command::new(std::env::current_exe()?);
        command.args(["scaffold", "--scaffold", scaffold.name(), "--rollouts", &count.to_string()]);
        command.args(["--steps", &arguments.steps.to_string()]);
        command.args(arguments.clone.iter().flat_map(|clone| [Path::new("--clone"), clone]));
        anyhow::ensure!(command.status()?.success(), "measure {} of {}", count, scaffold.name());
    }
    Ok(())
}

fn measure(scaffold: Measured, count: usize, arguments: &Arguments) -> anyhow::Result<Value> {
    let steps = if scaffold == Measured::Workflow { WORKFLOW_STEPS } else { arguments.steps };
    let endpoint = Endpoint::start(scaffold, steps)?;
    let state = tempfile::tempdir()?;
    let repository = Repository::make(state.path(), arguments.clone.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let backend = LocalBackend::start(&config(&state.path().join("sandboxes"))?).await?;
        let mut client = ClientConfig::new(&endpoint.base_url, "scripted");
        client.max_concurrency = count;
        let lab = Lab {
            scaffold: scaffold_of(scaffold, steps),
            client: Arc::new(ChatClient::new(client)?),
            problem: Problem {
                instance_id: InstanceId::new("toy__toy-1")?,
                repo: RepoName::new("toy/toy")?,
                base_commit: repository.base_commit,
                problem_statement: "Thing3.method_3 adds too little.".to_owned(),
            },
            gates: [Barrier::new(count + 1), Barrier::new(count + 1)].into(),
            steps,
        };
        let mut spec = spec();
        spec.image.layers = vec![repository.layer];
        Arc::new(lab).measure(&backend, &spec, count).await
    })
}

fn scaffold_of(scaffold: Measured, steps: usize) -> Box<dyn Scaffold> {
    let config = ScaffoldConfig { max_steps: steps + 1, ..ScaffoldConfig::default() };
    match scaffold {
        Measured::Codeact => Box::new(CodeAct { config, ..CodeAct::default() }),
        Measured::Mini => Box::new(Mini { config, ..Mini::default() }),
        Measured::Workflow => {
            Box::new(Workflow::new(WorkflowConfig { scaffold: config, ..WorkflowConfig::default() }))
        }
    }
}

/// What all rollouts of a measurement share.
struct Lab {
    scaffold: Box<dyn Scaffold>,
    client: Arc<ChatClient>,
    problem: Problem,
    gates: Arc<[Barrier; 2]>,
    steps: usize,
}

impl Lab {
    async fn measure(
        self: Arc<Self>,
        backend: &LocalBackend,
        spec: &SandboxSpec,
        count: usize,
    ) -> anyhow::Result<Value> {
        let before = resident_kib()?;
        let mut working = Vec::with_capacity(count);
        for _ in 0..count {
            let sandbox = backend.create(spec).await?;
            working.push(tokio::spawn(Arc::clone(&self).rollout(sandbox)));
        }
        self.gates[0].wait().await;
        let used = resident_kib()?.saturating_sub(before);
        self.gates[1].wait().await;
        let (mut steps, mut answers, mut history) = (Vec::new(), Vec::new(), 0);
        for task in working {
            let (clock, outcome) = task.await.context("wait for a rollout")??;
            let (own, asked) = clock.samples();
            steps.extend(own);
            answers.extend(asked);
            history += serde_json::to_vec(&outcome.trajectory)?.len();
        }
        let history_kib = history as u64 / 1024 / count as u64;
        let [p50, p90, p99] = [50, 90, 99].map(|percent| percentile(&mut steps, percent));
        Ok(json!({
            "bench": "scaffold_step", "scaffold": self.scaffold.name(), "rollouts": count, "steps": steps.len(),
            "unit": "ms", "p50": p50, "p90": p90, "p99": p99, "answer_p50": percentile(&mut answers, 50),
            "history_kib_each": history_kib,
            "memory_kib_each": (used / count as u64).saturating_sub(history_kib),
            "optimised": !cfg!(debug_assertions),
        }))
    }

    async fn rollout(self: Arc<Self>, sandbox: Box<dyn Sandbox>) -> anyhow::Result<(Clock, Outcome)> {
        let clock = Clock::default();
        let sandbox = Timed { inner: sandbox, clock: clock.clone() };
        let mut policy = Gated {
            inner: ChatPolicy::new(Arc::clone(&self.client)),
            clock: clock.clone(),
            left: self.steps,
            gates: Arc::clone(&self.gates),
        };
        let outcome = self.scaffold.run(&self.problem, 0, &sandbox, &mut policy).await?;
        sandbox.inner.destroy().await?;
        anyhow::ensure!(
            outcome.trajectory.steps.len() == self.steps + 1,
            "the rollout ended after {} steps: {:?}",
            outcome.trajectory.steps.len(),
            outcome.trajectory.messages.last()
        );
        Ok((clock, outcome))
    }
}

fn resident_kib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse().ok());
    kib.context("find the resident memory of this process")
}
