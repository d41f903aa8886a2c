//! Whether a call fits the tools, and its arguments.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::CallError;
use super::describe::{names, properties};
use super::error::missing;
use super::scan::parameters;
use crate::ToolSpec;
use crate::python::{Json, parse_int, strip};

/// The tool that is called.
pub(super) fn called<'a>(name: &str, tools: &'a [ToolSpec]) -> Result<&'a ToolSpec, CallError> {
    tools.iter().find(|tool| tool.name == name).ok_or_else(|| {
        let known = Json::List(tools.iter().map(|tool| Json::Text(tool.name.clone())).collect());
        CallError::Validation(format!("Function '{name}' not found in available tools: {}", known.to_repr()))
    })
}

/// The arguments in the body of a call. Of parameters of one name the last one counts, in the place of the first.
pub(super) fn arguments(tool: &ToolSpec, body: &str) -> Result<Json, CallError> {
    let mut arguments: Vec<(String, Json)> = Vec::new();
    let mut places = HashMap::new();
    for (name, value) in parameters(body) {
        // White space at both ends goes, and with it the indentation of a first line: models were trained so.
        let value = argument(tool, name, strip(value))?;
        let place = *places.entry(name).or_insert(arguments.len());
        match arguments.get_mut(place) {
            Some(argument) => argument.1 = value,
            None => arguments.push((name.to_owned(), value)),
        }
    }
    let given: HashSet<&str> = places.into_keys().collect();
    let lacking: Vec<&str> =
        names(&tool.parameters["required"]).filter(|name| !given.contains(name)).collect();
    if !lacking.is_empty() {
        let (tool, lacking) = (&tool.name, set(lacking.into_iter()));
        let message = format!("Missing required parameters for function '{tool}': {lacking}");
        return Err(CallError::Validation(message));
    }
    Ok(Json::Object(arguments))
}

fn argument(tool: &ToolSpec, name: &str, value: &str) -> Result<Json, CallError> {
    let allowed = tool.parameters["properties"].as_object().filter(|allowed| !allowed.is_empty());
    if let Some(allowed) = allowed.filter(|allowed| !allowed.contains_key(name)) {
        let (tool, allowed) = (&tool.name, set(allowed.keys().map(String::as_str)));
        let message =
            format!("Parameter '{name}' is not allowed for function '{tool}'. Allowed parameters: {allowed}");
        return Err(CallError::Validation(message));
    }
    // OpenHands dies here where a tool takes no parameters at all.
    let property = properties(tool)?.get(name).ok_or_else(|| missing(name))?;
    let value = typed(name, property, value)?;
    let Some(choices) = property.get("enum") else { return Ok(value) };
    let choices = Json::from(choices);
    if matches!(&choices, Json::List(choices) if choices.contains(&value)) {
        return Ok(value);
    }
    let message = format!("Parameter '{name}' is expected to be one of {}.", choices.to_repr());
    Err(CallError::Validation(message))
}

/// A value of the type that the schema names. OpenHands has tools with texts, integers and arrays only, and takes
/// everything else for text; numbers and truth values are ours, and stay text where they do not read as such.
fn typed(name: &str, property: &Value, value: &str) -> Result<Json, CallError> {
    let text = || Json::Text(value.to_owned());
    let expected = |what| CallError::Validation(format!("Parameter '{name}' is expected to be {what}."));
    match property["type"].as_str() {
        Some("integer") => parse_int(value).map(Json::Int).ok_or_else(|| expected("an integer")),
        Some("array") => Json::parse(value)
            .map_err(|error| CallError::from_json(error).unwrap_or_else(|| expected("an array"))),
        Some("number") => Ok(Json::parse(value).ok().filter(is_number).unwrap_or_else(text)),
        Some("boolean") => Ok(match value.to_lowercase().as_str() {
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            _ => text(),
        }),
        _ => Ok(text()),
    }
}

fn is_number(value: &Json) -> bool {
    match value {
        Json::Int(_) => true,
        Json::Float(number) => number.is_finite(),
        _ => false,
    }
}

/// A set of texts as Python prints it, but in the order in which they come.
fn set<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let texts: Vec<String> = texts.map(|text| Json::Text(text.to_owned()).to_repr()).collect();
    format!("{{{}}}", texts.join(", "))
}
