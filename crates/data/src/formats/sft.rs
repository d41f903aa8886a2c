//! Conversations for fine-tuning, one a line, in the form of chat completions.

use std::borrow::Cow;
use std::path::Path;

use serde::Serialize;
use swegym_core::{InstanceId, Message, Trajectory, merged_turns};

use super::chat::{Tool, tools};
use super::conversations::conversations;
use super::export::{Export, Writer};
use super::files::Lines;
use super::rollout::Rollout;
use super::text::sft_text;
use crate::DataError;

/// How calls of tools are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ToolFormat {
    /// As `tool_calls`, with `tools` beside the messages.
    #[default]
    Native,
    /// In the text of the messages, one call a message, as SWE-Gym trained.
    Text,
}

#[derive(Serialize)]
struct Row<'a> {
    messages: Vec<Cow<'a, Message>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<Vec<Tool<'a>>>,
    instance_id: &'a InstanceId,
    sample: u32,
    model: &'a str,
    resolved: bool,
    /// Number of the conversation, from 0, where the rollout has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<usize>,
}

/// Writes one file for all rollouts and samples.
pub(crate) struct Sft {
    lines: Lines,
    form: ToolFormat,
}

impl Sft {
    pub(crate) fn create(path: &Path, form: ToolFormat) -> Result<Self, DataError> {
        Ok(Self { lines: Lines::create(path)?, form })
    }
}

impl Writer for Sft {
    fn add(&mut self, rollout: &Rollout) -> Result<bool, DataError> {
        let Some(trajectory) = rollout.conversation() else {
            return Ok(false);
        };
        let all = conversations(trajectory);
        let several = all.len() > 1;
        let mut written = false;
        for (number, messages) in all.into_iter().enumerate() {
            let Some(messages) = written_as(self.form, trajectory, messages) else { continue };
            let tools = (self.form == ToolFormat::Native).then(|| tools(&trajectory.tools));
            self.lines.row(&row(rollout, messages, tools, several.then_some(number)))?;
            written = true;
        }
        Ok(written)
    }

    fn finish(self: Box<Self>) -> Result<Vec<Export>, DataError> {
        Ok(vec![self.lines.commit()?])
    }
}

/// A conversation in a form; none where it has no such form.
fn written_as<'a>(
    form: ToolFormat,
    trajectory: &Trajectory,
    messages: Vec<&'a Message>,
) -> Option<Vec<Cow<'a, Message>>> {
    let messages: Vec<Cow<'_, Message>> = match form {
        ToolFormat::Native => messages.into_iter().map(Cow::Borrowed).collect(),
        ToolFormat::Text => {
            let messages: Vec<Message> = messages.into_iter().cloned().collect();
            let text = sft_text(trajectory, &messages, None).ok()?;
            text.into_iter().map(Cow::Owned).collect()
        }
    };
    if !trajectory.merged_turns {
        return Some(messages);
    }
    let merged = merged_turns(messages.into_iter().map(Cow::into_owned));
    Some(merged.into_iter().map(Cow::Owned).collect())
}

fn row<'a>(
    rollout: &'a Rollout,
    messages: Vec<Cow<'a, Message>>,
    tools: Option<Vec<Tool<'a>>>,
    conversation: Option<usize>,
) -> Row<'a> {
    Row {
        messages,
        tools,
        instance_id: &rollout.record.key.instance_id,
        sample: rollout.sample,
        model: &rollout.record.policy,
        resolved: rollout.record.resolved(),
        conversation,
    }
}
