use std::collections::BTreeMap;

use proptest::prelude::*;
use swegym_core::{
    Boundary, CONNECTIONS_SCHEMA_VERSION, Connection, ConnectionCounts, Evidence, ExitStatus, InstanceId,
    Message, PatchOutcome, ROLLOUT_SCHEMA_VERSION, Role, TRAJECTORY_SCHEMA_VERSION, Timings, ToolSpec, Usage,
    VERDICT_SCHEMA_VERSION, Verdict,
};

use super::*;
use crate::{export_predictions, export_sft, load_predictions};

/// `rollout.json` of version 1, as it must be readable for ever.
const ROLLOUT_1: &str = r#"{
  "schema_version": 1, "instance_id": "a-1", "sample": 0, "policy": "m", "status": "completed",
  "exit_status": "step_limit", "turns": 3, "usage": {"prompt_tokens": 5, "completion_tokens": 7},
  "empty_patch": false, "timings": {"setup_ms": 1, "agent_ms": 2, "eval_ms": 3},
  "verdict": {
    "schema_version": 1, "resolved": false, "patch": {"outcome": "applied", "by": "git apply"},
    "tests": {
      "FAIL_TO_PASS": {"success": [], "failure": ["t::a"]}, "PASS_TO_PASS": {"success": ["t::b"], "failure": []}
    },
    "reason": "1 test fails", "exit_code": 1, "timed_out": false, "test_ms": 9
  },
  "failed_attempts": 2
}"#;
/// The smallest trajectory of version 1.
const TRAJECTORY_1: &str = r#"{
  "schema_version": 1, "instance_id": "a-1", "sample": 0, "scaffold": "codeact", "policy": "m",
  "tools": [{"name": "bash", "description": "d", "parameters": {"type": "object"}}],
  "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": null,
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "bash", "arguments": "{"}}]}],
  "steps": [{"message_index": 1, "usage": {}, "model_ms": 1, "tool_ms": 2}],
  "exit_status": "finished", "usage": {"prompt_tokens": 5}
}"#;
const RUN_1: &str = "schema_version = 1\n[settings]\nseed = 1\n[inputs]\n\"tasks.jsonl\" = \"00\"\n";

fn key(instance_id: &str, sample: u32) -> RolloutKey {
    RolloutKey { instance_id: InstanceId::new(instance_id).unwrap(), sample }
}

fn record(key: &RolloutKey, status: RolloutStatus, resolved: bool) -> RolloutRecord {
    let verdict = Verdict {
        schema_version: VERDICT_SCHEMA_VERSION,
        resolved,
        patch: PatchOutcome::Empty,
        tests: None,
        reason: None,
        evidence: Evidence::Log,
        inconsistent: false,
        findings: Vec::new(),
        profiles: Default::default(),
        exit_code: Some(0),
        timed_out: false,
        test_ms: 0,
        failure: None,
    };
    RolloutRecord {
        schema_version: ROLLOUT_SCHEMA_VERSION,
        key: key.clone(),
        policy: "m".to_owned(),
        status,
        exit_status: None,
        turns: 0,
        usage: Usage::default(),
        empty_patch: true,
        timings: Timings::default(),
        connections: None,
        verdict: (status == RolloutStatus::Completed).then_some(verdict),
        failure: None,
        failed_attempts: 0,
    }
}

fn completed(key: &RolloutKey) -> RolloutRecord {
    record(key, RolloutStatus::Completed, true)
}

fn trajectory(key: &RolloutKey) -> Trajectory {
    let bash =
        ToolSpec { name: "bash".to_owned(), description: "d".to_owned(), parameters: serde_json::json!({}) };
    Trajectory {
        schema_version: TRAJECTORY_SCHEMA_VERSION,
        instance_id: key.instance_id.clone(),
        sample: key.sample,
        scaffold: "codeact".to_owned(),
        policy: "m".to_owned(),
        tools: vec![bash],
        tool_format: None,
        merged_turns: false,
        messages: vec![Message::text(Role::User, format!("solve {key}"))],
        steps: Vec::new(),
        failed_calls: Vec::new(),
        exit_status: ExitStatus::Finished,
        usage: Usage::default(),
    }
}

