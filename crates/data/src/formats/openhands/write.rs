//! Writing both files, row by row.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value, json};
use swegym_core::{ExitStatus, Message, Role, RolloutRecord, Trajectory, Usage};

use super::{events, report};
use crate::DataError;
use crate::formats::chat::{Tool, tools};
use crate::formats::conversations::last_conversation;
use crate::formats::export::{Export, Writer};
use crate::formats::files::{Lines, Samples};
use crate::formats::rollout::Rollout;

/// What stands before the name of an exit status that OpenHands does not know.
pub(super) const OWN_ERROR: &str = "swegym: ";

/// Writes `output.jsonl` and `output.with_completions.jsonl.gz` into a folder, and a pair for each further sample.
pub(crate) struct OpenHands {
    outputs: Samples<Lines>,
    with_completions: Samples<Lines>,
}

impl OpenHands {
    pub(crate) fn create(folder: &Path) -> Result<Self, DataError> {
        let mut outputs = Samples::beside(folder.join("output.jsonl"));
        let mut with_completions = Samples::beside(folder.join("output.with_completions.jsonl.gz"));
        outputs.of(0, Lines::create)?;
        with_completions.of(0, Lines::create)?;
        Ok(Self { outputs, with_completions })
    }
}

impl Writer for OpenHands {
    fn add(&mut self, rollout: &Rollout) -> Result<bool, DataError> {
        let row = row(rollout);
        let not_utf8 = rollout.has_bytes_that_are_no_text();
        let output = self.outputs.of(rollout.sample, Lines::create)?;
        output.row(&row)?;
        output.note_not_utf8(not_utf8);
        let raw_completions = rollout.conversation().map(RawCompletions::of);
        let with_completions = self.with_completions.of(rollout.sample, Lines::create)?;
        with_completions.row(&WithCompletions { row: &row, raw_completions })?;
        with_completions.note_not_utf8(not_utf8);
        Ok(true)
    }

    fn finish(self: Box<Self>) -> Result<Vec<Export>, DataError> {
        let files = self.outputs.into_files().chain(self.with_completions.into_files());
        files.map(Lines::commit).collect()
    }
}

#[derive(Serialize)]
struct WithCompletions<'a> {
    #[serde(flatten)]
    row: &'a Map<String, Value>,
    raw_completions: Option<RawCompletions<'a>>,
}

/// What the last call of the model was sent, and its answer.
#[derive(Serialize)]
struct RawCompletions<'a> {
    messages: Vec<&'a Message>,
    tools: Vec<Tool<'a>>,
}

impl<'a> RawCompletions<'a> {
    fn of(trajectory: &'a Trajectory) -> Self {
        let mut messages = last_conversation(trajectory);
        while messages.last().is_some_and(|message| message.role == Role::Tool) {
            messages.pop();
        }
        Self { messages, tools: tools(&trajectory.tools) }
    }
}

/// A row of `output.jsonl`. Fields without a value are left out, but for the metrics: a row without them counts as
/// unfinished.
fn row(rollout: &Rollout) -> Map<String, Value> {
    let record = &rollout.record;
    let trajectory = rollout.conversation();
    let mut test_result = Map::new();
    test_result.extend(rollout.patch_text().map(|patch| ("git_patch".to_owned(), patch.into())));
    let report = record.verdict.as_ref().map(report::write);
    test_result.extend(report.clone().map(|report| ("report".to_owned(), report)));
    let fields = [
        ("instance_id", Some(rollout.id().into())),
        ("test_result", Some(test_result.into())),
        ("instruction", trajectory.and_then(instruction).map(Value::from)),
        ("metadata", Some(metadata(rollout))),
        (
            "history",
            trajectory.map(|trajectory| events::write(trajectory, &record.policy, rollout.times()).into()),
        ),
        ("metrics", Some(rollout.completed().then(|| metrics(record, trajectory)).into())),
        ("error", error(record).map(Value::from)),
        ("report", report),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// The task, as the first message of the user gives it.
fn instruction(trajectory: &Trajectory) -> Option<&str> {
    let first = trajectory.messages.iter().find(|message| message.role == Role::User)?;
    Some(&first.content)
}

fn metadata(rollout: &Rollout) -> Value {
    let record = &rollout.record;
    json!({
        "agent_class": rollout.trajectory.as_ref().map_or("", |trajectory| &trajectory.scaffold),
        "llm_config": {"model": record.policy},
        "max_iterations": record.turns,
        "eval_output_dir": "",
        "start_time": rollout.started.map(|started| started.to_string()).unwrap_or_default(),
        "git_commit": "",
        "dataset": null,
        "data_split": null,
        "details": {"sample": rollout.sample},
    })
}

fn metrics(record: &RolloutRecord, trajectory: Option<&Trajectory>) -> Value {
    let steps = trajectory.map(|trajectory| trajectory.steps.as_slice()).unwrap_or_default();
    let costs = steps.iter().filter_map(|step| step.cost);
    let costs: Vec<Value> = costs.map(|cost| json!({"model": record.policy, "cost": cost})).collect();
    let usages: Vec<Value> = steps.iter().map(|step| token_usage(&record.policy, step.usage)).collect();
    json!({
        "accumulated_cost": trajectory.and_then(Trajectory::cost).unwrap_or_default(),
        "costs": costs,
        "accumulated_token_usage": token_usage(&record.policy, record.usage),
        "token_usages": usages,
    })
}

fn token_usage(model: &str, usage: Usage) -> Value {
    json!({
        "model": model,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cache_read_tokens": usage.cached_tokens,
    })
}

/// What ended a rollout before the agent did, in the words of OpenHands where it has some.
fn error(record: &RolloutRecord) -> Option<String> {
    if let Some(failure) = &record.failure {
        return Some(failure.to_string());
    }
    match record.exit_status? {
        ExitStatus::Finished | ExitStatus::Unknown => None,
        ExitStatus::StepLimit => {
            let turns = record.turns;
            Some(format!(
                "RuntimeError: Agent reached maximum iteration in headless mode. \
                 Current iteration: {turns}.00, max iteration: {turns}.00"
            ))
        }
        ExitStatus::StuckInLoop => Some("RuntimeError: Agent got stuck in a loop".to_owned()),
        other => Some(format!("{OWN_ERROR}{}", other.as_str())),
    }
}
