//! Trajectories of SWE-agent, a `.traj` file each.

use serde_json::Value;
use swegym_core::{ExitStatus, InstanceId, Message, Patch, Role, Trajectory};

use super::chat;
use super::rollout::{Imported, unbegun};
use crate::UNNAMED_MODEL;

/// Reads the trajectory of an instance, which the file is named after.
pub(crate) fn read(document: &Value, file_name: &str) -> Result<Imported, String> {
    let id = chat::string(document, "instance_id").unwrap_or_else(|| file_name.to_owned());
    let id = InstanceId::new(id).map_err(|error| format!("instance of the file: {error}"))?;
    let mut trajectory = unbegun(id, "swe-agent".to_owned(), model(document));
    match document.get("history").and_then(Value::as_array).filter(|history| !history.is_empty()) {
        Some(history) => {
            for (number, value) in history.iter().enumerate() {
                push(&mut trajectory, value).map_err(|error| format!("message {}: {error}", number + 1))?;
            }
        }
        None => tell(document, &mut trajectory)?,
    }
    let info = document.get("info").unwrap_or(&Value::Null);
    let patch = info.get("submission").and_then(Value::as_str).map(Patch::from);
    Ok(Imported::new(trajectory, patch, end(info)))
}

/// The model, which only the configuration for a replay names.
fn model(document: &Value) -> String {
    let config = match document.get("replay_config") {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        Some(value) => value.clone(),
        None => Value::Null,
    };
    let name = config.pointer("/agent/model/name").and_then(Value::as_str);
    name.unwrap_or(UNNAMED_MODEL).to_owned()
}

fn push(trajectory: &mut Trajectory, value: &Value) -> Result<(), String> {
    let mut message = chat::message(value)?;
    let call_ids = value.get("tool_call_ids").and_then(|ids| ids.get(0)?.as_str());
    if message.role == Role::Tool && message.tool_call_id.is_none() {
        message.tool_call_id = call_ids.map(str::to_owned);
    }
    // A demonstration is part of the prompt.
    let shown = value.get("is_demo").and_then(Value::as_bool).unwrap_or_default();
    if message.role == Role::Assistant && !shown {
        trajectory.push_answer(chat::completion(message, None, None), Vec::new(), 0);
    } else {
        trajectory.messages.push(message);
    }
    Ok(())
}

/// Without a history, what is known is what was sent first, and each answer with its observation.
fn tell(document: &Value, trajectory: &mut Trajectory) -> Result<(), String> {
    let steps = document.get("trajectory").and_then(Value::as_array);
    let steps = steps.ok_or("it has neither a list `history` nor a list `trajectory`")?;
    let first = steps.first().and_then(|step| step.get("query")?.as_array());
    for value in first.into_iter().flatten() {
        trajectory.messages.push(chat::message(value).map_err(|error| format!("field `query`: {error}"))?);
    }
    for step in steps {
        let said = Message::text(Role::Assistant, chat::text(step.get("response")));
        trajectory.push_answer(chat::completion(said, None, None), Vec::new(), 0);
        let observation = chat::text(step.get("observation"));
        trajectory.messages.push(Message::text(Role::User, observation));
    }
    Ok(())
}

/// An exit status, which may stand in brackets after `submitted`.
fn end(info: &Value) -> Result<ExitStatus, String> {
    let Some(status) = info.get("exit_status").and_then(Value::as_str) else {
        return Ok(ExitStatus::Unknown);
    };
    let inner = status.strip_prefix("submitted (").and_then(|rest| rest.strip_suffix(')')).unwrap_or(status);
    match inner {
        "submitted" => Ok(ExitStatus::Finished),
        "exit_cost" => Ok(ExitStatus::CostLimit),
        "exit_context" => Ok(ExitStatus::TokenLimit),
        "exit_format" => Ok(ExitStatus::NoToolCall),
        "exit_total_execution_time" | "exit_command_timeout" => Ok(ExitStatus::TimeLimit),
        "" | "early_exit" => Ok(ExitStatus::Unknown),
        other => Err(other.to_owned()),
    }
}
