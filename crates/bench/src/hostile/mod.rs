//! Much of what is hard on each parser of untrusted text but those of logs: patches, rows, reports.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use serde_json::{Map, Value, json};
use swegym_core::diff;
use swegym_data::{load_instances, load_predictions};
use swegym_harness::{Profile, RunInstance, RunPrediction, RunReportInput, reset_files, run_report};

/// Each is repeated.
const PATCHES: [&str; 12] = [
    "diff --git a/x b/x\n",
    "diff --git a/x b/x",
    "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-x\n+y\n",
    "--- a/x\n",
    "@@ -1,99999999 +1,99999999 @@\n",
    "@@ -1 +1 @@\n",
    "\\ No newline at end of file\n",
    "rename from a/",
    "\"a/\\303\\244\" ",
    "GIT binary patch\n",
    "\n",
    "+",
];
/// Something that a parser of patches makes of one.
type Reader = fn(&[u8]);
const READERS: [(&str, Reader); 8] = [
    ("parse", |patch| drop(black_box(diff::parse(patch)))),
    ("split_tests", |patch| drop(black_box(diff::split_tests(patch)))),
    ("modified_files", |patch| drop(black_box(diff::modified_files(patch)))),
    ("minimal_patch", |patch| drop(black_box(diff::minimal_patch(patch)))),
    ("clean_prediction", |patch| drop(black_box(diff::clean_prediction(patch)))),
    ("remove_binary_diffs", |patch| drop(black_box(diff::remove_binary_diffs(patch)))),
    ("hunk_places", |patch| drop(black_box(str::from_utf8(patch).map(diff::hunk_places)))),
    ("reset_files", |patch| {
        let patch = swegym_core::Patch::new(patch);
        Profile::ALL.iter().for_each(|profile| drop(black_box(reset_files(*profile, &patch))));
    }),
];

/// Prints one line: the seconds of the worst input, for each reader.
pub(crate) fn run(bytes: usize) -> anyhow::Result<()> {
    let mut worst = Map::new();
    let mut add = |name: &str, seconds: f64| {
        let before = worst.get(name).and_then(Value::as_f64).unwrap_or_default();
        worst.insert(name.to_owned(), json!(before.max(seconds)));
    };
    for unit in PATCHES {
        let patch = unit.repeat(bytes / unit.len()).into_bytes();
        for (name, read) in READERS {
            add(name, seconds(|| read(&patch)));
        }
    }
    let folder = tempfile::tempdir()?;
    for (number, rows) in rows(bytes).iter().enumerate() {
        let path = folder.path().join(format!("{number}.jsonl"));
        std::fs::write(&path, rows)?;
        add("load_instances", seconds(|| drop(black_box(load_instances(Path::new(&path))))));
        add("load_predictions", seconds(|| drop(black_box(load_predictions(Path::new(&path))))));
    }
    for report in [
        r#"{"x__x-1": {"resolved": true}}"#.to_owned() + &" ".repeat(bytes),
        nested(bytes),
        "\"\\u0041".repeat(bytes / 7),
    ] {
        add("run_report", seconds(|| one_report(&report)));
    }
    println!("{}", json!({ "bench": "hostile", "bytes": bytes, "max_seconds": worst }));
    Ok(())
}

fn seconds(work: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_secs_f64()
}

fn nested(bytes: usize) -> String {
    "[".repeat(bytes)
}

/// Files of rows: one long text, many tests in one row, many rows, many columns, and nothing that is a row.
fn rows(bytes: usize) -> Vec<String> {
    let row = |id: usize, statement: &str, tests: &str| {
        json!({
            "repo": "x/x", "instance_id": format!("x__x-{id}"), "base_commit": "0".repeat(40), "version": "1",
            "patch": "", "test_patch": "", "problem_statement": statement, "model_name_or_path": "m",
            "model_patch": statement, "FAIL_TO_PASS": tests, "PASS_TO_PASS": "[]",
        })
        .to_string()
    };
    let one = row(1, "", "[\"a\"]");
    let tests = format!("[{}\"a\"]", "\"a::b\",".repeat(bytes / 16));
    let columns: String = (0..bytes / 16).map(|number| format!(",\"c{number}\":0")).collect();
    vec![
        row(1, &"\u{1}x".repeat(bytes / 8), "[\"a\"]"),
        row(1, "", &tests),
        row(1, "", &"[".repeat(bytes)),
        (0..bytes / one.len()).map(|id| row(id, "", "[\"a\"]") + "\n").collect(),
        format!("{}{columns}}}", one.trim_end_matches('}')),
        nested(bytes),
        "\n".repeat(bytes),
    ]
}

fn one_report(report: &str) {
    let dataset = [RunInstance { instance_id: "x__x-1", image: "", report: Some(report), log: report }];
    let predictions = [RunPrediction { instance_id: "x__x-1", model: "m", has_patch: true }];
    let input = RunReportInput { run_id: "r", dataset: &dataset, predictions: &predictions, leftovers: None };
    Profile::ALL.iter().for_each(|profile| drop(black_box(run_report(*profile, &input))));
}
