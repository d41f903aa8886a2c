//! The disks that a sandbox reads from and writes to.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};

use crate::local::protocol::CreateSpec;

/// A whole disk, as the kernel names it: `MAJOR:MINOR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Disk {
    major: u64,
    minor: u64,
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// The disks below everything of the host that a sandbox sees.
pub(super) fn disks_of(spec: &CreateSpec) -> io::Result<BTreeSet<Disk>> {
    let extra = spec.extra_binds.iter().map(|(source, _, _)| source);
    let upper = spec.upper.iter().map(|(upper, _)| upper);
    let paths = spec.layers.iter().chain(&spec.binds).chain(extra).chain(upper).chain(&spec.disk);
    let mountinfo = fs::read_to_string("/proc/self/mountinfo")?;
    let mut disks = BTreeSet::new();
    for device in paths.map(fs::metadata).collect::<io::Result<Vec<_>>>()? {
        disks.extend(disk_of(device.dev(), &mountinfo)?);
    }
    Ok(disks)
}

/// The disk below a file system; none for one that lies in memory or on another machine.
fn disk_of(device: u64, mountinfo: &str) -> io::Result<Option<Disk>> {
    let device = Disk { major: major(device), minor: minor(device) };
    // Memory, network, and file systems that number each of their volumes themselves have no major number.
    let device = match device.major {
        0 => match source_of(device, mountinfo) {
            Some(source) => {
                let number = fs::metadata(source)?.rdev();
                Disk { major: major(number), minor: minor(number) }
            }
            None => return Ok(None),
        },
        _ => device,
    };
    whole_disk(device).map(Some)
}

/// The block device that the file system with this number is mounted from.
fn source_of(device: Disk, mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let source = file_system.split(' ').nth(1)?;
        let is_it = mount.split(' ').nth(2)? == device.to_string();
        (is_it && source.starts_with("/dev/")).then(|| PathBuf::from(source))
    })
}

/// Limits are set on whole disks, not on partitions.
fn whole_disk(device: Disk) -> io::Result<Disk> {
    let folder = fs::canonicalize(format!("/sys/dev/block/{device}"))?;
    let is_partition = folder.join("partition").exists();
    let folder = if is_partition { folder.parent().unwrap_or(Path::new("/")) } else { &folder };
    parse(fs::read_to_string(folder.join("dev"))?.trim())
        .ok_or_else(|| io::Error::other(format!("`{}` has no device number", folder.display())))
}

fn parse(text: &str) -> Option<Disk> {
    let (major, minor) = text.split_once(':')?;
    Some(Disk { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_a_number_of_its_own_is_found_by_its_mount() {
        let mountinfo = "\
21 27 0:19 / /run rw - tmpfs tmpfs rw
30 27 0:45 /@ /data rw,relatime shared:1 - btrfs /dev/mapper/data rw
";
        let source = |minor| source_of(Disk { major: 0, minor }, mountinfo);
        assert_eq!(source(45), Some(PathBuf::from("/dev/mapper/data")));
        assert_eq!(source(19), None, "it lies in memory");
        assert_eq!(source(4), None, "it is not mounted here");
    }
}
