//! The committed record of a rollout.

use serde::{Deserialize, Serialize};

use crate::{ConnectionCounts, ExitStatus, Failure, RolloutKey, Usage, Verdict};

/// Version of the stored form of [`RolloutRecord`].
pub const ROLLOUT_SCHEMA_VERSION: u32 = 1;

/// Whether a rollout happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutStatus {
    /// It has a trajectory, a patch and a verdict.
    Completed,
    /// Infrastructure kept it from completing; it counts as not resolved and is shown apart.
    Failed,
}

/// Where the time of a rollout went, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timings {
    /// Waiting for the image and creating the sandbox.
    pub setup_ms: u64,
    /// The scaffold: policy and tools.
    pub agent_ms: u64,
    /// Evaluation in the fresh sandbox.
    pub eval_ms: u64,
}

impl Timings {
    /// All parts together.
    pub fn total_ms(&self) -> u64 {
        self.setup_ms.saturating_add(self.agent_ms).saturating_add(self.eval_ms)
    }
}

/// `rollout.json`: written last and atomically; its existence commits the rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutRecord {
    /// [`ROLLOUT_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Which rollout.
    #[serde(flatten)]
    pub key: RolloutKey,
    /// Name of the policy: goes into predictions as `model_name_or_path`.
    pub policy: String,
    /// Whether it happened.
    pub status: RolloutStatus,
    /// How the trajectory ended, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<ExitStatus>,
    /// Number of answers of the policy.
    pub turns: usize,
    /// Tokens.
    pub usage: Usage,
    /// Whether the patch is empty.
    pub empty_patch: bool,
    /// Milliseconds.
    pub timings: Timings,
    /// What its sandbox asked of the network, where it had a list of hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<ConnectionCounts>,
    /// The verdict, where the evaluation happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What kept it from completing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Attempts that failed before this one.
    pub failed_attempts: u32,
}

impl RolloutRecord {
    /// Whether the verdict says resolved.
    pub fn resolved(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| verdict.resolved)
    }
}
