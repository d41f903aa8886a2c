//! Conversations for fine-tuning, one a line, in the form of chat completions.

use std::path::Path;

use serde::Serialize;
use swegym_core::{InstanceId, Message, Trajectory};

use super::chat::{Tool, tools};
use super::conversations::conversations;
use super::export::{Export, Writer};
use super::files::Lines;
use super::rollout::Rollout;
use crate::DataError;

/// How calls of tools are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ToolFormat {
    /// As `tool_calls`, with `tools` beside the messages.
    #[default]
    Native,
}

#[derive(Serialize)]
struct Row<'a> {
    messages: Vec<&'a Message>,
    tools: Vec<Tool<'a>>,
    instance_id: &'a InstanceId,
    sample: u32,
    model: &'a str,
    resolved: bool,
    /// Number of the conversation, from 0, where the rollout has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<usize>,
}

/// Writes one file for all rollouts and samples.
pub(crate) struct Sft(Lines);

impl Sft {
    pub(crate) fn create(path: &Path) -> Result<Self, DataError> {
        Lines::create(path).map(Self)
    }
}

impl Writer for Sft {
    fn add(&mut self, rollout: &Rollout) -> Result<bool, DataError> {
        let Some(trajectory) = rollout.conversation() else {
            return Ok(false);
        };
        let all = conversations(trajectory);
        let several = all.len() > 1;
        for (number, messages) in all.into_iter().enumerate() {
            self.0.row(&row(rollout, trajectory, messages, several.then_some(number)))?;
        }
        Ok(true)
    }

    fn finish(self: Box<Self>) -> Result<Vec<Export>, DataError> {
        Ok(vec![self.0.commit()?])
    }
}

fn row<'a>(
    rollout: &'a Rollout,
    trajectory: &'a Trajectory,
    messages: Vec<&'a Message>,
    conversation: Option<usize>,
) -> Row<'a> {
    Row {
        messages,
        tools: tools(&trajectory.tools),
        instance_id: &rollout.record.key.instance_id,
        sample: rollout.sample,
        model: &rollout.record.policy,
        resolved: rollout.record.resolved(),
        conversation,
    }
}
