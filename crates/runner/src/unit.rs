//! One rollout from image to committed record.
//!
//! What must stay true: the run directory is only written in steps that are not cut off, and when a unit ends its
//! sandboxes have ended.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use swegym_core::{
    Boundary, Connections, EventKind, Failure, Finding, Instance, Patch, RolloutKey, RolloutRecord,
    TestCommand, Timings,
};
use swegym_data::{CommitInfo, RolloutFiles, RunDir};
use swegym_harness::{
    EvalLimits, Evaluation, ImageAudit, Profile, RunAudit, Survey, audit_incomplete, evaluate, evaluate_as,
};
use swegym_images::Image;
use swegym_sandbox::{Backend, Network, Sandbox, SandboxError, SandboxSpec, Upper};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::outcome::{Evaluated, Outcome};
use crate::solver::{AttemptError, Solution, Solver};
use crate::surveys::Surveys;
use crate::{Images, RunnerError};

/// Attempts at an evaluation: what fails twice is nothing that passes by.
const EVAL_ATTEMPTS: u32 = 2;

/// Limits of a run.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Limits of each sandbox.
    pub sandbox: swegym_sandbox::Limits,
    /// Limits of each evaluation.
    pub eval: EvalLimits,
    /// Whose rules evaluations follow.
    pub profile: Profile,
    /// Whether evaluations and their images are audited.
    pub audit: bool,
    /// Attempts at a solution while infrastructure fails. At its evaluation there are two at the most.
    pub attempts: u32,
    /// Pause before the second attempt; each further one is twice as long.
    pub pause: Duration,
}

/// What rollouts are made with.
pub struct Workshop {
    /// Makes sandboxes.
    pub backend: Arc<dyn Backend>,
    /// Gives images.
    pub images: Arc<dyn Images>,
    /// Makes patches.
    pub solver: Arc<dyn Solver>,
    /// What the sandboxes that patches are made in reach. Those that they are evaluated in reach nothing.
    pub network: Network,
    /// Limits.
    pub limits: Limits,
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
    pub(crate) surveys: Arc<Surveys>,
    pub(crate) run: Arc<RunDir>,
    pub(crate) instance: Arc<Instance>,
    pub(crate) key: RolloutKey,
    /// Whether an earlier process committed it as failed.
    pub(crate) failed_before: bool,
    pub(crate) events: UnboundedSender<EventKind>,
    pub(crate) cancel: CancellationToken,
}

/// What there is of a rollout so far: the next attempt goes on from here.
#[derive(Default)]
struct Draft {
    place: Place,
    solution: Option<Solution>,
    /// What the sandbox that the solution was made in asked of the network.
    connections: Option<Connections>,
    timings: Timings,
    /// Attempts that failed at the part that is to be done next.
    failures: u32,
}

/// The sandbox in use, if there is one. It is known outside of the attempt that uses it, so that its end is waited
/// for also when the attempt is cut off.
#[derive(Default)]
struct Place {
    sandbox: Option<Box<dyn Sandbox>>,
    /// What the last sandbox that had a list of hosts asked for.
    connections: Option<Connections>,
}

impl Place {
    async fn enter(
        &mut self,
        workshop: &Workshop,
        image: &Image,
        network: Network,
        extra_binds: Vec<(PathBuf, PathBuf, bool)>,
    ) -> Result<&dyn Sandbox, Failure> {
        let spec = SandboxSpec {
            image: image.clone(),
            upper: Upper::Memory,
            limits: workshop.limits.sandbox,
            network,
            extra_binds,
        };
        let sandbox = workshop.backend.create(&spec).await.map_err(|error| Failure::from(&error))?;
        Ok(&**self.sandbox.insert(sandbox))
    }

    /// Ends it. A launcher that cannot be reached is gone, and its sandboxes with it.
    async fn leave(&mut self) {
        if let Some(sandbox) = self.sandbox.take() {
            self.connections = sandbox.connections().or(self.connections.take());
            sandbox.destroy().await.ok();
        }
    }
}

impl Unit {
    /// Tries until there is a verdict or the attempts are used up, and commits what came of it. `None` when the
    /// run was cancelled before.
    pub(crate) async fn run(self) -> Result<Option<Committed>, RunnerError> {
        let begin = Instant::now();
        let Some(outcome) = self.work().await? else { return Ok(None) };
        let run = Arc::clone(&self.run);
        let (record, info) = blocking(move || outcome.commit(&run)).await??;
        Ok(Some(Committed { record, info, elapsed: begin.elapsed() }))
    }

