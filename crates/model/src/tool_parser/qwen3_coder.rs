//! Tags for a function and each of its arguments, which are text: what type they are the tool's schema says.

use serde_json::{Map, Value};
use swegym_core::ToolSpec;

use super::answer::{Parsed, ParsedCall};
use super::hermes::CALL;

const FUNCTION: &str = "<function=";
const FUNCTION_END: &str = "</function>";
const PARAMETER: &str = "<parameter=";
const PARAMETER_END: &str = "</parameter>";

pub(super) fn parse<'a>(text: &'a str, tools: &[ToolSpec]) -> Option<Parsed<'a>> {
    let mut parts = text.split(FUNCTION);
    let before = parts.next()?;
    let calls = parts.map(|part| call(part, tools)).collect::<Option<_>>()?;
    let content = before.split_once(CALL).map_or(before, |(content, _)| content);
    Some(Parsed { content, calls })
}

fn call(part: &str, tools: &[ToolSpec]) -> Option<ParsedCall> {
    let body = part.split_once(FUNCTION_END).map_or(part, |(body, _)| body);
    let (name, body) = body.split_once('>').filter(|(name, _)| !name.is_empty())?;
    let tool = tools.iter().find(|tool| tool.name == name);
    let mut arguments = Map::new();
    for parameter in body.split(PARAMETER).skip(1) {
        let (name, value) = parameter.split_once('>')?;
        let value = value.split_once(PARAMETER_END).map_or(value, |(value, _)| value);
        let value = value.strip_prefix('\n').unwrap_or(value);
        let value = value.strip_suffix('\n').unwrap_or(value);
        arguments.insert(name.to_owned(), typed(value, tool.and_then(|tool| kind(tool, name))));
    }
    Some(ParsedCall::new(name, Value::Object(arguments).to_string()))
}

/// The type of a parameter; the first that is something, where it may be nothing.
fn kind<'a>(tool: &'a ToolSpec, parameter: &str) -> Option<&'a str> {
    match tool.parameters.get("properties")?.get(parameter)?.get("type")? {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        kind => kind.as_str(),
    }
}

/// Text stays text, also where it looks like a number, as does what does not read as what it should be.
fn typed(value: &str, kind: Option<&str>) -> Value {
    let text = || Value::from(value);
    match kind {
        None | Some("string") => text(),
        Some(_) if value.trim().eq_ignore_ascii_case("null") => Value::Null,
        Some("boolean") if value.trim().eq_ignore_ascii_case("true") => true.into(),
        Some("boolean") if value.trim().eq_ignore_ascii_case("false") => false.into(),
        Some(_) => serde_json::from_str(value).unwrap_or_else(|_| text()),
    }
}
