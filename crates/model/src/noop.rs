//! The policy that does nothing: what it resolves was no task.

use async_trait::async_trait;
use serde_json::json;
use swegym_core::{ChatRequest, Completion, ToolCall};

use crate::action::{FINISH, calling};
use crate::{ModelError, Policy};

/// Calls the finish tool at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoopPolicy;

#[async_trait]
impl Policy for NoopPolicy {
    fn name(&self) -> &str {
        "noop"
    }

    async fn complete(&mut self, _: &ChatRequest<'_>) -> Result<Completion, ModelError> {
        Ok(calling("Nothing to do.", ToolCall::new("call_1", FINISH, &json!({}))))
    }
}
