//! The agent's tools, as the policies without a model call them.

use swegym_core::{Completion, Message, ToolCall};

/// Runs a shell command: `command`.
pub(crate) const EXECUTE_BASH: &str = "execute_bash";
/// Views and edits files: `command`, `path` and what the command needs.
pub(crate) const EDITOR: &str = "str_replace_editor";
/// Ends the rollout.
pub(crate) const FINISH: &str = "finish";

/// An answer of one sentence and one call.
pub(crate) fn calling(sentence: impl Into<String>, call: ToolCall) -> Completion {
    Completion::new(Message::calling(sentence, vec![call]), "tool_calls")
}
