//! The pool: equal files of all layers are one file on disk.
//!
//! Every step is one call of the kernel, so no lock is needed: a file that leaves the pool meanwhile is put in again,
//! and a layer whose file is not in the pool is right all the same.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::attributes::Attributes;
use super::manifest::FileEntry;

/// The pool, as one committer uses it.
pub(super) struct Pool<'a> {
    files: PathBuf,
    /// A folder of the committer, on the same file system.
    scratch: &'a Path,
    next: AtomicU64,
}

/// What the pool has of a file.
enum Match {
    /// It is the very file.
    Same,
    /// It is an equal file.
    Equal,
    /// Nothing, or something broken.
    Nothing,
}

impl<'a> Pool<'a> {
    pub(super) fn new(files: PathBuf, scratch: &'a Path) -> Self {
        Self { files, scratch, next: AtomicU64::new(0) }
    }

    /// Puts the pool's file in the place of an equal one of a layer, if the pool has it. Says whether the file is
    /// in the pool now.
    pub(super) fn adopt(&self, file: &Path, entry: &FileEntry) -> io::Result<bool> {
        let pooled = self.path(entry);
        match compare(&pooled, file, entry)? {
            Match::Same => Ok(true),
            Match::Nothing => Ok(false),
            Match::Equal => self.replace(&pooled, file),
        }
    }

    /// Puts a file of a layer into the pool; its content must have reached the disk.
    pub(super) fn insert(&self, file: &Path, entry: &FileEntry) -> io::Result<()> {
        let pooled = self.path(entry);
        if self.adopt(file, entry)? {
            return Ok(());
        }
        if let Some(folder) = pooled.parent() {
            fs::create_dir_all(folder)?;
        }
        // Also where the pool has something broken, or a file that has as many links as there can be.
        let link = self.temporary();
        match fs::hard_link(file, &link) {
            Err(error) if is_no_link(&error) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => fs::rename(&link, &pooled),
        }
    }

    fn path(&self, entry: &FileEntry) -> PathBuf {
        self.files.join(&entry.sha256[..2]).join(entry.pool_name())
    }

    fn replace(&self, pooled: &Path, file: &Path) -> io::Result<bool> {
        let link = self.temporary();
        match fs::hard_link(pooled, &link) {
            Err(error) if is_no_link(&error) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
            Ok(()) => fs::rename(&link, file).map(|()| true),
        }
    }

    fn temporary(&self) -> PathBuf {
        self.scratch.join(format!("link-{}", self.next.fetch_add(1, Ordering::Relaxed)))
    }
}

/// File systems without hard links, or a file that has as many of them as there can be: the layer keeps its own.
fn is_no_link(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    matches!(error.kind(), CrossesDevices | PermissionDenied | TooManyLinks | Unsupported)
}

fn compare(pooled: &Path, file: &Path, entry: &FileEntry) -> io::Result<Match> {
    let there = match fs::symlink_metadata(pooled) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Match::Nothing),
        other => other?,
    };
    let ours = fs::symlink_metadata(file)?;
    let is_equal = there.is_file()
        && there.size() == entry.size
        && there.mode() & 0o7777 == entry.mode
        && there.mtime() == entry.mtime
        && (there.uid(), there.gid()) == (ours.uid(), ours.gid())
        && (entry.attributes.is_empty() || Attributes::read(pooled)? == entry.attributes);
    Ok(match () {
        () if there.is_file() && (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => Match::Same,
        () if is_equal => Match::Equal,
        () => Match::Nothing,
    })
}

/// Every file of the pool.
pub(super) fn files(pool: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in read_dir(pool)? {
        files.extend(read_dir(&folder)?);
    }
    files.sort_unstable();
    Ok(files)
}

/// Paths in a folder; none in one that is not there.
pub(super) fn read_dir(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.path())).collect(),
    }
}
