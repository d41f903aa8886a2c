use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use swegym_core::{Patch, PatchOutcome};
use swegym_harness::apply_patch;

use crate::host_sandbox::HostSandbox;

fn applied(outcome: &PatchOutcome) -> &str {
    match outcome {
        PatchOutcome::Applied { by } => by,
        PatchOutcome::Empty => "nothing",
        PatchOutcome::Rejected { .. } => "rejected",
    }
}

async fn apply(files: &[(&str, &str)], patch: &str) -> (HostSandbox, PatchOutcome) {
    let sandbox = HostSandbox::new(files);
    let outcome = apply_patch(&sandbox, &Patch::from(patch)).await.unwrap();
    (sandbox, outcome)
}

#[tokio::test]
async fn a_patch_is_applied_byte_for_byte() {
    let patch = "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\r\n-b\n\\ No newline at end of file\n+c\r\n\\ No newline at end of file\n";
    let (sandbox, outcome) = apply(&[("x", "a\r\nb")], patch).await;
    assert_eq!(applied(&outcome), "git apply");
    assert_eq!(sandbox.read("x").unwrap(), "a\r\nc\r");
}

#[tokio::test]
async fn wrong_context_is_forgiven_by_gnu_patch_and_what_is_there_already_is_not() {
    let files = [("x", "a\nb\nc\n")];
    let (sandbox, outcome) = apply(&files, "--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n other\n-b\n+B\n c\n").await;
    assert_eq!(applied(&outcome), "patch --fuzz=5");
    assert_eq!(sandbox.read("x").unwrap(), "a\nB\nc\n");
    let (_, outcome) = apply(&files, "--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n-B\n+b\n c\n").await;
    assert_eq!(applied(&outcome), "rejected");
}

#[tokio::test]
async fn white_space_is_an_empty_patch_and_garbage_a_rejected_one() {
    assert_eq!(applied(&apply(&[("x", "a\n")], " \r\n").await.1), "nothing");
    let PatchOutcome::Rejected { reason } = apply(&[("x", "a\n")], "I have fixed it.\n").await.1 else {
        panic!("garbage must be rejected")
    };
    assert!(reason.contains("git apply: ") && reason.contains("patch: "), "{reason}");
}

#[tokio::test]
async fn the_git_folder_is_out_of_reach() {
    let files = [("x", "a\n"), ("tests/t.py", "")];
    let config = "--- /dev/null\n+++ b/.git/hooks/post-checkout\n@@ -0,0 +1 @@\n+touch /tmp/hooked\n";
    let (sandbox, outcome) = apply(&files, config).await;
    assert_eq!(applied(&outcome), "rejected");
    assert_eq!(sandbox.read(".git/hooks/post-checkout"), None);
}

#[tokio::test]
async fn agrees_with_the_commands_of_upstream() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/apply.jsonl");
    let Ok(vectors) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is absent", path.display());
        return;
    };
    let mut count = 0;
    for line in vectors.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let id = record["id"].as_str().unwrap();
        if matches!(id, "apply:empty" | "apply:already_applied") {
            continue; // on purpose not as upstream: nothing to apply is no success, and nothing is un-applied
        }
        let files: BTreeMap<String, String> = serde_json::from_value(record["files"].clone()).unwrap();
        let files: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect();
        let (sandbox, outcome) = apply(&files, record["patch"].as_str().unwrap()).await;
        let expected = &record["expected"]["fork_sequence"];
        let by = expected["applied_by"].as_str();
        assert_eq!(applied(&outcome).split(" --").next(), by.or(Some("rejected")), "{id}: {outcome:?}");
        for (name, content) in expected["changed"].as_object().unwrap().iter().filter(|_| by.is_some()) {
            let content = content.as_str().map(|content| content.trim_end_matches("\0x").to_owned());
            assert_eq!(sandbox.read(name), content, "{id}: {name}");
        }
        count += 1;
    }
    println!("{count} patches agree");
    assert!(count > 0);
}
