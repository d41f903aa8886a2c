//! What a scaffold takes for itself: time between what it waits for, and memory, with many rollouts at once.
//!
//! Rollouts are real ones, in local sandboxes, of a policy that plays a script. Time of a step is what passes while
//! neither the policy nor the sandbox is asked for anything. Memory is read when every rollout has all of its history
//! and waits; that history is subtracted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use async_trait::async_trait;
use serde_json::{Value, json};
use swegym_agent::{CodeAct, Outcome, Scaffold, ScaffoldConfig};
use swegym_core::{ChatRequest, CommitId, Completion, InstanceId, Message, Problem, RepoName, ToolCall};
use swegym_model::{ModelError, Policy};
use swegym_sandbox::{
    Backend, ExecOutput, ExecRequest, LocalBackend, Sandbox, SandboxError, Session, SessionOutput,
    SessionSpec, SessionState,
};
use tokio::sync::Barrier;

use crate::percentile;
use crate::sandbox::{config, spec};

/// Prints a line for each number of rollouts.
pub(crate) fn run(rollouts: &[usize], steps: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let state = tempfile::tempdir()?;
    let config = config(state.path())?;
    runtime.block_on(async {
        let backend = LocalBackend::start(&config).await?;
        for count in rollouts {
            println!("{}", measure(&backend, *count, steps).await?);
        }
        Ok(())
    })
}

async fn measure(backend: &LocalBackend, count: usize, steps: usize) -> anyhow::Result<Value> {
    let before = resident_kib()?;
    let gates = Arc::new([Barrier::new(count + 1), Barrier::new(count + 1)]);
    let mut working = Vec::with_capacity(count);
    for _ in 0..count {
        let sandbox = backend.create(&spec()).await?;
        working.push(tokio::spawn(rollout(sandbox, steps, Arc::clone(&gates))));
    }
    gates[0].wait().await;
    let used = resident_kib()?.saturating_sub(before);
    gates[1].wait().await;
    let (mut samples, mut history) = (Vec::new(), 0);
    for task in working {
        let (times, outcome) = task.await.context("wait for a rollout")??;
        samples.extend(times);
        history += serde_json::to_vec(&outcome.trajectory)?.len();
    }
    let history_kib = history as u64 / 1024 / count as u64;
    let [p50, p90, p99] = [50, 90, 99].map(|percent| percentile(&mut samples, percent));
    Ok(json!({
        "bench": "scaffold_step", "scaffold": "codeact", "rollouts": count, "steps": samples.len(), "unit": "ms",
        "p50": p50, "p90": p90, "p99": p99, "history_kib_each": history_kib,
        "memory_kib_each": (used / count as u64).saturating_sub(history_kib),
        "optimised": !cfg!(debug_assertions),
    }))
}

async fn rollout(
    sandbox: Box<dyn Sandbox>,
    steps: usize,
    gates: Arc<[Barrier; 2]>,
) -> anyhow::Result<(Vec<Duration>, Outcome)> {
    let clock = Clock::default();
    let sandbox = Timed { inner: sandbox, clock: clock.clone() };
    let mut policy = Steps { left: steps, gates, clock: clock.clone() };
    let config =
        ScaffoldConfig { repo_dir: "/".to_owned(), max_steps: steps + 1, ..ScaffoldConfig::default() };
    let scaffold = CodeAct { config, ..CodeAct::default() };
    let problem = Problem {
        instance_id: InstanceId::new("toy__toy-1")?,
        repo: RepoName::new("toy/toy")?,
        base_commit: CommitId::new("0".repeat(40))?,
        problem_statement: "It breaks.".to_owned(),
    };
    let outcome = scaffold.run(&problem, 0, &sandbox, &mut policy).await?;
    sandbox.inner.destroy().await?;
    Ok((clock.lock().samples.clone(), outcome))
}

/// Adds up what passes between two waits.
#[derive(Clone, Default)]
struct Clock(Arc<Mutex<Times>>);

