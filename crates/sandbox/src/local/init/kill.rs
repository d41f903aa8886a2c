//! Killing everything that a command started.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::local::identity::ProcessStat;

/// How long processes that keep forking are chased, before the owner ends the whole sandbox instead.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at the processes, for signals to arrive.
const PAUSE: Duration = Duration::from_micros(500);

/// Kills all descendants of a supervisor. Returns whether none is left.
///
/// First they are stopped, until no running one is found: stopped processes do not fork, and keep the room
/// below the limit on processes occupied, which killed ones would free for others. The supervisor is stopped
/// meanwhile, so that it stays the one that adopts orphans.
pub(super) fn kill_descendants(supervisor: Pid) -> bool {
    kill_those(supervisor, |_| true)
}

/// The same for the descendants that `chosen` picks.
pub(super) fn kill_those(supervisor: Pid, chosen: impl Fn(Pid) -> bool) -> bool {
    let found = || descendants(supervisor).into_iter().filter(|(pid, _)| chosen(*pid));
    let give_up = Instant::now() + PATIENCE;
    signal(supervisor, Signal::SIGSTOP);
    let complete = repeat_until_none(give_up, || {
        signal_all(found().filter(|(_, stat)| !stat.is_stopped()), Signal::SIGSTOP)
    }) && repeat_until_none(give_up, || signal_all(found(), Signal::SIGKILL));
    if !complete {
        signal_all(found(), Signal::SIGKILL);
    }
    signal(supervisor, Signal::SIGCONT);
    complete
}

/// Repeats what returns how many processes it found, until it finds none.
pub(super) fn repeat_until_none(give_up: Instant, mut sweep: impl FnMut() -> usize) -> bool {
    while sweep() > 0 {
        if Instant::now() > give_up {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
    true
}

fn signal_all(processes: impl IntoIterator<Item = (Pid, ProcessStat)>, what: Signal) -> usize {
    processes.into_iter().map(|(pid, _)| signal(pid, what)).count()
}

/// A process that has ended meanwhile needs no signal.
pub(super) fn signal(pid: Pid, what: Signal) {
    let _ = kill(pid, what);
}

/// Living processes below this one.
pub(super) fn descendants(ancestor: Pid) -> Vec<(Pid, ProcessStat)> {
    let mut children: HashMap<Pid, Vec<(Pid, ProcessStat)>> = HashMap::new();
    for (pid, stat) in processes() {
        children.entry(Pid::from_raw(stat.parent)).or_default().push((pid, stat));
    }
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut ancestors = vec![ancestor];
    while let Some(parent) = ancestors.pop() {
        for (pid, stat) in children.remove(&parent).unwrap_or_default() {
            if seen.insert(pid) {
                ancestors.push(pid);
                found.push((pid, stat));
            }
        }
    }
    found.retain(|(_, stat)| !stat.has_ended());
    found
}

fn processes() -> Vec<(Pid, ProcessStat)> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.file_name());
    let pids = names.filter_map(|name| name.to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let stat = ProcessStat::read(Path::new(&format!("/proc/{pid}/stat")))?;
        Some((Pid::from_raw(pid), stat))
    })
    .collect()
}
