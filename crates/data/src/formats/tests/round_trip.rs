//! What goes out comes back, as far as a format can hold it.

use std::fs;
use std::path::Path;
use std::slice::from_ref;

use serde_json::{Value, json};
use swegym_core::{CallFailureKind, ExitStatus, FailedCall, Message, PartialAnswer, Role, Trajectory};

use super::toy::{PATCH, commit, commit_failed, first, import, json_lines, open, trajectory};
use crate::{ExportFormat, ExportOptions, ImportFormat, RunView, ToolFormat, export_runs};

const ENDS: [ExitStatus; 9] = ExitStatus::ALL;

fn id(end: ExitStatus) -> String {
    format!("o__n-{}", end.as_str())
}

/// A run with one rollout for each way to end, resolved where the policy finished, and one that failed.
fn run(folder: &Path) -> RunView {
    let run = open(folder);
    for end in ENDS {
        commit(&run, 0, trajectory(&id(end), end), end == ExitStatus::Finished);
    }
    commit(&run, 1, trajectory(&id(ExitStatus::Finished), ExitStatus::Finished), false);
    commit_failed(&run, "o__n-broken");
    RunView::open(folder).unwrap()
}

fn export(run: RunView, format: ExportFormat, to: &Path) {
    export_runs(&[run], format, to, &ExportOptions::default()).unwrap();
}

fn assert_same(run: &RunView, same_messages: impl Fn(&[Message]) -> Vec<Message>) {
    for end in ENDS {
        let (had, got) = (trajectory(&id(end), end), first(run, &id(end)));
        assert_eq!(got.trajectory.messages, same_messages(&had.messages), "{end:?}");
        let answers = |steps: &[swegym_core::Step]| -> Vec<_> {
            steps.iter().map(|step| (step.usage, step.cost)).collect()
        };
        assert_eq!(answers(&got.trajectory.steps), answers(&had.steps), "{end:?}");
        assert_eq!((got.trajectory.exit_status, got.trajectory.usage), (end, had.usage));
        assert_eq!((got.trajectory.policy, got.trajectory.scaffold), (had.policy, had.scaffold));
        assert_eq!(got.patch.unwrap().as_bytes(), PATCH.as_bytes());
    }
}

#[test]
fn openhands_with_completions_comes_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let [from, to, back] = ["from", "to", "back"].map(|name| folder.path().join(name));
    export(run(&from), ExportFormat::OpenHands, &to);
    let (imports, errors) = import(&[to.join("output.with_completions.jsonl.gz")], ImportFormat::Auto, &back);
    assert_eq!((imports.rollouts, errors), (ENDS.len() + 1, Vec::new()));
    let back = RunView::open(&back).unwrap();
    assert_same(&back, <[Message]>::to_vec);
    let finished = first(&back, &id(ExitStatus::Finished));
    assert_eq!(finished.trajectory.tools, trajectory("a-1", ExitStatus::Finished).tools);
    assert!(finished.verdict.unwrap().resolved);
    let broken = first(&back, "o__n-broken");
    assert_eq!(broken.failure.unwrap().message, "connect: refused");
    assert_eq!(broken.verdict, None);
}

#[test]
fn the_history_of_openhands_comes_back_but_for_what_the_system_said() {
    let folder = tempfile::tempdir().unwrap();
    let [from, to, back] = ["from", "to", "back"].map(|name| folder.path().join(name));
    export(run(&from), ExportFormat::OpenHands, &to);
    import(&[to.join("output.jsonl")], ImportFormat::Auto, &back);
    let without_system = |messages: &[Message]| {
        messages.iter().filter(|message| message.role != Role::System).cloned().collect()
    };
    assert_same(&RunView::open(&back).unwrap(), without_system);
}

#[test]
fn mini_comes_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let [from, to, back] = ["from", "to", "back"].map(|name| folder.path().join(name));
    export(run(&from), ExportFormat::Mini, &to);
    let (imports, errors) = import(from_ref(&to), ImportFormat::Auto, &back);
    assert_eq!((imports.rollouts, errors), (ENDS.len() + 1, Vec::new()), "those of sample 1 are among them");
    let back = RunView::open(&back).unwrap();
    assert_same(&back, <[Message]>::to_vec);
    let raw =
        |trajectory: &Trajectory| trajectory.steps.iter().map(|step| step.raw.clone()).collect::<Vec<_>>();
    let finished = trajectory("o__n-finished", ExitStatus::Finished);
    assert_eq!(raw(&first(&back, "o__n-finished").trajectory), raw(&finished), "also as the model wrote it");
    let preds: Value = serde_json::from_slice(&fs::read(to.join("preds.json")).unwrap()).unwrap();
    assert_eq!(preds.as_object().unwrap().len(), ENDS.len() + 1, "the one that failed is among them");
    assert_eq!(preds["o__n-finished"]["model_patch"], PATCH);
    assert_eq!(preds["o__n-broken"]["model_patch"], "");
    assert!(to.join("sample-1/o__n-finished/o__n-finished.traj.json").is_file());
}

