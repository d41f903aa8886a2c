//! Messages as programs send them, which may hold more than a [`Message`] can.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::{Message, Role, Step, ToolCall, Trajectory};

/// A message, and its whole text where the [`Message`] does not say everything. Fields that are null or empty say as
/// little as fields that are not there.
#[derive(Debug, Clone, PartialEq)]
pub struct SentMessage {
    /// As much of it as fits.
    pub message: Message,
    /// All of it, where that is more.
    pub whole: Option<Map<String, Value>>,
}

impl SentMessage {
    /// Reads one; never refuses.
    pub fn read(fields: &Map<String, Value>) -> Self {
        let telling = telling(fields);
        let message = lenient(&telling);
        let whole = (wire(&message) != telling).then_some(telling);
        Self { message, whole }
    }
}

/// What was sent before the answer of `step`, as it was sent but for null and empty fields.
pub fn sent_prompt(trajectory: &Trajectory, step: &Step) -> Vec<Map<String, Value>> {
    let wholes = wholes(trajectory);
    let message =
        |index: usize| wholes.get(&index).cloned().or_else(|| trajectory.messages.get(index).map(wire));
    let all = step.prompt.is_empty().then_some((0, step.message_index));
    let ranges = step.prompt.iter().copied().chain(all);
    ranges.flat_map(|(start, end)| start..end.min(trajectory.messages.len())).filter_map(message).collect()
}

/// Messages that say more than fits, by index.
pub(super) fn wholes(trajectory: &Trajectory) -> HashMap<usize, Map<String, Value>> {
    let requests = trajectory.steps.iter().map(|step| &step.request);
    let requests = requests.chain(trajectory.failed_calls.iter().map(|call| &call.request));
    let told = requests.filter_map(|request| request.get("messages")?.as_object());
    let read = |(index, whole): (&String, &Value)| Some((index.parse().ok()?, whole.as_object()?.clone()));
    told.flatten().filter_map(read).collect()
}

/// A message as it goes over the wire, without what says nothing.
fn wire(message: &Message) -> Map<String, Value> {
    match serde_json::to_value(message) {
        Ok(Value::Object(fields)) => telling(&fields),
        _ => Map::new(),
    }
}

fn telling(fields: &Map<String, Value>) -> Map<String, Value> {
    let fields = fields.iter().filter(|(_, value)| says(value));
    fields.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Clients send answers back with objects of fields that are all null.
fn says(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => fields.values().any(says),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn lenient(fields: &Map<String, Value>) -> Message {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let role = match fields.get("role").and_then(Value::as_str) {
        Some("system" | "developer") => Role::System,
        Some("assistant") => Role::Assistant,
        Some("tool" | "function") => Role::Tool,
        _ => Role::User,
    };
    let calls = fields.get("tool_calls").and_then(Value::as_array);
    Message {
        role,
        content: fields.get("content").map(plain_text).unwrap_or_default(),
        // vLLM has had both names for it.
        reasoning_content: text("reasoning_content").or_else(|| text("reasoning")),
        tool_calls: calls.into_iter().flatten().map(call).collect(),
        tool_call_id: text("tool_call_id"),
        name: text("name"),
    }
}

/// Content is a text, or a list of parts of which some are text.
fn plain_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect(),
        _ => String::new(),
    }
}

fn call(call: &Value) -> ToolCall {
    let text = |place: &str| call.pointer(place).and_then(Value::as_str).unwrap_or_default();
    let mut read = ToolCall::new(text("/id"), text("/function/name"), &Value::Null);
    read.function.arguments = match call.pointer("/function/arguments") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(arguments)) => arguments.clone(),
        Some(arguments) => arguments.to_string(),
    };
    read
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> SentMessage {
        SentMessage::read(value.as_object().unwrap())
    }

    #[test]
    fn what_fits_is_kept_once() {
        let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}});
        for usual in [
            json!({"role": "user", "content": "x"}),
            json!({"role": "assistant", "content": null, "tool_calls": [call], "refusal": null, "annotations": []}),
            json!({"role": "assistant", "content": "x", "provider_specific_fields": {"refusal": null}}),
            json!({"role": "tool", "tool_call_id": "c", "name": "f", "content": "y"}),
        ] {
            assert_eq!(read(usual.clone()).whole, None, "{usual}");
        }
    }

    #[test]
    fn what_does_not_fit_is_kept_whole_and_read_as_far_as_it_goes() {
        let parts =
            json!([{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]);
        for (unusual, role, content) in [
            (json!({"role": "user", "content": parts}), Role::User, "ab"),
            (json!({"role": "developer", "content": "x"}), Role::System, "x"),
            (json!({"role": 7, "content": {"a": 1}}), Role::User, ""),
            (json!({"role": "user", "content": "x", "cache_control": {"type": "e"}}), Role::User, "x"),
            (json!({"role": "assistant", "tool_calls": [{"index": 0}, 5]}), Role::Assistant, ""),
        ] {
            let SentMessage { message, whole } = read(unusual.clone());
            assert_eq!((message.role, message.content.as_str()), (role, content), "{unusual}");
            assert_eq!(whole.map(Value::Object), Some(unusual));
        }
    }
}
