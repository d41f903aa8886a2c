//! What a tree holds. It was made by hostile programs, but none of them runs any more.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, lgetxattr, lremovexattr};
use rustix::io::Errno;

use super::attributes::names;
use super::hash::with_access;

/// The attributes that say that a folder hides what lower layers have in it: for root, and for ordinary users.
const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// Something in a tree.
#[derive(Debug)]
pub(super) struct Found {
    /// Relative to the root of the tree; empty for the root.
    pub(super) path: PathBuf,
    /// As it was before the folder was opened to its owner.
    pub(super) about: Metadata,
    /// Modification time, in seconds; committing sets it.
    pub(super) mtime: i64,
}

impl Found {
    fn new(path: PathBuf, about: Metadata) -> Self {
        let mtime = about.mtime();
        Self { path, about, mtime }
    }

    /// Permission bits.
    pub(super) fn mode(&self) -> u32 {
        self.about.mode() & 0o7777
    }
}

/// A tree, sorted by the bytes of the paths. Folders that were closed to their owner are open while this lives.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    /// Everything in it, the root first.
    pub(super) found: Vec<Found>,
    opened: Vec<(PathBuf, u32)>,
}

impl Tree {
    /// Lists the tree below `root`, and the root itself.
    pub(super) fn scan(root: &Path) -> io::Result<Self> {
        let mut tree = Self { root: root.to_owned(), found: Vec::new(), opened: Vec::new() };
        let about = fs::symlink_metadata(root)?;
        if !about.is_dir() {
            return Err(io::Error::other("it is not a folder"));
        }
        tree.found.push(Found::new(PathBuf::new(), about));
        let mut next = 0;
        while next < tree.found.len() {
            if tree.found[next].about.is_dir() {
                tree.list(next)?;
            }
            next += 1;
        }
        tree.found.sort_unstable_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
        Ok(tree)
    }

    /// Adds what lies in a folder.
    fn list(&mut self, index: usize) -> io::Result<()> {
        let (inside, mode) = (self.found[index].path.clone(), self.found[index].mode());
        let folder = self.root.join(&inside);
        if mode & 0o700 != 0o700 && !nix::unistd::geteuid().is_root() {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode | 0o700))?;
            self.opened.push((folder.clone(), mode));
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            // Of the entry itself: no link is followed.
            let about = entry.metadata()?;
            self.found.push(Found::new(inside.join(entry.file_name()), about));
        }
        Ok(())
    }

    /// Where something lies.
    pub(super) fn full(&self, path: &Path) -> PathBuf {
        // Joined with nothing, a path would get a slash at its end.
        if path.as_os_str().is_empty() { self.root.clone() } else { self.root.join(path) }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // Deepest first: an outer folder that is closed again would hide the inner ones.
        for (folder, mode) in self.opened.drain(..).rev() {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).ok();
        }
    }
}

/// Which of the attributes of [`OPAQUE`] a folder has.
pub(super) fn opaque_marks(folder: &Path) -> io::Result<[bool; 2]> {
    let mut marks = [false; 2];
    for (mark, name) in marks.iter_mut().zip(OPAQUE) {
        let mut value = [0; 8];
        *mark = match lgetxattr(folder, name, &mut value) {
            Ok(length) => value[..length] == *b"y",
            // The others are: not there, no such attributes on this file system, not for ordinary users.
            Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM | Errno::RANGE) => false,
            Err(errno) => return Err(errno.into()),
        };
    }
    Ok(marks)
}

/// Whether an attribute of this name is one of [`OPAQUE`].
pub(super) fn is_opaque_mark(name: &[u8]) -> bool {
    OPAQUE.iter().any(|mark| mark.as_bytes() == name)
}

/// Marks a folder, as it was marked in the layer that it is a copy of.
pub(super) fn mark_opaque(folder: &Path, marks: [bool; 2]) -> io::Result<()> {
    for (_, name) in marks.iter().zip(OPAQUE).filter(|(mark, _)| **mark) {
        rustix::fs::lsetxattr(folder, name, b"y", XattrFlags::empty())?;
    }
    Ok(())
}

/// Removes every extended attribute that is not to be kept: notes of the kernel about where a file came from, which
/// would differ from build to build, and whatever else no layer means to have.
pub(super) fn strip_attributes(path: &Path, keep: impl Fn(&[u8]) -> bool) -> io::Result<()> {
    // Labels of the system cannot be removed, and mean nothing in a sandbox.
    let stays = |name: &Vec<u8>| keep(name) || name.starts_with(b"security.selinux");
    for name in names(path)?.into_iter().filter(|name| !stays(name)) {
        with_access(path, 0o200, || match lremovexattr(path, &name[..]) {
            Ok(()) | Err(Errno::NODATA) => Ok(()),
            Err(errno) => Err(errno.into()),
        })?;
    }
    Ok(())
}
