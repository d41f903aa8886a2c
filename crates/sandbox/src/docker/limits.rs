//! Which limits the daemon can enforce.

use bollard::models::{SystemInfo, SystemInfoCgroupVersionEnum};

use super::daemon::Daemon;
use crate::Limits;
use crate::local::init::Filter;

/// Said where a limit on disks is asked for.
const IO_SENTENCE: &str = "the limit on disks is not enforced: a container daemon wants to be told the devices that it keeps containers on";

const CPU_SENTENCE: &str = "the limit on processors is not enforced: the container daemon cannot";

/// One sentence for each limit that does not hold.
pub(super) fn unenforced(daemon: &Daemon) -> Vec<String> {
    let info = &daemon.info;
    let no_groups = has_no_groups(daemon);
    let mut sentences = Vec::new();
    if no_groups || info.memory_limit == Some(false) {
        sentences.push("the memory limit is not enforced: the container daemon cannot".to_owned());
    }
    if no_groups || info.pids_limit == Some(false) {
        sentences.push("the limit on processes is not enforced: the container daemon cannot".to_owned());
    }
    if !may_limit_disk(info) {
        let driver = info.driver.as_deref().unwrap_or("unknown");
        sentences.push(disk_sentence(&format!("the storage driver `{driver}` cannot on this file system")));
    }
    // It is ours, beside the daemon's own, and this kernel is that of containers.
    if let Err(reason) = Filter::compile() {
        sentences.push(format!(
            "system calls are not filtered, and making user namespaces is not forbidden: {reason}"
        ));
    }
    if daemon.has_security_option("selinux") {
        sentences.push("SELinux does not confine sandboxes: it would keep their owner out".to_owned());
    }
    sentences
}

/// One sentence for each limit that is asked for rather than always there, and does not hold.
pub(super) fn unenforced_on_demand(daemon: &Daemon, limits: &Limits) -> Vec<String> {
    let cannot = has_no_groups(daemon) || daemon.info.cpu_cfs_quota == Some(false);
    let io = limits.io_bytes_per_second.map(|_| IO_SENTENCE.to_owned());
    let cpu = limits.cpu_millis.filter(|_| cannot).map(|_| CPU_SENTENCE.to_owned());
    io.into_iter().chain(cpu).collect()
}

/// Version 1 hands no groups to ordinary users, and what the daemon then says of itself is not so.
fn has_no_groups(daemon: &Daemon) -> bool {
    (daemon.is_rootless || daemon.has_security_option("rootless"))
        && daemon.info.cgroup_version != Some(SystemInfoCgroupVersionEnum::_2)
}

pub(super) fn disk_sentence(reason: &str) -> String {
    format!("the disk limit is not enforced but for /dev/shm: {reason}")
}

/// Whether it is worth asking for a limited writable layer: overlays can on XFS (with project quotas).
pub(super) fn may_limit_disk(info: &SystemInfo) -> bool {
    let driver = info.driver.as_deref().unwrap_or_default();
    let is_on = |file_system: &str| {
        let mut facts = info.driver_status.iter().flatten();
        facts.any(
            |fact| matches!(&fact[..], [name, value] if name == "Backing Filesystem" && value == file_system),
        )
    };
    matches!(driver, "btrfs" | "zfs") || driver.starts_with("overlay") && is_on("xfs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_some_storage_can_limit_the_disk() {
        let info = |driver: &str, file_system: &str| SystemInfo {
            driver: Some(driver.to_owned()),
            driver_status: Some(vec![vec!["Backing Filesystem".to_owned(), file_system.to_owned()]]),
            ..SystemInfo::default()
        };
        assert!(may_limit_disk(&info("overlay2", "xfs")));
        assert!(may_limit_disk(&info("btrfs", "btrfs")));
        assert!(!may_limit_disk(&info("overlay2", "extfs")));
        assert!(!may_limit_disk(&info("vfs", "xfs")));
    }
}
