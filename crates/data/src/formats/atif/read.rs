//! Reading a trajectory, of any version 1: what is in `extra` is what our writer left there.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use swegym_core::{
    Completion, CompletionTokens, ExitStatus, InstanceId, Message, Patch, Role, Step, ToolCall, Trajectory,
    Usage,
};

use crate::UNNAMED_MODEL;
use crate::formats::chat;
use crate::formats::openhands::imported_verdict;
use crate::formats::rollout::{Imported, TokenChain, unbegun};

/// How often a prompt may have every message.
const MAX_REPEATS: usize = 8;

/// Whether a document says that it is one.
pub(crate) fn is_one(document: &Value) -> bool {
    let version = document.get("schema_version").and_then(Value::as_str);
    version.is_some_and(|version| version.starts_with("ATIF-v1."))
}

/// Reads a document.
pub(crate) fn read(document: &Value) -> Result<Imported, String> {
    if !is_one(document) {
        return Err("field `schema_version`: must be one of `ATIF-v1.0` to `ATIF-v1.8`".to_owned());
    }
    let extra = document.get("extra").unwrap_or(&Value::Null);
    let agent = document.get("agent").unwrap_or(&Value::Null);
    let named = |value: &Value, field: &str, other: &str| {
        chat::string(value, field).filter(|name| !name.is_empty()).unwrap_or_else(|| other.to_owned())
    };
    let trajectory = Trajectory {
        tools: chat::tool_specs(agent.get("tool_definitions")),
        tool_format: part(extra, "tool_format"),
        merged_turns: part(extra, "merged_turns").unwrap_or_default(),
        ..unbegun(
            instance_id(document, extra)?,
            named(agent, "name", "atif"),
            named(agent, "model_name", UNNAMED_MODEL),
        )
    };
    let mut reader = Reader { trajectory, tokens: TokenChain::default(), tools: HashMap::new() };
    let steps = document.get("steps").and_then(Value::as_array).ok_or("field `steps`: must be a list")?;
    for (number, step) in (1..).zip(steps) {
        reader.step(step).map_err(|error| format!("step {number}: {error}"))?;
    }
    let mut trajectory = reader.trajectory;
    trajectory.failed_calls = part(extra, "failed_calls").unwrap_or_default();
    if trajectory.usage == Usage::default() {
        trajectory.usage = usage(document.get("final_metrics"), "total_");
    }
    let patch = extra.get("model_patch").and_then(Value::as_str).map(Patch::from);
    let end = extra.get("exit_status").and_then(Value::as_str).and_then(ExitStatus::from_name);
    let verdict = extra.get("resolved").and_then(Value::as_bool);
    let imported = Imported::new(trajectory, patch, Ok(end.unwrap_or(ExitStatus::Unknown)));
    Ok(Imported { verdict: verdict.map(imported_verdict), failure: part(extra, "failure"), ..imported })
}

/// Which task it is about the format does not say: it is named in `extra`, or it is the name of the whole.
fn instance_id(document: &Value, extra: &Value) -> Result<InstanceId, String> {
    let of_trajectory = || {
        let id = chat::string(document, "trajectory_id")?;
        Some(id.rsplit_once('/').map_or(id.clone(), |(id, _)| id.to_owned()))
    };
    let name = chat::string(extra, "instance_id").or_else(of_trajectory);
    let name = name.or_else(|| chat::string(document, "session_id"));
    let name = name
        .ok_or("it names no instance: `extra.instance_id`, `trajectory_id` and `session_id` are missing")?;
    InstanceId::new(name).map_err(|error| format!("the instance that it names: {error}"))
}

struct Reader {
    trajectory: Trajectory,
    tokens: TokenChain,
    /// Names of tools by the ids of their calls, of the step at hand.
    tools: HashMap<String, String>,
}

impl Reader {
    fn step(&mut self, step: &Value) -> Result<(), String> {
        let text = chat::text(step.get("message"));
        let results = step.pointer("/observation/results").and_then(Value::as_array);
        self.tools.clear();
        match step.get("source").and_then(Value::as_str) {
            Some("agent") => self.agent(step, text)?,
            Some("user") => self.trajectory.messages.push(Message::text(Role::User, text)),
            // Results that belong to no answer stand alone.
            Some("system") if text.is_empty() && results.is_some() => {}
            Some("system") => self.trajectory.messages.push(Message::text(Role::System, text)),
            _ => return Err("field `source`: must be `system`, `user` or `agent`".to_owned()),
        }
        for result in results.into_iter().flatten() {
            self.result(result);
        }
        Ok(())
    }

