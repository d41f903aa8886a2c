//! Limits.

use std::time::Duration;

use swegym_sandbox::{ExecRequest, ExecStatus};

use super::{Subject, sh, text};

/// A process that left the command's session and parents, and one that ignores signals.
const DETACHED: &str = "\
setsid setsid bash -c 'sleep 2001 & sleep 2002' > /dev/null 2>&1 &
( ( trap '' TERM HUP INT; sleep 2003 ) & )
echo begun
sleep 2004";

pub(crate) async fn time_limit_kills_the_whole_tree(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    let request = ExecRequest::shell(DETACHED).within(Duration::from_millis(500));
    let output = sandbox.exec(&request).await.unwrap();
    assert_eq!(output.status, ExecStatus::TimedOut);
    assert_eq!(output.stdout.to_text(), "begun\n");
    assert_eq!(sh(&*sandbox, "pgrep -a sleep").await.stdout.to_text(), "");
}

pub(crate) async fn time_limit_leaves_other_commands_alone(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    text(&*sandbox, "sleep 2005 > /dev/null 2>&1 &").await;
    let request = ExecRequest::new(["sleep", "2006"]).within(Duration::from_millis(100));
    assert_eq!(sandbox.exec(&request).await.unwrap().status, ExecStatus::TimedOut);
    assert_eq!(text(&*sandbox, "pgrep -a sleep | cut -d' ' -f3").await, "2005\n");
}

const FORK_BOMB: &str = "b() { b | b & }; b; sleep 1000";

pub(crate) async fn time_limit_beats_a_fork_bomb(subject: &Subject) {
    if !subject.enforces("processes") {
        return;
    }
    let sandbox = subject.with(|spec| spec.limits.processes = 100).await;
    let request = ExecRequest::shell(FORK_BOMB).within(Duration::from_millis(300));
    assert_eq!(sandbox.exec(&request).await.unwrap().status, ExecStatus::TimedOut);
    // Either nothing of it is left, or all of the sandbox was ended for its sake.
    if let Ok(output) = sandbox.exec(&ExecRequest::shell("pgrep -c bash; true")).await {
        assert_eq!(output.stdout.to_text(), "1\n");
    }
}

pub(crate) async fn disk_limit_holds(subject: &Subject) {
    let sandbox = subject.with(|spec| spec.limits.disk_bytes = 8 << 20).await;
    let mut folders = vec!["/dev/shm"];
    if subject.enforces("disk") {
        folders.extend(["/tmp", "/root"]);
    }
    for folder in folders {
        let output = sh(&*sandbox, &format!("head -c 20000000 /dev/zero > {folder}/big")).await;
        assert!(output.stdout.to_text().contains("No space left on device"), "{folder}: {output:?}");
        text(&*sandbox, &format!("rm {folder}/big")).await;
    }
}

pub(crate) async fn memory_limit_is_reported(subject: &Subject) {
    if !subject.enforces("memory") {
        return;
    }
    let sandbox = subject.with(|spec| spec.limits.memory_bytes = 64 << 20).await;
    let output =
        sh(&*sandbox, "head -c 500000000 /dev/zero | tail -c 400000000 | wc -c; exit ${PIPESTATUS[1]}").await;
    assert_eq!(output.status, ExecStatus::OutOfMemory);
    assert_eq!(text(&*sandbox, "echo still alive").await, "still alive\n");
}

pub(crate) async fn process_limit_stops_a_fork_bomb(subject: &Subject) {
    if !subject.enforces("processes") {
        return;
    }
    let sandbox = subject.with(|spec| spec.limits.processes = 50).await;
    let script = "for i in $(seq 200); do sleep 1000 & done 2>&1 | grep -m1 -o 'fork'";
    let output = sandbox.exec(&ExecRequest::shell(script).within(Duration::from_secs(3))).await.unwrap();
    assert_eq!(output.stdout.to_text(), "fork\n");
    sandbox.destroy().await.unwrap();
}
