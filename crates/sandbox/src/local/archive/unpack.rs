//! From a stream to a tree.
//!
//! The stream is taken for hostile. Every name is taken apart, and every folder on the way to it is opened from
//! the root without following links: a link that came earlier in the stream, or that was there before, leads
//! nowhere. Only files, folders and symbolic links are made; each with a call that never follows what is there.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstatat, futimens, mkdirat};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};
use tar::{Archive, Entry, EntryType};

use super::{PATH_BYTES, TreeError, open_below, shown};
use crate::TreeLimits;

/// Bytes of names of folders that are remembered to get their modes at the end.
const REMEMBERED_BYTES: usize = 16 << 20;
/// What a stream may hold after its end.
const REST_BYTES: u64 = 1 << 20;
/// The owner of a folder must be able to fill it.
const OWN_FOLDER: u32 = 0o700;

/// What unpacking may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Whether a file or link gives way to one of the stream, or to a folder. Otherwise nothing that is there
    /// is touched, and a name that comes twice is an error.
    pub(crate) replace: bool,
    /// Bits of modes that are kept.
    pub(crate) modes: u32,
    /// Whether folders may become ones that their owner cannot enter or change.
    pub(crate) closed_folders: bool,
    pub(crate) limits: TreeLimits,
}

/// Makes what the stream holds below a folder.
pub(crate) fn unpack(root: &OwnedFd, mut from: impl Read, rules: Rules) -> Result<(), TreeError> {
    let mut unpacker = Unpacker {
        root,
        rules,
        left: rules.limits,
        parent: None,
        long_name: None,
        long_target: None,
        closed: Vec::new(),
        remembered: 0,
    };
    for entry in Archive::new(&mut from).entries()?.raw(true) {
        unpacker.entry(entry?)?;
    }
    unpacker.close_folders()?;
    // Whoever writes wants to write it all.
    io::copy(&mut from.take(REST_BYTES), &mut io::sink())?;
    Ok(())
}

struct Unpacker<'a> {
    root: &'a OwnedFd,
    rules: Rules,
    left: TreeLimits,
    /// The folder of the entry before: most often also of the next.
    parent: Option<(PathBuf, OwnedFd)>,
    long_name: Option<Vec<u8>>,
    long_target: Option<Vec<u8>>,
    /// Folders with a mode that would keep us from filling them.
    closed: Vec<(PathBuf, u32)>,
    remembered: usize,
}