/// One whose conversation was shortened, with what a gateway keeps, results of odd names and an answer that was none.
fn odd_trajectory(id: &str) -> Trajectory {
    let mut odd = trajectory(id, ExitStatus::TimeLimit);
    odd.merged_turns = true;
    odd.tool_format = Some(swegym_core::fncall::TextFormat::default());
    odd.steps[3].prompt = vec![(0, 2), (5, 6)];
    odd.steps[3].request = json!({"temperature": 0.5}).as_object().unwrap().clone();
    (odd.steps[3].model_ms, odd.steps[3].tool_ms) = (7, 11);
    odd.messages[4].name = None;
    odd.messages[3].name = Some("another".to_owned());
    odd.messages.push(Message::text(Role::Assistant, "half an ans"));
    odd.messages.push(Message::text(Role::System, ""));
    odd.failed_calls.push(FailedCall {
        steps_before: 2,
        prompt: vec![(0, 2)],
        request: Default::default(),
        kind: CallFailureKind::Abandoned,
        message: "the caller hung up".to_owned(),
        status: None,
        received: vec![PartialAnswer::default()],
        usage: Default::default(),
        model_ms: 3,
    });
    odd
}

#[test]
fn atif_comes_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let [from, to, back] = ["from", "to", "back"].map(|name| folder.path().join(name));
    let run = run(&from);
    let had = odd_trajectory("o__n-odd");
    commit(&open(&from), 0, had.clone(), false);
    export(run, ExportFormat::Atif, &to);
    let (imports, errors) = import(from_ref(&to), ImportFormat::Auto, &back);
    assert_eq!((imports.rollouts, errors), (ENDS.len() + 2, Vec::new()));
    let back = RunView::open(&back).unwrap();
    for end in ENDS {
        assert_eq!(first(&back, &id(end)).trajectory, trajectory(&id(end), end), "to the last token");
    }
    let got = first(&back, "o__n-odd");
    assert_eq!(got.trajectory, had);
    assert_eq!(got.patch.unwrap().as_bytes(), PATCH.as_bytes());
    assert!(!got.verdict.unwrap().resolved);
}

#[test]
fn turns_that_were_merged_are_so_in_training_data() {
    let folder = tempfile::tempdir().unwrap();
    let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
    let mut merged = trajectory("o__n-merged", ExitStatus::Finished);
    merged.messages.insert(2, Message::text(Role::User, "Soon."));
    merged.steps.iter_mut().for_each(|step| step.message_index += 1);
    merged.merged_turns = true;
    commit(&open(&from), 0, merged, true);
    export(RunView::open(&from).unwrap(), ExportFormat::Sft(ToolFormat::Native), &to);
    let messages = &json_lines(&to)[0]["messages"];
    assert_eq!(messages[1]["content"], "Mend it.\n\n\"Größe\" \u{1f980}\nSoon.");
    assert_eq!(messages[2]["role"], "assistant");
}

#[test]
fn samples_have_files_of_their_own_and_runs_count_on() {
    let folder = tempfile::tempdir().unwrap();
    let [from, other, to] = ["from", "other", "to"].map(|name| folder.path().join(name));
    let runs = [run(&from), run(&other)];
    let only = vec![swegym_core::InstanceId::new("o__n-finished").unwrap()];
    let options = ExportOptions { only, ..ExportOptions::default() };
    let (exports, left_out) = export_runs(&runs, ExportFormat::OpenHands, &to, &options).unwrap();
    assert_eq!((exports.len(), left_out), (8, 0));
    for name in ["output.jsonl", "output.1.jsonl", "output.2.with_completions.jsonl.gz", "output.3.jsonl"] {
        assert_eq!(json_lines(&to.join(name)).len(), 1, "{name}");
    }
    let options = ExportOptions { only_resolved: true, ..ExportOptions::default() };
    let sft = to.join("sft.jsonl");
    export_runs(&runs, ExportFormat::Sft(ToolFormat::Native), &sft, &options).unwrap();
    let rows = json_lines(&sft);
    assert_eq!(rows.iter().map(|row| row["sample"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(&folder.path().join("run"));
    let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
    for to in [&one, &other] {
        export(run.clone(), ExportFormat::OpenHands, to);
    }
    let read = |to: &Path| fs::read(to.join("output.with_completions.jsonl.gz")).unwrap();
    assert!(read(&one) == read(&other), "two exports differ");
}

#[test]
fn an_interrupted_import_goes_on_and_another_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [from, to, back] = ["from", "to", "back"].map(|name| folder.path().join(name));
    export(run(&from), ExportFormat::Mini, &to);
    let (imports, _) = import(from_ref(&to), ImportFormat::Mini, &back);
    fs::remove_file(back.join("rollouts/o__n-finished/1/rollout.json")).unwrap();
    let (again, _) = import(from_ref(&to), ImportFormat::Mini, &back);
    assert_eq!((again.rollouts, again.present), (imports.rollouts, imports.rollouts - 1));
    fs::remove_dir_all(to.join("sample-1")).unwrap();
    let settings = toml::Table::new();
    let error = crate::import_rollouts(&[to], ImportFormat::Mini, &back, &settings, &mut |_| {}).unwrap_err();
    assert!(matches!(error, crate::DataError::SettingsDiffer { .. }), "{error}");
}
