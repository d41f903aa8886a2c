//! Model endpoints that fail.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use swegym_core::{Boundary, EventKind, RolloutStatus};
use swegym_testkit::{Reply, ScriptedServer};

use crate::toy::{ATTEMPTS, Toy, fix, is_about, key, model};

/// Tries of one request, as [`model`] sets the client up.
const TRIES: usize = 2;

#[tokio::test]
async fn what_passes_is_got_over() {
    let Some(toy) = Toy::start().await else { return };
    let retry_after = Some("0".to_owned());
    let trouble = [
        Reply::Status { code: 429, retry_after, body: "slow down".to_owned() },
        Reply::status(500, "oops"),
        Reply::CutConnection,
        Reply::CutInBody,
        Reply::MalformedJson,
    ];
    for (number, reply) in trouble.into_iter().enumerate() {
        let trouble = Mutex::new(VecDeque::from([reply]));
        let server = ScriptedServer::start_with(move |request| {
            trouble.lock().unwrap().pop_front().unwrap_or_else(|| fix(request))
        })
        .await;
        let workshop = toy.workshop(model(&server.base_url()));
        let ran = toy.run(&format!("trouble-{number}"), workshop, &toy.plan(1)).await;
        assert_eq!(ran.counts(), (1, 1, 1, 0), "{number}");
        assert_eq!((ran.record(1).failed_attempts, server.requests().len()), (0, 3), "{number}");
    }
}

#[tokio::test]
async fn a_rollout_is_repeated_when_the_client_gives_up() {
    let Some(toy) = Toy::start().await else { return };
    let trouble = Mutex::new(VecDeque::from(vec![Reply::status(503, "loading"); TRIES]));
    let server = ScriptedServer::start_with(move |request| match request.turn() {
        0 => fix(request),
        _ => trouble.lock().unwrap().pop_front().unwrap_or_else(|| fix(request)),
    })
    .await;
    let ran = toy.run("repeated", toy.workshop(model(&server.base_url())), &toy.plan(1)).await;
    assert_eq!(ran.counts(), (1, 1, 1, 0));
    assert_eq!((ran.record(1).failed_attempts, ran.record(1).turns), (1, 2));
    let failed = ran.events().into_iter().find_map(|kind| match kind {
        EventKind::AttemptFailed { attempt, failure, .. } => Some((attempt, failure.kind)),
        _ => None,
    });
    assert_eq!(failed, Some((0, "model_status".to_owned())));
    // The evidence: what went wrong, and the turn that had worked.
    let attempt = ran.view.rollout_dir(&key(1)).join("attempts/0");
    assert!(attempt.join("failure.json").is_file() && attempt.join("trajectory.json.zst").is_file());
}

#[tokio::test]
async fn an_endpoint_that_is_down_costs_its_rollouts_and_the_next_process_makes_them() {
    let Some(toy) = Toy::start().await else { return };
    let down = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&down);
    let server = ScriptedServer::start_with(move |request| match switch.load(Ordering::SeqCst) {
        true if is_about(request, 2) => Reply::CutConnection,
        _ => fix(request),
    })
    .await;
    let about = |number| server.requests().iter().filter(|request| is_about(request, number)).count();
    let workshop = || toy.workshop(model(&server.base_url()));
    let first = toy.run("down", workshop(), &toy.plan(3)).await;
    assert_eq!(first.counts(), (3, 2, 2, 1));
    assert!(matches!(first.events().last(), Some(EventKind::RunFinished { .. })));
    let attempts = usize::try_from(ATTEMPTS).unwrap();
    assert_eq!((about(1), about(2), about(3)), (2, TRIES * attempts, 2));
    let record = first.record(2);
    assert_eq!((record.status, record.failed_attempts), (RolloutStatus::Failed, ATTEMPTS - 1));
    assert_eq!((record.exit_status, record.verdict.as_ref()), (None, None));
    let failure = record.failure.clone().unwrap();
    assert_eq!((failure.boundary, failure.kind.as_str()), (Boundary::Model, "model_connection"));

    down.store(false, Ordering::SeqCst);
    let second = toy.run("down", workshop(), &toy.plan(3)).await;
    assert_eq!(second.counts(), (3, 3, 3, 0));
    assert_eq!(
        (about(1), about(2), about(3)),
        (2, TRIES * attempts + 2, 2),
        "only the failed one is made again"
    );
    assert_eq!(second.record(2).failed_attempts, ATTEMPTS);
    // Nothing is lost: the record of the failure is the last of the attempts.
    assert_eq!(second.view.attempts(&key(2)).unwrap(), ATTEMPTS);
    let retired = second.view.rollout_dir(&key(2)).join(format!("attempts/{}/rollout.json", ATTEMPTS - 1));
    let retired: swegym_core::RolloutRecord =
        serde_json::from_slice(&std::fs::read(retired).unwrap()).unwrap();
    assert_eq!(retired, record);
}

#[tokio::test]
async fn what_will_not_pass_is_not_repeated() {
    let Some(toy) = Toy::start().await else { return };
    let server = ScriptedServer::start(vec![Reply::status(401, "who are you")]).await;
    let ran = toy.run("refused", toy.workshop(model(&server.base_url())), &toy.plan(1)).await;
    assert_eq!(ran.counts(), (1, 0, 0, 1));
    assert_eq!((ran.record(1).failed_attempts, server.requests().len()), (0, 1));
    assert_eq!(ran.record(1).failure.unwrap().kind, "model_status");
}

#[tokio::test]
async fn answers_that_are_never_json_are_a_failure_of_the_model() {
    let Some(toy) = Toy::start().await else { return };
    let server = ScriptedServer::start_with(|_| Reply::MalformedJson).await;
    let ran = toy.run("malformed", toy.workshop(model(&server.base_url())), &toy.plan(1)).await;
    assert_eq!(ran.counts(), (1, 0, 0, 1));
    assert_eq!(ran.record(1).failure.unwrap().kind, "model_malformed");
}
