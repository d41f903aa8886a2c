use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use swegym_core::{Patch, PatchOutcome};
use swegym_harness::{ApplySequence, Profile, apply_by, apply_patch, apply_patch_with};
use swegym_sandbox::{ExecRequest, Sandbox};

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
    assert!(reason.contains("git apply: ") && reason.contains("patch --fuzz=5: "), "{reason}");
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

/// What applies a patch under each profile, in the order of [`PROFILES`], and what `x` is then.
async fn apply_everywhere(files: &[(&str, &str)], patch: &str) -> Vec<(String, Option<String>)> {
    const PROFILES: [Profile; 4] = [Profile::Swegym, Profile::Swebench4, Profile::Swebench5, Profile::Strict];
    let mut outcomes = Vec::new();
    for profile in PROFILES {
        let sandbox = HostSandbox::new(files);
        let outcome = apply_patch_with(&sandbox, &Patch::from(patch), profile).await.unwrap();
        outcomes.push((applied(&outcome).to_owned(), sandbox.read("x")));
    }
    outcomes
}

fn by(by: &str, x: &str) -> (String, Option<String>) {
    (by.to_owned(), Some(x.to_owned()))
}

#[tokio::test]
async fn what_is_there_already_is_taken_back_by_older_profiles() {
    let patch = "--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n";
    let outcomes = apply_everywhere(&[("x", "a\nB\nc\n")], patch).await;
    let expected = [
        by("patch --fuzz=5", "a\nb\nc\n"),
        by("patch --fuzz=5", "a\nb\nc\n"),
        by("an earlier attempt", "a\nB\nc\n"),
        by("rejected", "a\nB\nc\n"),
    ];
    assert_eq!(outcomes, expected);
}

#[tokio::test]
async fn an_empty_patch_is_applied_by_upstream_and_a_blank_one_by_the_fork() {
    let files = [("x", "a\n")];
    let empty: Vec<_> = apply_everywhere(&files, "").await.into_iter().map(|(by, _)| by).collect();
    assert_eq!(empty, ["git apply", "patch --fuzz=5", "patch --forward --fuzz=5", "nothing"]);
    let blank: Vec<_> = apply_everywhere(&files, "\n").await.into_iter().map(|(by, _)| by).collect();
    assert_eq!(blank, ["git apply", "rejected", "rejected", "nothing"]);
}

#[tokio::test]
async fn a_patch_of_another_version_is_merged_by_the_newest_profile() {
    // Two changes of neighbouring lines: the version that the patch is made for is a file of its own.
    let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
    let files = [("x", "1\n2\n3\n4\n5\n6\n7\n8\nNINE\n"), ("old", old)];
    let sandbox = HostSandbox::new(&files);
    let id = sandbox.exec(&ExecRequest::new(["git", "hash-object", "old"])).await.unwrap().stdout.to_text();
    let id = id.trim();
    let patch = format!(
        "diff --git a/x b/x\nindex {id}..{id} 100644\n--- a/x\n+++ b/x\n@@ -2,8 +2,8 @@\n 2\n 3\n 4\n-5\n+FIVE\n 6\n 7\n 8\n 9\n"
    );
    let merged = "1\n2\n3\n4\nFIVE\n6\n7\n8\nNINE\n";
    let outcomes = apply_everywhere(&files, &patch).await;
    assert_eq!(outcomes[2], by("git apply --3way", merged));
    assert_eq!(outcomes[3], by("patch --fuzz=5", merged));
}

#[tokio::test]
async fn what_a_failed_attempt_leaves_goes_before_the_next_one_only_in_the_newest_profile() {
    let files = [("x", "a\nb\nc\nd\ne\nf\n")];
    let patch = "diff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+n\n\
                 diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n other\n-b\n+B\n c\n";
    for (profile, expected, leftover) in [
        // GNU patch finds the new file there already, and asks in vain whether to take it back.
        (Profile::Swebench4, "patch --fuzz=5", true),
        (Profile::Swebench5, "patch --forward --fuzz=5", false),
    ] {
        let sandbox = HostSandbox::new(&files);
        let outcome = apply_patch_with(&sandbox, &Patch::from(patch), profile).await.unwrap();
        assert_eq!(applied(&outcome), expected, "{outcome:?}");
        assert_eq!(sandbox.read("x.rej").is_some(), leftover, "{profile:?}");
    }
}

#[tokio::test]
async fn bytes_reach_the_tree_as_they_are_under_every_profile() {
    let patch = Patch::new(*b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+\xff\0\r\n");
    let profiles = [Profile::Swegym, Profile::Swebench4, Profile::Swebench5, Profile::Strict];
    for sequence in profiles.map(ApplySequence::of).into_iter().chain([ApplySequence::OPENHANDS]) {
        let sandbox = HostSandbox::new(&[("x", "a\n")]);
        let outcome = apply_by(&sandbox, &patch, &sequence).await.unwrap();
        assert_eq!(applied(&outcome), "git apply");
        assert_eq!(std::fs::read(sandbox.file("x")).unwrap(), b"\xff\0\r\n");
    }
}
