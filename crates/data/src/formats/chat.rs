//! Chat messages and tools in the many forms of the wire.

use serde::Serialize;
use serde_json::Value;
use swegym_core::{Completion, Message, Role, ToolCall, ToolCallFunction, ToolSpec, Usage};

/// A tool in the form of chat completions.
#[derive(Serialize)]
pub(crate) struct Tool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: &'a ToolSpec,
}

/// Tools in the form of chat completions.
pub(crate) fn tools(specs: &[ToolSpec]) -> Vec<Tool<'_>> {
    specs.iter().map(|function| Tool { kind: "function", function }).collect()
}

/// Reads a message; keys that are not those of [`Message`] are left out, and of content in parts all but the text.
pub(crate) fn message(value: &Value) -> Result<Message, String> {
    let role = role(value)?;
    let calls = match value.get("tool_calls") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(calls)) => calls.iter().map(tool_call).collect::<Result<_, _>>()?,
        Some(_) => return Err("field `tool_calls`: must be a list".to_owned()),
    };
    Ok(Message {
        reasoning_content: string(value, "reasoning_content"),
        tool_calls: calls,
        tool_call_id: string(value, "tool_call_id"),
        name: string(value, "name"),
        ..Message::text(role, text(value.get("content")))
    })
}

fn role(value: &Value) -> Result<Role, String> {
    match value.get("role").and_then(Value::as_str) {
        Some("system" | "developer") => Ok(Role::System),
        Some("user") => Ok(Role::User),
        Some("assistant") => Ok(Role::Assistant),
        Some("tool" | "function") => Ok(Role::Tool),
        Some(other) => Err(format!("field `role`: `{}` is none that is known", clip(other))),
        None => Err("field `role`: is missing".to_owned()),
    }
}

/// Text of a content: a string, or a list of parts, whose texts stand on lines of their own.
pub(crate) fn text(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().filter_map(part).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

fn part(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("text")?.as_str())
}

/// Reads a call of a tool, with arguments as text or as an object.
pub(crate) fn tool_call(value: &Value) -> Result<ToolCall, String> {
    let function = value.get("function").unwrap_or(value);
    let name = string(function, "name").ok_or("field `tool_calls`: a call has no name")?;
    let arguments = match function.get("arguments") {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(object) => object.to_string(),
    };
    Ok(ToolCall {
        id: string(value, "id").unwrap_or_default(),
        kind: "function".to_owned(),
        function: ToolCallFunction { name, arguments },
    })
}

/// Reads a list of tools, in the form of chat completions or bare; what is not a tool is left out.
pub(crate) fn tool_specs(list: Option<&Value>) -> Vec<ToolSpec> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(tool_spec).collect()
}

fn tool_spec(value: &Value) -> Option<ToolSpec> {
    let function = value.get("function").unwrap_or(value);
    let parameters =
        ["parameters", "input_schema", "inputSchema"].into_iter().find_map(|key| function.get(key));
    Some(ToolSpec {
        name: string(function, "name").or_else(|| string(function, "title"))?,
        description: string(function, "description").unwrap_or_default(),
        parameters: parameters.cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new())),
    })
}

/// An answer, with what the response of the endpoint says about it.
pub(crate) fn completion(message: Message, response: Option<&Value>, cost: Option<f64>) -> Completion {
    let usage = response.and_then(|response| response.get("usage"));
    let finish_reason =
        response.and_then(|response| string(response.pointer("/choices/0")?, "finish_reason"));
    Completion {
        usage: usage.map(read_usage).unwrap_or_default(),
        finish_reason,
        cost,
        ..Completion::new(message, "")
    }
}

fn read_usage(value: &Value) -> Usage {
    let count = |pointer: &str| value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    Usage {
        prompt_tokens: count("/prompt_tokens"),
        completion_tokens: count("/completion_tokens"),
        cached_tokens: count("/prompt_tokens_details/cached_tokens"),
    }
}

/// Token counts in the form of chat completions.
pub(crate) fn usage(usage: Usage) -> Value {
    serde_json::json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total(),
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    })
}

/// A field that is a string.
pub(crate) fn string(value: &Value, field: &str) -> Option<String> {
    value.get(field).and_then(Value::as_str).map(str::to_owned)
}

/// The beginning of a text that may be anything, for messages to people.
pub(crate) fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}
