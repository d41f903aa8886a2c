//! What a sandbox is made from.

use std::path::PathBuf;

use swegym_images::Image;

use super::network::Network;

/// What a sandbox is made from.
#[derive(Debug, Clone)]
pub struct SandboxSpec {
    /// Its files, environment and working directory.
    pub image: Image,
    /// Where written files go.
    pub upper: Upper,
    /// Limits on everything inside together.
    pub limits: Limits,
    /// What it can reach.
    pub network: Network,
    /// Host folders seen inside at another place: (host path, path inside, writable).
    pub extra_binds: Vec<(PathBuf, PathBuf, bool)>,
}

impl SandboxSpec {
    /// The same image and limits, and nothing else.
    pub(crate) fn pristine(&self) -> Self {
        Self {
            image: self.image.clone(),
            upper: Upper::Memory,
            limits: self.limits,
            network: Network::None,
            extra_binds: Vec::new(),
        }
    }
}

/// Where the files go that are written inside.
#[derive(Debug, Clone)]
pub enum Upper {
    /// Into memory; gone with the sandbox. [`Limits::disk_bytes`] holds.
    Memory,
    /// Into this empty folder of the host, which stays: how layers are made. No limit on size.
    Folder(PathBuf),
    /// Into a fresh folder below this one of the host; gone with the sandbox and its forks. For sandboxes that
    /// write more than memory holds. No limit on size: [`Limits::disk_bytes`] does not hold.
    Disk(PathBuf),
}

/// Limits on everything inside a sandbox together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory, tmpfs files included.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Bytes written into [`Upper::Memory`] and into `/dev` with `/dev/shm`, and one file, folder or link for every
    /// 4 KiB of them, 1024 at least. Backends may count `/dev/shm` apart. A fork may write as many again.
    pub disk_bytes: u64,
    /// Thousandths of a processor: 1500 is the time of one and a half. No limit when `None`.
    pub cpu_millis: Option<u32>,
    /// Bytes read, and bytes written, in a second on each disk that holds layers or written files. No limit when
    /// `None`.
    pub io_bytes_per_second: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 4 << 30,
            processes: 1024,
            disk_bytes: 2 << 30,
            cpu_millis: None,
            io_bytes_per_second: None,
        }
    }
}
