//! Writing trajectories.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use swegym_core::{CompletionTokens, Message, Role, Step, ToolCall, Trajectory};

use crate::DataError;
use crate::formats::chat;
use crate::formats::export::{Export, Writer};
use crate::formats::files::write_json;
use crate::formats::rollout::{Rollout, Times};

const SCHEMA_VERSION: &str = "ATIF-v1.8";

/// Writes `<id>/<sample>/trajectory.json` into a folder.
pub(crate) struct Atif(Export);

impl Atif {
    pub(crate) fn create(folder: &Path) -> Self {
        Self(Export { path: folder.to_owned(), rows: 0, not_utf8: 0 })
    }

    fn path(&self, rollout: &Rollout) -> PathBuf {
        self.0.path.join(rollout.id()).join(rollout.sample.to_string()).join("trajectory.json")
    }
}

impl Writer for Atif {
    fn add(&mut self, rollout: &Rollout) -> Result<bool, DataError> {
        let Some(trajectory) = rollout.conversation() else {
            return Ok(false);
        };
        write_json(&self.path(rollout), &document(rollout, trajectory))?;
        self.0.rows += 1;
        self.0.not_utf8 += usize::from(rollout.has_bytes_that_are_no_text());
        Ok(true)
    }

    fn finish(self: Box<Self>) -> Result<Vec<Export>, DataError> {
        Ok(vec![self.0])
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: &'static str,
    trajectory_id: String,
    agent: Value,
    steps: Steps<'a>,
    final_metrics: Value,
    extra: Value,
}

fn document<'a>(rollout: &'a Rollout, trajectory: &'a Trajectory) -> Document<'a> {
    let turns = turns(trajectory);
    let total_steps = turns.len();
    let usage = trajectory.usage;
    let mut final_metrics = fields(json!({
        "total_prompt_tokens": usage.prompt_tokens,
        "total_completion_tokens": usage.completion_tokens,
        "total_cached_tokens": usage.cached_tokens,
        "total_steps": total_steps,
    }));
    final_metrics.extend(trajectory.cost().map(|cost| ("total_cost_usd".to_owned(), cost.into())));
    let record = &rollout.record;
    Document {
        schema_version: SCHEMA_VERSION,
        trajectory_id: format!("{}/{}", rollout.id(), rollout.sample),
        agent: json!({
            "name": trajectory.scaffold,
            "version": env!("CARGO_PKG_VERSION"),
            "model_name": record.policy,
            "tool_definitions": chat::tools(&trajectory.tools),
        }),
        steps: Steps { trajectory, turns, times: rollout.times() },
        final_metrics: final_metrics.into(),
        extra: extra(rollout, trajectory),
    }
}

fn extra(rollout: &Rollout, trajectory: &Trajectory) -> Value {
    let record = &rollout.record;
    let mut extra = json!({
        "instance_id": rollout.id(),
        "sample": rollout.sample,
        "exit_status": record.exit_status,
        "failure": record.failure,
        "resolved": record.verdict.as_ref().map(|verdict| verdict.resolved),
        "model_patch": rollout.patch_text(),
    });
    if let Some(format) = &trajectory.tool_format {
        extra["tool_format"] = json!(format);
    }
    if trajectory.merged_turns {
        extra["merged_turns"] = true.into();
    }
    if !trajectory.failed_calls.is_empty() {
        extra["failed_calls"] = json!(trajectory.failed_calls);
    }
    extra
}

/// One step of the format: a message, and the results that followed it.
struct Turn<'a> {
    message: Option<&'a Message>,
    step: Option<&'a Step>,
    results: Vec<&'a Message>,
}

/// Results of tools belong to the answer before them; where there is none, they are a step of the system.
fn turns(trajectory: &Trajectory) -> Vec<Turn<'_>> {
    let mut turns: Vec<Turn<'_>> = Vec::new();
    let mut steps = trajectory.steps.iter().peekable();
    for (index, message) in trajectory.messages.iter().enumerate() {
        let step = steps.next_if(|step| step.message_index == index);
        match (message.role, turns.last_mut()) {
            (Role::Tool, Some(turn)) if turn.takes_results() => turn.results.push(message),
            (Role::Tool, _) => turns.push(Turn { message: None, step: None, results: vec![message] }),
            _ => turns.push(Turn { message: Some(message), step, results: Vec::new() }),
        }
    }
    turns
}

impl Turn<'_> {
    fn takes_results(&self) -> bool {
        self.message.is_none_or(|message| message.role == Role::Assistant)
    }

    /// Names of tools by the ids of their calls.
    fn tools(&self) -> HashMap<&str, &str> {
        let calls = self.message.iter().flat_map(|message| &message.tool_calls);
        calls.map(|call| (call.id.as_str(), call.function.name.as_str())).collect()
    }
}

/// Steps that are made one at a time while they are written: each holds the token ids of its whole prompt.
struct Steps<'a> {
    trajectory: &'a Trajectory,
    turns: Vec<Turn<'a>>,
    times: Option<Times>,
}

