//! A JSON object between tags.

use super::answer::{Parsed, ParsedCall};
use super::json;

pub(super) const CALL: &str = "<tool_call>";
pub(super) const CALL_END: &str = "</tool_call>";

pub(super) fn parse(text: &str) -> Option<Parsed<'_>> {
    let mut parts = text.split(CALL);
    let content = parts.next()?;
    let body = |part| str::split_once(part, CALL_END).map_or(part, |(body, _)| body);
    let calls = parts.map(|part| call(body(part))).collect::<Option<_>>()?;
    Some(Parsed { content, calls })
}

fn call(body: &str) -> Option<ParsedCall> {
    let read = json::call(&serde_json::from_str(body.trim()).ok()?)?;
    Some(ParsedCall { id: None, ..read })
}
