//! Calls that are JSON objects.

use serde_json::{Deserializer, Value};

use super::answer::ParsedCall;

/// A call with a `name` and its `arguments` or `parameters`.
pub(super) fn call(value: &Value) -> Option<ParsedCall> {
    let name = value.get("name")?.as_str()?.to_owned();
    let arguments = match value.get("arguments").or(value.get("parameters")) {
        None => "{}".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(arguments) => arguments.to_string(),
    };
    let id = value.get("id").and_then(Value::as_str).map(str::to_owned);
    Some(ParsedCall { id, name, arguments })
}

/// The JSON value that a text begins with, and what follows it.
pub(super) fn first_value(text: &str) -> Option<(Value, &str)> {
    let mut values = Deserializer::from_str(text).into_iter::<Value>();
    let value = values.next()?.ok()?;
    let end = values.byte_offset();
    Some((value, &text[end..]))
}
