//! What is kept of one rollout while it is open.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use swegym_core::{
    Addition, Call, CallFailure, CallFailureKind, ExitStatus, FailedCall, Recorder, Trajectory,
};
use tokio::sync::watch;

use super::GatewayLimits;

/// Roughly what the recorder needs for a message of a prompt that it has not seen in this place before.
const NODE_BYTES: usize = 64;
/// How long calls under way may take to end, once they were told to.
const SETTLING: Duration = Duration::from_secs(10);

/// Where recordings outlive the process.
pub trait Archive: Send + Sync {
    /// Opens the journal of the rollout that `begun` names. Gives back what it says so far: `begun`, where it is new.
    ///
    /// # Errors
    /// When it cannot be read or made.
    fn open(&self, begun: Trajectory) -> io::Result<(Trajectory, Box<dyn Journal>)>;
}

/// The journal of one rollout.
pub trait Journal: Send {
    /// Adds what a call added. When this returns, it outlives the process.
    ///
    /// # Errors
    /// When it cannot be written; then the journal is as it was.
    fn append(&mut self, addition: &Addition) -> io::Result<()>;

    /// The rollout is over, until somebody opens it again.
    ///
    /// # Errors
    /// When the trajectory cannot be written; the journal stays.
    fn close(&mut self, trajectory: &Trajectory) -> io::Result<()>;
}

/// What was recorded of a rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// Its calls. Its exit status is the limit that was reached, else that it finished.
    pub trajectory: Trajectory,
    /// The limit, if one was reached.
    pub limit: Option<ExitStatus>,
    /// What kept the last call from its answer, where that was the endpoint's doing.
    pub last_failure: Option<String>,
}

/// One rollout. Its recorder is loaded by the first who needs it.
pub(super) struct Session {
    begun: Trajectory,
    limits: GatewayLimits,
    state: Mutex<State>,
    /// Told to calls under way when it is over.
    closing: watch::Sender<bool>,
    /// Calls under way.
    in_flight: watch::Sender<usize>,
}

enum State {
    Asleep,
    Awake(Box<Awake>),
    Closed,
}

struct Awake {
    recorder: Recorder,
    journal: Option<Box<dyn Journal>>,
    /// Bytes that it holds, as JSON.
    bytes: usize,
    /// Calls whose caller hung up.
    abandoned: usize,
    limit: Option<ExitStatus>,
    last_used: Instant,
}

/// Why a call is not passed on.
#[derive(Debug)]
pub(super) enum Refusal {
    Limit(String),
    Closed,
    /// Who wrote the archive knows why.
    Archive,
}

impl Session {
    pub(super) fn new(begun: Trajectory, limits: GatewayLimits) -> Self {
        Self {
            begun,
            limits,
            state: Mutex::new(State::Asleep),
            closing: watch::Sender::new(false),
            in_flight: watch::Sender::new(0),
        }
    }

