//! What is written is checked against the rules of the format, each spelled out here.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use swegym_core::{ExitStatus, Message, Role, Trajectory};

use super::toy::{commit, commit_failed, open, trajectory};
use crate::{ExportFormat, ExportOptions, RunView, export_runs};

/// Keys of an object and whether they must be there; others are forbidden.
type Keys = &'static [(&'static str, bool)];

const TRAJECTORY: Keys = &[
    ("schema_version", true),
    ("session_id", false),
    ("trajectory_id", false),
    ("agent", true),
    ("steps", true),
    ("notes", false),
    ("final_metrics", false),
    ("continued_trajectory_ref", false),
    ("extra", false),
    ("subagent_trajectories", false),
];
const AGENT: Keys = &[
    ("name", true),
    ("version", true),
    ("model_name", false),
    ("tool_definitions", false),
    ("extra", false),
];
const STEP: Keys = &[
    ("step_id", true),
    ("timestamp", false),
    ("source", true),
    ("model_name", false),
    ("reasoning_effort", false),
    ("message", true),
    ("reasoning_content", false),
    ("tool_calls", false),
    ("observation", false),
    ("metrics", false),
    ("is_copied_context", false),
    ("llm_call_count", false),
    ("extra", false),
];
const OF_AGENT: [&str; 5] = ["model_name", "reasoning_effort", "reasoning_content", "tool_calls", "metrics"];
const CALL: Keys = &[("tool_call_id", true), ("function_name", true), ("arguments", true), ("extra", false)];
const RESULT: Keys =
    &[("source_call_id", false), ("content", false), ("subagent_trajectory_ref", false), ("extra", false)];
const METRICS: Keys = &[
    ("prompt_tokens", false),
    ("completion_tokens", false),
    ("cached_tokens", false),
    ("cost_usd", false),
    ("prompt_token_ids", false),
    ("completion_token_ids", false),
    ("logprobs", false),
    ("extra", false),
];
const FINAL_METRICS: Keys = &[
    ("total_prompt_tokens", false),
    ("total_completion_tokens", false),
    ("total_cached_tokens", false),
    ("total_cost_usd", false),
    ("total_steps", false),
    ("extra", false),
];

fn assert_keys(value: &Value, keys: Keys) {
    let object = value.as_object().unwrap_or_else(|| panic!("must be an object: {value}"));
    for key in object.keys() {
        assert!(keys.iter().any(|(known, _)| known == key), "`{key}` is forbidden in {value}");
    }
    for (key, _) in keys.iter().filter(|(_, needed)| *needed) {
        assert!(object.contains_key(*key), "`{key}` is missing in {value}");
    }
    if let Some(extra) = object.get("extra") {
        assert!(extra.is_object(), "{extra}");
    }
}

fn assert_valid(document: &Value) {
    assert_keys(document, TRAJECTORY);
    assert_eq!(document["schema_version"], "ATIF-v1.8");
    assert_keys(&document["agent"], AGENT);
    assert_keys(&document["final_metrics"], FINAL_METRICS);
    let steps = document["steps"].as_array().unwrap();
    assert!(!steps.is_empty());
    for (number, step) in (1..).zip(steps) {
        assert_eq!(step["step_id"], json!(number));
        assert_step(step);
    }
    assert_eq!(document["final_metrics"]["total_steps"], json!(steps.len()));
}

fn assert_step(step: &Value) {
    assert_keys(step, STEP);
    assert!(step["message"].is_string(), "{step}");
    let source = step["source"].as_str().unwrap();
    assert!(["system", "user", "agent"].contains(&source));
    if source != "agent" {
        assert!(OF_AGENT.iter().all(|key| step.get(key).is_none()), "{step}");
    }
    let list = |value: Option<&Value>| value.map(|list| list.as_array().unwrap().clone()).unwrap_or_default();
    let calls = list(step.get("tool_calls"));
    let ids: HashSet<&str> = calls.iter().map(|call| call["tool_call_id"].as_str().unwrap()).collect();
    for call in &calls {
        assert_keys(call, CALL);
        assert!(call["arguments"].is_object() && call["function_name"].is_string(), "{call}");
    }
    for result in list(step.pointer("/observation/results")) {
        assert_keys(&result, RESULT);
        assert!(result["content"].is_string(), "{result}");
        if let Some(id) = result.get("source_call_id") {
            assert!(ids.contains(id.as_str().unwrap()), "{result}");
        }
    }
    if let Some(metrics) = step.get("metrics") {
        assert_keys(metrics, METRICS);
        let (ids, logprobs) = (list(metrics.get("completion_token_ids")), list(metrics.get("logprobs")));
        assert!(logprobs.is_empty() || logprobs.len() == ids.len(), "{metrics}");
    }
}

