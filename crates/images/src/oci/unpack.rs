//! Unpacks one layer into a folder that overlayfs can stack.
//!
//! The layer is hostile. Every parent is looked up confined to the folder; what exists is replaced, never written
//! through; nothing is made but files, folders, links, fifos and whiteouts; set-id bits, devices and extended
//! attributes but `user.*` are left out. The owner of everything is whoever runs this.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, futimens, mkdirat, mknodat,
    utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{linkat, symlinkat};
use xattr::FileExt;

use super::error::UnpackError;
use super::layer::UnpackLimits;
use super::tree::{self, Tree};
use super::untar::{Entry, Kind, TarReader, read_failed, show};
use crate::store::is_kept;

mod below;
mod names;

use names::{Marker, Name};

/// Bytes of names of folders that are kept until the end, when they get their times.
const MAX_FOLDER_NAMES: usize = 64 << 20;
const MAX_TARGET: usize = 4095;
/// Permissions, and the sticky bit. A file of the owner's with a set-id bit would be a way to become the owner.
const MODE_MASK: u32 = 0o1777;
/// Root inside has no capability to pass over permissions, as it has where images are made to run.
const OWNER_MAY: (u32, u32) = (0o700, 0o400);

/// Bytes of the names and values of the attributes of one file: what file systems with the least room for them hold.
const MAX_ATTRIBUTES: usize = 2 << 10;
const MAX_ATTRIBUTE_NAME: usize = 255;

/// What was left out of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LeftOut {
    pub(crate) devices: u64,
    pub(crate) set_id_bits: u64,
    pub(crate) attributes: u64,
}

pub(crate) struct Unpacker<'a> {
    tree: Tree,
    limits: &'a UnpackLimits,
    /// Lower layers, lowest first: hard links may lead there.
    below: &'a [PathBuf],
    entries: u64,
    times: BTreeMap<Vec<u8>, (i64, u32)>,
    names: usize,
    left_out: LeftOut,
}

impl<'a> Unpacker<'a> {
    pub(crate) fn new(
        into: &Path,
        below: &'a [PathBuf],
        limits: &'a UnpackLimits,
    ) -> Result<Self, UnpackError> {
        let tree = Tree::open(into, limits.depth).map_err(failed("open", b"/"))?;
        let (times, left_out) = (BTreeMap::new(), LeftOut::default());
        Ok(Self { tree, limits, below, entries: 0, times, names: 0, left_out })
    }

    /// Unpacks everything.
    pub(crate) fn run<R: Read>(mut self, reader: &mut TarReader<R>) -> Result<LeftOut, UnpackError> {
        while let Some(entry) = reader.next_entry()? {
            self.count()?;
            self.apply(&entry, reader)?;
        }
        for (path, mtime) in self.times.iter().rev() {
            // What took the place of a folder has a time of its own.
            if let Ok(folder) = self.tree.folder(path) {
                set_times(&folder, *mtime).map_err(failed("set the time of", path))?;
            }
        }
        Ok(self.left_out)
    }

