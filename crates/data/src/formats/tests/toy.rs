//! A run with everything in it that the formats differ about.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use swegym_core::{
    Boundary, Completion, CompletionTokens, ExitStatus, Failure, InstanceId, Message, Patch, PatchOutcome,
    Role, ToolCall, ToolCallFunction, ToolSpec, Trajectory, Usage, VERDICT_SCHEMA_VERSION, Verdict,
};

use crate::formats::rollout::{Imported, unbegun};
use crate::{DataError, ImportFormat, Imports, RolloutFiles, RunConfig, RunDir, RunView, import_rollouts};

pub(super) const PATCH: &str =
    "diff --git a/x b/x\r\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file";

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    let function = ToolCallFunction { name: name.to_owned(), arguments: arguments.to_owned() };
    ToolCall { id: id.to_owned(), kind: "function".to_owned(), function }
}

fn answer(trajectory: &mut Trajectory, message: Message, tokens: Option<(&[u32], &[u32])>) {
    let turn = trajectory.steps.len() as u64;
    trajectory.push_answer(
        Completion {
            usage: Usage { prompt_tokens: 100 + turn, completion_tokens: 7, cached_tokens: turn },
            tokens: tokens.map(|(prompt, completion)| CompletionTokens {
                prompt_token_ids: prompt.to_vec(),
                completion_token_ids: completion.to_vec(),
                logprobs: completion.iter().map(|id| -f64::from(*id) / 8.0).collect(),
            }),
            cost: Some(0.25),
            ..Completion::new(message, "tool_calls")
        },
        Vec::new(),
        1500,
    );
}

