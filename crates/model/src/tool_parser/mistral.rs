//! A JSON list of calls after a mark; in newer models the mark, a name and arguments for each call.

use serde_json::Value;

use super::answer::{Parsed, ParsedCall};
use super::json;

pub(super) const CALLS: &str = "[TOOL_CALLS]";
const ARGUMENTS: &str = "[ARGS]";
const ID: &str = "[CALL_ID]";

pub(super) fn parse(text: &str) -> Option<Parsed<'_>> {
    let (content, rest) = text.split_once(CALLS)?;
    let calls = match rest.trim_start().starts_with('[') {
        true => list(rest)?,
        false => rest.split(CALLS).map(call).collect::<Option<_>>()?,
    };
    Some(Parsed { content, calls })
}

fn list(text: &str) -> Option<Vec<ParsedCall>> {
    let (Value::Array(calls), rest) = json::first_value(text)? else { return None };
    if !rest.trim().is_empty() {
        return None;
    }
    calls.iter().map(|call| json::call(call).map(with_good_id)).collect()
}

fn call(text: &str) -> Option<ParsedCall> {
    let arguments = text.find('{')?;
    let (head, arguments) = text.split_at(arguments);
    let head = head.trim_end();
    let head = head.strip_suffix(ARGUMENTS).unwrap_or(head);
    let (name, id) = match head.split_once(ID) {
        Some((name, id)) => (name, Some(id.trim().to_owned())),
        None => (head, None),
    };
    let (value, rest) = json::first_value(arguments)?;
    let is_whole = rest.trim().is_empty() && !name.trim().is_empty();
    is_whole.then(|| with_good_id(ParsedCall { id, ..ParsedCall::new(name.trim(), value.to_string()) }))
}

/// The templates of these models refuse other ids.
fn with_good_id(call: ParsedCall) -> ParsedCall {
    let is_good = |id: &String| id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    ParsedCall { id: call.id.filter(is_good), ..call }
}
