//! Events of OpenHands trajectories, as ours.

use serde_json::Value;
use swegym_agent::history::{Event, EventKind, Source};

/// The events of a record. Where they have no ids, their places are.
pub(super) fn events(record: &Value) -> Result<Vec<Event<'_>>, String> {
    let list = record["events"].as_array().ok_or("`events` is no list")?;
    list.iter().enumerate().map(|(place, event)| read(place as u64, event)).collect()
}

fn read(place: u64, event: &Value) -> Result<Event<'_>, String> {
    let source = match event["source"].as_str() {
        Some("user") => Source::User,
        Some("agent") => Source::Agent,
        Some("environment") => Source::Environment,
        other => return Err(format!("the source {other:?} is not known")),
    };
    let id = event["id"].as_u64().unwrap_or(place);
    let kind = match (event["action"].as_str(), event["observation"].as_str()) {
        (Some(action), None) => action_of(action, &event["args"])?,
        (None, Some(observation)) => observation_of(observation, event)?,
        _ => return Err(format!("event {id} is neither action nor observation")),
    };
    Ok(Event { id, source, cause: event["cause"].as_u64(), kind })
}

fn action_of<'a>(name: &'a str, args: &'a Value) -> Result<EventKind<'a>, String> {
    let known = ["command", "code", "thought", "content", "wait_for_response"];
    let unknown = args.as_object().and_then(|args| args.keys().find(|key| !known.contains(&key.as_str())));
    if let Some(key) = unknown {
        return Err(format!("the field `{key}` of `{name}` is not known"));
    }
    let field = |key: &str| args[key].as_str().unwrap_or_default();
    let thought = field("thought");
    Ok(match name {
        "message" => EventKind::Message { text: field("content"), waits: args["wait_for_response"] == true },
        "run_ipython" => EventKind::RunCell { code: field("code"), thought },
        "null" => EventKind::NullAction,
        _ => EventKind::Call { name, input: field("command"), thought },
    })
}

fn observation_of<'a>(name: &'a str, event: &'a Value) -> Result<EventKind<'a>, String> {
    let extras = &event["extras"];
    let field = |key: &str| extras[key].as_str().unwrap_or_default();
    let text = event["content"].as_str().unwrap_or_default();
    Ok(match name {
        "run" => EventKind::CommandEnded {
            command: field("command"),
            exit_code: extras["exit_code"].as_i64().unwrap_or_default(),
            text,
        },
        "run_ipython" => EventKind::CellEnded { code: field("code"), text },
        "error" => EventKind::Failed { id: field("error_id"), text },
        "null" => EventKind::NullObservation,
        other => return Err(format!("the observation `{other}` is not known")),
    })
}