    fn count(&mut self) -> Result<(), UnpackError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(UnpackError::Limit(format!(
                "the layer has more than {} entries",
                self.limits.entries
            )));
        }
        Ok(())
    }

    fn apply<R: Read>(&mut self, entry: &Entry, reader: &mut TarReader<R>) -> Result<(), UnpackError> {
        let refuse = |reason| UnpackError::Entry { path: entry.shown(), reason };
        let name = Name::read(&entry.path, self.limits).map_err(refuse)?;
        let Some(last) = name.last() else {
            return if entry.kind == Kind::Folder {
                let root = self.make_folder(b"")?;
                self.dress_folder(root, b"", entry)
            } else {
                Err(refuse("it would replace the root"))
            };
        };
        match name.marker().map_err(refuse)? {
            Some(Marker::Ignored) => Ok(()),
            Some(Marker::Opaque) => match self.marked_folder(name.parent())? {
                Some(parent) => tree::make_opaque(parent).map_err(io_failed("make opaque", name.parent())),
                None => Ok(()),
            },
            Some(Marker::Whiteout(hidden)) => self.whiteout(&name, hidden),
            None => self.place(&name, last, entry, reader),
        }
    }

    fn place<R: Read>(
        &mut self,
        name: &Name,
        last: &[u8],
        entry: &Entry,
        reader: &mut TarReader<R>,
    ) -> Result<(), UnpackError> {
        let path = name.path();
        match entry.kind {
            Kind::Folder => {
                let folder = self.place_folder(name, last)?;
                self.dress_folder(folder, path, entry)
            }
            Kind::Device => {
                self.left_out.devices += 1;
                Ok(())
            }
            Kind::HardLink => self.hard_link(name, last, entry),
            Kind::File => {
                let parent = self.clear(name, last)?;
                self.file(&parent, last, entry, |out| reader.copy_to(entry, out))
            }
            Kind::Symlink => {
                if entry.target.is_empty() || entry.target.len() > MAX_TARGET {
                    return Err(UnpackError::Entry { path: show(path), reason: "its target is no path" });
                }
                let parent = self.clear(name, last)?;
                symlinkat(entry.target.as_slice(), &parent, last).map_err(failed("make the link", path))?;
                let (access, change) = times(entry.mtime);
                utimensat(&parent, last, &access, &change, UtimensatFlags::NoFollowSymlink)
                    .map_err(failed("set the time of", path))
            }
            Kind::Fifo => {
                let parent = self.clear(name, last)?;
                mknodat(&parent, last, SFlag::S_IFIFO, Mode::empty(), 0).map_err(failed("make", path))?;
                let mode = self.mode(entry, OWNER_MAY.1);
                fchmodat(&parent, last, mode, FchmodatFlags::FollowSymlink).map_err(failed("make", path))
            }
        }
    }

    /// Makes a file with this content, and its mode and time.
    fn file(
        &mut self,
        parent: &OwnedFd,
        last: &[u8],
        entry: &Entry,
        content: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), UnpackError> {
        let path = &entry.path;
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let created = openat(parent, last, flags, Mode::S_IRUSR | Mode::S_IWUSR);
        let mut file = File::from(created.map_err(failed("make", path))?);
        content(&mut file).map_err(|error| match read_failed(error) {
            UnpackError::Io { source, .. } => io_failed("write", path)(source),
            other => other,
        })?;
        file.set_len(entry.size).map_err(io_failed("write", path))?;
        self.dress(&file, entry, OWNER_MAY.1)?;
        set_times(&file, entry.mtime).map_err(failed("set the time of", path))
    }

    fn hard_link(&mut self, name: &Name, last: &[u8], entry: &Entry) -> Result<(), UnpackError> {
        let refuse = |reason| UnpackError::Entry { path: entry.shown(), reason };
        let target = Name::read(&entry.target, self.limits).map_err(refuse)?;
        let file = target.last().ok_or_else(|| refuse("it leads to the root"))?;
        let folder = match self.tree.folder(target.parent()) {
            Ok(folder) => folder,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return self.copy_from_below(name, last, &target, entry),
            Err(errno) => return Err(failed("find", target.path())(errno)),
        };
        let found = tree::status(&folder, file).map_err(failed("find", target.path()))?;
        let Some(found) = found.filter(|found| !tree::is_whiteout(found)) else {
            return self.copy_from_below(name, last, &target, entry);
        };
        if tree::is_folder(&found) {
            return Err(refuse("it leads to a folder"));
        }
        let there = self.tree.folder(name.parent()).and_then(|parent| tree::status(&parent, last));
        if matches!(there, Ok(Some(there)) if (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino)) {
            return Ok(());
        }
        let parent = self.clear(name, last)?;
        match linkat(&folder, file, &parent, last, AtFlags::empty()) {
            // Making room for the link may have taken the target away.
            Err(Errno::ENOENT) => Err(refuse("it leads to what it replaces")),
            linked => linked.map_err(failed("link", name.path())),
        }
    }

    /// Gives `hidden`, beside the marker, up: layers below keep it from being seen.
    fn whiteout(&mut self, name: &Name, hidden: &[u8]) -> Result<(), UnpackError> {
        let Some(parent) = self.marked_folder(name.parent())? else { return Ok(()) };
        match tree::status(&parent, hidden).map_err(failed("find", name.path()))? {
            None => tree::make_whiteout(&parent, hidden).map_err(failed("make the whiteout", name.path())),
            // A marker speaks of layers below: what this layer brings stays, whichever came first.
            Some(status) if tree::is_folder(&status) => {
                let folder = open_folder(&parent, hidden).map_err(failed("open", name.path()))?;
                tree::make_opaque(folder).map_err(io_failed("make opaque", name.path()))
            }
            Some(_) => Ok(()),
        }
    }

    /// The folder that a marker speaks of. Nothing where this layer puts a file, a link or a whiteout in its place:
    /// that hides what lies below anyway, and some tools write the markers all the same.
    fn marked_folder(&mut self, path: &[u8]) -> Result<Option<OwnedFd>, UnpackError> {
        match self.tree.plain_folder(path) {
            Err(Errno::ENOENT) => self.make_folder(path).map(Some),
            Err(Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
            found => found.map(Some).map_err(failed("open", path)),
        }
    }

    /// Makes room for something that is no folder, and returns where it goes.
    fn clear(&mut self, name: &Name, last: &[u8]) -> Result<OwnedFd, UnpackError> {
        let parent = self.make_folder(name.parent())?;
        if let Some(status) = tree::status(&parent, last).map_err(failed("find", name.path()))? {
            tree::remove(&parent, last, &status).map_err(io_failed("replace", name.path()))?;
        }
        Ok(parent)
    }

    /// Opens a folder, and makes it and those above it where they are missing.
    fn make_folder(&mut self, path: &[u8]) -> Result<OwnedFd, UnpackError> {
        match self.tree.folder(path) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            found => return found.map_err(failed("open", path)),
        }
        let (parent, last) = names::split(path);
        let above = self.make_folder(parent)?;
        match tree::status(&above, last).map_err(failed("find", path))? {
            Some(status) if !tree::is_whiteout(&status) => Err(UnpackError::Entry {
                path: show(path),
                reason: "it is no folder, and something lies below it",
            }),
            there => self.new_folder(&above, last, path, there),
        }
    }

    /// Makes a folder, or takes the one that is there; anything else gives way.
    fn place_folder(&mut self, name: &Name, last: &[u8]) -> Result<OwnedFd, UnpackError> {
        let path = name.path();
        let parent = self.make_folder(name.parent())?;
        match tree::status(&parent, last).map_err(failed("find", path))? {
            Some(status) if tree::is_folder(&status) => {
                open_folder(&parent, last).map_err(failed("open", path))
            }
            there => self.new_folder(&parent, last, path, there),
        }
    }

    /// A folder in place of a whiteout hides what the whiteout did.
    fn new_folder(
        &mut self,
        parent: &OwnedFd,
        last: &[u8],
        path: &[u8],
        there: Option<FileStat>,
    ) -> Result<OwnedFd, UnpackError> {
        self.count()?;
        if let Some(status) = &there {
            tree::remove(parent, last, status).map_err(io_failed("replace", path))?;
        }
        mkdirat(parent, last, Mode::S_IRWXU).map_err(failed("make", path))?;
        let folder = open_folder(parent, last).map_err(failed("open", path))?;
        fchmod(&folder, Mode::from_bits_truncate(0o755)).map_err(failed("make", path))?;
        if there.is_some_and(|status| tree::is_whiteout(&status)) {
            let again = folder.try_clone().map_err(io_failed("open", path))?;
            tree::make_opaque(again).map_err(io_failed("make opaque", path))?;
        }
        Ok(folder)
    }

    /// Gives a folder what its entry says; the time at the end, after everything that goes into it.
    fn dress_folder(&mut self, folder: OwnedFd, path: &[u8], entry: &Entry) -> Result<(), UnpackError> {
        self.dress(&File::from(folder), entry, OWNER_MAY.0)?;
        if self.times.insert(path.to_vec(), entry.mtime).is_none() {
            self.names += path.len() + 64;
        }
        if self.names > MAX_FOLDER_NAMES {
            return Err(UnpackError::Limit("the names of the folders of the layer take too much".to_owned()));
        }
        Ok(())
    }

    fn dress(&mut self, file: &File, entry: &Entry, owner_may: u32) -> Result<(), UnpackError> {
        self.give_attributes(file, entry)?;
        fchmod(file, self.mode(entry, owner_may)).map_err(failed("set the mode of", &entry.path))
    }

    /// Keeps the attributes that are nothing but data, as far as they are small enough for every file system and this
    /// one has any.
    fn give_attributes(&mut self, file: &File, entry: &Entry) -> Result<(), UnpackError> {
        let (mut left, mut kept) = (MAX_ATTRIBUTES, 0);
        for (name, value) in entry.attributes.iter().filter(|(name, _)| is_kept(name)) {
            let size = name.len() + value.len();
            if name.len() > MAX_ATTRIBUTE_NAME || size > left {
                continue;
            }
            match file.set_xattr(OsStr::from_bytes(name), value) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => break,
                set => set.map_err(io_failed("set an attribute of", &entry.path))?,
            }
            (left, kept) = (left - size, kept + 1);
        }
        self.left_out.attributes += entry.attributes.len() as u64 - kept;
        Ok(())
    }

    fn mode(&mut self, entry: &Entry, owner_may: u32) -> Mode {
        self.left_out.set_id_bits += u64::from(entry.mode & 0o6000 != 0);
        Mode::from_bits_truncate((entry.mode & MODE_MASK) | owner_may)
    }
}

fn open_folder(parent: &OwnedFd, name: &[u8]) -> nix::Result<OwnedFd> {
    openat(parent, name, OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
}

fn times((seconds, nanoseconds): (i64, u32)) -> (TimeSpec, TimeSpec) {
    let time = TimeSpec::new(seconds, i64::from(nanoseconds));
    (time, time)
}

fn set_times(file: &impl AsFd, mtime: (i64, u32)) -> nix::Result<()> {
    let (access, change) = times(mtime);
    futimens(file, &access, &change)
}

fn failed<'a>(action: &'static str, path: &'a [u8]) -> impl Fn(Errno) -> UnpackError + 'a {
    move |errno| io_failed(action, path)(errno.into())
}

fn io_failed<'a>(action: &'static str, path: &'a [u8]) -> impl Fn(io::Error) -> UnpackError + 'a {
    move |source| UnpackError::Io { action, path: show(path), source }
}

#[cfg(test)]
mod tests;
