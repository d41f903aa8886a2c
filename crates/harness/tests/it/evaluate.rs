use std::time::Duration;

use serde_json::json;
use swegym_core::{Instance, Patch, PatchOutcome, TestCommand, Verdict};
use swegym_harness::{EvalLimits, Evaluation, instance_report};
use swegym_sandbox::OutputLimit;

use crate::host_sandbox::{HostSandbox, surveyed_and_evaluated};

/// A test file holds lines `name word`; a test passes when `calc.txt` has the word. Like those of pytest, the
/// results depend on `conftest.py`: whatever it holds is printed.
const CHECK: &str = r#"check() {
  code=0
  for file in "$@" tests/test_old.txt2; do
    while read -r name word; do
      if grep -q "$word" calc.txt; then echo "PASSED $file::$name"; else echo "FAILED $file::$name - no"; code=1; fi
    done < "$file"
  done
  cat conftest.py tests/conftest.py 2>/dev/null
  return $code
}"#;
const FILES: [(&str, &str); 6] = [
    ("calc.txt", "add\nmean\n"),
    ("tests/test_calc.py", "add add\n"),
    ("tests/test_old.txt2", "old mean\n"),
    ("tests/conftest.py", "nothing\n"),
    ("src/doc.py", "doctest\n"),
    (".gitignore", "*.egg-info\n"),
];
const GOLD: &str = "--- a/calc.txt\n+++ b/calc.txt\n@@ -1,2 +1,3 @@\n add\n mean\n+median\n";
const TEST_PATCH: &str = "\
diff --git a/tests/test_calc.py b/tests/test_calc.py\n--- a/tests/test_calc.py\n+++ b/tests/test_calc.py\n\
@@ -1 +1,2 @@\n add add\n+median median\n\
diff --git a/tests/new/test_new.py b/tests/new/test_new.py\nnew file mode 100644\n--- /dev/null\n\
+++ b/tests/new/test_new.py\n@@ -0,0 +1 @@\n+new median\n";

fn instance_with(gold: &str, test_patch: &str) -> Instance {
    let row = json!({
        "repo": "o/n", "instance_id": "o__n-1", "base_commit": "a".repeat(40), "version": "1",
        "patch": gold, "test_patch": test_patch, "problem_statement": "",
        "FAIL_TO_PASS": ["tests/test_calc.py::median", "tests/new/test_new.py::new"],
        "PASS_TO_PASS": ["tests/test_calc.py::add", "tests/test_old.txt2::old", "src/doc.py::doc"],
    });
    // The doctest always passes: its file matters, not its result.
    Instance::from_row(row.as_object().unwrap().clone()).unwrap()
}

fn command(test_cmd: &str) -> TestCommand {
    TestCommand {
        eval_commands: vec![CHECK.to_owned(), "echo PASSED src/doc.py::doc".to_owned()],
        test_cmd: test_cmd.to_owned(),
    }
}

async fn run(sandbox: &HostSandbox, instance: &Instance, test_cmd: &str, prediction: &str) -> Evaluation {
    let log_limit = OutputLimit { head: 1 << 20, tail: 1 << 20 };
    let limits = EvalLimits { time_limit: Duration::from_secs(60), log_limit };
    surveyed_and_evaluated(sandbox, instance, &command(test_cmd), &Patch::from(prediction), &limits).await
}

async fn verdict_of(prediction: &str) -> (HostSandbox, Verdict) {
    let sandbox = HostSandbox::new(&FILES);
    let evaluation = run(&sandbox, &instance_with(GOLD, TEST_PATCH), "check", prediction).await;
    (sandbox, evaluation.verdict)
}

fn added(path: &str, line: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{line}\n"
    )
}

fn deleted(path: &str, line: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\ndeleted file mode 100644\n--- a/{path}\n+++ /dev/null\n@@ -1 +0,0 @@\n-{line}\n"
    )
}

fn changed(path: &str, old: &str, new: &str) -> String {
    format!("diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-{old}\n+{new}\n")
}

