//! Files of a sandbox, and what became of those of its image.

use std::time::SystemTime;

/// What a path leads to; links are not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStat {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits, `0o7777` at most.
    pub mode: u32,
    /// Bytes of a regular file.
    pub size: u64,
    /// When its content was last changed.
    pub modified: SystemTime,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, and where it points; the target is hostile text.
    Link(Vec<u8>),
    /// A pipe, socket or device.
    Other,
}

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name: any bytes but `/` and zero.
    pub name: Vec<u8>,
    /// What it is.
    pub stat: FileStat,
}

/// Most that a tree of files may hold, for trees that come out of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeLimits {
    /// Bytes of all its files together.
    pub bytes: u64,
    /// Files, folders and links.
    pub entries: u64,
}

impl Default for TreeLimits {
    fn default() -> Self {
        Self { bytes: 2 << 30, entries: 200_000 }
    }
}

/// How a path differs from the image that the sandbox was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Absolute path inside: any bytes but zero.
    pub path: Vec<u8>,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// Its content, kind or mode is another.
    Modified,
    /// It is gone; for a folder, with everything below it.
    Deleted,
}