/// Two calls at once, reasoning, arguments that no JSON value gives back, an answer without a call, an error, and results
/// that the model never saw where the rollout ends at a limit.
pub(super) fn trajectory(id: &str, exit_status: ExitStatus) -> Trajectory {
    let mut trajectory = unbegun(InstanceId::new(id).unwrap(), "codeact".to_owned(), "owner/m".to_owned());
    trajectory.exit_status = exit_status;
    let parameters = json!({"type": "object", "properties": {"command": {"type": "string"}}});
    let bash = ToolSpec { name: "execute_bash".to_owned(), description: "Runs.".to_owned(), parameters };
    trajectory.tools = vec![bash];
    trajectory.messages.push(Message::text(Role::System, "You are an agent."));
    trajectory.messages.push(Message::text(Role::User, "Mend it.\n\n\"Größe\" \u{1f980}"));
    let calls = vec![
        call("c1", "execute_bash", r#"{"command": "ls -a\n"}"#),
        call("c2", "str_replace_editor", r#"{"command":"view","path":"/testbed/x","view_range":[1,2]}"#),
    ];
    let first = Message {
        reasoning_content: Some("hm".to_owned()),
        ..Message::calling("Let me look.", calls.clone())
    };
    answer(&mut trajectory, first, Some((&[1, 2, 3], &[4, 5])));
    let listing = ".\n..\n[Command finished with exit code 0]";
    trajectory.messages.push(Message::tool_result(&calls[0], listing));
    trajectory.messages.push(Message::tool_result(&calls[1], "     1\ta\n"));
    answer(
        &mut trajectory,
        Message::text(Role::Assistant, "Is that right?"),
        Some((&[1, 2, 3, 4, 5, 6], &[7])),
    );
    trajectory.messages.push(Message::text(Role::User, "Go on, please."));
    let broken = call("c3", "execute_bash", r#"{"command": "#);
    answer(&mut trajectory, Message::calling("", vec![broken.clone()]), None);
    let error = "the arguments are no JSON\n[Error occurred in processing last action]";
    trajectory.messages.push(Message::tool_result(&broken, error));
    let written = Message::text(Role::Assistant, "<function=execute_bash>\n<parameter=command>");
    trajectory.steps[2].raw = Some(Box::new(written));
    let unknown = call("c4", "browse", r#"{"url": 1.50, "n": 123456789012345678901234567890}"#);
    answer(&mut trajectory, Message::calling("Odd.", vec![unknown.clone()]), None);
    trajectory.messages.push(Message::tool_result(&unknown, "there is no tool `browse`"));
    let last = match exit_status {
        ExitStatus::Finished => call("c5", "finish", "{}"),
        _ => call("c5", "execute_bash", r#"{"command":"true"}"#),
    };
    answer(&mut trajectory, Message::calling("Done.", vec![last.clone()]), None);
    if exit_status != ExitStatus::Finished {
        trajectory.messages.push(Message::tool_result(&last, "[Command finished with exit code 0]"));
    }
    trajectory
}

pub(super) fn verdict(resolved: bool) -> Verdict {
    Verdict {
        schema_version: VERDICT_SCHEMA_VERSION,
        resolved,
        patch: PatchOutcome::Applied { by: "git apply".to_owned() },
        tests: None,
        reason: None,
        evidence: swegym_core::Evidence::Log,
        inconsistent: false,
        findings: Vec::new(),
        profiles: Default::default(),
        exit_code: Some(0),
        timed_out: false,
        test_ms: 1,
        failure: None,
    }
}

/// Commits a rollout that ended so.
pub(super) fn commit(run: &RunDir, sample: u32, trajectory: Trajectory, resolved: bool) {
    let trajectory = Trajectory { sample, ..trajectory };
    let exit_status = trajectory.exit_status;
    let rollout = Imported {
        verdict: Some(verdict(resolved)),
        ..Imported::new(trajectory, Some(Patch::from(PATCH)), Ok(exit_status))
    };
    write(run, &rollout);
}

/// Commits a rollout that did not happen.
pub(super) fn commit_failed(run: &RunDir, id: &str) {
    let kind = "connect".to_owned();
    let failure = Failure { boundary: Boundary::Model, kind, message: "refused".to_owned(), retryable: true };
    let mut trajectory = trajectory(id, ExitStatus::Unknown);
    trajectory.messages.clear();
    trajectory.steps.clear();
    write(
        run,
        &Imported { failure: Some(failure), ..Imported::new(trajectory, None, Ok(ExitStatus::Unknown)) },
    );
}

fn write(run: &RunDir, rollout: &Imported) {
    let files = RolloutFiles {
        trajectory: Some(&rollout.trajectory),
        patch: rollout.patch.as_ref(),
        ..RolloutFiles::default()
    };
    run.commit(&rollout.record(), &files).unwrap();
}

pub(super) fn open(path: &Path) -> RunDir {
    RunDir::open(path, &RunConfig::default()).unwrap()
}

/// Imports files into a run; the errors are those of rows.
pub(super) fn import(files: &[PathBuf], format: ImportFormat, run: &Path) -> (Imports, Vec<String>) {
    let mut errors = Vec::new();
    let mut refuse = |error: &DataError| errors.push(error.to_string());
    let imports = import_rollouts(files, format, run, &toml::Table::new(), &mut refuse).unwrap();
    (imports, errors)
}

/// Writes `text` to a file, imports it, and gives back the first rollout of this instance.
pub(super) fn read_text(name: &str, text: &str, id: &str) -> Imported {
    let folder = tempfile::tempdir().unwrap();
    let (file, run) = (folder.path().join(name), folder.path().join("run"));
    fs::write(&file, text).unwrap();
    let (_, errors) = import(&[file], ImportFormat::Auto, &run);
    assert_eq!(errors, Vec::<String>::new());
    first(&RunView::open(&run).unwrap(), id)
}

pub(super) fn first(run: &RunView, id: &str) -> Imported {
    let key = swegym_core::RolloutKey { instance_id: InstanceId::new(id).unwrap(), sample: 0 };
    let record = run.committed(&key).unwrap().unwrap();
    Imported {
        trajectory: run.trajectory(&key).unwrap().unwrap(),
        patch: run.patch(&key).unwrap(),
        verdict: record.verdict,
        failure: record.failure,
    }
}

pub(super) fn json_lines(path: &Path) -> Vec<Value> {
    let bytes = fs::read(path).unwrap();
    let mut text = String::new();
    let mut gzip = flate2::read::MultiGzDecoder::new(bytes.as_slice());
    match path.extension().is_some_and(|end| end == "gz") {
        true => std::io::Read::read_to_string(&mut gzip, &mut text).map(|_| ()).unwrap(),
        false => text = String::from_utf8(bytes).unwrap(),
    }
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
