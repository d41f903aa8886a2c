//! Whatever stands in a file, its readable rows come in and go out again, and the others are named.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::toy::import;
use crate::{ExportFormat, ExportOptions, ImportFormat, RunView, ToolFormat, export_runs};

fn write(name: &str, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    fs::write(&file, content).unwrap();
    (folder, file)
}

#[test]
fn rows_that_cannot_be_read_are_named_and_the_others_come_in() {
    let good = json!({"instance_id": "o__n-1", "history": null, "test_result": {}}).to_string();
    let role = json!({"instance_id": "o__n-1", "raw_completions": {"messages": [{"role": "\u{1b}[2J"}]}});
    let lines = [
        good.clone(),
        "{\"instance_id\": ".to_owned(),
        "[".repeat(100_000),
        json!({"history": []}).to_string(),
        json!({"instance_id": "../../etc"}).to_string(),
        json!({"instance_id": "o__n-1", "history": [{"action": 7}]}).to_string(),
        role.to_string(),
        "\u{0}".to_owned(),
        good,
    ];
    let (folder, file) = write("output.jsonl", lines.join("\n").as_bytes());
    let run = folder.path().join("run");
    let (imports, errors) = import(&[file], ImportFormat::Auto, &run);
    assert_eq!((imports.rollouts, imports.refused), (2, 7));
    let expected = [
        "line 2: not valid JSON",
        "line 3: not valid JSON: recursion limit exceeded",
        "line 4: field `instance_id`: must be a string",
        "line 5: field `instance_id`:",
        "line 6: event 0: is neither an action nor an observation",
        "line 7: field `raw_completions`: field `role`: `[2J` is none that is known",
        "line 8: not valid JSON",
    ];
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.contains(expected) && error.contains("output.jsonl"), "{expected}: {error}");
    }
    assert_eq!(RunView::open(&run).unwrap().keys().unwrap().len(), 2);
}

#[test]
fn what_is_no_trajectory_makes_no_run() {
    for (name, content) in [
        ("a.json", &b"{}"[..]),
        ("a.traj.json", b"[]"),
        ("a.traj", b"{\"history\": 3}"),
        ("a.txt", b"\xff"),
        ("output.jsonl.gz", b"not gzip"),
        ("output.jsonl.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03cut off"),
    ] {
        let (folder, file) = write(name, content);
        let run = folder.path().join("run");
        let (imports, errors) = import(&[file, folder.path().join("nothing")], ImportFormat::Auto, &run);
        assert_eq!((imports.rollouts, imports.refused, errors.len()), (0, 2, 2), "{name}: {errors:?}");
        assert!(!run.exists(), "{name}");
    }
}

#[test]
fn a_folder_gives_each_rollout_once() {
    let folder = tempfile::tempdir().unwrap();
    let row = json!({"instance_id": "o__n-1", "test_result": {}}).to_string();
    for name in ["output.jsonl", "output.swebench_eval.jsonl", "output.critic_attempt_1.jsonl", "other.jsonl"]
    {
        fs::write(folder.path().join(name), &row).unwrap();
    }
    let run = folder.path().join("run");
    let (imports, _) = import(&[folder.path().to_owned()], ImportFormat::OpenHands, &run);
    assert_eq!(imports.rollouts, 1);
}

/// Names and texts that readers look for.
const WORDS: &[&str] = &[
    "action",
    "observation",
    "kind",
    "source",
    "agent",
    "user",
    "message",
    "run",
    "finish",
    "think",
    "system",
    "error",
    "args",
    "content",
    "extras",
    "cause",
    "id",
    "tool_call_metadata",
    "model_response",
    "choices",
    "tool_calls",
    "role",
    "assistant",
    "tool",
    "function",
    "name",
    "arguments",
    "tool_call_id",
    "text",
    "condensation",
    "forgotten_event_ids",
    "forgotten_events_start_id",
    "forgotten_events_end_id",
    "summary",
    "summary_offset",
    "results",
    "source_call_id",
    "function_name",
    "metrics",
    "prompt",
    "raw",
    "ActionEvent",
    "ObservationEvent",
    "MessageEvent",
    "TokenEvent",
    "SystemPromptEvent",
    "tool_call",
    "llm_message",
    "thought",
    "prompt_token_ids",
    "response_token_ids",
    "llm_response_id",
    "command",
    "exit_code",
    "metadata",
    "extra",
    "response",
    "usage",
    "query",
    "execute_bash",
    "str_replace_editor",
    "{}",
    "\u{1b}\u{0}]\n[Command finished with exit code 1]",
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(WORDS).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let key = prop::sample::select(WORDS);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..7).prop_map(object),
        ]
    })
}

fn object(fields: Vec<(&str, Value)>) -> Value {
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>().into()
}

/// Something like an event or a message.
fn event() -> impl Strategy<Value = Value> {
    let marked = |name: &'static str, words: &'static [&'static str]| {
        prop::sample::select(words).prop_map(move |word| (name, Value::from(word)))
    };
    let mark = prop_oneof![
        marked("action", &["run", "message", "finish", "think", "system", "null", "read", "condensation"]),
        marked("kind", &["ActionEvent", "ObservationEvent", "Condensation", "MessageEvent"]),
        marked("source", &["system", "user", "agent"]),
        marked("observation", &["run", "error", "null", "think", "user_rejected"]),
        marked("role", &["system", "user", "assistant", "tool", "exit"]),
    ];
    let fields = prop::collection::vec((prop::sample::select(WORDS), value()), 0..8);
    (mark, fields).prop_map(|(mark, mut fields)| {
        fields.push(mark);
        object(fields)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn anything_is_read_or_refused_and_what_is_read_goes_out(
        rows in prop::collection::vec(prop::collection::vec(event(), 0..8), 1..8)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = String::new();
        for (number, events) in rows.iter().enumerate() {
            let id = format!("o__n-{number}");
            let as_row = json!({"instance_id": id, "history": events, "test_result": {"git_patch": "x"}});
            let as_messages = json!({"instance_id": id, "raw_completions": {"messages": events}, "history": events});
            lines += &format!("{as_row}\n{as_messages}\n");
            let mini = json!({"info": {}, "messages": events}).to_string();
            fs::write(folder.path().join(format!("{id}.traj.json")), mini).unwrap();
            let atif = json!({"schema_version": "ATIF-v1.6", "session_id": id, "steps": events}).to_string();
            fs::create_dir(folder.path().join(&id)).unwrap();
            fs::write(folder.path().join(&id).join("trajectory.json"), atif).unwrap();
            let swe_agent = json!({"history": events, "trajectory": events}).to_string();
            fs::write(folder.path().join(format!("{id}.traj")), swe_agent).unwrap();
        }
        fs::write(folder.path().join("output.jsonl"), lines).unwrap();
        let run = folder.path().join("run");
        let (imports, errors) = import(&[folder.path().to_owned()], ImportFormat::Auto, &run);
        prop_assert_eq!(imports.rollouts + errors.len(), rows.len() * 5);
        if imports.rollouts > 0 {
            let formats = [
                ExportFormat::OpenHands,
                ExportFormat::Mini,
                ExportFormat::Atif,
                ExportFormat::Sft(ToolFormat::Native),
                ExportFormat::Predictions,
            ];
            for format in formats {
                let to = folder.path().join("to").join(format.default_name());
                export_runs(&[RunView::open(&run).unwrap()], format, &to, &ExportOptions::default()).unwrap();
            }
        }
    }
}
