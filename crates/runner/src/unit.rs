//! One rollout from image to committed record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use swegym_core::{
    EventKind, Failure, Instance, ROLLOUT_SCHEMA_VERSION, RolloutKey, RolloutRecord, RolloutStatus, Timings,
    Verdict,
};
use swegym_data::{CommitInfo, RolloutFiles, RunDir};
use swegym_environment::ImageBuilder;
use swegym_harness::{EvalLimits, Evaluation, evaluate, instance_report};
use swegym_images::Image;
use swegym_sandbox::{Backend, Network, Sandbox, SandboxSpec, Upper};
use tokio::sync::mpsc::UnboundedSender;

use crate::solver::{AttemptError, Solution, Solver};
use crate::{RunnerError, dispatcher::blocking};

/// Limits of a run.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Limits of each sandbox.
    pub sandbox: swegym_sandbox::Limits,
    /// Limits of each evaluation.
    pub eval: EvalLimits,
    /// Attempts for what infrastructure failures keep from completing.
    pub attempts: u32,
    /// Pause before the second attempt; each further one is twice as long.
    pub pause: Duration,
}

/// What rollouts are made with.
pub struct Workshop {
    /// Makes sandboxes.
    pub backend: Arc<dyn Backend>,
    /// Makes images.
    pub images: Arc<ImageBuilder>,
    /// Makes patches.
    pub solver: Arc<dyn Solver>,
    /// Limits.
    pub limits: Limits,
}

/// A solution with its evaluation.
struct Done {
    solution: Solution,
    evaluation: Evaluation,
    timings: Timings,
}

/// A committed rollout, as the dispatcher wants to know of it.
pub(crate) struct Committed {
    pub(crate) record: RolloutRecord,
    pub(crate) info: CommitInfo,
    pub(crate) elapsed: Duration,
}

/// One rollout of a run.
pub(crate) struct Unit {
    pub(crate) workshop: Arc<Workshop>,
    pub(crate) run: Arc<RunDir>,
    pub(crate) instance: Arc<Instance>,
    pub(crate) key: RolloutKey,
    pub(crate) events: UnboundedSender<EventKind>,
}

impl Unit {
    /// Tries until there is a verdict or the attempts are used up, and commits what came of it.
    pub(crate) async fn run(self) -> Result<Committed, RunnerError> {
        let begin = Instant::now();
        let limits = self.workshop.limits;
        let mut pause = limits.pause;
        let mut attempt = 0;
        let (record, solution, evaluation) = loop {
            self.emit(EventKind::RolloutStarted { key: self.key.clone(), attempt });
            let error = match self.attempt().await {
                Ok(done) => break self.completed(done, attempt),
                Err(error) => error,
            };
            let last = attempt + 1 >= limits.attempts || !error.failure.retryable;
            if last {
                break self.failed(error, attempt);
            }
            self.keep(attempt, error).await?;
            tokio::time::sleep(pause).await;
            pause *= 2;
            attempt += 1;
        };
        let run = Arc::clone(&self.run);
        let instance = Arc::clone(&self.instance);
        let (record, info) = blocking(move || {
            let eval = evaluation
                .map(|evaluation| eval_files(&instance, &solution, &evaluation))
                .unwrap_or_default();
            let eval = eval.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
            let files =
                RolloutFiles { trajectory: solution.trajectory.as_ref(), patch: Some(&solution.patch), eval };
            let info = run.commit(&record, &files)?;
            Ok::<_, RunnerError>((record, info))
        })
        .await??;
        Ok(Committed { record, info, elapsed: begin.elapsed() })
    }

    async fn attempt(&self) -> Result<Done, AttemptError> {
        let begin = Instant::now();
        let image = self.image().await?;
        let sandbox = match self.workshop.solver.needs_sandbox() {
            true => Some(self.sandbox(&image).await?),
            false => None,
        };
        let mut timings = Timings { setup_ms: ms(begin), ..Timings::default() };
        let begin = Instant::now();
        let solution =
            self.workshop.solver.solve(&self.instance, self.key.sample, sandbox.as_deref()).await?;
        timings.agent_ms = ms(begin);
        if let Some(sandbox) = sandbox {
            sandbox.destroy().await.map_err(|error| AttemptError::from(&error))?;
        }
        if let Some(trajectory) = &solution.trajectory {
            self.emit(EventKind::AgentFinished {
                key: self.key.clone(),
                exit_status: trajectory.exit_status,
                turns: trajectory.steps.len(),
                patch_bytes: solution.patch.as_bytes().len(),
                ms: timings.agent_ms,
            });
        }
        let begin = Instant::now();
        let evaluation = match self.evaluate(&image, &solution).await {
            Ok(evaluation) => evaluation,
            Err(failure) => {
                let trajectory = solution.trajectory.map(Box::new);
                return Err(AttemptError { failure, trajectory, patch: Some(solution.patch) });
            }
        };
        timings.eval_ms = ms(begin);
        Ok(Done { solution, evaluation, timings })
    }

