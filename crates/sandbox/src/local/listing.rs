//! What paths of a sandbox lead to, as a sandbox tells its owner.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::{FileEntry, FileKind, FileStat};

/// See [`FileStat`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireStat {
    kind: WireKind,
    mode: u32,
    size: u64,
    /// Seconds and nanoseconds since 1970.
    modified: (i64, u32),
}

/// See [`FileKind`].
#[derive(Debug, Serialize, Deserialize)]
enum WireKind {
    File,
    Folder,
    Link(Bytes),
    Other,
}

/// See [`FileEntry`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireEntry {
    name: Bytes,
    stat: WireStat,
}

/// Any bytes, as a text with one character for each: most names are text.
#[derive(Debug, Serialize, Deserialize)]
struct Bytes(String);

impl Bytes {
    fn new(bytes: &[u8]) -> Self {
        Self(bytes.iter().map(|byte| char::from(*byte)).collect())
    }

    fn into_vec(self) -> Vec<u8> {
        self.0.chars().filter_map(|character| u8::try_from(u32::from(character)).ok()).collect()
    }
}

impl WireStat {
    /// Looks at a path; a link at its end is not followed.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let about = path.symlink_metadata()?;
        let nanoseconds = u32::try_from(about.mtime_nsec()).unwrap_or(0);
        Ok(Self {
            kind: WireKind::of(path, &about)?,
            mode: about.mode() & 0o7777,
            size: about.len(),
            modified: (about.mtime(), nanoseconds),
        })
    }
}

impl WireKind {
    fn of(path: &Path, about: &Metadata) -> io::Result<Self> {
        let kind = about.file_type();
        Ok(match () {
            () if kind.is_file() => Self::File,
            () if kind.is_dir() => Self::Folder,
            () if kind.is_symlink() => Self::Link(Bytes::new(path.read_link()?.as_os_str().as_bytes())),
            () => Self::Other,
        })
    }
}

impl WireEntry {
    /// Looks at an entry of a folder.
    pub(crate) fn of(folder: &Path, name: OsString) -> io::Result<Self> {
        Ok(Self { stat: WireStat::of(&folder.join(&name))?, name: Bytes::new(&name.into_vec()) })
    }
}

impl From<WireStat> for FileStat {
    fn from(wire: WireStat) -> Self {
        let (seconds, nanoseconds) = wire.modified;
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let second = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
        let modified = second.and_then(|time| time.checked_add(Duration::from_nanos(nanoseconds.into())));
        let kind = match wire.kind {
            WireKind::File => FileKind::File,
            WireKind::Folder => FileKind::Folder,
            WireKind::Link(target) => FileKind::Link(target.into_vec()),
            WireKind::Other => FileKind::Other,
        };
        Self { kind, mode: wire.mode, size: wire.size, modified: modified.unwrap_or(UNIX_EPOCH) }
    }
}

impl From<WireEntry> for FileEntry {
    fn from(wire: WireEntry) -> Self {
        Self { name: wire.name.into_vec(), stat: wire.stat.into() }
    }
}
