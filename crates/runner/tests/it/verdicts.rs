//! What runs say of policies and predictions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use swegym_core::{
    EventKind, ExitStatus, Instance, InstanceId, Patch, PatchOutcome, RolloutKey, RolloutStatus,
};
use swegym_model::{NoopPolicy, Policy};
use swegym_runner::{PolicyFactory, PredictionSolver, RunPlan};
use swegym_testkit::{Reply, ScriptedServer};

use crate::toy::{Toy, fix, gold, key, model, scaffold};

#[tokio::test]
async fn the_gold_policy_resolves_and_leaves_every_file() {
    let Some(toy) = Toy::start().await else { return };
    let factory: PolicyFactory = Arc::new(|instance, _| Ok(Box::new(gold(instance))));
    let ran = toy.run("gold", toy.workshop(scaffold("gold", factory)), &toy.plan(1)).await;
    assert_eq!(ran.counts(), (1, 1, 1, 0));
    let record = ran.record(1);
    assert_eq!((record.status, record.exit_status), (RolloutStatus::Completed, Some(ExitStatus::Finished)));
    assert_eq!((record.policy.as_str(), record.failed_attempts, record.empty_patch), ("gold", 0, false));
    let folder = ran.view.rollout_dir(&key(1));
    let expected = [
        "eval/eval.sh",
        "eval/report.json",
        "eval/results.jsonl",
        "eval/test_output.txt",
        "patch.diff",
        "rollout.json",
        "trajectory.json.zst",
    ];
    assert_eq!(files(&folder, &folder), expected);
    let log = std::fs::read_to_string(folder.join("eval/test_output.txt")).unwrap();
    assert!(log.contains("PASSED tests/test_calc.py::test_mean_of_nothing\n"), "{log}");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("eval/report.json")).unwrap()).unwrap();
    assert_eq!(report["toy__toy-1"]["resolved"], true);
}

fn files(folder: &Path, below: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => names.extend(files(&path, below)),
            false => names.push(path.strip_prefix(below).unwrap().to_str().unwrap().to_owned()),
        }
    }
    names.sort_unstable();
    names
}

#[tokio::test]
async fn doing_nothing_resolves_nothing() {
    let Some(toy) = Toy::start().await else { return };
    let factory: PolicyFactory = Arc::new(|_, _| Ok(Box::new(NoopPolicy)));
    let ran = toy.run("noop", toy.workshop(scaffold("noop", factory)), &toy.plan(1)).await;
    assert_eq!(ran.counts(), (1, 1, 0, 0));
    let record = ran.record(1);
    assert!(record.empty_patch && record.failure.is_none());
    let reason = record.verdict.unwrap().reason.unwrap();
    assert_eq!(reason, "1 of 1 tests of FAIL_TO_PASS and 0 of 2 of PASS_TO_PASS did not pass");
}

#[tokio::test]
async fn a_model_over_http_resolves() {
    let Some(toy) = Toy::start().await else { return };
    let server = ScriptedServer::start_with(fix).await;
    let ran = toy.run("model", toy.workshop(model(&server.base_url())), &toy.plan(1)).await;
    assert_eq!(ran.counts(), (1, 1, 1, 0));
    let record = ran.record(1);
    assert_eq!((record.turns, record.usage.prompt_tokens, record.usage.completion_tokens), (2, 200, 20));
    let patch = ran.view.patch(&key(1)).unwrap().unwrap();
    assert!(patch.to_text_lossy().contains("+    return sum(values) / len(values) if values else 0"));
    let kinds = ran.events();
    let names: Vec<String> = kinds
        .iter()
        .map(|kind| serde_json::to_value(kind).unwrap()["kind"].as_str().unwrap().to_owned())
        .collect();
    let expected = [
        "run_started",
        "rollout_started",
        "image_ready",
        "agent_finished",
        "rollout_finished",
        "run_finished",
    ];
    assert_eq!(names, expected);
    let EventKind::RolloutFinished { record, sha256, .. } = &kinds[4] else { panic!("{:?}", kinds[4]) };
    assert_eq!(*sha256, swegym_data::digest_file(&ran.view.path().join(record)).unwrap());
}

