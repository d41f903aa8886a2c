//! Control groups: how the limits on memory, processes, processors and disks are enforced.
//!
//! Both versions are used, whichever holds a controller. An owner has one group in each place, a sandbox one
//! below it. A place that cannot be written is not an error: the limit is reported as not enforced.

mod devices;
mod owner;
mod places;
mod sandbox;
mod usage;

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

pub(crate) use owner::{OwnerGroups, Unenforced};
pub(crate) use places::owner_folders;
pub(crate) use sandbox::SandboxGroups;
pub(crate) use usage::{UsageFiles, oom_kills};

/// How long the kernel gets to forget the processes of a group that have been reaped.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(2);
/// Between two attempts to remove a group: first, and at most.
const REMOVAL_PAUSES: [Duration; 2] = [Duration::from_micros(10), Duration::from_millis(2)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// What limits something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Controller {
    Memory,
    Pids,
    Cpu,
    Io,
}

impl Controller {
    const ALL: [Self; 4] = [Self::Memory, Self::Pids, Self::Cpu, Self::Io];

    fn name(self, version: Version) -> &'static str {
        match (self, version) {
            (Self::Memory, _) => "memory",
            (Self::Pids, _) => "pids",
            (Self::Cpu, _) => "cpu",
            (Self::Io, Version::One) => "blkio",
            (Self::Io, Version::Two) => "io",
        }
    }

    fn limits(self) -> &'static str {
        match self {
            Self::Memory => "the memory limit",
            Self::Pids => "the limit on processes",
            Self::Cpu => "the limit on processors",
            Self::Io => "the limit on reading and writing disks",
        }
    }

    /// Whether every sandbox has this limit; the others are set on demand.
    pub(crate) fn is_always_on(self) -> bool {
        matches!(self, Self::Memory | Self::Pids)
    }
}

/// Processes in a group, not in those below it; 0 stands for one of another process namespace.
fn processes(folder: &Path) -> io::Result<Vec<i32>> {
    let pids = fs::read_to_string(folder.join("cgroup.procs"))?;
    Ok(pids.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid > 0).collect())
}

/// Kills every process in a group. Returns how many were found.
pub(crate) fn kill_processes(folder: &Path) -> io::Result<usize> {
    let pids = processes(folder)?;
    // All at once, so that none escapes by forking; version 2 has it since Linux 5.14.
    if fs::write(folder.join("cgroup.kill"), "1").is_ok() {
        return Ok(pids.len());
    }
    // One may have ended meanwhile.
    Ok(pids.into_iter().filter(|pid| kill(Pid::from_raw(*pid), Signal::SIGKILL).is_ok()).count())
}

/// Returns whether it is new.
fn make_group(folder: &Path) -> io::Result<bool> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        made => made.map(|()| true),
    }
}

fn write(folder: &Path, file: &str, value: &str) -> io::Result<()> {
    // Not `fs::write`, which would create a file that the kernel does not have.
    let mut file = fs::OpenOptions::new().write(true).open(folder.join(file))?;
    io::Write::write_all(&mut file, value.as_bytes())
}

/// Removes a group whose processes have ended; the kernel may need a moment to see that.
pub(crate) fn remove_group(folder: &Path) -> io::Result<()> {
    let give_up = Instant::now() + REMOVAL_PATIENCE;
    let [mut pause, longest] = REMOVAL_PAUSES;
    loop {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < give_up => {
                std::thread::sleep(pause);
                pause = longest.min(pause * 2);
            }
            other => return other,
        }
    }
}
