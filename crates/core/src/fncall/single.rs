//! One call a message.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::error::field;
use super::render::{typed, untyped};
use super::{CallError, Exception, TextFormat, to_text};
use crate::{Message, ToolSpec};

/// Splits messages with several calls, so that each call is followed by its result, in the order of the results. Of the
/// text of such a message the first call gets all. Messages with one call stay.
///
/// Calls without a result at the end are dropped when `ignore_final_result` is set.
///
/// # Errors
/// [`CallError::Conversion`] where a call at the end has no result; [`CallError::Unexpected`] where another message
/// comes before a result does, and where a field is missing.
pub fn single_calls(messages: &[Value], ignore_final_result: bool) -> Result<Vec<Value>, CallError> {
    let mut converted = Vec::new();
    let mut pending: HashMap<String, Value> = HashMap::new();
    for message in messages {
        let (role, content) = (field(message, "role")?, field(message, "content")?);
        let calls = message.get("tool_calls").and_then(Value::as_array).filter(|calls| calls.len() > 1);
        match (role.as_str(), calls) {
            (Some("assistant"), Some(calls)) => {
                for (index, call) in calls.iter().enumerate() {
                    let content = if index == 0 { content.clone() } else { json!("") };
                    let single = json!({"role": "assistant", "content": content, "tool_calls": [call]});
                    pending.insert(id(field(call, "id")?), single);
                }
                continue;
            }
            // OpenHands lets an assistant speak while results are missing, but nobody else.
            (Some("assistant"), None) => {}
            (Some("tool"), _) => match pending.remove(&id(field(message, "tool_call_id")?)) {
                Some(call) => converted.push(call),
                None => nothing_pending(&pending)?,
            },
            _ => nothing_pending(&pending)?,
        }
        converted.push(message.clone());
    }
    if !ignore_final_result && !pending.is_empty() {
        return Err(CallError::conversion(format!("{} calls at the end have no result", pending.len())));
    }
    Ok(converted)
}

/// An id as the key of a map; ids other than texts are equal where their JSON is.
fn id(value: &Value) -> String {
    value.to_string()
}

fn nothing_pending(pending: &HashMap<String, Value>) -> Result<(), CallError> {
    if pending.is_empty() {
        return Ok(());
    }
    let message = format!("{} calls have no result before the next message", pending.len());
    Err(CallError::unexpected(Exception::AssertionError, message))
}

/// A conversation in the form in which SWE-Gym trained on it: one call a message, calls as text, no example, and no
/// calls at the end that have no result.
///
/// # Errors
/// As [`single_calls`] and [`to_text`]; SWE-Gym drops such conversations.
pub fn training_text(
    messages: &[Value],
    tools: &[ToolSpec],
    format: &TextFormat,
) -> Result<Vec<Value>, CallError> {
    let mut messages = messages.to_vec();
    for message in &mut messages {
        if let Some(content @ Value::Null) = message.get_mut("content") {
            *content = json!("");
        }
    }
    to_text(&single_calls(&messages, true)?, tools, &format.without_example())
}

impl TextFormat {
    /// As [`training_text`], for messages of ours.
    ///
    /// # Errors
    /// As [`training_text`].
    pub fn training_text(&self, messages: &[Message], tools: &[ToolSpec]) -> Result<Vec<Message>, CallError> {
        typed(training_text(&untyped(messages)?, tools, self)?)
    }
}