    fn agent(&mut self, step: &Value, text: String) -> Result<(), String> {
        let calls = match step.get("tool_calls") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(calls)) => calls.iter().map(call).collect::<Result<_, _>>()?,
            Some(_) => return Err("field `tool_calls`: must be a list".to_owned()),
        };
        self.tools.extend(calls.iter().map(|call| (call.id.clone(), call.function.name.clone())));
        let message = Message {
            reasoning_content: chat::string(step, "reasoning_content"),
            ..Message::calling(text, calls)
        };
        let is_copied = step.get("is_copied_context").and_then(Value::as_bool) == Some(true);
        if is_copied || step.get("llm_call_count").and_then(Value::as_u64) == Some(0) {
            self.trajectory.messages.push(message);
            return Ok(());
        }
        self.answer(message, step.get("metrics"), step.get("extra").unwrap_or(&Value::Null))
    }

    fn answer(&mut self, message: Message, metrics: Option<&Value>, extra: &Value) -> Result<(), String> {
        let completion = Completion {
            usage: usage(metrics, ""),
            finish_reason: chat::string(extra, "finish_reason"),
            raw: part(extra, "raw"),
            cost: metrics.and_then(|metrics| metrics.get("cost_usd")?.as_f64()),
            ..Completion::new(message, "")
        };
        let ms = |field: &str| extra.get(field).and_then(Value::as_u64).unwrap_or_default();
        let prompt = prompt(extra, self.trajectory.messages.len())?;
        self.trajectory.push_answer(completion, prompt, ms("model_ms"));
        let tokens = metrics.map(tokens).transpose()?.flatten();
        if let Some(Step { tokens: place, tool_ms, request, .. }) = self.trajectory.steps.last_mut() {
            *tool_ms = ms("tool_ms");
            *request = part(extra, "request").unwrap_or_default();
            *place = tokens.map(|tokens| self.tokens.pack(tokens));
        }
        Ok(())
    }

    fn result(&mut self, result: &Value) {
        let extra = result.get("extra").unwrap_or(&Value::Null);
        let id = chat::string(result, "source_call_id").or_else(|| chat::string(extra, "tool_call_id"));
        let of_call = id.as_ref().and_then(|id| self.tools.get(id)).cloned();
        self.trajectory.messages.push(Message {
            tool_call_id: id,
            name: if extra.get("name").is_some() { chat::string(extra, "name") } else { of_call },
            ..Message::text(Role::Tool, chat::text(result.get("content")))
        });
    }
}

/// What was sent, of `messages` that there were, where our writer says it. Written once more it must not fill the memory.
fn prompt(extra: &Value, messages: usize) -> Result<Vec<(usize, usize)>, String> {
    let ranges: Vec<(usize, usize)> = part(extra, "prompt").unwrap_or_default();
    let sent: usize = ranges.iter().map(|(start, end)| end.min(&messages).saturating_sub(*start)).sum();
    match sent <= MAX_REPEATS * messages {
        true => Ok(ranges),
        false => Err("field `extra`: `prompt` repeats the messages too often".to_owned()),
    }
}

/// Arguments as the model wrote them, where our writer kept them.
fn call(call: &Value) -> Result<ToolCall, String> {
    let field = |field: &str| {
        chat::string(call, field).ok_or_else(|| format!("field `tool_calls`: a call has no `{field}`"))
    };
    let written = call.pointer("/extra/arguments_text").and_then(Value::as_str).map(str::to_owned);
    let mut read = ToolCall::new(field("tool_call_id")?, field("function_name")?, &Value::Null);
    let given = || call.get("arguments").map_or_else(|| "{}".to_owned(), Value::to_string);
    read.function.arguments = written.unwrap_or_else(given);
    Ok(read)
}

fn usage(metrics: Option<&Value>, prefix: &str) -> Usage {
    let count = |name: &str| {
        metrics.and_then(|metrics| metrics.get(format!("{prefix}{name}"))?.as_u64()).unwrap_or_default()
    };
    Usage {
        prompt_tokens: count("prompt_tokens"),
        completion_tokens: count("completion_tokens"),
        cached_tokens: count("cached_tokens"),
    }
}

/// Token ids of an answer; they are of use together alone.
fn tokens(metrics: &Value) -> Result<Option<CompletionTokens>, String> {
    let list = |field: &str| metrics.get(field).filter(|list| !list.is_null());
    let (Some(prompt), Some(completion)) = (list("prompt_token_ids"), list("completion_token_ids")) else {
        return Ok(None);
    };
    let wrong = |error: serde_json::Error| format!("field `metrics`: token ids: {error}");
    let tokens = CompletionTokens {
        prompt_token_ids: Deserialize::deserialize(prompt).map_err(wrong)?,
        completion_token_ids: Deserialize::deserialize(completion).map_err(wrong)?,
        logprobs: list("logprobs")
            .map(Deserialize::deserialize)
            .transpose()
            .map_err(wrong)?
            .unwrap_or_default(),
    };
    match tokens.logprobs.len() {
        count if count == 0 || count == tokens.completion_token_ids.len() => Ok(Some(tokens)),
        _ => Err("field `metrics`: `logprobs` are not one for each token".to_owned()),
    }
}

/// What our writer left in `extra`; of others' making, it means nothing.
fn part<T: for<'a> Deserialize<'a>>(extra: &Value, field: &str) -> Option<T> {
    T::deserialize(extra.as_object().and_then(|extra: &Map<String, Value>| extra.get(field))?).ok()
}
