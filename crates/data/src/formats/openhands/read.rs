//! Reading a row, of any version.

use std::collections::HashSet;

use serde_json::Value;
use swegym_core::{Completion, ExitStatus, InstanceId, Message, Patch, Role, Step, Trajectory, Usage};

use super::write::OWN_ERROR;
use super::{history, report, v1};
use crate::UNNAMED_MODEL;
use crate::formats::chat;
use crate::formats::rollout::{Imported, unbegun};

/// Reads a row. What the model saw is in `raw_completions`, where there are some; else it is told from the history.
pub(crate) fn read(row: &Value) -> Result<Imported, String> {
    let id = chat::string(row, "instance_id").ok_or("field `instance_id`: must be a string")?;
    let id = InstanceId::new(id).map_err(|error| format!("field `instance_id`: {error}"))?;
    let metadata = row.get("metadata").unwrap_or(&Value::Null);
    let model =
        ["/llm_config/model", "/llm/model"].into_iter().find_map(|name| metadata.pointer(name)?.as_str());
    let scaffold = chat::string(metadata, "agent_class").filter(|name| !name.is_empty());
    let scaffold = scaffold.unwrap_or_else(|| "openhands".to_owned());
    let mut trajectory = unbegun(id, scaffold, model.unwrap_or(UNNAMED_MODEL).to_owned());
    let events = events(row)?;
    match events.iter().any(|event| event.get("kind").is_some()) {
        true => v1::read(&events, &mut trajectory)?,
        false => history::read(&events, metadata, &mut trajectory)?,
    }
    if let Some(completions) = row.get("raw_completions").filter(|completions| completions.is_object()) {
        prefer(completions, &mut trajectory).map_err(|error| format!("field `raw_completions`: {error}"))?;
    }
    measure(row.get("metrics").unwrap_or(&Value::Null), &mut trajectory);
    let patch = row.pointer("/test_result/git_patch").or_else(|| row.get("git_patch"));
    let patch = patch.and_then(Value::as_str).map(Patch::from);
    let end = end(row, &events);
    Ok(Imported { verdict: report::read(row), ..Imported::new(trajectory, patch, end) })
}

/// The history as a flat list: its oldest form has pairs of an action and an observation.
fn events(row: &Value) -> Result<Vec<&Value>, String> {
    let list = match row.get("history") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err("field `history`: must be a list".to_owned()),
    };
    let flat = list.iter().flat_map(|item| match item {
        Value::Array(pair) => pair.iter().collect(),
        event => vec![event],
    });
    Ok(flat.filter(|event| event.is_object()).collect())
}

/// Puts the messages that the model was sent in the place of those that the history gives. The results of the last
/// calls, which the model has not seen yet, stay.
fn prefer(completions: &Value, trajectory: &mut Trajectory) -> Result<(), String> {
    let messages = completions.get("messages").and_then(Value::as_array).ok_or("has no list `messages`")?;
    let messages = messages.iter().map(chat::message).collect::<Result<Vec<_>, _>>()?;
    let told = std::mem::take(&mut trajectory.messages);
    let steps = std::mem::take(&mut trajectory.steps);
    trajectory.usage = Usage::default();
    let answers = messages.iter().filter(|message| message.role == Role::Assistant).count();
    // Without an answer for an answer, nobody knows whose is which.
    let mut known = if steps.len() == answers { steps } else { Vec::new() }.into_iter();
    let results = last_results(&told, &messages);
    for message in messages {
        if message.role != Role::Assistant {
            trajectory.messages.push(message);
            continue;
        }
        let Step { usage, finish_reason, .. } = known.next().unwrap_or_default();
        let completion = Completion { usage, finish_reason, ..Completion::new(message, "") };
        trajectory.push_answer(completion, Vec::new(), 0);
    }
    trajectory.messages.extend(results);
    let tools = chat::tool_specs(completions.get("tools"));
    if !tools.is_empty() {
        trajectory.tools = tools;
    }
    Ok(())
}

fn last_results(told: &[Message], messages: &[Message]) -> Vec<Message> {
    let last = messages.last().filter(|message| message.role == Role::Assistant);
    let calls: HashSet<&String> =
        last.iter().flat_map(|last| &last.tool_calls).map(|call| &call.id).collect();
    let is_result = |message: &&Message| {
        message.role == Role::Tool && message.tool_call_id.as_ref().is_some_and(|id| calls.contains(id))
    };
    let answer = told.iter().rposition(|message| message.role == Role::Assistant);
    let after = answer.map(|answer| &told[answer..]).unwrap_or_default();
    after.iter().filter(is_result).cloned().collect()
}

/// Gives each answer its price and its tokens, where there is an entry for each.
fn measure(metrics: &Value, trajectory: &mut Trajectory) {
    let answers = trajectory.steps.len();
    let entries = |name: &str| metrics.get(name)?.as_array().filter(|list| list.len() == answers);
    for (step, entry) in trajectory.steps.iter_mut().zip(entries("costs").into_iter().flatten()) {
        step.cost = entry.as_f64().or_else(|| entry.get("cost")?.as_f64());
    }
    for (step, entry) in trajectory.steps.iter_mut().zip(entries("token_usages").into_iter().flatten()) {
        let count = |name: &str| entry.get(name).and_then(Value::as_u64).unwrap_or_default();
        step.usage = Usage {
            prompt_tokens: count("prompt_tokens"),
            completion_tokens: count("completion_tokens"),
            cached_tokens: count("cache_read_tokens"),
        };
    }
    trajectory.usage = Usage::default();
    trajectory.steps.iter().for_each(|step| trajectory.usage += step.usage);
}

fn end(row: &Value, events: &[&Value]) -> Result<ExitStatus, String> {
    match row.get("error").and_then(Value::as_str).filter(|error| !error.is_empty()) {
        Some(error) if error.contains("got stuck in a loop") => Ok(ExitStatus::StuckInLoop),
        Some(error) if error.contains("reached maximum iteration") => Ok(ExitStatus::StepLimit),
        Some(error) if error.contains("reached maximum budget") => Ok(ExitStatus::CostLimit),
        Some(error) => {
            let ours = error.strip_prefix(OWN_ERROR).and_then(ExitStatus::from_name);
            ours.ok_or_else(|| error.to_owned())
        }
        None if events.iter().any(|event| is_finish(event)) => Ok(ExitStatus::Finished),
        None => Ok(ExitStatus::Unknown),
    }
}

fn is_finish(event: &Value) -> bool {
    let text = |field: &str| event.get(field).and_then(Value::as_str);
    text("action") == Some("finish")
        || (text("kind") == Some("ActionEvent") && text("tool_name") == Some("finish"))
}
