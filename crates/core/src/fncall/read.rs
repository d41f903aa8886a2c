//! From text to calls.

use serde_json::{Value, json};

use super::content::{Part, part_text, searched_text, text_part, unexpected_content};
use super::error::field;
use super::scan::{CALL_START, first_call, repaired, result};
use super::{CallError, TextFormat, validate};
use crate::ToolSpec;
use crate::python::strip;

/// An answer that makes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallText {
    /// What stands before the call.
    pub content: String,
    /// Name of the tool.
    pub name: String,
    /// Arguments as JSON.
    pub arguments: String,
}

/// Reads the first call of an answer; `None` where it makes none. An end that is missing is put in.
///
/// # Errors
/// [`CallError::Validation`] where the call does not fit the tools; [`CallError::Unexpected`] where it gives parameters
/// to a tool that takes none.
pub fn read_call(text: &str, tools: &[ToolSpec]) -> Result<Option<CallText>, CallError> {
    read_repaired(&repaired(text), tools)
}

fn read_repaired(text: &str, tools: &[ToolSpec]) -> Result<Option<CallText>, CallError> {
    let Some((name, body)) = first_call(text) else { return Ok(None) };
    let tool = validate::called(name, tools)?;
    let arguments = validate::arguments(tool, body)?.to_json();
    let content = text.split_once(CALL_START).map_or(text, |(before, _)| before);
    Ok(Some(CallText { content: strip(content).to_owned(), name: name.to_owned(), arguments }))
}

/// A conversation with calls, from one in which what they say is text: the inverse of [`to_text`](super::to_text), as
/// far as there is one. Calls get ids in order.
///
/// # Errors
/// As [`read_call`], and where content is not what it should be.
pub fn from_text(
    messages: &[Value],
    tools: &[ToolSpec],
    format: &TextFormat,
) -> Result<Vec<Value>, CallError> {
    let suffix = format.system_suffix(tools);
    let mut reader = Reader { tools, format, suffix: &suffix, calls: 0, user_spoke: false };
    messages.iter().map(|message| reader.message(message)).collect()
}

struct Reader<'a> {
    tools: &'a [ToolSpec],
    format: &'a TextFormat,
    suffix: &'a str,
    /// Calls read so far.
    calls: usize,
    user_spoke: bool,
}

impl Reader<'_> {
    fn message(&mut self, message: &Value) -> Result<Value, CallError> {
        let role = field(message, "role")?;
        let content = field(message, "content")?;
        let content = if is_falsy(content) { json!("") } else { content.clone() };
        match role.as_str() {
            Some("system") => Ok(json!({"role": "system", "content": self.system(content)?})),
            Some("user") => self.user(content),
            Some("assistant") => self.assistant(message, content),
            _ => {
                Err(CallError::conversion(format!("there is no role {role} in a conversation without calls")))
            }
        }
    }

    fn system(&self, mut content: Value) -> Result<Value, CallError> {
        let text = match &mut content {
            Value::String(text) => Some(text),
            Value::Array(parts) => Part::Last.text(parts)?,
            _ => None,
        };
        if let Some(text) = text.filter(|_| !self.suffix.is_empty()) {
            let end = text.find(self.suffix).unwrap_or(text.len());
            text.truncate(end);
        }
        Ok(content)
    }

    fn user(&mut self, mut content: Value) -> Result<Value, CallError> {
        if !std::mem::replace(&mut self.user_spoke, true) {
            self.remove_example(&mut content)?;
        }
        let Some((name, text)) = result_in(&mut content)? else {
            return Ok(json!({"role": "user", "content": content}));
        };
        let content = if content.is_array() { json!([text_part(text)]) } else { json!(text) };
        Ok(json!({"role": "tool", "name": name, "content": content, "tool_call_id": self.last_id()}))
    }

    fn remove_example(&self, content: &mut Value) -> Result<(), CallError> {
        let Some(example) = &self.format.example else { return Ok(()) };
        let remove =
            |text: &mut String| *text = text.replace(&example.prefix, "").replace(&example.suffix, "");
        match content {
            Value::String(text) => remove(text),
            Value::Array(parts) => {
                for part in parts {
                    part_text(part)?.map(remove);
                }
            }
            _ => return Err(unexpected_content("user")),
        }
        Ok(())
    }

    fn assistant(&mut self, message: &Value, mut content: Value) -> Result<Value, CallError> {
        let tools = self.tools;
        let found = match &mut content {
            Value::String(text) => read_call(text, tools)?.inspect(|call| text.clone_from(&call.content)),
            Value::Array(parts) => call_in(parts, tools)?,
            _ => return Err(unexpected_content("assistant")),
        };
        let Some(call) = found else {
            // Without a call a message stays as it is, but the repair of a list shows.
            let mut message = message.clone();
            if content.is_array() {
                message["content"] = content;
            }
            return Ok(message);
        };
        self.calls += 1;
        let function = json!({"name": call.name, "arguments": call.arguments});
        // Always 1: OpenHands reads one call a message, and gives it this index.
        let call = json!({"index": 1, "id": self.last_id(), "type": "function", "function": function});
        Ok(json!({"role": "assistant", "content": content, "tool_calls": [call]}))
    }

    fn last_id(&self) -> String {
        format!("toolu_{:02}", self.calls)
    }
}

/// The call in the last part of a list, of which the text before it is left. A call elsewhere is an error.
fn call_in(parts: &mut [Value], tools: &[ToolSpec]) -> Result<Option<CallText>, CallError> {
    if let Some(text) = Part::Last.text(parts)? {
        *text = repaired(text).into_owned();
        if let Some(call) = read_repaired(text, tools)? {
            text.clone_from(&call.content);
            return Ok(Some(call));
        }
    }
    for part in parts {
        if searched_text(part)?.is_some_and(|text| first_call(text).is_some()) {
            return Err(CallError::conversion("a call does not stand in the last part of its message"));
        }
    }
    Ok(None)
}

/// Name and text of the result that a message of the user is, which must be all of it.
fn result_in(content: &mut Value) -> Result<Option<(String, String)>, CallError> {
    let own = |(name, text): (&str, &str)| (name.to_owned(), strip(text).to_owned());
    match content {
        Value::String(text) => Ok(result(text).map(own)),
        Value::Array(parts) => {
            let count = parts.len();
            for part in parts {
                let found = searched_text(part)?.and_then(|text| result(text).map(own));
                if found.is_some() && count > 1 {
                    return Err(CallError::conversion("a result is not the only part of its message"));
                }
                if found.is_some() {
                    return Ok(found);
                }
            }
            Ok(None)
        }
        _ => Err(unexpected_content("user")),
    }
}

/// What Python takes for false.
fn is_falsy(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}
