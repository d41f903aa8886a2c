//! Stopping everything inside for a moment.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::kill::{PATIENCE, descendants, repeat_until_none, signal};
use crate::local::identity::ProcessStat;

/// All processes but init, stopped.
pub(super) struct Frozen {
    /// Whether they all are.
    pub(super) complete: bool,
    /// Whether they are nothing but helpers of init and idle shells.
    pub(super) quiet: bool,
    /// Those that were stopped before.
    stopped_before: HashSet<Pid>,
}

impl Frozen {
    /// `shells` are requests whose commands are shells that wait.
    ///
    /// Parents are stopped before their children and go on after them: a shell that sees a child stopped gives up
    /// waiting for it. So a process is left alone until its parent stands still.
    pub(super) fn freeze(helpers: &HashMap<Pid, u64>, shells: &[u64]) -> Self {
        let give_up = Instant::now() + PATIENCE;
        let mut ours = HashSet::new();
        let mut stopped_before = HashSet::new();
        let complete = repeat_until_none(give_up, || {
            let processes = descendants(Pid::this());
            let (stopped, running): (Vec<_>, Vec<_>) =
                processes.into_iter().partition(|(_, stat)| stat.is_stopped());
            stopped_before.extend(stopped.into_iter().map(|(pid, _)| pid).filter(|pid| !ours.contains(pid)));
            let still_running: HashSet<i32> = running.iter().map(|(pid, _)| pid.as_raw()).collect();
            for (pid, _) in running.iter().filter(|(_, stat)| !still_running.contains(&stat.parent)) {
                ours.insert(*pid);
                signal(*pid, Signal::SIGSTOP);
            }
            running.len()
        });
        let quiet = descendants(Pid::this()).iter().all(|process| is_harmless(process, helpers, shells));
        Self { complete, quiet, stopped_before }
    }

    /// Lets them go on.
    pub(super) fn thaw(self) {
        for (pid, _) in descendants(Pid::this()).into_iter().rev() {
            if !self.stopped_before.contains(&pid) {
                signal(pid, Signal::SIGCONT);
            }
        }
    }
}

/// Whether a process is a helper of init, or the shell that one of them started.
fn is_harmless((pid, stat): &(Pid, ProcessStat), helpers: &HashMap<Pid, u64>, shells: &[u64]) -> bool {
    let is_idle_shell =
        || helpers.get(&Pid::from_raw(stat.parent)).is_some_and(|request| shells.contains(request));
    helpers.contains_key(pid) || is_idle_shell()
}