fn connections() -> Connections {
    let at = "2026-01-02T03:04:05.678Z".parse().unwrap();
    let host = "pypi.org".to_owned();
    Connections {
        schema_version: CONNECTIONS_SCHEMA_VERSION,
        counts: ConnectionCounts { allowed: 0, refused: 700, service: 2 },
        latest: vec![Connection { at, host, port: 443, allowed: false, bytes_up: 0, bytes_down: 0 }],
    }
}

fn commit(run: &RunDir, key: &RolloutKey) -> CommitInfo {
    let files = RolloutFiles {
        trajectory: Some(&trajectory(key)),
        patch: Some(&Patch::new(*b"diff\r\n\xff")),
        connections: Some(&connections()),
        eval: vec![("report.json", b"{}"), ("test_output.txt", b"log")],
    };
    run.commit(&completed(key), &files).unwrap()
}

fn failure() -> Failure {
    let kind = "connect".to_owned();
    Failure { boundary: Boundary::Model, kind, message: "refused".to_owned(), retryable: true }
}

fn open(path: &Path) -> RunDir {
    RunDir::open(path, &RunConfig::default()).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = entries(folder).unwrap().into_iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_committed_rollout_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let (run, key) = (open(folder.path()), key("a-1", 3));
    assert_eq!(run.committed(&key).unwrap(), None);
    let info = commit(&run, &key);
    assert_eq!(info.record, "rollouts/a-1/3/rollout.json");
    assert_eq!(info.sha256, crate::digest_file(&folder.path().join(&info.record)).unwrap());

    let view = RunView::open(folder.path()).unwrap();
    assert_eq!(view.committed(&key).unwrap(), Some(completed(&key)));
    assert_eq!(view.trajectory(&key).unwrap(), Some(trajectory(&key)));
    assert_eq!(view.connections(&key).unwrap(), Some(connections()));
    assert_eq!(view.patch(&key).unwrap().unwrap().as_bytes(), b"diff\r\n\xff");
    assert_eq!(fs::read(view.rollout_dir(&key).join("eval/test_output.txt")).unwrap(), b"log");
}

#[test]
fn a_rollout_is_committed_once() {
    let folder = tempfile::tempdir().unwrap();
    let (run, key) = (open(folder.path()), key("a-1", 0));
    commit(&run, &key);
    let again = run.commit(&record(&key, RolloutStatus::Failed, false), &RolloutFiles::default());
    assert!(matches!(again, Err(DataError::AlreadyCommitted { .. })));
    assert_eq!(run.records().unwrap(), [completed(&key)]);
}

#[test]
fn records_come_in_the_order_of_their_keys() {
    let folder = tempfile::tempdir().unwrap();
    let run = open(folder.path());
    let keys = [key("b-1", 2), key("a-1", 10), key("b-1", 0), key("a-1", 9)];
    keys.iter().for_each(|key| drop(commit(&run, key)));
    fs::create_dir_all(folder.path().join("rollouts/.cache/0")).unwrap();
    fs::create_dir_all(folder.path().join("rollouts/a-1/010")).unwrap();
    let read: Vec<_> = run.records().unwrap().into_iter().map(|record| record.key.to_string()).collect();
    assert_eq!(read, ["a-1/9", "a-1/10", "b-1/0", "b-1/2"]);
}

#[test]
fn a_second_writer_is_told_who_the_first_is() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let error = RunDir::open(folder.path(), &RunConfig::default()).unwrap_err();
    let holder = format!("process {} on host `", std::process::id());
    assert!(error.to_string().contains(&holder), "{error}");
    assert!(error.hints()[0].contains("--run"));
    drop(first);
    open(folder.path());
}

