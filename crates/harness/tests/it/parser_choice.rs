//! The repository of an instance decides how its log is read.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};
use swegym_core::{Instance, Patch, TestCommand, Verdict};
use swegym_harness::{EvalLimits, grade, is_resolved, parse, parser_of};
use swegym_sandbox::OutputLimit;

use crate::host_sandbox::{HostSandbox, surveyed_and_evaluated};

/// Tests that print `log`, in a repository of that name.
async fn verdict(repo: &str, log: &str, fail_to_pass: &str, pass_to_pass: &str) -> Verdict {
    let sandbox = HostSandbox::new(&[("tests/test_x.py", "old\n")]);
    let test_patch = "diff --git a/tests/test_x.py b/tests/test_x.py\n--- a/tests/test_x.py\n\
                      +++ b/tests/test_x.py\n@@ -1 +1 @@\n-old\n+new\n";
    let row = json!({
        "repo": repo, "instance_id": "o__n-1", "base_commit": "a".repeat(40), "version": "1", "patch": "",
        "test_patch": test_patch, "problem_statement": "", "FAIL_TO_PASS": [fail_to_pass],
        "PASS_TO_PASS": [pass_to_pass],
    });
    let instance = Instance::from_row(row.as_object().unwrap().clone()).unwrap();
    let print_log = format!("cat <<'END_OF_LOG'\n{log}END_OF_LOG");
    let command = TestCommand { eval_commands: vec![print_log], test_cmd: "true".to_owned() };
    let limits = EvalLimits {
        time_limit: Duration::from_secs(60),
        log_limit: OutputLimit { head: 1 << 20, tail: 1 << 20 },
    };
    surveyed_and_evaluated(&sandbox, &instance, &command, &Patch::default(), &limits).await.verdict
}

#[tokio::test]
async fn the_log_of_pydantic_has_the_status_as_its_last_word() {
    let log = "============================= test session starts ==============================\n\
               collecting ... collected 4 items\n\n\
               tests/test_x.py::test_y PASSED\n\
               tests/test_x.py::test_z[1-2] PASSED\n\
               tests/test_x.py::test_z[a b] PASSED\n\
               tests/test_x.py::test_old SKIPPED (needs an older Python)\n\n\
               ========================= 3 passed, 1 skipped in 0.01s =========================\n";
    let (f2p, p2p) = ("tests/test_x.py::test_y", "tests/test_x.py::test_z[1-2]");
    let resolved = verdict("pydantic/pydantic", log, f2p, p2p).await;
    assert!(resolved.resolved, "{resolved:?}");

    let failed = log.replace("test_y PASSED", "test_y FAILED [ 25%]");
    let unresolved = verdict("Pydantic/Pydantic", &failed, f2p, p2p).await;
    assert_eq!(
        unresolved.reason.as_deref(),
        Some("1 of 1 tests of FAIL_TO_PASS and 0 of 1 of PASS_TO_PASS did not pass")
    );

    let other = verdict("o/n", log, f2p, p2p).await;
    let nothing = "the log shows no test result; the test command exited with 0";
    assert_eq!(other.reason.as_deref(), Some(nothing));
}

#[tokio::test]
async fn the_log_of_requests_has_paths_that_differ_from_run_to_run() {
    let log = "PASSED tests/test_x.py::test_paths[/home/user/checkout/requests/__init__.py]\n\
               PASSED tests/test_x.py::test_url[http://localhost/a/b]\n";
    let (f2p, p2p) =
        ("tests/test_x.py::test_paths[/__init__.py]", "tests/test_x.py::test_url[http://localhost/a/b]");
    let verdict = verdict("psf/requests", log, f2p, p2p).await;
    assert!(verdict.resolved, "{verdict:?}");
}

#[test]
fn the_parsers_can_give_every_id_of_real_instances() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/tasks/instances.jsonl");
    let Ok(rows) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is absent", path.display());
        return;
    };
    for row in rows.lines() {
        let row: Map<String, Value> = serde_json::from_str(row).unwrap();
        let instance = Instance::from_row(row).unwrap();
        let ids = instance.grading.fail_to_pass.iter().chain(&instance.grading.pass_to_pass);
        let log: String = ids.map(|id| format!("PASSED {id}\n")).collect();
        let statuses = parse(parser_of(&instance.problem.repo), log.as_bytes());
        let report = grade(&statuses, &instance.grading);
        assert!(is_resolved(&report), "{}: {:?}", instance.id(), report.pass_to_pass.failure);
    }
}
