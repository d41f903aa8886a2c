//! Hands rollouts to workers, and is the only one that emits events.

use std::collections::VecDeque;
use std::sync::Arc;

use swegym_core::{Event, EventKind, Instance, RolloutKey, RolloutRecord, RolloutStatus, RunCounts};
use swegym_data::{EventLog, RunDir};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::RunnerError;
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

/// Rollouts that are to be made.
type Todo = VecDeque<(RolloutKey, Arc<Instance>)>;

/// Runs a plan into a run directory.
pub struct Runner {
    run: Arc<RunDir>,
    workshop: Arc<Workshop>,
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
        Ok(Self { run, workshop, log, sink })
    }

    /// Does what of the plan is not committed yet, until done or cancelled. Rollouts that infrastructure kept
    /// from completing in an earlier process are tried again.
    ///
    /// # Errors
    /// [`RunnerError`] when the run directory fails; what goes wrong with a rollout is a record.
    pub async fn run(mut self, plan: &RunPlan, cancel: &CancellationToken) -> Result<RunCounts, RunnerError> {
        let (mut counts, mut todo) = self.survey(plan)?;
        self.emit(EventKind::RunStarted {
            run: plan.name.clone(),
            planned: counts.planned,
            already_done: counts.completed,
        })?;
        let (events, mut inbox) = mpsc::unbounded_channel();
        let mut workers: JoinSet<Result<Committed, RunnerError>> = JoinSet::new();
        loop {
            while workers.len() < plan.jobs.max(1) && !cancel.is_cancelled() {
                let Some((key, instance)) = todo.pop_front() else { break };
                workers.spawn(self.unit(key, instance, &events).run());
            }
            tokio::select! {
                biased;
                Some(kind) = inbox.recv() => self.emit(kind)?,
                () = cancel.cancelled() => break,
                joined = workers.join_next() => match joined {
                    Some(committed) => {
                        let committed = committed.map_err(|error| RunnerError::Worker { message: error.to_string() })??;
                        self.drain(&mut inbox)?;
                        self.finished(&committed, &mut counts)?;
                    }
                    None => break,
                },
            }
        }
        // Aborted workers drop their sandboxes, which kills what runs in them.
        workers.shutdown().await;
        self.drain(&mut inbox)?;
        let done = counts.completed + counts.failed == counts.planned;
        self.emit(if done {
            EventKind::RunFinished { counts }
        } else {
            EventKind::RunInterrupted { counts }
        })?;
        self.log.close()?;
        Ok(counts)
    }

    /// What is done, and what is to do.
    fn survey(
        &self,
        plan: &RunPlan,
    ) -> Result<(RunCounts, Todo), RunnerError> {
        let mut counts = RunCounts::default();
        let mut todo = Todo::new();
        for (key, instance) in plan.keys() {
            counts.planned += 1;
            match self.run.committed(&key)? {
                Some(record) if record.status == RolloutStatus::Completed => count(&mut counts, &record),
                Some(_) => {
                    self.run.retire(&key)?;
                    todo.push_back((key, Arc::clone(instance)));
                }
                None => todo.push_back((key, Arc::clone(instance))),
            }
        }
        Ok((counts, todo))
    }

    fn unit(&self, key: RolloutKey, instance: Arc<Instance>, events: &UnboundedSender<EventKind>) -> Unit {
        let (workshop, run) = (Arc::clone(&self.workshop), Arc::clone(&self.run));
        Unit { workshop, run, instance, key, events: events.clone() }
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

    fn drain(&mut self, inbox: &mut mpsc::UnboundedReceiver<EventKind>) -> Result<(), RunnerError> {
        while let Ok(kind) = inbox.try_recv() {
            self.emit(kind)?;
        }
        Ok(())
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

/// Runs file work where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RunnerError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| RunnerError::Worker { message: error.to_string() })
}
