//! Runs on disk: listed, shown, exported and imported.

use serde_json::{Value, json};

use crate::support::Place;

/// A row of OpenHands with one answer, resolved or not.
fn row(id: &str, resolved: bool) -> String {
    let call = json!({"id": "c1", "type": "function", "function": {"name": "execute_bash", "arguments": "{\"command\":\"ls\"}"}});
    let messages = json!([
        {"role": "system", "content": "You are an agent."},
        {"role": "user", "content": "Mend it."},
        {"role": "assistant", "content": "Look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "name": "execute_bash", "content": "\u{1b}[2Jout"},
        {"role": "assistant", "content": "Done."},
    ]);
    let row = json!({
        "instance_id": id, "test_result": {"git_patch": "diff --git a/x b/x\n"}, "history": null,
        "metadata": {"agent_class": "CodeActAgent", "llm_config": {"model": "owner/m"}},
        "raw_completions": {"messages": messages, "tools": null}, "report": {"resolved": resolved},
    });
    format!("{row}\n")
}

/// A run of three rollouts, one of them resolved.
fn imported() -> Place {
    let place = Place::new();
    let rows = [row("o__n-1", true), row("o__n-1", false), "not a row\n".to_owned(), row("o__n-2", false)];
    place.write("output.jsonl", rows.concat());
    let ran = place.run(&["runs", "import", "output.jsonl", "-o", "runs/a"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "runs/a\t3\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("`output.jsonl`: line 3: not valid JSON"), "{}", ran.stderr);
    place
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn imported_rollouts_are_listed_and_shown() {
    let place = imported();
    let list = place.run(&["runs", "list"]);
    let words: Vec<&str> = list.stdout.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(words, ["runs/a", "owner/m", "3", "1", "0"], "{}", list.stdout);
    let list = json_lines(&place.run(&["runs", "list", "runs/a", "--format", "json"]).stdout);
    assert_eq!((&list[0]["rollouts"], &list[0]["resolved"]), (&json!(3), &json!(1)));
    let shown = json_lines(&place.run(&["runs", "show", "runs/a", "--format", "json"]).stdout);
    let shown: Vec<_> =
        shown.iter().map(|record| (record["instance_id"].as_str().unwrap(), &record["sample"])).collect();
    assert_eq!(shown, [("o__n-1", &json!(0)), ("o__n-1", &json!(1)), ("o__n-2", &json!(0))]);
    let text = place.run(&["runs", "show", "runs/a", "o__n-1", "--sample", "1"]).stdout;
    for part in
        ["=== user\nMend it.", "--> execute_bash {\"command\":\"ls\"}", "\u{fffd}[2Jout", "not resolved"]
    {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    assert!(!text.contains('\u{1b}'), "a terminal is not told what to do");
    let ran = place.run(&["runs", "show", "runs/a", "o__n-3"]);
    assert_eq!((ran.code, ran.stderr.contains("`o__n-3/0`")), (Some(1), true), "{}", ran.stderr);
}

#[test]
fn what_a_rollout_asked_of_the_network_is_shown() {
    let place = imported();
    let one = |at: &str, host: &str, allowed: bool, bytes_up: u64| json!({"at": at, "host": host, "port": 443, "allowed": allowed, "bytes_up": bytes_up, "bytes_down": 0});
    let latest = [
        one("2026-01-02T03:04:05.6Z", "pypi.org", true, 12),
        one("2026-01-02T03:04:06Z", "\u{1b}evil.example", false, 0),
    ];
    let kept = json!({"schema_version": 1, "allowed": 1, "refused": 9, "service": 0, "latest": latest});
    place.write("runs/a/rollouts/o__n-1/0/connections.json", kept.to_string());
    let text = place.run(&["runs", "show", "runs/a", "o__n-1"]).stdout;
    let expected = "=== network: 1 connections allowed, 9 refused, the latest 2 below\n\
                    2026-01-02T03:04:05.600Z pypi.org:443: allowed, 12 bytes up, 0 down\n\
                    2026-01-02T03:04:06.000Z \u{fffd}evil.example:443: refused\n";
    assert!(text.contains(expected), "{text}");
    let other = place.run(&["runs", "show", "runs/a", "o__n-2"]).stdout;
    assert!(!other.contains("=== network"), "{other}");
}

#[test]
fn exports_go_where_they_are_sent_and_say_so() {
    let place = imported();
    let ran = place.run(&["runs", "export", "runs/a", "--format", "sft"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "runs/a/exports/sft.jsonl\t1\n"), "{}", ran.stderr);
    let ran = place.run(&["runs", "export", "runs/a", "--format", "sft", "--all", "-o", "out/all.jsonl"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "out/all.jsonl\t3\n"), "{}", ran.stderr);
    let ran =
        place.run(&["runs", "export", "runs/a", "--format", "atif", "--only", "o__n-2", "-o", "out/atif"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "out/atif\t1\n"), "{}", ran.stderr);
    assert!(place.path("out/atif/o__n-2/0/trajectory.json").is_file());
    let ran =
        place.run(&["runs", "export", "runs/a", "--format", "openhands", "--only-resolved", "-o", "out/oh"]);
    let expected = "out/oh/output.jsonl\t1\nout/oh/output.with_completions.jsonl.gz\t1\n";
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), expected), "{}", ran.stderr);
    let ran = place.run(&["runs", "import", "out/oh", "-o", "runs/again"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "runs/again\t1\n"), "{}", ran.stderr);
    let ran = place.run(&["runs", "export", "runs/a", "runs/again", "--format", "mini"]);
    assert_eq!((ran.code, ran.stderr.contains("give `-o`")), (Some(1), true), "{}", ran.stderr);
}

/// Gives a rollout of the run a verdict with these findings.
fn find(place: &Place, rollout: &str, evidence: &str, findings: &[&str]) {
    let path = place.path(&format!("runs/a/rollouts/{rollout}/rollout.json"));
    let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let findings: Vec<_> = findings.iter().map(|kind| json!({"kind": kind, "detail": ""})).collect();
    record["verdict"]["findings"] = findings.into();
    record["verdict"]["evidence"] = evidence.into();
    std::fs::write(path, record.to_string()).unwrap();
}

#[test]
fn exports_leave_out_what_has_findings_that_nobody_wants() {
    let place = imported();
    find(&place, "o__n-1/0", "channel", &[]);
    find(&place, "o__n-1/1", "channel", &["gold_text", "startup_hook"]);
    find(&place, "o__n-2/0", "log", &["startup_hook"]);
    let export = |flags: &[&str]| {
        let export = ["runs", "export", "runs/a", "--format", "sft", "--all", "-o", "sft.jsonl"];
        let ran = place.run(&[&export, flags].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let rows = json_lines(&std::fs::read_to_string(place.path("sft.jsonl")).unwrap());
        rows.iter()
            .map(|row| format!("{}/{}", row["instance_id"].as_str().unwrap(), row["sample"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(export(&["--without-findings", "gold_text"]), ["o__n-1/0", "o__n-2/0"]);
    assert_eq!(export(&["--without-findings", "gold_text,startup_hook"]), ["o__n-1/0"]);
    assert_eq!(export(&["--without-findings", "any"]), ["o__n-1/0"]);
    assert_eq!(export(&["--without-findings", "time_limit"]).len(), 3);
    assert_eq!(export(&["--evidence", "log"]), ["o__n-2/0"]);
    let ran = place.run(&["runs", "export", "runs/a", "--format", "sft", "--without-findings", "gold"]);
    assert_eq!((ran.code, ran.stderr.contains("there is no kind `gold`")), (Some(1), true), "{}", ran.stderr);
}

#[test]
fn an_import_of_nothing_fails_and_leaves_nothing() {
    let place = Place::new();
    place.write("output.jsonl", "{}\n[]\n");
    let ran = place.run(&["runs", "import", "output.jsonl", "-o", "run"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("line 1: field `instance_id`: must be a string"), "{}", ran.stderr);
    assert!(!place.path("run").exists());
}