impl Unpacker<'_> {
    fn entry<R: Read>(&mut self, mut entry: Entry<'_, R>) -> Result<(), TreeError> {
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => self.long_name = Some(long_text(&mut entry)?),
            EntryType::GNULongLink => self.long_target = Some(long_text(&mut entry)?),
            EntryType::Regular | EntryType::Directory | EntryType::Symlink => {
                let name = self.long_name.take().unwrap_or_else(|| entry.header().path_bytes().into_owned());
                let target = self.long_target.take();
                self.left.entries = self.left.entries.checked_sub(1).ok_or_else(|| {
                    TreeError::new(format!("it holds more than {} entries", self.rules.limits.entries))
                })?;
                self.make(&checked(&name)?, target, entry)?;
            }
            other => return Err(TreeError::new(format!("the stream holds an entry of kind {other:?}"))),
        }
        Ok(())
    }

    fn make<R: Read>(
        &mut self,
        path: &Path,
        target: Option<Vec<u8>>,
        entry: Entry<'_, R>,
    ) -> Result<(), TreeError> {
        let name = path.file_name().unwrap_or_default();
        let parent = self.enter(path.parent().unwrap_or(Path::new("")))?;
        match entry.header().entry_type() {
            EntryType::Directory => self.folder(parent.as_fd(), name, path, mode(&entry)?)?,
            EntryType::Symlink => {
                let target =
                    target.or_else(|| entry.header().link_name_bytes().map(|name| name.into_owned()));
                let target = target.ok_or_else(|| TreeError::at(path, Errno::EINVAL))?;
                let make = || symlinkat(OsStr::from_bytes(&target), &parent, name);
                self.place(parent.as_fd(), name, path, make)?;
            }
            _ => self.file(parent.as_fd(), name, path, entry)?,
        }
        self.parent = Some((path.parent().unwrap_or(Path::new("")).to_path_buf(), parent));
        Ok(())
    }

    fn enter(&mut self, folder: &Path) -> Result<OwnedFd, TreeError> {
        match self.parent.take() {
            Some((path, opened)) if path == folder => Ok(opened),
            _ => open_below(self.root, folder, OFlag::O_PATH | OFlag::O_DIRECTORY)
                .map_err(|errno| TreeError::at(folder, errno)),
        }
    }

    /// Makes something new at a name, in place of a file or link where the rules allow that.
    fn place<T>(
        &self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        make: impl Fn() -> nix::Result<T>,
    ) -> Result<T, TreeError> {
        let made = match make() {
            Err(Errno::EEXIST) if self.rules.replace => {
                unlinkat(parent, name, UnlinkatFlags::NoRemoveDir).and_then(|()| make())
            }
            Err(Errno::EEXIST) => return Err(TreeError::new(format!("`{}` comes twice", shown(path)))),
            made => made,
        };
        made.map_err(|errno| TreeError::at(path, errno))
    }

    /// A folder that is there is filled; a link to one is not a folder.
    fn folder(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        mode: u32,
    ) -> Result<(), TreeError> {
        let there = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW);
        let is_folder =
            there.is_ok_and(|about| about.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits());
        if !is_folder {
            self.place(parent, name, path, || mkdirat(parent, name, Mode::from_bits_truncate(OWN_FOLDER)))?;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = mode & self.rules.modes;
        let opened = openat(parent, name, flags, Mode::empty());
        opened
            .and_then(|folder| fchmod(&folder, Mode::from_bits_truncate(mode | OWN_FOLDER)))
            .map_err(|errno| TreeError::at(path, errno))?;
        if self.rules.closed_folders && mode & OWN_FOLDER != OWN_FOLDER {
            self.remember(path, mode)?;
        }
        Ok(())
    }

    fn remember(&mut self, path: &Path, mode: u32) -> Result<(), TreeError> {
        self.remembered += path.as_os_str().len();
        if self.remembered > REMEMBERED_BYTES {
            return Err(TreeError::new("the names of its closed folders are too long"));
        }
        self.closed.push((path.to_path_buf(), mode));
        Ok(())
    }

    /// The deepest first: the way to them leads through others.
    fn close_folders(&mut self) -> Result<(), TreeError> {
        while let Some((path, mode)) = self.closed.pop() {
            open_below(self.root, &path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
                .and_then(|folder| fchmod(&folder, Mode::from_bits_truncate(mode)))
                .map_err(|errno| TreeError::at(&path, errno))?;
        }
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        mut entry: Entry<'_, R>,
    ) -> Result<(), TreeError> {
        let size = entry.header().entry_size()?;
        self.left.bytes = self.left.bytes.checked_sub(size).ok_or_else(|| {
            TreeError::new(format!("the files are larger than {} bytes together", self.rules.limits.bytes))
        })?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let private = Mode::from_bits_truncate(0o600);
        let mut file = File::from(self.place(parent, name, path, || openat(parent, name, flags, private))?);
        let at = |error: io::Error| TreeError::at(path, error);
        if io::copy(&mut entry, &mut file).map_err(at)? != size {
            return Err(TreeError::at(path, io::Error::other("the stream ended in the middle of it")));
        }
        let modified = TimeSpec::new(i64::try_from(entry.header().mtime()?).unwrap_or(0), 0);
        // A time that the file system cannot hold is no loss.
        let _ = futimens(&file, &TimeSpec::UTIME_NOW, &modified);
        let mode = Mode::from_bits_truncate(mode(&entry)? & self.rules.modes);
        fchmod(&file, mode).map_err(|errno| at(errno.into()))
    }
}

fn mode<R: Read>(entry: &Entry<'_, R>) -> Result<u32, TreeError> {
    Ok(entry.header().mode()? & 0o7777)
}

/// The name or target of the next entry.
fn long_text<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, TreeError> {
    let mut text = Vec::new();
    entry.take(PATH_BYTES as u64 + 2).read_to_end(&mut text)?;
    while text.last() == Some(&0) {
        text.pop();
    }
    if text.len() > PATH_BYTES {
        return Err(TreeError::new("the stream holds a name that is too long"));
    }
    Ok(text)
}

/// A path that leads nowhere but down.
fn checked(name: &[u8]) -> Result<PathBuf, TreeError> {
    let bare = name.strip_suffix(b"/").unwrap_or(name);
    let is_name = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && !part.contains(&0);
    if bare.len() > PATH_BYTES || !bare.split(|byte| *byte == b'/').all(is_name) {
        let name = shown(Path::new(OsStr::from_bytes(name)));
        return Err(TreeError::new(format!("the stream holds the name `{name}`")));
    }
    Ok(PathBuf::from(OsStr::from_bytes(bare)))
}
