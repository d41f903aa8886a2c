//! The stream of events that a run emits. Terminal, log file and metrics are renderers of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ExitStatus, Failure, InstanceId, RolloutKey};

/// One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Number within the run, from 0 and without gaps, over all resumptions.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Milliseconds since this process began the run.
    pub elapsed_ms: u64,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// Counts of a run, over all its rollouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunCounts {
    /// Rollouts that the run asks for.
    pub planned: usize,
    /// Rollouts that happened.
    pub completed: usize,
    /// Of these, resolved.
    pub resolved: usize,
    /// Rollouts that infrastructure kept from happening, and evaluations that could not be executed.
    pub failed: usize,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum EventKind {
    /// A process began or resumed the run.
    RunStarted {
        /// Name of the run.
        run: String,
        /// What the run asks for, and what of it was committed before.
        counts: RunCounts,
    },
    /// An image is ready.
    ImageReady {
        /// The instance that needs it.
        instance_id: InstanceId,
        /// Whether every layer was in the store.
        reused: bool,
        /// Milliseconds.
        ms: u64,
    },
    /// A rollout began.
    RolloutStarted {
        /// Which.
        #[serde(flatten)]
        key: RolloutKey,
        /// Attempts before this one.
        attempt: u32,
    },
    /// The scaffold ended, the patch is taken, the evaluation begins.
    AgentFinished {
        /// Which.
        #[serde(flatten)]
        key: RolloutKey,
        /// How it ended.
        exit_status: ExitStatus,
        /// Answers of the policy.
        turns: usize,
        /// Bytes of the patch.
        patch_bytes: usize,
        /// Milliseconds.
        ms: u64,
    },
    /// An attempt failed and will be repeated.
    AttemptFailed {
        /// Which.
        #[serde(flatten)]
        key: RolloutKey,
        /// Index of the attempt, from 0.
        attempt: u32,
        /// What happened.
        failure: Failure,
    },
    /// A rollout is committed.
    RolloutFinished {
        /// Which.
        #[serde(flatten)]
        key: RolloutKey,
        /// Whether it is resolved.
        resolved: bool,
        /// Set when infrastructure kept it from happening.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
        /// Path of the record, relative to the run directory.
        record: String,
        /// SHA-256 of the record, hexadecimal.
        sha256: String,
        /// Milliseconds over all parts.
        ms: u64,
    },
    /// The run was asked to stop before it was done.
    RunInterrupted {
        /// Counts so far.
        counts: RunCounts,
    },
    /// Every rollout of the run is committed.
    RunFinished {
        /// Counts.
        counts: RunCounts,
    },
}
