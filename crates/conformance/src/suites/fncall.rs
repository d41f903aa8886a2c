//! `fncall`: function calls in text form, both ways.
//!
//! Errors are compared by their type. Those of validation, which the model gets to read, and missing keys are compared
//! by their text as well, but where it prints a Python set, which has no order. The other texts are for programmers,
//! and ours are in our own words.

use serde_json::{Value, json};
use swegym_core::ToolSpec;
use swegym_core::fncall::{
    CallError, Exception, TextFormat, describe_tools, from_text, render_tool_call, single_calls, to_text,
    training_text,
};

use crate::compare::{same, text};

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let expected = &record["expected"];
    match convert(record)? {
        Ok(ours) => same("expected", &ours, expected),
        Err(error) => {
            same("type", &json!(error.exception()), &expected["__error__"])?;
            match compared_text(&error) {
                Some(message) => same("message", &json!(message), &expected["message"]),
                None => Ok(()),
            }
        }
    }
}

/// The inner error is of ours, the outer one of the record.
fn convert(record: &Value) -> Result<Result<Value, CallError>, String> {
    let operation = text(record, "op")?;
    if operation == "tool_call_to_string" {
        return Ok(render_tool_call(&record["tool_call"]).map(Value::from));
    }
    let messages = record["messages"].as_array().ok_or("`messages` is no list")?;
    if operation == "multi_to_single" {
        let ignore =
            record["ignore_final_tool_result"].as_bool().ok_or("`ignore_final_tool_result` is missing")?;
        return Ok(single_calls(messages, ignore).map(Value::from));
    }
    let (tools, format) = (tools(record)?, format(record)?);
    let converted = match operation {
        "fncall_to_nonfncall" if record["add_in_context_learning_example"] == true => {
            to_text(messages, &tools, &format)
        }
        "fncall_to_nonfncall" => to_text(messages, &tools, &format.without_example()),
        "nonfncall_to_fncall" => from_text(messages, &tools, &format),
        "sft_convert" => training_text(messages, &tools, &format),
        unknown => return Err(format!("unknown operation `{unknown}`")),
    };
    Ok(converted.map(Value::from))
}

/// The tools of the record, whose descriptions must be those of upstream.
fn tools(record: &Value) -> Result<Vec<ToolSpec>, String> {
    let (name, constants) = (text(record, "toolset")?, &record["constants"]);
    let tools =
        constants["toolsets"][name].as_array().ok_or_else(|| format!("there are no tools `{name}`"))?;
    let tool = |tool: &Value| {
        Ok(ToolSpec {
            name: text(&tool["function"], "name")?.to_owned(),
            description: text(&tool["function"], "description")?.to_owned(),
            parameters: tool["function"]["parameters"].clone(),
        })
    };
    let tools: Vec<ToolSpec> = tools.iter().map(tool).collect::<Result<_, String>>()?;
    same("description", &json!(describe_tools(&tools)), &constants["description"][name])?;
    Ok(tools)
}

fn format(record: &Value) -> Result<TextFormat, String> {
    TextFormat::from_pack(&record["constants"].to_string()).map_err(|error| error.to_string())
}

fn compared_text(error: &CallError) -> Option<&str> {
    match error {
        CallError::Validation(text) => (!text.ends_with('}')).then_some(text),
        CallError::Unexpected { kind: Exception::KeyError, message } => Some(message),
        _ => None,
    }
}