#[test]
fn a_run_is_resumed_with_the_same_settings_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let config = |settings: &str, digest: &str| RunConfig {
        settings: settings.parse().unwrap(),
        inputs: BTreeMap::from([("tasks.jsonl".to_owned(), digest.to_owned())]),
        volatile: vec!["jobs".to_owned(), "display".to_owned()],
    };
    let begun = "jobs = 2\nseed = 1\n[display]\ncolour = true\n[scaffold]\nmax_steps = 30\n";
    drop(RunDir::open(&path, &config(begun, "00")).unwrap());
    let allowed = "jobs = 9\nseed = 1\n[display]\ncolour = false\nwidth = 3\n[scaffold]\nmax_steps = 30\n";
    drop(RunDir::open(&path, &config(allowed, "00")).unwrap());

    let other = "jobs = 2\njobs_per_host = 3\n[display]\ncolour = true\n[scaffold]\nmax_steps = 50\n";
    let error = RunDir::open(&path, &config(other, "11")).unwrap_err();
    let DataError::SettingsDiffer { differences, .. } = &error else { panic!("{error}") };
    let differences: Vec<_> = differences.iter().map(ToString::to_string).collect();
    let expected = [
        r#"`inputs."tasks.jsonl"` was "00", now "11""#,
        "`jobs_per_host` was unset, now 3",
        "`scaffold.max_steps` was 30, now 50",
        "`seed` was 1, now unset",
    ];
    assert_eq!(differences, expected);
    assert!(error.hints()[0].contains("`-o`"));
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.tex"), "").unwrap();
    let error = RunDir::open(folder.path(), &RunConfig::default()).unwrap_err();
    assert!(error.to_string().contains("not a run directory"), "{error}");
    assert_eq!(names(folder.path()), ["thesis.tex"]);
    assert!(RunView::open(folder.path()).is_err());
}

#[test]
fn failed_attempts_are_kept_through_commit_and_restart() {
    let folder = tempfile::tempdir().unwrap();
    let key = key("a-1", 0);
    let run = open(folder.path());
    let files = RolloutFiles { trajectory: Some(&trajectory(&key)), ..RolloutFiles::default() };
    assert_eq!(run.keep_attempt(&key, &failure(), &files).unwrap(), 0);
    fs::create_dir(run.rollout_dir(&key).join(UNFINISHED_ATTEMPT)).unwrap();
    drop(run);
    let run = open(folder.path());
    assert_eq!(run.keep_attempt(&key, &failure(), &RolloutFiles::default()).unwrap(), 1);
    commit(&run, &key);
    assert_eq!(run.attempts(&key).unwrap(), 2);
    let rollout = run.rollout_dir(&key);
    assert_eq!(
        names(&rollout),
        ["attempts", "connections.json", "eval", "patch.diff", "rollout.json", "trajectory.json.zst"]
    );
    assert_eq!(names(&rollout.join("attempts/0")), ["failure.json", "trajectory.json.zst"]);
    let kept = fs::read_to_string(rollout.join("attempts/1/failure.json")).unwrap();
    assert!(kept.contains("\"schema_version\": 1") && kept.contains("\"kind\": \"connect\""), "{kept}");
}

#[test]
fn a_failed_rollout_can_be_tried_again_and_stays_as_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let (run, key) = (open(folder.path()), key("a-1", 0));
    assert!(matches!(run.retire(&key), Err(DataError::NotFailed { .. })));
    let failed = record(&key, RolloutStatus::Failed, false);
    let files = RolloutFiles { eval: vec![("test_output.txt", b"log")], ..RolloutFiles::default() };
    run.commit(&failed, &files).unwrap();
    let before = fs::read(run.rollout_dir(&key).join("rollout.json")).unwrap();

    // Killed after the copy was made, before the record was removed.
    copy_folder(
        &run.rollout_dir(&key),
        &new_attempt(&run.rollout_dir(&key)).unwrap(),
        &[ATTEMPTS, UNFINISHED_ATTEMPT],
    )
    .unwrap();
    run.finish_attempt(&key, &run.rollout_dir(&key)).unwrap();
    assert_eq!(run.records().unwrap(), [failed]);

    assert_eq!(run.retire(&key).unwrap(), 0);
    assert_eq!(run.records().unwrap(), []);
    assert_eq!(names(&run.rollout_dir(&key)), ["attempts"]);
    assert_eq!(names(&run.rollout_dir(&key).join("attempts")), ["0"]);
    assert_eq!(fs::read(run.rollout_dir(&key).join("attempts/0/rollout.json")).unwrap(), before);
    assert_eq!(fs::read(run.rollout_dir(&key).join("attempts/0/eval/test_output.txt")).unwrap(), b"log");
    commit(&run, &key);
    assert!(matches!(run.retire(&key), Err(DataError::NotFailed { .. })));
}