    async fn image(&self) -> Result<Image, AttemptError> {
        let begin = Instant::now();
        let instance_id = self.key.instance_id.clone();
        let built =
            self.workshop.images.image(&self.instance).await.map_err(|error| AttemptError::from(&error))?;
        self.emit(EventKind::ImageReady { instance_id, reused: built.reused, ms: ms(begin) });
        Ok(built.image)
    }

    async fn sandbox(&self, image: &Image) -> Result<Box<dyn Sandbox>, AttemptError> {
        let spec = SandboxSpec {
            image: image.clone(),
            upper: Upper::Memory,
            limits: self.workshop.limits.sandbox,
            network: Network::None,
            extra_binds: Vec::new(),
        };
        self.workshop.backend.create(&spec).await.map_err(|error| AttemptError::from(&error))
    }

    /// In a fresh sandbox: invariant 2. An evaluation that fails by the fault of infrastructure is repeated once
    /// by itself, so that the patch, which may have cost much, is not lost to it.
    async fn evaluate(&self, image: &Image, solution: &Solution) -> Result<Evaluation, Failure> {
        match self.evaluate_once(image, solution).await {
            Err(failure) if failure.retryable => self.evaluate_once(image, solution).await,
            result => result,
        }
    }

    async fn evaluate_once(&self, image: &Image, solution: &Solution) -> Result<Evaluation, Failure> {
        let spec = self
            .workshop
            .images
            .specs()
            .get(&self.instance.environment)
            .map_err(|error| Failure::from(&error))?;
        let sandbox = self.sandbox(image).await.map_err(|error| error.failure)?;
        let command = spec.test_command();
        let limits = &self.workshop.limits.eval;
        let evaluation = evaluate(&*sandbox, &self.instance, &command, &solution.patch, limits).await;
        sandbox.destroy().await.map_err(|error| Failure::from(&error))?;
        evaluation.map_err(|error| Failure::from(&error))
    }

    fn completed(&self, done: Done, attempt: u32) -> (RolloutRecord, Solution, Option<Evaluation>) {
        let Done { solution, evaluation, timings } = done;
        let verdict = evaluation.verdict.clone();
        let failure = verdict.failure.clone();
        let status = if failure.is_some() { RolloutStatus::Failed } else { RolloutStatus::Completed };
        let record =
            RolloutRecord { failure, timings, ..self.record(status, &solution, Some(verdict), attempt) };
        (record, solution, Some(evaluation))
    }

    fn failed(&self, error: AttemptError, attempt: u32) -> (RolloutRecord, Solution, Option<Evaluation>) {
        let trajectory = error.trajectory.map(|trajectory| *trajectory);
        let solution = Solution { patch: error.patch.unwrap_or_default(), trajectory };
        let record = self.record(RolloutStatus::Failed, &solution, None, attempt);
        (RolloutRecord { failure: Some(error.failure), ..record }, solution, None)
    }

    fn record(
        &self,
        status: RolloutStatus,
        solution: &Solution,
        verdict: Option<Verdict>,
        failed_attempts: u32,
    ) -> RolloutRecord {
        let trajectory = solution.trajectory.as_ref();
        RolloutRecord {
            schema_version: ROLLOUT_SCHEMA_VERSION,
            key: self.key.clone(),
            policy: self.workshop.solver.name(&self.key.instance_id),
            status,
            exit_status: trajectory.map(|trajectory| trajectory.exit_status),
            turns: trajectory.map_or(0, |trajectory| trajectory.steps.len()),
            usage: trajectory.map(|trajectory| trajectory.usage).unwrap_or_default(),
            empty_patch: solution.patch.is_empty(),
            timings: Timings::default(),
            verdict,
            failure: None,
            failed_attempts,
        }
    }

    async fn keep(&self, attempt: u32, error: AttemptError) -> Result<(), RunnerError> {
        let failure = error.failure.clone();
        self.emit(EventKind::AttemptFailed { key: self.key.clone(), attempt, failure });
        let (run, key) = (Arc::clone(&self.run), self.key.clone());
        blocking(move || {
            let files = RolloutFiles {
                trajectory: error.trajectory.as_deref(),
                patch: error.patch.as_ref(),
                ..RolloutFiles::default()
            };
            run.keep_attempt(&key, &error.failure, &files)
        })
        .await??;
        Ok(())
    }

    fn emit(&self, kind: EventKind) {
        // The dispatcher outlives its units, except when the run is cancelled: then nobody listens.
        self.events.send(kind).ok();
    }
}

fn eval_files(
    instance: &Instance,
    solution: &Solution,
    evaluation: &Evaluation,
) -> Vec<(&'static str, Vec<u8>)> {
    let report = instance_report(instance.id(), Some(&solution.patch), &evaluation.verdict);
    let results =
        evaluation.statuses.iter().map(|(test, status)| serde_json::json!({"test": test, "status": status}));
    let results: String = results.map(|line| format!("{line}\n")).collect();
    vec![
        ("report.json", format!("{report:#}\n").into_bytes()),
        ("test_output.txt", evaluation.log.clone()),
        ("results.jsonl", results.into_bytes()),
        ("eval.sh", evaluation.script.clone().into_bytes()),
    ]
}

fn ms(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX)
}
