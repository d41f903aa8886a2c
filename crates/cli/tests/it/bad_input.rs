//! Bad input: the user learns what is wrong and where, and nothing is half-written.

use serde_json::{Value, json};

use crate::support::{Place, Ran};

fn row() -> Value {
    json!({
        "repo": "o/n", "instance_id": "o__n-1", "base_commit": "0".repeat(40), "patch": "", "test_patch": "",
        "problem_statement": "x", "version": "1", "FAIL_TO_PASS": ["t.py::a"], "PASS_TO_PASS": [],
    })
}

/// Runs `eval` on these instance lines with a specs file and an empty repositories folder.
fn eval(place: &Place, lines: &str, more: &[&str]) -> Ran {
    place.write("tasks.jsonl", lines);
    place.write("specs.json", r#"{"o/n": {"1": {"python": "3", "test_cmd": "true"}}}"#);
    std::fs::create_dir_all(place.path("repos")).unwrap();
    let arguments = ["eval", "-i", "tasks.jsonl", "--repos", "repos", "--specs", "specs.json", "-o", "out"];
    place.run(&[&arguments[..], more].concat())
}

#[test]
fn a_bad_row_is_named_by_line_and_field() {
    let place = Place::new();
    let mut bad = row();
    bad["base_commit"] = json!("HEAD");
    let ran = eval(&place, &format!("{}\n\n{bad}\n", row()), &["--predictions", "gold"]);
    assert_eq!(ran.code, Some(1));
    for part in ["tasks.jsonl", "line 3", "base_commit", "`HEAD` is not a full commit id"] {
        assert!(ran.stderr.contains(part), "{part} is missing: {}", ran.stderr);
    }
    assert!(!place.path("out").exists(), "nothing may be written");
    assert_eq!(ran.stdout, "");
}

#[test]
fn a_row_that_is_not_json_is_named_by_line() {
    let ran = eval(&Place::new(), &format!("{}\n{{\"repo\": \n", row()), &["--predictions", "gold"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("line 2"), "{}", ran.stderr);
}

#[test]
fn an_instance_that_occurs_twice_is_refused() {
    let ran = eval(&Place::new(), &format!("{}\n{}\n", row(), row()), &["--predictions", "gold"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("o__n-1"), "{}", ran.stderr);
}

#[test]
fn a_missing_spec_is_said_before_anything_runs() {
    let place = Place::new();
    let mut other = row();
    other["version"] = json!("2");
    let ran = eval(&place, &other.to_string(), &["--predictions", "gold"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("`o/n` version `2`: the specs have 1"), "{}", ran.stderr);
    assert!(!place.path("out").exists(), "nothing may be written");
}

#[test]
fn an_unknown_key_of_a_spec_is_named_with_the_nearest() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("own")).unwrap();
    place.write("own/o__n.toml", "repo = \"o/n\"\n\n[[specs]]\nversions = [\"1\"]\npip_package = [\"a\"]\n");
    place.write("tasks.jsonl", row().to_string());
    std::fs::create_dir_all(place.path("repos")).unwrap();
    let arguments =
        ["images", "build", "--explain", "-i", "tasks.jsonl", "--repos", "repos", "--specs", "own"];
    let ran = place.run(&arguments);
    assert_eq!(ran.code, Some(1));
    for part in ["own/o__n.toml", "line 5", "unknown key `pip_package`; the nearest is `pip_packages`"] {
        assert!(ran.stderr.contains(part), "{part} is missing: {}", ran.stderr);
    }
    assert_eq!(ran.stdout, "");
}

#[test]
fn without_specs_the_built_in_ones_count() {
    let place = Place::new();
    place.write("tasks.jsonl", row().to_string());
    std::fs::create_dir_all(place.path("repos")).unwrap();
    let arguments = ["eval", "-i", "tasks.jsonl", "--repos", "repos", "--predictions", "gold", "-o", "out"];
    let ran = place.run(&arguments);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("`o/n` version `1`: the specs do not have the repository"), "{}", ran.stderr);
    let mut dvc = row();
    (dvc["repo"], dvc["version"]) = (json!("iterative/dvc"), json!("3.51"));
    place.write("tasks.jsonl", dvc.to_string());
    let ran = place.run(&arguments);
    assert!(
        ran.stderr.contains("`iterative/dvc` version `3.51`: the specs have 147 versions: 0.1"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_spec_without_a_test_command_is_said_before_anything_runs() {
    let place = Place::new();
    let mut dbt = row();
    (dbt["repo"], dbt["version"]) = (json!("dbt-labs/dbt-core"), json!("1.0"));
    place.write("tasks.jsonl", dbt.to_string());
    std::fs::create_dir_all(place.path("repos")).unwrap();
    let ran =
        place.run(&["eval", "-i", "tasks.jsonl", "--repos", "repos", "--predictions", "gold", "-o", "out"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("`o__n-1`: its environment spec has no `test_cmd`"), "{}", ran.stderr);
}

#[test]
fn predictions_for_nothing_are_refused() {
    let place = Place::new();
    place.write("preds.jsonl", r#"{"instance_id": "o__n-2", "model_name_or_path": "m", "model_patch": ""}"#);
    let ran = eval(&place, &row().to_string(), &["--predictions", "preds.jsonl"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("none of `preds.jsonl` is for one of them"), "{}", ran.stderr);
}

#[test]
fn unknown_names_and_wrong_flags_are_refused() {
    let ran = eval(&Place::new(), &row().to_string(), &["--predictions", "gold", "--only", "o__n-9"]);
    assert_eq!(
        (ran.code, ran.stderr.contains("no instance is named `o__n-9`")),
        (Some(1), true),
        "{}",
        ran.stderr
    );
    let ran = eval(&Place::new(), &row().to_string(), &["--predictions", "gold", "-j", "0"]);
    assert_eq!((ran.code, ran.stderr.contains("must be at least 1")), (Some(2), true), "{}", ran.stderr);
    let ran = Place::new().run(&["quickstart", "--model", "m"]);
    assert_eq!((ran.code, ran.stderr.contains("OPENAI_BASE_URL")), (Some(1), true), "{}", ran.stderr);
}

#[test]
fn flags_of_sandboxes_that_do_not_fit_are_refused() {
    let refused = |more: &[&str], expected: &str| {
        let place = Place::new();
        let ran = eval(&place, &row().to_string(), &[&["--predictions", "gold"], more].concat());
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
        assert!(!place.path("out").exists(), "nothing may be written");
    };
    refused(&["--backend", "docker", "--docker-socket", "none.sock"], "/none.sock`: No such file");
    refused(&["--backend", "docker", "--images", "built"], "cannot use those that are built here");
    for wrong in [["--memory", "lots"], ["--cpus", "0"], ["--backend", "vm"]] {
        let ran = eval(&Place::new(), &row().to_string(), &[&["--predictions", "gold"], &wrong[..]].concat());
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    }
}

#[test]
fn images_are_built_from_repositories() {
    let place = Place::new();
    place.write("tasks.jsonl", row().to_string());
    place.write("specs.json", r#"{"o/n": {"1": {"python": "3", "test_cmd": "true"}}}"#);
    let ran = place.run(&["eval", "-i", "tasks.jsonl", "--specs", "specs.json", "--predictions", "gold"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("give `--repos`, or `--images published`"), "{}", ran.stderr);
}

#[test]
fn only_a_run_can_be_graded_anew() {
    let place = Place::new();
    place.write("tasks.jsonl", row().to_string());
    let ran = place.run(&["eval", "-i", "tasks.jsonl", "--regrade", "nowhere"]);
    assert_eq!((ran.code, ran.stderr.contains("`nowhere")), (Some(1), true), "{}", ran.stderr);
    let ran = place.run(&["eval", "-i", "tasks.jsonl", "--regrade", "nowhere", "--predictions", "gold"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    let ran = place.run(&["eval", "-i", "tasks.jsonl", "--predictions", "gold", "--profile", "lenient"]);
    assert_eq!(
        (ran.code, ran.stderr.contains("`swebench5` and `strict`")),
        (Some(2), true),
        "{}",
        ran.stderr
    );
}

#[test]
fn only_what_writes_text_can_write_calls_as_text() {
    let place = Place::new();
    place.write("tasks.jsonl", row().to_string());
    place.write("specs.json", r#"{"o/n": {"1": {"python": "3", "test_cmd": "true"}}}"#);
    std::fs::create_dir_all(place.path("repos")).unwrap();
    let set = ["rollout", "-i", "tasks.jsonl", "--repos", "repos", "--specs", "specs.json", "-o", "out"];
    let ran = place.run(&[&set[..], &["--policy", "gold", "--tool-format", "text"]].concat());
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("`--tool-format text` is for a model or a script"), "{}", ran.stderr);
    assert!(!place.path("out").exists(), "nothing may be written");
}
