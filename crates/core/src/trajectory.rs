//! What happened in a rollout.

use serde::{Deserialize, Serialize};

use crate::{InstanceId, Message, ToolSpec, Usage};

/// Version of the stored form of [`Trajectory`].
pub const TRAJECTORY_SCHEMA_VERSION: u32 = 1;

/// How a valid trajectory ended. Running out of budget is an end, not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// The policy called the finish tool.
    Finished,
    /// The limit on steps was reached.
    StepLimit,
    /// The limit on tokens was reached, or the context window is full.
    TokenLimit,
    /// The limit on wall time was reached.
    TimeLimit,
    /// The same action again and again.
    StuckInLoop,
    /// The policy answered without any tool call too often in a row.
    NoToolCall,
}

/// One step: one answer of the policy and the observations that followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Index in `messages` of the assistant message of this step; its observations follow it.
    pub message_index: usize,
    /// Tokens of this answer.
    pub usage: Usage,
    /// Why the endpoint stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// Milliseconds until the policy had answered.
    pub model_ms: u64,
    /// Milliseconds that the tools took.
    pub tool_ms: u64,
}

/// A whole rollout as the policy saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trajectory {
    /// [`TRAJECTORY_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The instance.
    pub instance_id: InstanceId,
    /// Index of the sample.
    pub sample: u32,
    /// Name of the scaffold.
    pub scaffold: String,
    /// Name of the policy: the model, or `gold`, `noop` ...
    pub policy: String,
    /// Tools that were on offer.
    pub tools: Vec<ToolSpec>,
    /// The conversation, in order.
    pub messages: Vec<Message>,
    /// One entry for each answer of the policy.
    pub steps: Vec<Step>,
    /// How it ended.
    pub exit_status: ExitStatus,
    /// Sum over the steps.
    pub usage: Usage,
}