    /// Comes to its end when the rollout is over.
    pub(super) async fn closing(&self) {
        // The sender is part of this.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// Lets no further call in, and tells those under way to end.
    pub(super) fn end(&self) {
        // No call is let in between the look at it and the count.
        let _state = self.lock();
        self.closing.send_replace(true);
    }

    /// [`Self::end`], and waits until the calls under way have ended.
    pub(super) async fn settle(&self) {
        self.end();
        let mut in_flight = self.in_flight.subscribe();
        drop(tokio::time::timeout(SETTLING, in_flight.wait_for(|calls| *calls == 0)).await);
    }

    /// Lets a call in, which must end by [`Self::leave`]. May block.
    pub(super) fn enter(&self, archive: Option<&dyn Archive>) -> Result<(), Refusal> {
        let mut state = self.lock();
        if *self.closing.borrow() {
            return Err(Refusal::Closed);
        }
        if matches!(*state, State::Asleep) {
            *state = State::Awake(Box::new(self.wake(archive).map_err(|_| Refusal::Archive)?));
        }
        let State::Awake(awake) = &mut *state else { return Err(Refusal::Closed) };
        awake.last_used = Instant::now();
        if let Some((limit, message)) = self.limit_reached(awake) {
            awake.limit = Some(limit);
            return Err(Refusal::Limit(message));
        }
        self.in_flight.send_modify(|calls| *calls += 1);
        Ok(())
    }

    /// Records an answered call. May block.
    pub(super) fn record(&self, call: Call<'_>) -> Result<(), Refusal> {
        self.add(|recorder| recorder.record(call))
    }

    /// Records a call that came to no whole answer. May block.
    pub(super) fn record_failed(&self, call: Call<'_>, failure: CallFailure) -> Result<(), Refusal> {
        self.add(|recorder| recorder.record_failed(call, failure))
    }

    fn add(&self, record: impl FnOnce(&mut Recorder) -> Addition) -> Result<(), Refusal> {
        let mut state = self.lock();
        let State::Awake(awake) = &mut *state else { return Err(Refusal::Closed) };
        let nodes = awake.recorder.nodes();
        let addition = record(&mut awake.recorder);
        awake.abandoned += addition.failed.iter().filter(|call| is_abandoned(call)).count();
        awake.bytes += (awake.recorder.nodes() - nodes) * NODE_BYTES + json_bytes(&addition);
        let written = awake.journal.as_mut().map_or(Ok(()), |journal| journal.append(&addition));
        if written.is_err() {
            // What the recorder holds is no longer what the journal says: the next call reads it anew.
            *state = State::Asleep;
            return Err(Refusal::Archive);
        }
        Ok(())
    }

    /// A call is over, whatever became of it.
    pub(super) fn leave(&self) {
        if let State::Awake(awake) = &mut *self.lock() {
            awake.last_used = Instant::now();
        }
        self.in_flight.send_modify(|calls| *calls = calls.saturating_sub(1));
    }

    /// Whether no call came since, and none is under way.
    pub(super) fn is_idle_since(&self, since: Instant) -> bool {
        match &*self.lock() {
            State::Awake(awake) => *self.in_flight.borrow() == 0 && awake.last_used < since,
            State::Asleep | State::Closed => true,
        }
    }

    /// Ends it, after [`Self::settle`]. Nothing, where no call ever came. May block.
    pub(super) fn close(&self) -> io::Result<Option<Recording>> {
        let State::Awake(awake) = std::mem::replace(&mut *self.lock(), State::Closed) else {
            return Ok(None);
        };
        let Awake { recorder, journal, limit, .. } = *awake;
        let last_failure = last_failure(recorder.trajectory());
        let trajectory = recorder.finish(limit.unwrap_or(ExitStatus::Finished));
        if let Some(mut journal) = journal {
            journal.close(&trajectory)?;
        }
        Ok(Some(Recording { trajectory, limit, last_failure }))
    }

    fn wake(&self, archive: Option<&dyn Archive>) -> io::Result<Awake> {
        let (trajectory, journal) = match archive {
            Some(archive) => {
                let (trajectory, journal) = archive.open(self.begun.clone())?;
                (trajectory, Some(journal))
            }
            None => (self.begun.clone(), None),
        };
        let recorder = Recorder::new(trajectory);
        let bytes = recorder.nodes() * NODE_BYTES + json_bytes(recorder.trajectory());
        let abandoned = recorder.trajectory().failed_calls.iter().filter(|call| is_abandoned(call)).count();
        Ok(Awake { recorder, journal, bytes, abandoned, limit: None, last_used: Instant::now() })
    }

    fn limit_reached(&self, awake: &Awake) -> Option<(ExitStatus, String)> {
        let GatewayLimits { max_steps, max_tokens, max_recorded_bytes, .. } = self.limits;
        let trajectory = awake.recorder.trajectory();
        // The endpoint has worked for those who hang up, too.
        if trajectory.steps.len() + awake.abandoned + *self.in_flight.borrow() >= max_steps {
            return Some((ExitStatus::StepLimit, format!("this rollout may make {max_steps} calls")));
        }
        if let Some(most) = max_tokens.filter(|most| trajectory.usage.total() >= *most) {
            return Some((ExitStatus::TokenLimit, format!("this rollout may use {most} tokens")));
        }
        (awake.bytes >= max_recorded_bytes).then(|| {
            let message =
                format!("{max_recorded_bytes} bytes of this rollout are recorded, which is the limit");
            (ExitStatus::TokenLimit, message)
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn last_failure(trajectory: &Trajectory) -> Option<String> {
    let last = trajectory.failed_calls.last()?;
    let is_last = last.steps_before == trajectory.steps.len() && !is_abandoned(last);
    is_last.then(|| last.message.clone())
}

fn is_abandoned(call: &FailedCall) -> bool {
    call.kind == CallFailureKind::Abandoned
}

fn json_bytes(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(0, |json| json.len())
}
