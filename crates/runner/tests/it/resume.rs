//! Runs that are stopped and resumed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use swegym_core::EventKind;
use swegym_testkit::{Reply, ScriptedServer};
use tokio_util::sync::CancellationToken;

use crate::toy::{Toy, bash, fix, is_about, key, model};

/// Processes of this machine with this argument.
fn processes_with(argument: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|byte| *byte == 0).skip(1).any(|word| word == argument.as_bytes())).count()
}

#[tokio::test]
async fn a_cancelled_run_goes_on_where_it_was() {
    let Some(toy) = Toy::start().await else { return };
    let marker = format!("7654321.{}", std::process::id());
    let cancel = CancellationToken::new();
    let (resumed, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    // In the first process the run is cancelled while the second rollout has a process in its sandbox and waits
    // for the model.
    let sleep = format!("sleep {marker} >/dev/null 2>&1 & until grep -q sleep /proc/$!/comm; do :; done");
    let server = {
        let (marker, cancel) = (marker.clone(), cancel.clone());
        let (resumed, seen) = (Arc::clone(&resumed), Arc::clone(&seen));
        ScriptedServer::start_with(move |request| {
            if resumed.load(Ordering::SeqCst) || !is_about(request, 2) {
                return fix(request);
            }
            if request.turn() == 0 {
                return bash(&sleep);
            }
            seen.store(processes_with(&marker), Ordering::SeqCst);
            cancel.cancel();
            Reply::Hang
        })
        .await
    };
    let workshop = || toy.workshop(model(&server.base_url()));
    let about = |number| server.requests().iter().filter(|request| is_about(request, number)).count();

    let first = toy.run_until("stopped", workshop(), &toy.plan(4), &cancel).await;
    assert_eq!(seen.load(Ordering::SeqCst), 1, "the process in the sandbox can be seen");
    assert_eq!(processes_with(&marker), 0, "it ended with the run");
    assert_eq!(first.counts(), (4, 1, 1, 0));
    assert!(matches!(first.events().last(), Some(EventKind::RunInterrupted { .. })));
    assert_eq!((about(1), about(2), about(3), about(4)), (2, 2, 0, 0));
    assert_eq!(first.view.committed(&key(2)).unwrap(), None);

    resumed.store(true, Ordering::SeqCst);
    let second = toy.run("stopped", workshop(), &toy.plan(4)).await;
    assert_eq!(second.counts(), (4, 4, 4, 0));
    assert_eq!((about(1), about(2), about(3), about(4)), (2, 4, 2, 2), "only what was missing is made");
    assert_eq!(second.finished(), [key(1), key(2), key(3), key(4)]);
    assert!(matches!(second.events().last(), Some(EventKind::RunFinished { .. })));

    let whole = toy.run("whole", workshop(), &toy.plan(4)).await;
    assert_eq!(second.committed(), whole.committed());
}

#[tokio::test]
async fn a_run_that_is_done_does_nothing_more() {
    let Some(toy) = Toy::start().await else { return };
    let server = ScriptedServer::start_with(fix).await;
    let workshop = || toy.workshop(model(&server.base_url()));
    let events = toy.run("done", workshop(), &toy.plan(1)).await.events().len();
    let again = toy.run("done", workshop(), &toy.plan(1)).await;
    assert_eq!((again.counts(), server.requests().len()), ((1, 1, 1, 0), 2));
    let added = &again.events()[events..];
    assert!(
        matches!(added, [EventKind::RunStarted { counts, .. }, EventKind::RunFinished { .. }] if counts.completed == 1),
        "{added:?}"
    );
}

#[tokio::test]
async fn a_cancelled_run_keeps_the_failures_that_it_did_not_come_to() {
    let Some(toy) = Toy::start().await else { return };
    let server = ScriptedServer::start_with(|_| Reply::status(401, "who are you")).await;
    let workshop = || toy.workshop(model(&server.base_url()));
    let first = toy.run("kept", workshop(), &toy.plan(2)).await;
    assert_eq!(first.counts(), (2, 0, 0, 2));
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let second = toy.run_until("kept", workshop(), &toy.plan(2), &cancelled).await;
    assert_eq!(second.counts(), (2, 0, 0, 2));
    assert!(matches!(second.events().last(), Some(EventKind::RunInterrupted { .. })));
    assert_eq!(second.committed(), first.committed());
}