fn export(trajectory: Trajectory) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let id = trajectory.instance_id.clone();
    commit(&open(&path), 0, trajectory, true);
    let to = folder.path().join("atif");
    write(&path, &to);
    let file = to.join(id.as_str()).join("0/trajectory.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn write(run: &Path, to: &Path) -> (usize, usize) {
    let run = RunView::open(run).unwrap();
    let (exports, left_out) = export_runs(&[run], ExportFormat::Atif, to, &ExportOptions::default()).unwrap();
    (exports[0].rows, left_out)
}

#[test]
fn a_trajectory_keeps_the_rules_and_says_everything() {
    let had = trajectory("o__n-1", ExitStatus::StepLimit);
    let document = export(had.clone());
    assert_valid(&document);
    let steps = document["steps"].as_array().unwrap();
    let sources: Vec<&str> = steps.iter().map(|step| step["source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["system", "user", "agent", "agent", "user", "agent", "agent", "agent"]);
    let first = &steps[2];
    assert_eq!(first["message"], "Let me look.");
    assert_eq!(first["reasoning_content"], "hm");
    let results = first["observation"]["results"].as_array().unwrap();
    let ids: Vec<&str> = results.iter().map(|result| result["source_call_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["c1", "c2"]);
    assert_eq!(results[1]["content"], "     1\ta\n");
    assert_eq!(document["extra"]["exit_status"], "step_limit");
    assert_eq!(document["extra"]["resolved"], true);
    assert_eq!(document["final_metrics"]["total_cost_usd"], json!(1.25));
}

#[test]
fn arguments_that_are_no_object_and_such_as_change_are_kept_as_text() {
    let document = export(trajectory("o__n-1", ExitStatus::Finished));
    let calls = document["steps"].as_array().unwrap().iter().filter_map(|step| step.get("tool_calls"));
    let calls: Vec<&Value> = calls.flat_map(|calls| calls.as_array().unwrap()).collect();
    let texts: Vec<Option<&str>> =
        calls.iter().map(|call| call.pointer("/extra/arguments_text")?.as_str()).collect();
    let expected = [
        Some("{\"command\": \"ls -a\\n\"}"),
        None,
        Some("{\"command\": "),
        Some("{\"url\": 1.50, \"n\": 123456789012345678901234567890}"),
        None,
    ];
    assert_eq!(texts, expected);
    assert_eq!(calls[0]["arguments"], json!({"command": "ls -a\n"}));
    assert_eq!(calls[2]["arguments"], json!({}));
}

#[test]
fn token_ids_are_whole_and_logprobs_stand_beside_them() {
    let document = export(trajectory("o__n-1", ExitStatus::Finished));
    let metrics = |step: usize| &document["steps"][step]["metrics"];
    assert_eq!(metrics(2)["prompt_token_ids"], json!([1, 2, 3]));
    assert_eq!(metrics(2)["logprobs"], json!([-0.5, -0.625]));
    assert_eq!(metrics(3)["prompt_token_ids"], json!([1, 2, 3, 4, 5, 6]), "also what the step before had");
    assert_eq!(metrics(3)["completion_token_ids"], json!([7]));
    assert_eq!(metrics(5).get("prompt_token_ids"), None);
    assert_eq!(metrics(5)["prompt_tokens"], 102);
}

#[test]
fn results_without_their_call_break_no_rule() {
    let mut odd = trajectory("o__n-1", ExitStatus::Finished);
    let mut lost = Message::text(Role::Tool, "lost");
    lost.tool_call_id = Some("nowhere".to_owned());
    odd.messages.insert(0, lost.clone());
    odd.steps.iter_mut().for_each(|step| step.message_index += 1);
    odd.messages.push(lost);
    let document = export(odd);
    assert_valid(&document);
    let steps = document["steps"].as_array().unwrap();
    assert_eq!(steps[0]["source"], "system");
    for step in [&steps[0], steps.last().unwrap()] {
        assert_eq!(step["observation"]["results"][0]["extra"]["tool_call_id"], "nowhere");
    }
}

#[test]
fn a_rollout_in_which_nothing_was_said_has_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    commit_failed(&open(&run), "o__n-1");
    assert_eq!(write(&run, &folder.path().join("atif")), (0, 1));
}
