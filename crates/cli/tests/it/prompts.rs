//! Prompts of the user's own: what is wrong with them is said before anything runs.

use serde_json::json;

use crate::support::Place;

#[test]
fn prompts_that_are_none_stop_a_run_before_it_begins() {
    let row = json!({
        "repo": "o/n", "instance_id": "o__n-1", "base_commit": "0".repeat(40), "patch": "", "test_patch": "",
        "problem_statement": "x", "version": "1", "FAIL_TO_PASS": ["t.py::a"], "PASS_TO_PASS": [],
    });
    let cases = [
        ("codeact", "sytem.j2", "x", "read the prompt `sytem.j2`: this scaffold has no such prompt"),
        (
            "codeact",
            "task.j2",
            "a\n{{ problem }}",
            "read the prompt `task.j2`: line 2: there is no variable `problem`",
        ),
        ("mini", "task.j2", "\n\n{% if", "read the prompt `task.j2`: line 3: syntax error"),
    ];
    for (scaffold, file, text, expected) in cases {
        let place = Place::new();
        place.write("tasks.jsonl", row.to_string());
        place.write("specs.json", r#"{"o/n": {"1": {"python": "3", "test_cmd": "true"}}}"#);
        std::fs::create_dir_all(place.path("repos")).unwrap();
        std::fs::create_dir_all(place.path("prompts")).unwrap();
        place.write(&format!("prompts/{file}"), text);
        let ran = place.run(&[
            "rollout",
            "-i",
            "tasks.jsonl",
            "--repos",
            "repos",
            "--specs",
            "specs.json",
            "-o",
            "out",
            "--policy",
            "noop",
            "--scaffold",
            scaffold,
            "--prompts",
            "prompts",
        ]);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
        assert!(!place.path("out").exists(), "nothing may be written");
    }
}
