//! Contents of messages: texts, or lists of parts of which some are texts.

use serde_json::{Value, json};

use super::CallError;
use super::error::field;

/// A part that is a text.
pub(super) fn text_part(text: impl Into<String>) -> Value {
    json!({"type": "text", "text": text.into()})
}

/// Content that is neither a text nor a list.
pub(super) fn unexpected_content(role: &str) -> CallError {
    CallError::conversion(format!("the content of a message of `{role}` is neither a text nor a list"))
}

/// The text of a part, if it is one.
pub(super) fn part_text(part: &mut Value) -> Result<Option<&mut String>, CallError> {
    if field(part, "type")? != "text" {
        return Ok(None);
    }
    field(part, "text")?;
    match &mut part["text"] {
        Value::String(text) => Ok(Some(text)),
        _ => Err(CallError::type_error("the text of a part")),
    }
}

/// As [`part_text`], for parts that may lack their type.
pub(super) fn searched_text(part: &mut Value) -> Result<Option<&mut String>, CallError> {
    if part.get("type").is_none() { Ok(None) } else { part_text(part) }
}

/// Which part of a list is edited.
#[derive(Clone, Copy)]
pub(super) enum Part {
    First,
    Last,
}

impl Part {
    /// The text of this part, if it is there and is one.
    pub(super) fn text(self, parts: &mut [Value]) -> Result<Option<&mut String>, CallError> {
        let part = match self {
            Self::First => parts.first_mut(),
            Self::Last => parts.last_mut(),
        };
        part.map_or(Ok(None), part_text)
    }
}

/// What is done with a content.
pub(super) struct Edit<T, L> {
    /// Which part of a list is like a content that is a text.
    pub(super) part: Part,
    /// What is done with the text.
    pub(super) text: T,
    /// What is done with a list in which that part is no text.
    pub(super) list: L,
}

impl<T: FnOnce(&mut String), L: FnOnce(&mut Vec<Value>)> Edit<T, L> {
    /// Edits the content of a message of `role`.
    pub(super) fn apply(self, role: &str, mut content: Value) -> Result<Value, CallError> {
        match &mut content {
            Value::String(text) => (self.text)(text),
            Value::Array(parts) => match self.part.text(parts)? {
                Some(text) => (self.text)(text),
                None => (self.list)(parts),
            },
            _ => return Err(unexpected_content(role)),
        }
        Ok(content)
    }
}
