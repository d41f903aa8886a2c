//! The groups of one sandbox, with its limits.

use std::io;
use std::path::{Path, PathBuf};

use super::devices::disks_of;
use super::owner::OwnerGroups;
use super::places::Place;
use super::usage::UsageFiles;
use super::{Controller, Version, kill_processes, make_group, remove_group, write};
use crate::local::protocol::{CreateSpec, SetupError, Step};

/// Processes of a sandbox that are ours: init, and what it forks to run a command or open a file.
const OWN_PROCESSES: u64 = 16;
/// Over which the limit on processors is counted, in microseconds; the kernel's default.
const CPU_PERIOD: u64 = 100_000;
/// Least time in a period that the kernel accepts, in microseconds.
const SHORTEST_CPU_QUOTA: u64 = 1_000;

/// The groups of one sandbox.
#[derive(Debug, Default)]
pub(crate) struct SandboxGroups {
    folders: Vec<(Version, PathBuf)>,
    /// Where the kernel tells what the sandbox has used.
    pub(crate) usage: UsageFiles,
}

impl OwnerGroups {
    /// Makes the groups of one sandbox, of this name, with its limits.
    pub(crate) fn add(&self, name: &str, spec: &CreateSpec) -> Result<SandboxGroups, SetupError> {
        let mut groups = SandboxGroups::default();
        for place in &self.places {
            if !is_asked_for(place.controller, spec) {
                continue;
            }
            if let Err(error) = groups.add(place, name, spec) {
                groups.remove();
                return Err(error);
            }
        }
        Ok(groups)
    }
}

fn is_asked_for(controller: Controller, spec: &CreateSpec) -> bool {
    match controller {
        Controller::Memory | Controller::Pids => true,
        Controller::Cpu => spec.cpu_millis.is_some(),
        Controller::Io => spec.io_bytes_per_second.is_some(),
    }
}

impl SandboxGroups {
    fn add(&mut self, place: &Place, name: &str, spec: &CreateSpec) -> Result<(), SetupError> {
        let folder = place.folder.join(name);
        make_group(&folder).step("make cgroup")?;
        if !self.folders.iter().any(|(_, known)| *known == folder) {
            self.folders.push((place.version, folder.clone()));
        }
        self.usage.add(place.version, place.controller, &folder);
        limit(place, &folder, spec)
    }

    /// Moves this process, which must have one thread, into them.
    pub(crate) fn join(&self) -> io::Result<()> {
        self.folders.iter().try_for_each(|(version, folder)| match version {
            // One thread that moves itself needs no lock that waits for all processors.
            Version::One => write(folder, "tasks", "0"),
            Version::Two => write(folder, "cgroup.procs", "0"),
        })
    }

    /// Kills every process in them, where the kernel can do that at once.
    pub(crate) fn kill(&self) {
        for (version, folder) in &self.folders {
            if *version == Version::Two {
                let _ = kill_processes(folder);
            }
        }
    }

    pub(crate) fn remove(&self) {
        for (_, folder) in &self.folders {
            let _ = remove_group(folder);
        }
    }
}

fn limit(place: &Place, folder: &Path, spec: &CreateSpec) -> Result<(), SetupError> {
    match place.controller {
        Controller::Memory => limit_memory(place.version, folder, spec.memory_bytes).step("limit memory"),
        Controller::Pids => {
            let processes = spec.processes.saturating_add(OWN_PROCESSES);
            write(folder, "pids.max", &processes.to_string()).step("limit processes")
        }
        Controller::Cpu => {
            let quota = spec.cpu_millis.map_or(CPU_PERIOD, cpu_quota);
            limit_cpu(place.version, folder, quota).step("limit processors")
        }
        Controller::Io => limit_io(place.version, folder, spec),
    }
}

fn limit_memory(version: Version, folder: &Path, bytes: u64) -> io::Result<()> {
    let bytes = bytes.to_string();
    // Swap would only delay the end; kernels without swap accounting lack the files.
    match version {
        Version::One => {
            write(folder, "memory.limit_in_bytes", &bytes)?;
            let _ = write(folder, "memory.memsw.limit_in_bytes", &bytes);
        }
        Version::Two => {
            write(folder, "memory.max", &bytes)?;
            let _ = write(folder, "memory.swap.max", "0");
        }
    }
    Ok(())
}

/// Microseconds in each period.
fn cpu_quota(millis: u32) -> u64 {
    (u64::from(millis) * CPU_PERIOD / 1000).max(SHORTEST_CPU_QUOTA)
}

fn limit_cpu(version: Version, folder: &Path, quota: u64) -> io::Result<()> {
    match version {
        Version::One => {
            write(folder, "cpu.cfs_period_us", &CPU_PERIOD.to_string())?;
            match write(folder, "cpu.cfs_quota_us", &quota.to_string()) {
                // More than a group above may have: its limit holds, and is the narrower one.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
                other => other,
            }
        }
        Version::Two => write(folder, "cpu.max", &format!("{quota} {CPU_PERIOD}")),
    }
}

fn limit_io(version: Version, folder: &Path, spec: &CreateSpec) -> Result<(), SetupError> {
    const STEP: &str = "limit reading and writing of disks";
    let Some(rate) = spec.io_bytes_per_second else { return Ok(()) };
    // The kernel takes 0 for no limit.
    let rate = rate.max(1);
    for disk in disks_of(spec).step(STEP)? {
        match version {
            Version::One => ["read", "write"].into_iter().try_for_each(|what| {
                write(folder, &format!("blkio.throttle.{what}_bps_device"), &format!("{disk} {rate}"))
            }),
            Version::Two => write(folder, "io.max", &format!("{disk} rbps={rate} wbps={rate}")),
        }
        .step(format!("{STEP} {disk}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousandths_of_a_processor_become_time_in_each_period() {
        assert_eq!(cpu_quota(1000), 100_000);
        assert_eq!(cpu_quota(2500), 250_000);
        assert_eq!(cpu_quota(1), 1_000, "the least that the kernel accepts");
        assert_eq!(cpu_quota(u32::MAX), 429_496_729_500);
    }
}