#[test]
fn damaged_and_newer_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (run, key) = (open(folder.path()), key("a-1", 0));
    commit(&run, &key);
    let path = run.rollout_dir(&key).join("rollout.json");
    let cases = [
        ("{\"schema_ver", "it is damaged"),
        ("{}", "field `schema_version`"),
        ("{\"schema_version\": 2}", "its schema version 2 is newer than 1"),
        ("{\"schema_version\": 1}", "it is damaged: missing field"),
        (&ROLLOUT_1.replace("a-1", "b-2"), "it is the record of `b-2/0`"),
    ];
    for (text, expected) in cases {
        fs::write(&path, text).unwrap();
        let error = run.records().unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("a-1/0/rollout.json"), "{error}");
        assert!(run.commit(&completed(&key), &RolloutFiles::default()).is_err(), "must not be overwritten");
    }
    fs::write(run.rollout_dir(&key).join("trajectory.json.zst"), "no zstd").unwrap();
    assert!(run.trajectory(&key).is_err());
}

#[test]
fn version_1_is_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let rollout = folder.path().join("rollouts/a-1/0");
    fs::create_dir_all(&rollout).unwrap();
    fs::write(folder.path().join("run.toml"), RUN_1).unwrap();
    fs::write(rollout.join("rollout.json"), ROLLOUT_1).unwrap();
    fs::write(rollout.join("trajectory.json.zst"), zstd::encode_all(TRAJECTORY_1.as_bytes(), 3).unwrap())
        .unwrap();

    let view = RunView::open(folder.path()).unwrap();
    let [record] = view.records().unwrap().try_into().unwrap();
    assert_eq!(record.exit_status, Some(ExitStatus::StepLimit));
    assert_eq!(record.verdict.unwrap().tests.unwrap().fail_to_pass.failure, ["t::a"]);
    let trajectory = view.trajectory(&key("a-1", 0)).unwrap().unwrap();
    assert_eq!(trajectory.messages[1].tool_calls[0].function.arguments, "{");
    let config = RunConfig {
        settings: "seed = 1".parse().unwrap(),
        inputs: BTreeMap::from([("tasks.jsonl".to_owned(), "00".to_owned())]),
        volatile: Vec::new(),
    };
    RunDir::open(folder.path(), &config).unwrap();
}

#[test]
fn exports_hold_each_sample_and_are_the_same_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let run = open(folder.path());
    commit(&run, &key("b-1", 0));
    commit(&run, &key("a-1", 0));
    commit(&run, &key("a-1", 1));
    run.commit(&record(&key("c-1", 0), RolloutStatus::Completed, false), &RolloutFiles::default()).unwrap();
    run.commit(&record(&key("d-1", 0), RolloutStatus::Failed, false), &RolloutFiles::default()).unwrap();

    let exports = export_predictions(&run).unwrap();
    let rows: Vec<_> = exports.iter().map(|export| (export.rows, export.not_utf8)).collect();
    assert_eq!(rows, [(3, 2), (1, 1)]);
    let ids = |export: &crate::Export| -> Vec<_> {
        load_predictions(&export.path).unwrap().into_iter().map(|p| p.instance_id.to_string()).collect()
    };
    assert_eq!(ids(&exports[0]), ["a-1", "b-1", "c-1"]);
    assert!(exports[1].path.ends_with("exports/predictions.1.jsonl"));
    assert_eq!(ids(&exports[1]), ["a-1"]);

    let sft = export_sft(&run).unwrap().remove(0);
    let text = fs::read_to_string(&sft.path).unwrap();
    assert_eq!((sft.rows, text.lines().count()), (3, 3));
    let first = concat!(
        r#"{"messages":[{"role":"user","content":"solve a-1/0"}],"#,
        r#""tools":[{"type":"function","function":{"name":"bash","description":"d","parameters":{}}}],"#,
        r#""instance_id":"a-1","sample":0,"model":"m","resolved":true}"#
    );
    assert_eq!(text.lines().next().unwrap(), first);
    export_sft(&run).unwrap();
    assert_eq!(fs::read_to_string(&sft.path).unwrap(), text);
}

