//! Says where two values differ.

use serde_json::{Value, json};

/// Longest text of a value in a difference, in characters.
const SHOWN: usize = 300;

/// Compares what ours gives with what is recorded; `what` names the value.
pub(crate) fn same(what: &str, ours: &Value, recorded: &Value) -> Result<(), String> {
    if ours == recorded {
        return Ok(());
    }
    if let (Value::Object(ours), Value::Object(recorded)) = (ours, recorded) {
        for key in recorded.keys().chain(ours.keys()) {
            let value = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
            same(&format!("{what}.{key}"), &value(ours), &value(recorded))?;
        }
        return Ok(());
    }
    Err(format!("{what}: ours {} recorded {}", shown(ours), shown(recorded)))
}

/// As [`same`], where upstream may have raised an exception; the error of ours is the type of it.
pub(crate) fn same_outcome(what: &str, ours: Result<Value, &str>, recorded: &Value) -> Result<(), String> {
    let kind = |kind: &str| json!({"__error__": kind});
    match (ours, recorded["__error__"].as_str()) {
        (Ok(ours), _) => same(what, &ours, recorded),
        (Err(ours), Some(recorded)) => same(what, &kind(ours), &kind(recorded)),
        (Err(ours), None) => same(what, &kind(ours), recorded),
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// A text of a record.
pub(crate) fn text<'a>(record: &'a Value, key: &str) -> Result<&'a str, String> {
    record[key].as_str().ok_or_else(|| format!("`{key}` is no text"))
}

/// Bytes as a record shows them.
pub(crate) fn texts(all: Vec<Vec<u8>>) -> Value {
    all.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
}
