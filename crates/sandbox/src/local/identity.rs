//! Who owns sandboxes, and as whom they run.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::unistd::{Gid, Uid};

/// The host's user and group id that everything in a sandbox has when its owner is root: `root` inside is
/// this unprivileged id outside. The last id of the range that systemd sets aside for containers, so no
/// account has it.
pub const SANDBOX_UID: u32 = 1_879_048_191;

/// `CAP_SYS_ADMIN` in a capability mask.
const SYS_ADMIN: u64 = 1 << 21;

/// User and group that the files of layers must belong to, so that `root` inside owns them. `None`: they
/// belong to the user that runs this process, as every file it makes.
pub fn layer_owner() -> Option<(u32, u32)> {
    is_privileged().then_some((SANDBOX_UID, SANDBOX_UID))
}

/// Whether this process may do everything that needs root: mount, and hand out [`SANDBOX_UID`]. Root in a
/// container often may not; it is then treated as an ordinary user.
pub(crate) fn is_privileged() -> bool {
    Uid::effective().is_root()
        && has_capability(SYS_ADMIN)
        && ["/proc/self/uid_map", "/proc/self/gid_map"].iter().all(|map| maps_sandbox_id(map))
}

fn has_capability(mask: u64) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|effective| effective & mask != 0)
}

fn maps_sandbox_id(map: &str) -> bool {
    fs::read_to_string(map).unwrap_or_default().lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        matches!(numbers[..], [first, _, count] if (first..first + count).contains(&u64::from(SANDBOX_UID)))
    })
}

/// Lets this process write files as the sandbox's root would, while `body` runs.
pub(crate) fn as_sandbox_user<T>(privileged: bool, body: impl FnOnce() -> T) -> T {
    use nix::unistd::{setfsgid, setfsuid};
    if !privileged {
        return body();
    }
    setfsgid(Gid::from_raw(SANDBOX_UID));
    setfsuid(Uid::from_raw(SANDBOX_UID));
    let done = body();
    setfsuid(Uid::from_raw(0));
    setfsgid(Gid::from_raw(0));
    done
}

/// A backend that owns sandboxes, by a name that no later one gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pid: u32,
    /// In clock ticks since the machine started.
    started: u64,
    /// Counts the backends of the process.
    number: u64,
}

impl Owner {
    const PREFIX: &str = "swegym-";

    /// A new owner in this process.
    pub(crate) fn new() -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let pid = std::process::id();
        let started =
            start_time(pid).ok_or_else(|| io::Error::other("`/proc` does not list this process"))?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self { pid, started, number })
    }

    /// Its name: `swegym-PID-STARTTIME-NUMBER`.
    pub(crate) fn name(self) -> String {
        format!("{}{}-{}-{}", Self::PREFIX, self.pid, self.started, self.number)
    }

    /// Reads a name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let numbers: Vec<&str> = name.strip_prefix(Self::PREFIX)?.split('-').collect();
        let [pid, started, number] = numbers[..] else {
            return None;
        };
        Some(Self { pid: pid.parse().ok()?, started: started.parse().ok()?, number: number.parse().ok()? })
    }

    /// Whether its process is.
    pub(crate) fn is_alive(self) -> bool {
        start_time(self.pid) == Some(self.started)
    }
}

/// When a process started; `None` when it is gone or has ended.
fn start_time(pid: u32) -> Option<u64> {
    let stat = ProcessStat::read(Path::new(&format!("/proc/{pid}/stat")))?;
    (!stat.has_ended()).then_some(stat.started)
}

/// The parts of `/proc/PID/stat` that matter here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    pub(crate) state: char,
    pub(crate) parent: i32,
    /// Number of its session.
    pub(crate) session: i32,
    started: u64,
}

impl ProcessStat {
    pub(crate) fn read(path: &Path) -> Option<Self> {
        Self::parse(&String::from_utf8_lossy(&fs::read(path).ok()?))
    }

    /// The name of the program stands in parentheses and may hold anything, so what follows the last one counts.
    fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }

    /// Whether it is a zombie or dead.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// Whether it is stopped, by a signal or a tracer.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.state, 'T' | 't')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_cannot_forge_its_stat_by_its_name() {
        let stat = "7 (x) S 1 (y) R 42 7 6 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 98765 1 2";
        let stat = ProcessStat::parse(stat).unwrap();
        assert_eq!((stat.state, stat.parent, stat.session, stat.started), ('R', 42, 6, 98765));
    }

    #[test]
    fn an_owner_is_recognised_by_its_name_and_start_time() {
        let me = Owner::new().unwrap();
        assert_eq!(Owner::parse(&me.name()), Some(me));
        assert!(me.is_alive());
        let earlier = Owner { started: me.started - 1, ..me };
        assert!(!earlier.is_alive());
        for other in ["swegym-1-2", "swegym-x-1-1", "user-1-2-3", "swegym-1-2-3.scope"] {
            assert_eq!(Owner::parse(other), None);
        }
    }
}
