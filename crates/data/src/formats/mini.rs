//! Trajectories of mini-swe-agent, a file each, and its predictions.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value, json};
use swegym_core::{
    Completion, ExitStatus, InstanceId, Message, Patch, Role, RolloutRecord, Step, ToolCall, Trajectory,
};

use super::chat;
use super::export::{Export, Writer};
use super::files::{Samples, make_parent, write_json};
use super::rollout::{Imported, Rollout, Times, unbegun};
use crate::error::IoContext;
use crate::{AtomicFile, DataError, Prediction, UNNAMED_MODEL};

const FORMAT: &str = "mini-swe-agent-1.1";

/// Writes `<id>/<id>.traj.json` and `preds.json` into a folder; those of samples from 1 into `sample-<n>` in it.
pub(crate) struct Mini {
    folder: PathBuf,
    predictions: Samples<Preds>,
    files: usize,
    not_utf8: usize,
}

impl Mini {
    pub(crate) fn create(folder: &Path) -> Result<Self, DataError> {
        let mut predictions = Samples::in_folders(folder.join("preds.json"));
        predictions.of(0, Preds::create)?;
        Ok(Self { folder: folder.to_owned(), predictions, files: 0, not_utf8: 0 })
    }
}

impl Writer for Mini {
    fn add(&mut self, rollout: &Rollout) -> Result<bool, DataError> {
        let preds = self.predictions.of(rollout.sample, Preds::create)?;
        preds.add(&Prediction {
            instance_id: rollout.record.key.instance_id.clone(),
            model_name_or_path: rollout.record.policy.clone(),
            model_patch: Some(rollout.patch.clone().unwrap_or_default()),
        })?;
        let Some(trajectory) = rollout.conversation() else {
            return Ok(false);
        };
        let id = rollout.id();
        let folder = preds.path.parent().unwrap_or(&self.folder);
        write_json(&folder.join(id).join(format!("{id}.traj.json")), &document(rollout, trajectory))?;
        self.files += 1;
        self.not_utf8 += usize::from(rollout.has_bytes_that_are_no_text());
        Ok(true)
    }

    fn finish(self: Box<Self>) -> Result<Vec<Export>, DataError> {
        self.predictions.into_files().try_for_each(Preds::commit)?;
        Ok(vec![Export { path: self.folder, rows: self.files, not_utf8: self.not_utf8 }])
    }
}

/// Predictions as one JSON object, by instance.
struct Preds {
    file: AtomicFile,
    path: PathBuf,
    empty: bool,
}

impl Preds {
    fn create(path: &Path) -> Result<Self, DataError> {
        make_parent(path)?;
        Ok(Self { file: AtomicFile::create(path)?, path: path.to_owned(), empty: true })
    }

    fn add(&mut self, prediction: &Prediction) -> Result<(), DataError> {
        let open = if self.empty { "{\n" } else { ",\n" };
        self.empty = false;
        let row = serde_json::to_string(prediction).map_err(std::io::Error::from);
        let row = row.map(|row| format!("{open}\"{}\": {row}", prediction.instance_id));
        row.and_then(|row| self.file.write_all(row.as_bytes())).context("write", &self.path)
    }

    fn commit(mut self) -> Result<(), DataError> {
        let close: &[u8] = if self.empty { b"{}\n" } else { b"\n}\n" };
        self.file.write_all(close).context("write", &self.path)?;
        self.file.commit()
    }
}

#[derive(Serialize)]
struct Document<'a> {
    info: Value,
    messages: Vec<Value>,
    trajectory_format: &'static str,
    instance_id: &'a str,
}

fn document<'a>(rollout: &'a Rollout, trajectory: &Trajectory) -> Document<'a> {
    let exit_status = exit_status(&rollout.record);
    let submission = rollout.patch_text().unwrap_or_default();
    let mut messages = messages(trajectory, rollout.times());
    let extra = json!({"exit_status": exit_status, "submission": submission});
    messages.push(json!({"role": "exit", "content": exit_status, "extra": extra}));
    Document {
        info: info(&rollout.record, trajectory, &exit_status, &submission),
        messages,
        trajectory_format: FORMAT,
        instance_id: rollout.id(),
    }
}

fn info(record: &RolloutRecord, trajectory: &Trajectory, exit_status: &str, submission: &str) -> Value {
    json!({
        "model_stats": {"instance_cost": trajectory.cost().unwrap_or_default(), "api_calls": trajectory.steps.len()},
        "config": {
            "agent": {},
            "agent_type": format!("swegym.{}", trajectory.scaffold),
            "model": {"model_name": record.policy},
            "model_type": "swegym",
            "environment": {},
            "environment_type": "swegym",
        },
        "mini_version": "",
        "exit_status": exit_status,
        "submission": submission,
        "swegym": {
            "scaffold": trajectory.scaffold,
            "exit_status": record.exit_status,
            "tools": chat::tools(&trajectory.tools),
        },
    })
}

/// Ends in mini-swe-agent's words; what it has no word for is named like an exception, as it does itself.
fn exit_status(record: &RolloutRecord) -> String {
    if let Some(failure) = &record.failure {
        return failure.kind.clone();
    }
    let name = match record.exit_status.unwrap_or(ExitStatus::Unknown) {
        ExitStatus::Finished => "Submitted",
        ExitStatus::StepLimit | ExitStatus::CostLimit => "LimitsExceeded",
        ExitStatus::TimeLimit => "TimeExceeded",
        ExitStatus::NoToolCall => "RepeatedFormatError",
        ExitStatus::TokenLimit => "ContextWindowExceededError",
        ExitStatus::StuckInLoop => "StuckInLoop",
        ExitStatus::Rejected => "Rejected",
        ExitStatus::Unknown => "Unknown",
    };
    name.to_owned()
}