#[tokio::test]
async fn the_gold_patch_resolves() {
    let sandbox = HostSandbox::new(&FILES);
    let instance = instance_with(GOLD, TEST_PATCH);
    let evaluation = run(&sandbox, &instance, "check", GOLD).await;
    let verdict = &evaluation.verdict;
    assert!(verdict.resolved, "{verdict:?}");
    assert_eq!((verdict.exit_code, &verdict.reason, &verdict.failure), (Some(0), &None, &None));
    assert_eq!(evaluation.statuses.len(), 5);
    assert!(
        evaluation.script.ends_with("\ncheck tests/test_calc.py tests/new/test_new.py\n"),
        "{}",
        evaluation.script
    );
    assert!(String::from_utf8(evaluation.log).unwrap().contains("PASSED tests/test_calc.py::median"));

    let report = instance_report(instance.id(), Some(&Patch::from(GOLD)), verdict);
    let expected = json!({"o__n-1": {
        "patch_is_None": false, "patch_exists": true, "patch_successfully_applied": true, "resolved": true,
        "infra_failure": false, "tests_status": {
            "FAIL_TO_PASS": {"success": ["tests/test_calc.py::median", "tests/new/test_new.py::new"], "failure": []},
            "PASS_TO_PASS": {"success": ["tests/test_calc.py::add", "tests/test_old.txt2::old", "src/doc.py::doc"],
                "failure": []},
            "FAIL_TO_FAIL": {"success": [], "failure": []}, "PASS_TO_FAIL": {"success": [], "failure": []},
        }
    }});
    assert_eq!(report, expected);
}

#[tokio::test]
async fn an_empty_prediction_is_tested_and_does_not_resolve() {
    let (_, verdict) = verdict_of("").await;
    assert_eq!(verdict.patch, PatchOutcome::Empty);
    assert_eq!(verdict.tests.unwrap().pass_to_pass.success.len(), 3);
    assert_eq!(
        verdict.reason.unwrap(),
        "2 of 2 tests of FAIL_TO_PASS and 0 of 3 of PASS_TO_PASS did not pass"
    );
    assert_eq!(verdict.exit_code, Some(1));
}

#[tokio::test]
async fn a_prediction_that_does_not_apply_is_not_tested() {
    let (_, verdict) = verdict_of("--- a/none\n+++ b/none\n@@ -1 +1 @@\n-a\n+b\n").await;
    assert!(matches!(verdict.patch, PatchOutcome::Rejected { .. }));
    assert!(!verdict.resolved && verdict.tests.is_none() && verdict.failure.is_none());
    assert_eq!(verdict.reason.unwrap(), "the patch does not apply");
}

#[tokio::test]
async fn what_a_prediction_does_to_test_files_does_not_count() {
    let forged = "PASSED tests/test_calc.py::median";
    let tampering = [
        changed("tests/test_calc.py", "add add", "median add"),
        deleted("tests/test_calc.py", "add add"),
        format!("{}{}", deleted("tests/test_calc.py", "add add"), added("tests/test_calc.py/x", "x")),
        added("tests/new/test_new.py", "new add"),
        changed("tests/test_old.txt2", "old mean", "old add"),
        deleted("tests/test_old.txt2", "old mean"),
        added("conftest.py", forged),
        changed("tests/conftest.py", "nothing", forged),
        deleted("tests/conftest.py", "nothing"),
        format!("{}{}", changed(".gitignore", "*.egg-info", "*"), added("conftest.py", forged)),
        format!(
            "{}diff --git a/tests/test_calc.py b/tests/test_calc.py\nnew file mode 120000\n--- /dev/null\n\
             +++ b/tests/test_calc.py\n@@ -0,0 +1 @@\n+../calc.txt\n\\ No newline at end of file\n",
            deleted("tests/test_calc.py", "add add")
        ),
    ];
    for prediction in tampering {
        let (sandbox, verdict) = verdict_of(&prediction).await;
        let expected = "2 of 2 tests of FAIL_TO_PASS and 0 of 3 of PASS_TO_PASS did not pass";
        assert_eq!(verdict.reason.as_deref(), Some(expected), "{prediction}");
        assert_eq!(sandbox.read("conftest.py"), None, "{prediction}");
        assert_eq!(sandbox.read("tests/conftest.py").as_deref(), Some("nothing\n"), "{prediction}");
        assert_eq!(sandbox.read("calc.txt").as_deref(), Some("add\nmean\n"), "{prediction}");

        let (_, verdict) = verdict_of(&format!("{GOLD}{prediction}")).await;
        assert!(verdict.resolved, "{prediction}: {verdict:?}");
    }
}