impl Serialize for Steps<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tokens = self.trajectory.token_ids();
        let mut times = self.times;
        serializer.collect_seq(self.turns.iter().zip(1..).map(|(turn, step_id)| {
            let tokens = turn.step.and_then(|_| tokens.next()).flatten();
            step(turn, step_id, tokens, times.as_mut())
        }))
    }
}

fn step(
    turn: &Turn<'_>,
    step_id: usize,
    tokens: Option<CompletionTokens>,
    times: Option<&mut Times>,
) -> Value {
    let role = turn.message.map_or(Role::System, |message| message.role);
    let source = match role {
        Role::System | Role::Tool => "system",
        Role::User => "user",
        Role::Assistant => "agent",
    };
    let mut value =
        Map::from_iter([("step_id".to_owned(), step_id.into()), ("source".to_owned(), source.into())]);
    if let Some(times) = times {
        times.pass(turn.step.map_or(0, |step| step.model_ms));
        value.insert("timestamp".to_owned(), times.now().into());
        times.pass(turn.step.map_or(0, |step| step.tool_ms));
    }
    value.insert("message".to_owned(), turn.message.map_or("", |message| &message.content).into());
    if let Some(message) = turn.message.filter(|_| role == Role::Assistant) {
        value.extend(agent_fields(message, turn.step, tokens));
    }
    if !turn.results.is_empty() {
        let tools = turn.tools();
        let results: Vec<Value> = turn.results.iter().map(|message| result(message, &tools)).collect();
        value.insert("observation".to_owned(), json!({"results": results}));
    }
    value.into()
}

/// What only steps of the agent may have.
fn agent_fields(
    message: &Message,
    step: Option<&Step>,
    tokens: Option<CompletionTokens>,
) -> Map<String, Value> {
    let mut value = Map::new();
    value.extend(
        message.reasoning_content.as_ref().map(|text| ("reasoning_content".to_owned(), text.as_str().into())),
    );
    if !message.tool_calls.is_empty() {
        let calls: Vec<Value> = message.tool_calls.iter().map(call).collect();
        value.insert("tool_calls".to_owned(), calls.into());
    }
    match step {
        Some(step) => {
            value.insert("metrics".to_owned(), metrics(step, tokens).into());
            value.insert("llm_call_count".to_owned(), 1.into());
            value.insert("extra".to_owned(), step_extra(step).into());
        }
        // It was sent, and not answered: an example, or half an answer.
        None => drop(value.insert("is_copied_context".to_owned(), true.into())),
    }
    value
}

/// Arguments must be an object; text that is none, or that an object does not give back, stands in `extra`.
fn call(call: &ToolCall) -> Value {
    let text = &call.function.arguments;
    let arguments = serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default();
    let as_object = json!(arguments).to_string();
    let mut value = json!({
        "tool_call_id": call.id,
        "function_name": call.function.name,
        "arguments": arguments,
    });
    if as_object != *text {
        value["extra"] = json!({"arguments_text": text});
    }
    value
}

fn metrics(step: &Step, tokens: Option<CompletionTokens>) -> Map<String, Value> {
    let mut metrics = fields(json!({
        "prompt_tokens": step.usage.prompt_tokens,
        "completion_tokens": step.usage.completion_tokens,
        "cached_tokens": step.usage.cached_tokens,
    }));
    metrics.extend(step.cost.map(|cost| ("cost_usd".to_owned(), cost.into())));
    if let Some(tokens) = tokens {
        let has_logprobs = !tokens.logprobs.is_empty();
        metrics.insert("prompt_token_ids".to_owned(), tokens.prompt_token_ids.into());
        metrics.insert("completion_token_ids".to_owned(), tokens.completion_token_ids.into());
        metrics.extend(has_logprobs.then(|| ("logprobs".to_owned(), tokens.logprobs.into())));
    }
    metrics
}

fn step_extra(step: &Step) -> Map<String, Value> {
    let mut extra = fields(json!({"model_ms": step.model_ms, "tool_ms": step.tool_ms}));
    extra.extend(
        step.finish_reason.as_ref().map(|reason| ("finish_reason".to_owned(), reason.as_str().into())),
    );
    extra.extend(step.raw.as_ref().map(|raw| ("raw".to_owned(), json!(raw))));
    if !step.prompt.is_empty() {
        extra.insert("prompt".to_owned(), json!(step.prompt));
    }
    if !step.request.is_empty() {
        extra.insert("request".to_owned(), step.request.clone().into());
    }
    extra
}

fn result(message: &Message, tools: &HashMap<&str, &str>) -> Value {
    let tool = message.tool_call_id.as_deref().and_then(|id| tools.get_key_value(id));
    let mut value = json!({"content": message.content});
    match tool {
        Some((id, name)) => {
            value["source_call_id"] = (*id).into();
            if message.name.as_deref() != Some(name) {
                value["extra"] = json!({"name": message.name});
            }
        }
        None => value["extra"] = json!({"tool_call_id": message.tool_call_id, "name": message.name}),
    }
    value
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