    async fn work(&self) -> Result<Option<Outcome>, RunnerError> {
        let limits = self.workshop.limits;
        let mut attempt = self.attempts_before().await?;
        let mut draft = Draft::default();
        loop {
            self.emit(EventKind::RolloutStarted { key: self.key.clone(), attempt });
            let tried = self.cancel.run_until_cancelled(self.attempt_caught(&mut draft)).await;
            draft.place.leave().await;
            let error = match tried {
                None => return Ok(None),
                Some(Ok(evaluated)) => return Ok(Some(self.evaluated(draft, evaluated, attempt))),
                Some(Err(error)) => error,
            };
            draft.failures += 1;
            let attempts = match draft.solution {
                Some(_) => limits.attempts.min(EVAL_ATTEMPTS),
                None => limits.attempts,
            };
            if draft.failures >= attempts || !error.failure.retryable {
                return Ok(Some(self.failed(draft, error, attempt)));
            }
            self.keep(attempt, error, draft.place.connections.take()).await?;
            let pause = limits.pause.saturating_mul(1 << (draft.failures - 1).min(16));
            if self.cancel.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return Ok(None);
            }
            attempt += 1;
        }
    }

    /// Makes room for a new record, and counts the attempts that earlier processes made.
    async fn attempts_before(&self) -> Result<u32, RunnerError> {
        let (run, key, failed_before) = (Arc::clone(&self.run), self.key.clone(), self.failed_before);
        let attempts = blocking(move || {
            if failed_before {
                run.retire(&key)?;
            }
            run.attempts(&key)
        });
        Ok(attempts.await??)
    }

    /// A panic costs one rollout, not the run.
    async fn attempt_caught(&self, draft: &mut Draft) -> Result<Evaluated, AttemptError> {
        let attempt = AssertUnwindSafe(self.attempt(draft)).catch_unwind();
        attempt.await.unwrap_or_else(|panic| Err(panicked(&*panic).into()))
    }

    /// Solves, unless an earlier attempt has, and evaluates.
    async fn attempt(&self, draft: &mut Draft) -> Result<Evaluated, AttemptError> {
        let begin = Instant::now();
        // First what costs nothing.
        let command = self.workshop.images.test_command(&self.instance)?;
        let image = self.image().await?;
        let solution = match draft.solution.take() {
            Some(solution) => solution,
            None => self.solve(&image, draft, begin).await?,
        };
        // It may have cost much, so it is kept, whatever becomes of its evaluation.
        let patch = &draft.solution.insert(solution).patch;
        let begin = Instant::now();
        let survey = match self.workshop.limits.profile {
            Profile::Strict => Some(self.survey(&image, &mut draft.place).await?),
            _ => None,
        };
        let sandbox = draft.place.enter(&self.workshop, &image, Network::None, Vec::new()).await?;
        let evaluation = self.evaluate(sandbox, survey.as_deref(), &command, patch).await;
        draft.place.leave().await;
        let mut evaluation = evaluation.map_err(|error| Failure::from(&error))?;
        if let Some(failure) = evaluation.verdict.failure.take_if(|failure| failure.retryable) {
            return Err(failure.into());
        }
        draft.timings.eval_ms = ms(begin);
        if self.workshop.limits.audit {
            evaluation.verdict.findings.extend(self.audit(&image, &mut draft.place).await);
            evaluation.verdict.findings.sort_unstable();
        }
        Ok(Evaluated::new(&self.instance, patch, evaluation))
    }

    /// In a sandbox of its own, unless another sample had one. What another attempt may change is not kept.
    async fn survey(&self, image: &Image, place: &mut Place) -> Result<Arc<Survey>, Failure> {
        let slot = self.surveys.slot(self.instance.id(), image);
        let survey = slot.get_or_try_init(|| async {
            let sandbox = place.enter(&self.workshop, image, Network::None, Vec::new()).await?;
            let survey = Survey::of(sandbox, Arc::clone(&self.instance)).await;
            place.leave().await;
            let survey = survey.map_err(|error| Failure::from(&error))?;
            match survey.failure().filter(|failure| failure.retryable) {
                Some(failure) => Err(failure.clone()),
                None => Ok(Arc::new(survey)),
            }
        });
        Ok(Arc::clone(survey.await?))
    }

    async fn evaluate(
        &self,
        sandbox: &dyn Sandbox,
        survey: Option<&Survey>,
        command: &TestCommand,
        patch: &Patch,
    ) -> Result<Evaluation, SandboxError> {
        let Limits { eval, profile, audit, .. } = &self.workshop.limits;
        let begun = if *audit { Some(RunAudit::begin(sandbox).await) } else { None };
        let mut evaluation = match survey {
            Some(survey) => evaluate(sandbox, survey, command, patch, eval).await?,
            None => evaluate_as(*profile, sandbox, &self.instance, command, patch, eval).await?,
        };
        if let Some(begun) = begun {
            evaluation.verdict.findings.extend(begun.end(sandbox).await?);
        }
        Ok(evaluation)
    }

    /// What the image shows. An audit that fails costs no verdict, and that is said.
    async fn audit(&self, image: &Image, place: &mut Place) -> Vec<Finding> {
        let mut audit = ImageAudit::new(&self.instance);
        let mut failure = None;
        for view in ImageAudit::views(image) {
            let looked = match place.enter(&self.workshop, &view, Network::None, Vec::new()).await {
                Ok(sandbox) => audit.look(sandbox).await.map_err(|error| Failure::from(&error)),
                Err(failure) => Err(failure),
            };
            place.leave().await;
            failure = failure.or(looked.err());
        }
        let mut findings = audit.findings();
        findings.extend(failure.map(|failure| audit_incomplete(&failure)));
        findings
    }

    async fn image(&self) -> Result<Image, Failure> {
        let begin = Instant::now();
        let instance_id = self.key.instance_id.clone();
        let built = self.workshop.images.image(&self.instance).await?;
        self.emit(EventKind::ImageReady { instance_id, reused: built.reused, ms: ms(begin) });
        Ok(built.image)
    }

    async fn solve(
        &self,
        image: &Image,
        draft: &mut Draft,
        begin: Instant,
    ) -> Result<Solution, AttemptError> {
        let solver = &self.workshop.solver;
        let sandbox = match solver.needs_sandbox() {
            true => {
                self.enter_to_solve(image, &mut draft.place).await?;
                draft.place.sandbox.as_deref()
            }
            false => None,
        };
        draft.timings.setup_ms = ms(begin);
        let begin = Instant::now();
        let solution = solver.solve(&self.instance, self.key.sample, sandbox).await;
        draft.timings.agent_ms = ms(begin);
        // What is evaluated next is so in a fresh one: invariant 2.
        draft.place.leave().await;
        let solution = solution?;
        draft.failures = 0;
        draft.connections = draft.place.connections.take();
        if let Some(trajectory) = &solution.trajectory {
            self.emit(EventKind::AgentFinished {
                key: self.key.clone(),
                exit_status: trajectory.exit_status,
                turns: trajectory.steps.len(),
                patch_bytes: solution.patch.as_bytes().len(),
                ms: draft.timings.agent_ms,
            });
        }
        Ok(solution)
    }

    /// A daemon may lie behind a wall that folders of the host do not pass; solvers do without them.
    async fn enter_to_solve(&self, image: &Image, place: &mut Place) -> Result<(), Failure> {
        let binds = self.workshop.solver.binds();
        let network = || self.workshop.network.clone();
        if !binds.is_empty() && place.enter(&self.workshop, image, network(), binds).await.is_ok() {
            return Ok(());
        }
        place.enter(&self.workshop, image, network(), Vec::new()).await.map(drop)
    }

    fn evaluated(&self, draft: Draft, evaluated: Evaluated, failed_attempts: u32) -> Outcome {
        let failure = evaluated.verdict.failure.clone();
        Outcome { evaluated: Some(evaluated), failure, ..self.outcome(draft, failed_attempts) }
    }

    fn failed(&self, draft: Draft, error: AttemptError, failed_attempts: u32) -> Outcome {
        let outcome = self.outcome(draft, failed_attempts);
        let trajectory = outcome.trajectory.or(error.trajectory.map(|trajectory| *trajectory));
        Outcome { trajectory, failure: Some(error.failure), ..outcome }
    }

    fn outcome(&self, draft: Draft, failed_attempts: u32) -> Outcome {
        let Draft { place, solution, connections, timings, .. } = draft;
        let (patch, trajectory) =
            solution.map_or((None, None), |solution| (Some(solution.patch), solution.trajectory));
        Outcome {
            key: self.key.clone(),
            policy: self.workshop.solver.name(&self.key.instance_id),
            patch,
            trajectory,
            evaluated: None,
            connections: connections.or(place.connections),
            failure: None,
            timings,
            failed_attempts,
        }
    }

    async fn keep(
        &self,
        attempt: u32,
        error: AttemptError,
        connections: Option<Connections>,
    ) -> Result<(), RunnerError> {
        let AttemptError { failure, trajectory } = error;
        let (run, key, kept) = (Arc::clone(&self.run), self.key.clone(), failure.clone());
        let written = blocking(move || {
            let (trajectory, connections) = (trajectory.as_deref(), connections.as_ref());
            let files = RolloutFiles { trajectory, connections, ..RolloutFiles::default() };
            run.keep_attempt(&key, &kept, &files)
        });
        written.await??;
        self.emit(EventKind::AttemptFailed { key: self.key.clone(), attempt, failure });
        Ok(())
    }

    fn emit(&self, kind: EventKind) {
        // The dispatcher outlives its units; when it ends by an error, nobody listens.
        self.events.send(kind).ok();
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    Failure {
        boundary: Boundary::Internal,
        kind: "panic".to_owned(),
        message: format!("failed to finish the rollout: it panicked: {message}"),
        retryable: false,
    }
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, RunnerError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| RunnerError::Worker { message: error.to_string() })
}

fn ms(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX)
}