#[tokio::test]
async fn source_files_stay_as_the_prediction_made_them() {
    let prediction =
        format!("{GOLD}{}{}", changed("src/doc.py", "doctest", "better"), added("src/util.py", "x"));
    let (sandbox, verdict) = verdict_of(&prediction).await;
    assert!(verdict.resolved, "{verdict:?}");
    assert_eq!(sandbox.read("src/doc.py").as_deref(), Some("better\n"));
    assert_eq!(sandbox.read("src/util.py").as_deref(), Some("x\n"));
}

#[tokio::test]
async fn test_configuration_that_the_gold_patch_changes_is_part_of_the_task() {
    let gold = format!("{GOLD}{}", added("conftest.py", "fixture"));
    let sandbox = HostSandbox::new(&FILES);
    run(&sandbox, &instance_with(&gold, TEST_PATCH), "check", &gold).await;
    assert_eq!(sandbox.read("conftest.py").as_deref(), Some("fixture\n"));
}

#[tokio::test]
async fn what_the_image_added_stays() {
    let sandbox = HostSandbox::new(&FILES);
    sandbox.write("build/conftest.py", "of the image\n");
    sandbox.write("n.egg-info/PKG-INFO", "of the image\n");
    assert!(run(&sandbox, &instance_with(GOLD, TEST_PATCH), "check", GOLD).await.verdict.resolved);
    assert!(sandbox.file("build/conftest.py").exists() && sandbox.file("n.egg-info/PKG-INFO").exists());
}

#[tokio::test]
async fn what_stands_in_the_way_of_the_tests_is_removed() {
    for prediction in [
        added("tests/new", "a file, not a folder"),
        format!("{}{}", deleted("tests/conftest.py", "nothing"), added("tests/conftest.py/x", "a folder")),
    ] {
        let (_, verdict) = verdict_of(&format!("{GOLD}{prediction}")).await;
        assert!(verdict.resolved, "{prediction}: {verdict:?}");
        assert!(!verdict.findings.is_empty(), "{prediction}");
    }
}

#[tokio::test]
async fn a_test_patch_that_does_not_apply_is_not_the_fault_of_the_prediction() {
    let sandbox = HostSandbox::new(&FILES);
    let broken = changed("tests/test_calc.py", "something else", "x");
    let instance = instance_with(GOLD, &broken);
    let verdict = run(&sandbox, &instance, "check", GOLD).await.verdict;
    let failure = verdict.failure.clone().unwrap();
    assert_eq!((failure.kind.as_str(), failure.retryable, verdict.resolved), ("test_patch", false, false));
    let report = instance_report(instance.id(), None, &verdict);
    assert_eq!(report["o__n-1"]["infra_failure"], true);
    assert_eq!(report["o__n-1"]["patch_is_None"], true);
    assert!(report["o__n-1"]["infra_failure_reason"].as_str().unwrap().starts_with("test_patch: "));
}

#[tokio::test]
async fn log_results_and_exit_code_must_agree() {
    let sandbox = || HostSandbox::new(&FILES);
    let instance = instance_with(GOLD, TEST_PATCH);
    let contradiction = "all() { check \"$@\"; return 3; }; all";
    let verdict = run(&sandbox(), &instance, contradiction, GOLD).await.verdict;
    assert!(!verdict.resolved);
    assert_eq!(verdict.reason.unwrap(), "the test command exited with 3, though the log shows no failure");

    let mut silent = command("true");
    silent.eval_commands.clear();
    let log_limit = OutputLimit { head: 1 << 20, tail: 1 << 20 };
    let limits = EvalLimits { time_limit: Duration::from_secs(60), log_limit };
    let verdict =
        surveyed_and_evaluated(&sandbox(), &instance, &silent, &Patch::from(GOLD), &limits).await.verdict;
    assert_eq!(verdict.reason.unwrap(), "the log shows no test result; the test command exited with 0");
}

#[tokio::test]
async fn tests_that_hang_are_not_resolved() {
    let sandbox = HostSandbox::new(&FILES);
    let limits =
        EvalLimits { time_limit: Duration::from_secs(1), log_limit: OutputLimit { head: 9, tail: 9 } };
    let instance = instance_with(GOLD, TEST_PATCH);
    let hanging = command("exec sleep 1000 #");
    let verdict =
        surveyed_and_evaluated(&sandbox, &instance, &hanging, &Patch::from(GOLD), &limits).await.verdict;
    assert!(verdict.timed_out && !verdict.resolved && verdict.exit_code.is_none());
    assert_eq!(verdict.reason.unwrap(), "the tests ran into the time limit");
}
