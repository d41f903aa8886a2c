//! Marks around names and arguments. V3 and R1 write a kind, the name, and JSON in a fence; V3.1 the name and JSON.

use super::answer::{Parsed, ParsedCall};

pub(super) const CALL: &str = "<｜tool▁call▁begin｜>";
const CALLS: &str = "<｜tool▁calls▁begin｜>";
const CALL_END: &str = "<｜tool▁call▁end｜>";
const SEPARATOR: &str = "<｜tool▁sep｜>";
const FENCE: &str = "```json";
const FENCE_END: &str = "```";

pub(super) fn parse(text: &str) -> Option<Parsed<'_>> {
    let mut parts = text.split(CALL);
    let before = parts.next()?;
    let content = before.split_once(CALLS).map_or(before, |(content, _)| content);
    let calls = parts.map(call).collect::<Option<_>>()?;
    Some(Parsed { content, calls })
}

fn call(part: &str) -> Option<ParsedCall> {
    let body = part.split_once(CALL_END).map_or(part, |(body, _)| body);
    let (first, second) = body.split_once(SEPARATOR)?;
    let (name, arguments) = match second.split_once(FENCE) {
        Some((name, fenced)) => (name, fenced.rsplit_once(FENCE_END).map_or(fenced, |(json, _)| json)),
        None => (first, second),
    };
    let (name, arguments) = (name.trim(), arguments.trim());
    (!name.is_empty()).then(|| ParsedCall::new(name, arguments))
}