#[tokio::test]
async fn wrong_tool_arguments_are_observations() {
    let Some(toy) = Toy::start().await else { return };
    let replies = vec![
        Reply::call_with_text("execute_bash", "{\"command\": "),
        Reply::call("rewrite_everything", &serde_json::json!({})),
        Reply::call("execute_bash", &serde_json::json!({"command": 7})),
        Reply::call("finish", &serde_json::json!({})),
    ];
    let server = ScriptedServer::start(replies).await;
    let ran = toy.run("arguments", toy.workshop(model(&server.base_url())), &toy.plan(1)).await;
    assert_eq!(ran.counts(), (1, 1, 0, 0));
    assert_eq!(ran.record(1).exit_status, Some(ExitStatus::Finished));
    let messages = ran.view.trajectory(&key(1)).unwrap().unwrap().messages;
    for part in ["are not JSON", "no tool is called `rewrite_everything`", "must be a string"] {
        assert!(
            messages.iter().any(|m| m.content.starts_with("ERROR:") && m.content.contains(part)),
            "{part}"
        );
    }
}

#[tokio::test]
async fn predictions_are_evaluated_as_they_are() {
    let Some(toy) = Toy::start().await else { return };
    let plan = toy.plan(3);
    let wrong = Patch::from(
        "diff --git a/toy/calc.py b/toy/calc.py\n--- a/toy/calc.py\n+++ b/toy/calc.py\n@@ -1 +1 @@\n-not there\n+at all\n",
    );
    let patches = [toy.repo.gold_patch.clone(), wrong.clone(), Patch::default()];
    let prediction = |(instance, patch): (&Arc<Instance>, Patch)| {
        (instance.id().clone(), ("somebody's model".to_owned(), patch))
    };
    let predictions: BTreeMap<_, _> = plan.instances.iter().zip(patches).map(prediction).collect();
    let ran = toy.run("predictions", toy.workshop(PredictionSolver { predictions }), &plan).await;
    assert_eq!(ran.counts(), (3, 3, 1, 0));
    assert!(ran.record(1).resolved());
    let rejected = ran.record(2);
    assert_eq!((rejected.status, rejected.policy.as_str()), (RolloutStatus::Completed, "somebody's model"));
    let verdict = rejected.verdict.unwrap();
    assert_eq!(verdict.reason.as_deref(), Some("the patch does not apply"));
    assert!(matches!(verdict.patch, PatchOutcome::Rejected { .. }) && !verdict.resolved);
    assert_eq!(ran.view.patch(&key(2)).unwrap(), Some(wrong));
    assert_eq!(ran.record(3).verdict.unwrap().patch, PatchOutcome::Empty);
    assert_eq!(ran.view.trajectory(&key(1)).unwrap(), None);
}

/// Whether the policy of the next test resolves: neither the same for all instances nor for all samples.
fn resolves(instance: &InstanceId, sample: u32) -> bool {
    instance.as_str().ends_with(['1', '3']) == sample.is_multiple_of(2)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_workers_changes_nothing() {
    let Some(toy) = Toy::start().await else { return };
    let factory: PolicyFactory = Arc::new(|instance, sample| {
        let policy: Box<dyn Policy> =
            if resolves(instance.id(), sample) { Box::new(gold(instance)) } else { Box::new(NoopPolicy) };
        Ok(policy)
    });
    let workshop = || toy.workshop(scaffold("alternating", Arc::clone(&factory)));
    let plan = |jobs| RunPlan { samples: 3, jobs, ..toy.plan(4) };
    let one = toy.run("one", workshop(), &plan(1)).await;
    let eight = toy.run("eight", workshop(), &plan(8)).await;
    assert_eq!(one.counts(), (12, 12, 6, 0));
    assert_eq!(eight.counts(), one.counts());
    assert_eq!(eight.committed(), one.committed());
    let keys: Vec<RolloutKey> =
        (1..=4).flat_map(|number| (0..3).map(move |sample| RolloutKey { sample, ..key(number) })).collect();
    assert_eq!(eight.finished(), keys);
    for key in keys {
        let record = one.view.committed(&key).unwrap().unwrap();
        assert_eq!(record.resolved(), resolves(&key.instance_id, key.sample), "{key}");
    }
}
