//! What the kernel tells about a group.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::places::place_of;
use super::{Controller, Version};
use crate::Usage;

/// Files of the groups of a sandbox.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct UsageFiles {
    /// The file whose line `oom_kill N` counts what the memory limit killed.
    pub(crate) oom_counter: Option<PathBuf>,
    peak_memory: Option<PathBuf>,
    processes: Option<PathBuf>,
    cpu: Option<PathBuf>,
}

impl UsageFiles {
    /// Those of the groups that another process is in, as far as they can be seen.
    pub(crate) fn of_process(pid: i32) -> Self {
        let mut files = Self::default();
        for controller in [Controller::Memory, Controller::Pids, Controller::Cpu] {
            if let Some(place) = place_of(pid, controller) {
                files.add(place.version, controller, &place.folder);
            }
        }
        files.oom_counter = files.oom_counter.filter(|counter| counter.exists());
        files
    }

    pub(super) fn add(&mut self, version: Version, controller: Controller, folder: &Path) {
        match (controller, version) {
            (Controller::Memory, Version::One) => {
                self.oom_counter = Some(folder.join("memory.oom_control"));
                self.peak_memory = Some(folder.join("memory.max_usage_in_bytes"));
            }
            (Controller::Memory, Version::Two) => {
                self.oom_counter = Some(folder.join("memory.events"));
                self.peak_memory = Some(folder.join("memory.peak"));
            }
            (Controller::Pids, _) => self.processes = Some(folder.join("pids.current")),
            // Where `cpu` and `cpuacct` are mounted together.
            (Controller::Cpu, Version::One) => self.cpu = Some(folder.join("cpuacct.usage")),
            (Controller::Cpu, Version::Two) | (Controller::Io, _) => {}
        }
        if version == Version::Two {
            // There without any controller.
            self.cpu = Some(folder.join("cpu.stat"));
        }
    }

    pub(crate) fn read(&self) -> Usage {
        let number = |file: &Option<PathBuf>| read(file.as_deref()?).trim().parse::<u64>().ok();
        Usage {
            peak_memory: number(&self.peak_memory),
            processes: number(&self.processes),
            cpu: self.cpu.as_deref().and_then(|file| cpu_time(&read(file))),
        }
    }
}

/// Version 1 tells nanoseconds, version 2 has a line for microseconds.
fn cpu_time(text: &str) -> Option<Duration> {
    match text.lines().find_map(|line| line.strip_prefix("usage_usec ")) {
        Some(micros) => micros.trim().parse().ok().map(Duration::from_micros),
        None => text.trim().parse().ok().map(Duration::from_nanos),
    }
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

/// Processes killed by the memory limit so far.
pub(crate) fn oom_kills(counter: &Path) -> u64 {
    let counts = read(counter);
    let count = counts.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_processors_is_read_in_both_versions() {
        assert_eq!(cpu_time("1500000\n"), Some(Duration::from_micros(1500)));
        assert_eq!(cpu_time("usage_usec 42\nuser_usec 40\n"), Some(Duration::from_micros(42)));
        assert_eq!(cpu_time(""), None);
    }
}
