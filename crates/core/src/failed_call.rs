//! Calls of a policy that came to no whole answer.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{CompletionTokens, Usage};

/// A call that got no whole answer, as a recording gateway saw it. It is no step: nothing is learned from half an answer
/// by taking it for a whole one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailedCall {
    /// How many steps there were before it.
    pub steps_before: usize,
    /// What was sent, as half-open ranges of the trajectory's messages.
    pub prompt: Vec<(usize, usize)>,
    /// As [`Step::request`](crate::Step::request).
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub request: Map<String, Value>,
    /// Who ended it.
    pub kind: CallFailureKind,
    /// What happened, in words.
    pub message: String,
    /// HTTP status of the endpoint, where it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What had come of the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub received: Vec<PartialAnswer>,
    /// Tokens, where the endpoint counted them before it ended.
    #[serde(default)]
    pub usage: Usage,
    /// Milliseconds until it ended.
    pub model_ms: u64,
}

/// Who ended a call before its answer was whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallFailureKind {
    /// The endpoint answered with an error.
    Refused,
    /// The endpoint could not be reached, or its answer broke off or was none.
    Broken,
    /// Whoever called hung up, or its rollout was over.
    Abandoned,
}

/// The beginning of an answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PartialAnswer {
    /// The message so far; its texts and arguments may end anywhere.
    pub message: Map<String, Value>,
    /// Token ids so far, where the endpoint gives them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<CompletionTokens>,
}
