//! Renders the events of a run for people.

use std::collections::BTreeSet;

use swegym_core::{Event, EventKind, RunCounts};
use swegym_runner::EventSink;

use crate::printer::Printer;

/// Lines on stderr; on a terminal also a status line that says what is going on.
pub(crate) struct Progress {
    printer: Printer,
    run: String,
    counts: RunCounts,
    live: BTreeSet<String>,
}

impl Progress {
    /// A renderer for one run.
    pub(crate) fn new(printer: Printer) -> Self {
        Self { printer, run: String::new(), counts: RunCounts::default(), live: BTreeSet::new() }
    }

    fn done(&self) -> usize {
        self.counts.completed + self.counts.failed
    }

    fn status(&self) {
        let live: Vec<&str> = self.live.iter().map(String::as_str).collect();
        self.printer.status(&format!(
            "{}: {}/{} done, {} resolved; at work: {}",
            self.run,
            self.done(),
            self.counts.planned,
            self.counts.resolved,
            live.join(", ")
        ));
    }
}

impl EventSink for Progress {
    fn event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted { run, counts } => {
                self.run.clone_from(run);
                // What failed before is tried again.
                self.counts = RunCounts { failed: 0, ..*counts };
                let before = match self.done() {
                    0 => String::new(),
                    done => format!(", {done} of them done before"),
                };
                self.printer.line(&format!("{run}: {} rollouts{before}", counts.planned));
            }
            EventKind::RolloutStarted { key, .. } => {
                self.live.insert(key.to_string());
            }
            EventKind::ImageReady { instance_id, reused: false, ms } => {
                self.printer.line(&format!(
                    "{}: built the image of {instance_id} in {}",
                    self.run,
                    seconds(*ms)
                ));
            }
            EventKind::AttemptFailed { key, attempt, failure } => {
                self.printer
                    .line(&format!("{}: {key}: attempt {attempt} failed, trying again: {failure}", self.run));
            }
            EventKind::RolloutFinished { key, resolved, failure, ms, .. } => {
                self.live.remove(&key.to_string());
                let result = match (failure, resolved) {
                    (Some(failure), _) => {
                        self.counts.failed += 1;
                        format!("not executed: {failure}")
                    }
                    (None, resolved) => {
                        self.counts.completed += 1;
                        self.counts.resolved += usize::from(*resolved);
                        if *resolved { "resolved".to_owned() } else { "not resolved".to_owned() }
                    }
                };
                let place = format!("[{}/{}]", self.done(), self.counts.planned);
                self.printer.line(&format!("{} {place} {key}: {result} ({})", self.run, seconds(*ms)));
            }
            EventKind::ImageReady { reused: true, .. }
            | EventKind::AgentFinished { .. }
            | EventKind::RunInterrupted { .. }
            | EventKind::RunFinished { .. } => {}
        }
        self.status();
    }
}

/// Milliseconds, for people.
pub(crate) fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}
