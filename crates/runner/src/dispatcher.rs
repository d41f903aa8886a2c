//! Hands rollouts to workers, and is the only one that emits events.

use std::collections::VecDeque;
use std::sync::Arc;

use swegym_core::{Event, EventKind, Instance, RolloutKey, RolloutRecord, RolloutStatus, RunCounts};
use swegym_data::{EventLog, RunDir};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::RunnerError;
use crate::surveys::Surveys;
use crate::unit::{Committed, Unit, Workshop};

/// Sees every event, after it is in the log.
pub trait EventSink: Send {
    /// An event happened.
    fn event(&mut self, event: &Event);
}

/// What a run is to do.
#[derive(Debug, Clone)]
pub struct RunPlan {
    /// Name of the run.
    pub name: String,
    /// Instances, in the order in which they are begun.
    pub instances: Vec<Arc<Instance>>,
    /// Rollouts of each.
    pub samples: u32,
    /// Rollouts at once.
    pub jobs: usize,
}

impl RunPlan {
    /// Every rollout of the plan: first samples of all instances before second ones.
    fn keys(&self) -> impl Iterator<Item = (RolloutKey, &Arc<Instance>)> {
        (0..self.samples).flat_map(move |sample| {
            self.instances
                .iter()
                .map(move |instance| (RolloutKey { instance_id: instance.id().clone(), sample }, instance))
        })
    }
}

/// A rollout that is to be made.
struct Task {
    key: RolloutKey,
    instance: Arc<Instance>,
    /// Whether an earlier process committed it as failed.
    failed_before: bool,
}

type Worked = Result<Option<Committed>, RunnerError>;

/// Runs a plan into a run directory.
pub struct Runner {
    run: Arc<RunDir>,
    workshop: Arc<Workshop>,
    surveys: Arc<Surveys>,
    log: EventLog,
    sink: Box<dyn EventSink>,
}

impl Runner {
    /// A runner into an open run directory.
    ///
    /// # Errors
    /// When the event log cannot be opened.
    pub fn new(
        run: Arc<RunDir>,
        workshop: Arc<Workshop>,
        sink: Box<dyn EventSink>,
    ) -> Result<Self, RunnerError> {
        let log = EventLog::open(&run.events_path())?;
        Ok(Self { run, workshop, surveys: Arc::default(), log, sink })
    }

    /// Does what of the plan is not committed yet, until done or cancelled. Rollouts that infrastructure kept
    /// from completing in an earlier process are tried again. When this returns, nothing is under way any more: no
    /// rollout, no write into the directory.
    ///
    /// # Errors
    /// [`RunnerError`] when the run directory fails; what goes wrong with a rollout is a record.
    pub async fn run(mut self, plan: &RunPlan, cancel: &CancellationToken) -> Result<RunCounts, RunnerError> {
        let (mut counts, todo) = self.survey(plan)?;
        self.surveys = Arc::new(Surveys::of_samples(plan.samples));
        self.emit(EventKind::RunStarted { run: plan.name.clone(), counts })?;
        let stop = cancel.child_token();
        let mut workers = JoinSet::new();
        let dispatched = self.dispatch(todo, plan.jobs.max(1), &mut workers, &mut counts, &stop).await;
        stop.cancel();
        while workers.join_next().await.is_some() {}
        let kind = match dispatched? {
            true => EventKind::RunFinished { counts },
            false => EventKind::RunInterrupted { counts },
        };
        self.emit(kind)?;
        self.log.close()?;
        Ok(counts)
    }

    /// Says whether every rollout is committed.
    async fn dispatch(
        &mut self,
        mut todo: VecDeque<Task>,
        jobs: usize,
        workers: &mut JoinSet<Worked>,
        counts: &mut RunCounts,
        stop: &CancellationToken,
    ) -> Result<bool, RunnerError> {
        let (events, mut inbox) = mpsc::unbounded_channel();
        let mut uncommitted = todo.len();
        loop {
            while workers.len() < jobs && !stop.is_cancelled() {
                let Some(task) = todo.pop_front() else { break };
                counts.failed -= usize::from(task.failed_before);
                workers.spawn(self.unit(task, &events, stop).run());
            }
            tokio::select! {
                biased;
                Some(kind) = inbox.recv() => self.emit(kind)?,
                joined = workers.join_next() => {
                    let Some(joined) = joined else { return Ok(uncommitted == 0) };
                    let worked = joined.map_err(|error| RunnerError::Worker { message: error.to_string() })?;
                    // Its events come before its end.
                    while let Ok(kind) = inbox.try_recv() {
                        self.emit(kind)?;
                    }
                    if let Some(committed) = worked? {
                        uncommitted -= 1;
                        self.finished(&committed, counts)?;
                    }
                },
            }
        }
    }

    /// What is done, and what is to do.
    fn survey(&self, plan: &RunPlan) -> Result<(RunCounts, VecDeque<Task>), RunnerError> {
        let mut counts = RunCounts::default();
        let mut todo = VecDeque::new();
        for (key, instance) in plan.keys() {
            counts.planned += 1;
            let before = self.run.committed(&key)?;
            if let Some(record) = &before {
                count(&mut counts, record);
            }
            let failed_before = before.as_ref().is_some_and(|record| record.status == RolloutStatus::Failed);
            if before.is_none() || failed_before {
                todo.push_back(Task { key, instance: Arc::clone(instance), failed_before });
            }
        }
        Ok((counts, todo))
    }

    fn unit(&self, task: Task, events: &UnboundedSender<EventKind>, stop: &CancellationToken) -> Unit {
        let Task { key, instance, failed_before } = task;
        Unit {
            workshop: Arc::clone(&self.workshop),
            surveys: Arc::clone(&self.surveys),
            run: Arc::clone(&self.run),
            instance,
            key,
            failed_before,
            events: events.clone(),
            cancel: stop.clone(),
        }
    }

    fn finished(&mut self, committed: &Committed, counts: &mut RunCounts) -> Result<(), RunnerError> {
        let Committed { record, info, elapsed } = committed;
        count(counts, record);
        self.emit(EventKind::RolloutFinished {
            key: record.key.clone(),
            resolved: record.resolved(),
            failure: record.failure.clone(),
            record: info.record.clone(),
            sha256: info.sha256.clone(),
            ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        })
    }

    fn emit(&mut self, kind: EventKind) -> Result<(), RunnerError> {
        let event = self.log.append(kind)?;
        self.sink.event(&event);
        Ok(())
    }
}

fn count(counts: &mut RunCounts, record: &RolloutRecord) {
    match record.status {
        RolloutStatus::Completed => counts.completed += 1,
        RolloutStatus::Failed => counts.failed += 1,
    }
    counts.resolved += usize::from(record.resolved());
}
