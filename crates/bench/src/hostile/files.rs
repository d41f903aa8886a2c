//! Readers of files: instances, predictions, what other programs left, what runs of ours hold.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use serde_json::json;
use swegym_core::{Instance, Patch, Verdict};
use swegym_data::{
    ImportFormat, ValidationFile, import_rollouts, load_instances, load_predictions, load_trajectory,
    read_events,
};
use swegym_harness::{Profile, regrade};

use super::Subject;
use super::inputs::{Input, repeated};
use super::texts::json_texts;

pub(super) fn subjects() -> Vec<Subject> {
    let mut subjects = vec![
        Subject::of_file("instances", "x.jsonl", rows(), |path| drop(black_box(load_instances(path)))),
        Subject::of_file("instances in a list", "x.json", lists(), |path| {
            drop(black_box(load_instances(path)))
        }),
        Subject::of_file("predictions", "x.jsonl", rows(), |path| drop(black_box(load_predictions(path)))),
        Subject::of_file("predictions in a list", "x.json", lists(), |path| {
            drop(black_box(load_predictions(path)))
        }),
        Subject::of_file("validation file", "x.json", json_texts(), |path| {
            drop(black_box(ValidationFile::load(path)))
        }),
        Subject::of_file("trajectory in a run", "x.json.zst", json_texts(), |path| {
            drop(black_box(load_trajectory(path)))
        }),
        Subject::of_file("events", "events.jsonl", rows(), |path| drop(black_box(read_events(path)))),
        Subject::new(
            "verdict and log of --regrade",
            repeated(["PASSED t::a\n", ">>>>> Start Test Output\n", "x", "+ git apply -v -", ">", "\n"]),
            regraded,
        ),
    ];
    for (name, format, file) in [
        ("import of OpenHands", ImportFormat::OpenHands, "output.jsonl"),
        ("import of mini", ImportFormat::Mini, "x__x-1.traj.json"),
        ("import of SWE-agent", ImportFormat::SweAgent, "x__x-1.traj"),
    ] {
        let read = move |path: &Path| import(path, format);
        subjects.push(Subject::of_file(name, file, trajectories(), read));
    }
    subjects
}

fn import(path: &Path, format: ImportFormat) {
    let run: PathBuf = path.with_extension("run");
    drop(black_box(import_rollouts(&[path.to_owned()], format, &run, &Default::default(), &mut |_| ())));
}

fn row(id: &str, statement: &str, tests: &str) -> String {
    json!({
        "repo": "x/x", "instance_id": format!("x__x-{id}"), "base_commit": "0".repeat(40), "version": "1",
        "patch": "", "test_patch": "", "problem_statement": statement, "model_name_or_path": "m",
        "model_patch": statement, "FAIL_TO_PASS": tests, "PASS_TO_PASS": "[]",
    })
    .to_string()
}

/// One long text, many tests in one row, many rows, many columns, and nothing that is a row.
fn rows() -> Vec<Input> {
    let one = row("%", "", "[\"a\"]");
    let within = |statement: &str, tests: &str, unit: &str| {
        let row = row("1", statement, tests);
        let (head, tail) = row.split_once("HERE").unwrap_or_default();
        Input::within(head, unit, tail)
    };
    let mut inputs = json_texts();
    inputs.extend([
        within("HERE", "[\"a\"]", "\\u0001"),
        within("HERE", "[\"a\"]", "\\ud83d\\ude00"),
        within("HERE", "[\"a\"]", "x"),
        within("", "[HERE\"a\"]", "\\\"a::b\\\","),
        within("", "HERE", "["),
        Input::counted("", &(one.clone() + "\n"), ""),
        Input::counted(
            "",
            &(row("1", "", "[\"a\"]").trim_end_matches('}').to_owned() + ", \"c%\": 0}\n"),
            "",
        ),
        Input::counted(one.replace('%', "1").trim_end_matches('}'), ", \"c%\": 0", "}"),
        Input::repeated("\n"),
        Input::repeated("{}\n"),
        Input::repeated("\r\n"),
    ]);
    inputs
}

fn lists() -> Vec<Input> {
    let one = row("%", "", "[\"a\"]");
    let mut inputs = json_texts();
    inputs.extend([
        Input::counted("[", &(one.clone() + ","), &(one.replace('%', "x") + "]")),
        Input::counted(
            "{",
            &format!("\"x__x-%\": {one},"),
            &format!("\"x__x-x\": {}}}", one.replace('%', "x")),
        ),
    ]);
    inputs
}

/// One trajectory with many messages, and with one long one.
fn trajectories() -> Vec<Input> {
    let message = r#"{"role": "assistant", "content": "x"},"#;
    let call = r#"{"role": "assistant", "content": "", "tool_calls": [{"id": "%", "function": {"name": "f", "arguments": "{}"}}]},{"role": "tool", "content": "x", "tool_call_id": "%"},"#;
    let action = r#"{"id": %, "action": "run", "source": "agent", "args": {"command": "x"}},{"id": %, "observation": "run", "cause": %, "content": "x", "extras": {"command": "x"}},"#;
    let steps = r#"{"query": [{"role": "user", "content": "x"}], "response": "x", "observation": "x"},"#;
    let openhands = |field: &str| {
        format!(r#"{{"instance_id": "x__x-1", "test_result": {{"git_patch": "x"}}, "{field}": ["#)
    };
    let completions = r#"{"instance_id": "x__x-1", "test_result": {}, "raw_completions": {"messages": ["#;
    let mini = r#"{"info": {}, "messages": ["#;
    let mut inputs = json_texts();
    inputs.extend([
        Input::counted(&openhands("history"), action, "{}]}"),
        Input::counted(
            &openhands("history"),
            action.split_inclusive("}},").next().unwrap_or_default(),
            "{}]}",
        ),
        Input::counted(completions, message, r#"{"role": "user"}]}, "history": []}"#),
        Input::counted(completions, call, r#"{"role": "user", "content": ""}]}, "history": []}"#),
        Input::counted(mini, message, r#"{"role": "exit", "content": ""}]}"#),
        Input::counted(mini, call, r#"{"role": "exit", "content": ""}]}"#),
        Input::counted(r#"{"trajectory": [], "history": ["#, message, r#"{"role": "user", "content": ""}]}"#),
        Input::counted(r#"{"trajectory": ["#, steps, r#"{"query": []}]}"#),
        Input::within(&format!("{mini}{{\"role\": \"assistant\", \"content\": \""), "\\u0001", "\"}]}"),
        Input::repeated("{\"instance_id\": \"x__x-1\", \"history\": [], \"test_result\": {}\n"),
    ]);
    inputs
}

fn regraded(log: &[u8]) {
    let row = json!({
        "repo": "x/x", "instance_id": "x__x-1", "base_commit": "0".repeat(40), "version": "1", "patch": "",
        "test_patch": "", "problem_statement": "", "FAIL_TO_PASS": ["t::a"], "PASS_TO_PASS": [],
    });
    let verdict = json!({
        "schema_version": 1, "resolved": false, "patch": {"outcome": "applied", "by": "git"}, "evidence": "log",
        "inconsistent": false, "findings": [], "timed_out": false, "test_ms": 0, "exit_code": 0,
    });
    let instance = row.as_object().and_then(|row| Instance::from_row(row.clone()).ok());
    let verdict = serde_json::from_value::<Verdict>(verdict).ok();
    let (Some(instance), Some(verdict)) = (instance, verdict) else { return };
    for profile in Profile::ALL {
        drop(black_box(regrade(profile, &instance, &verdict, log)));
    }
    black_box(Patch::new(log).is_empty());
}