fn messages(trajectory: &Trajectory, mut times: Option<Times>) -> Vec<Value> {
    let mut steps = trajectory.steps.iter().peekable();
    let convert = |(index, message): (usize, &Message)| {
        let step = steps.next_if(|step| step.message_index == index);
        if let (Some(times), Some(step)) = (&mut times, step) {
            times.pass(step.model_ms);
        }
        let mut extra = extra(message, step);
        if let Some(times) = &mut times {
            extra.insert("timestamp".to_owned(), times.seconds().into());
            times.pass(step.map_or(0, |step| step.tool_ms));
        }
        with_extra(message, extra)
    };
    trajectory.messages.iter().enumerate().map(convert).collect()
}

fn with_extra(message: &Message, extra: Map<String, Value>) -> Value {
    let mut value = serde_json::to_value(message).unwrap_or_default();
    if let Value::Object(fields) = &mut value
        && !extra.is_empty()
    {
        fields.insert("extra".to_owned(), extra.into());
    }
    value
}

fn extra(message: &Message, step: Option<&Step>) -> Map<String, Value> {
    let Some(step) = step else {
        return Map::new();
    };
    let actions: Vec<Value> = message.tool_calls.iter().filter_map(action).collect();
    let choice = json!({
        "index": 0,
        "finish_reason": step.finish_reason,
        "message": step.raw.as_deref().unwrap_or(message),
    });
    let mut extra = Map::from_iter([
        ("actions".to_owned(), actions.into()),
        ("response".to_owned(), json!({"choices": [choice], "usage": chat::usage(step.usage)})),
    ]);
    extra.extend(step.cost.map(|cost| ("cost".to_owned(), cost.into())));
    extra
}

/// A call that runs a shell command, the one kind of action that there is.
fn action(call: &ToolCall) -> Option<Value> {
    let arguments: Value = serde_json::from_str(&call.function.arguments).ok()?;
    let command = arguments.get("command")?.as_str()?;
    Some(json!({"command": command, "tool_call_id": call.id}))
}

/// Reads the trajectory of an instance, which the file may name or else is named after.
pub(crate) fn read(document: &Value, file_name: &str) -> Result<Imported, String> {
    let info = document.get("info").unwrap_or(&Value::Null);
    let id = chat::string(document, "instance_id").unwrap_or_else(|| file_name.to_owned());
    let id = InstanceId::new(id).map_err(|error| format!("field `instance_id`: {error}"))?;
    let policy = info.pointer("/config/model/model_name").and_then(Value::as_str).unwrap_or(UNNAMED_MODEL);
    let scaffold = info.pointer("/swegym/scaffold").and_then(Value::as_str).unwrap_or("mini");
    let mut trajectory = unbegun(id, scaffold.to_owned(), policy.to_owned());
    trajectory.tools = chat::tool_specs(info.pointer("/swegym/tools"));
    let messages =
        document.get("messages").and_then(Value::as_array).ok_or("field `messages`: must be a list")?;
    for (number, value) in messages.iter().enumerate() {
        // The last one is not part of the conversation.
        if value.get("role").and_then(Value::as_str) == Some("exit") {
            continue;
        }
        let message = chat::message(value).map_err(|error| format!("message {}: {error}", number + 1))?;
        push(&mut trajectory, message, value.get("extra"));
    }
    let patch = info.get("submission").and_then(Value::as_str).map(Patch::from);
    let end = end(info, &trajectory);
    Ok(Imported::new(trajectory, patch, end))
}

fn push(trajectory: &mut Trajectory, message: Message, extra: Option<&Value>) {
    if message.role != Role::Assistant {
        trajectory.messages.push(message);
        return;
    }
    let response = extra.and_then(|extra| extra.get("response"));
    let cost = extra.and_then(|extra| extra.get("cost")?.as_f64());
    let raw = response.and_then(|response| chat::message(response.pointer("/choices/0/message")?).ok());
    let raw = raw.filter(|raw| *raw != message).map(Box::new);
    let completion = chat::completion(message, response, cost);
    trajectory.push_answer(Completion { raw, ..completion }, Vec::new(), 0);
}

fn end(info: &Value, trajectory: &Trajectory) -> Result<ExitStatus, String> {
    let ours = info.pointer("/swegym/exit_status").and_then(Value::as_str).and_then(ExitStatus::from_name);
    if let Some(status) = ours {
        return Ok(status);
    }
    let limit = |name: &str| info.pointer(&format!("/config/agent/{name}")).and_then(Value::as_f64);
    match info.get("exit_status").and_then(Value::as_str).unwrap_or_default() {
        "Submitted" => Ok(ExitStatus::Finished),
        "LimitsExceeded" => {
            let steps =
                limit("step_limit").is_some_and(|most| most > 0.0 && trajectory.steps.len() as f64 >= most);
            let cost = limit("cost_limit").is_some_and(|most| most > 0.0);
            Ok(if cost && !steps { ExitStatus::CostLimit } else { ExitStatus::StepLimit })
        }
        "TimeExceeded" => Ok(ExitStatus::TimeLimit),
        "RepeatedFormatError" => Ok(ExitStatus::NoToolCall),
        "ContextWindowExceededError" => Ok(ExitStatus::TokenLimit),
        "" => Ok(ExitStatus::Unknown),
        other => Err(match chat::string(info, "exception_str") {
            Some(words) => format!("{other}: {words}"),
            None => other.to_owned(),
        }),
    }
}
