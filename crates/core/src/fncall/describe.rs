//! Tools in the words of the system prompt.

use std::collections::HashSet;

use serde_json::Value;

use super::CallError;
use super::error::field;
use crate::ToolSpec;
use crate::python::Json;

/// Descriptions of tools, one after the other.
pub fn describe_tools(tools: &[ToolSpec]) -> String {
    let describe = |(index, tool): (usize, &ToolSpec)| {
        let number = index + 1;
        let ToolSpec { name, description, parameters } = tool;
        let parameters = describe_parameters(parameters);
        format!(
            "---- BEGIN FUNCTION #{number}: {name} ----\n\
             Description: {description}\n\
             {parameters}\
             ---- END FUNCTION #{number} ----\n"
        )
    };
    tools.iter().enumerate().map(describe).collect::<Vec<_>>().join("\n")
}

fn describe_parameters(schema: &Value) -> String {
    if schema.is_null() {
        return "No parameters are required for this function.\n".to_owned();
    }
    let required: HashSet<&str> = names(&schema["required"]).collect();
    let mut text = "Parameters:\n".to_owned();
    for (index, (name, property)) in schema["properties"].as_object().into_iter().flatten().enumerate() {
        let or = |key: &str, default: &str| property.get(key).map_or(default.to_owned(), shown);
        let need = if required.contains(name.as_str()) { "required" } else { "optional" };
        let kind = or("type", "string");
        let description = or("description", "No description provided");
        text.push_str(&format!("  ({}) {name} ({kind}, {need}): {description}", index + 1));
        if let Some(allowed) = property.get("enum") {
            let allowed = allowed.as_array().into_iter().flatten();
            let allowed: Vec<String> = allowed.map(|value| format!("`{}`", shown(value))).collect();
            text.push_str(&format!("\nAllowed values: [{}]", allowed.join(", ")));
        }
        text.push('\n');
    }
    text
}

fn shown(value: &Value) -> String {
    Json::from(value).to_str()
}

/// Names in a list.
pub(super) fn names(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Whether the tools that the example calls are on offer, with the parameters that it gives.
///
/// # Errors
/// [`CallError::Unexpected`] where one of these tools has no list of parameters.
pub fn example_fits(tools: &[ToolSpec]) -> Result<bool, CallError> {
    let editor = ["path", "file_text", "old_str", "new_str"];
    Ok(offers(tools, "execute_bash", &["command"])? && offers(tools, "str_replace_editor", &editor)?)
}

fn offers(tools: &[ToolSpec], name: &str, parameters: &[&str]) -> Result<bool, CallError> {
    for tool in tools.iter().filter(|tool| tool.name == name) {
        let properties = properties(tool)?;
        if parameters.iter().all(|parameter| properties.get(parameter).is_some()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Parameters of a tool by name.
pub(super) fn properties(tool: &ToolSpec) -> Result<&Value, CallError> {
    if tool.parameters.is_null() {
        return Err(super::error::missing("parameters"));
    }
    field(&tool.parameters, "properties")
}
