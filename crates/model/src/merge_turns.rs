//! Conversations for chat templates that refuse two turns of the same role.

use async_trait::async_trait;
use swegym_core::fncall::TextFormat;
use swegym_core::{ChatRequest, Completion, merged_turns};

use crate::{ModelError, Policy};

/// Sends conversations to a policy as [`merged_turns`] has them. What a scaffold said and in how many messages is kept
/// as it was; that it was sent so stands beside it.
pub struct MergeTurns {
    policy: Box<dyn Policy>,
}

impl MergeTurns {
    /// Wraps a policy for one rollout.
    pub fn new(policy: Box<dyn Policy>) -> Self {
        Self { policy }
    }
}

#[async_trait]
impl Policy for MergeTurns {
    fn name(&self) -> &str {
        self.policy.name()
    }

    fn tool_format(&self) -> Option<&TextFormat> {
        self.policy.tool_format()
    }

    fn merges_turns(&self) -> bool {
        true
    }

    async fn complete(&mut self, request: &ChatRequest<'_>) -> Result<Completion, ModelError> {
        let messages = merged_turns(request.messages.iter().cloned());
        self.policy.complete(&ChatRequest { messages: &messages, ..*request }).await
    }
}