/// Files of a rollout in the order in which a commit makes them.
const OPERATIONS: [&str; 6] = [
    "trajectory.json.zst",
    "patch.diff",
    "connections.json",
    "eval/report.json",
    "eval/test_output.txt",
    "rollout.json",
];

/// What is on disk when a process is killed in its `operations`-th file, after `bytes` of it.
fn leave_killed(run: &RunDir, key: &RolloutKey, operations: usize, bytes: usize, old_leftover: bool) {
    commit(run, key);
    let rollout = run.rollout_dir(key);
    for (index, name) in OPERATIONS.iter().enumerate().skip(operations) {
        let (path, content) = (rollout.join(name), fs::read(rollout.join(name)).unwrap());
        fs::remove_file(&path).unwrap();
        if index > operations {
            continue;
        }
        let partial = if *name == "rollout.json" { rollout.join(".tmp-kill") } else { path };
        fs::write(partial, &content[..bytes.min(content.len())]).unwrap();
    }
    if old_leftover && operations < OPERATIONS.len() {
        fs::create_dir_all(rollout.join(".attempt/eval")).unwrap();
        fs::write(rollout.join("eval/old.txt"), "old").unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_killed_run_is_finished_by_running_it_again(
        kills in prop::collection::vec((0..=OPERATIONS.len(), 0..400_usize, any::<bool>(), 0..2_u32), 1..5),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let keys: Vec<_> = (0..kills.len() as u32 + 1).map(|n| key(&format!("i-{}", n / 2), n % 2)).collect();
        for (key, (operations, bytes, old_leftover, attempts)) in keys.iter().zip(&kills) {
            let run = open(folder.path());
            for _ in 0..*attempts {
                run.keep_attempt(key, &failure(), &RolloutFiles::default()).unwrap();
            }
            leave_killed(&run, key, *operations, *bytes, *old_leftover);
            fs::write(folder.path().join(".tmp-run"), "torn").unwrap();
        }

        let run = open(folder.path());
        let done = kills.iter().filter(|kill| kill.0 == OPERATIONS.len()).count();
        prop_assert_eq!(run.records().unwrap().len(), done);
        for key in &keys {
            if run.committed(key).unwrap().is_none() {
                commit(&run, key);
            }
        }
        prop_assert_eq!(run.records().unwrap(), keys.iter().map(completed).collect::<Vec<_>>());
        prop_assert_eq!(names(folder.path()), ["rollouts", "run.lock", "run.toml"]);
        for (n, key) in keys.iter().enumerate() {
            let attempts = kills.get(n).map_or(0, |kill| kill.3);
            prop_assert_eq!(run.attempts(key).unwrap(), attempts);
            prop_assert_eq!(run.trajectory(key).unwrap(), Some(trajectory(key)));
            let files = names(&run.rollout_dir(key)).into_iter().filter(|name| name != ATTEMPTS).collect::<Vec<_>>();
            prop_assert_eq!(files, ["connections.json", "eval", "patch.diff", "rollout.json", "trajectory.json.zst"]);
            prop_assert_eq!(names(&run.rollout_dir(key).join("eval")), ["report.json", "test_output.txt"]);
        }
    }
}
