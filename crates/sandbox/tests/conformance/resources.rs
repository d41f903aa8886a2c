//! Limits that are set on demand, and what a sandbox has used.

use swegym_sandbox::{ExecRequest, Limits};

use super::{Subject, text};

pub(crate) async fn processor_limit_holds(subject: &Subject) {
    let limits = Limits { cpu_millis: Some(100), ..subject.spec.limits };
    if !subject.enforces_of(&limits, "processors") {
        return;
    }
    let sandbox = subject.with(|spec| spec.limits = limits).await;
    // Two at once: the limit is on all processes together, not on each.
    let script = "for i in 1 2; do timeout 1 bash -c 'while :; do :; done' & done; wait";
    let output = sandbox.exec(&ExecRequest::shell(script)).await.unwrap();
    assert!(output.success());
    assert!(output.cpu < output.wall / 3, "{:?} in {:?}", output.cpu, output.wall);
}

pub(crate) async fn use_of_resources_is_told(subject: &Subject) {
    let sandbox = subject.sandbox().await;
    text(&*sandbox, "x=$(head -c 60000000 /dev/zero | tr '\\0' x); sleep 1000 > /dev/null 2>&1 &").await;
    text(&*sandbox, "pgrep -x sleep").await;
    let usage = sandbox.usage().await.unwrap();
    if subject.enforces("memory") && subject.enforces("processes") {
        let peak = usage.peak_memory;
        // Linux before 5.19 does not tell it with version 2 of cgroups.
        assert!(peak.is_none_or(|peak| peak > 60_000_000), "{peak:?}");
    }
    if let Some(processes) = usage.processes {
        assert!((2..100).contains(&processes), "{processes}");
    }
    sandbox.destroy().await.unwrap();
}