#[derive(Default)]
struct Times {
    resumed: Option<Instant>,
    step: Duration,
    samples: Vec<Duration>,
}

impl Clock {
    fn lock(&self) -> std::sync::MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The scaffold waits for something.
    async fn stopped<T>(&self, what: impl Future<Output = T>) -> T {
        {
            let mut times = self.lock();
            let since = times.resumed.take();
            times.step += since.map_or(Duration::ZERO, |resumed| resumed.elapsed());
        }
        let result = what.await;
        self.lock().resumed = Some(Instant::now());
        result
    }

    /// A step is over.
    fn step(&self) {
        let mut times = self.lock();
        let step = std::mem::take(&mut times.step);
        times.samples.push(step);
    }
}

/// A policy that looks at something else in every step, and waits at the gates before it finishes.
struct Steps {
    left: usize,
    gates: Arc<[Barrier; 2]>,
    clock: Clock,
}

#[async_trait]
impl Policy for Steps {
    fn name(&self) -> &str {
        "steps"
    }

    async fn complete(&mut self, _: &ChatRequest<'_>) -> Result<Completion, ModelError> {
        let clock = self.clock.clone();
        let answer = clock
            .stopped(async {
                let Some(left) = self.left.checked_sub(1) else {
                    self.gates[0].wait().await;
                    self.gates[1].wait().await;
                    return ToolCall::new("call", "finish", &json!({}));
                };
                self.left = left;
                let command = format!("echo {left}; seq 1 500");
                ToolCall::new("call", "execute_bash", &json!({ "command": command }))
            })
            .await;
        clock.step();
        Ok(Completion::new(Message::calling("I look at it.", vec![answer]), "tool_calls"))
    }
}

/// A sandbox, or a session in one, that stops the clock while it works.
struct Timed<T> {
    inner: T,
    clock: Clock,
}

#[async_trait]
impl Sandbox for Timed<Box<dyn Sandbox>> {
    async fn exec(&self, request: &ExecRequest) -> Result<ExecOutput, SandboxError> {
        self.clock.stopped(self.inner.exec(request)).await
    }

    async fn open_session(&self, spec: &SessionSpec) -> Result<Box<dyn Session>, SandboxError> {
        let inner = self.clock.stopped(self.inner.open_session(spec)).await?;
        Ok(Box::new(Timed { inner, clock: self.clock.clone() }))
    }

    async fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>, SandboxError> {
        self.clock.stopped(self.inner.read_file(path, limit)).await
    }

    async fn write_file(&self, path: &str, content: &[u8]) -> Result<(), SandboxError> {
        self.clock.stopped(self.inner.write_file(path, content)).await
    }

    async fn destroy(self: Box<Self>) -> Result<(), SandboxError> {
        self.inner.destroy().await
    }
}

#[async_trait]
impl Session for Timed<Box<dyn Session>> {
    async fn run(&self, command: &str, patience: Duration) -> Result<SessionOutput, SandboxError> {
        self.clock.stopped(self.inner.run(command, patience)).await
    }

    async fn poll(&self, patience: Duration) -> Result<SessionOutput, SandboxError> {
        self.clock.stopped(self.inner.poll(patience)).await
    }

    async fn send_input(&self, input: &[u8]) -> Result<(), SandboxError> {
        self.clock.stopped(self.inner.send_input(input)).await
    }

    async fn interrupt(&self) -> Result<(), SandboxError> {
        self.clock.stopped(self.inner.interrupt()).await
    }

    async fn kill_foreground(&self) -> Result<(), SandboxError> {
        self.clock.stopped(self.inner.kill_foreground()).await
    }

    async fn state(&self) -> Result<SessionState, SandboxError> {
        self.clock.stopped(self.inner.state()).await
    }
}

fn resident_kib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse().ok());
    kib.context("find the resident memory of this process")
}
