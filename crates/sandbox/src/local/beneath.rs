//! Looking at trees that hostile programs have made: no link is followed, and nothing outside is reached.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};

/// Most names of one folder, and of one tree, that are looked at.
pub(super) const MOST_ENTRIES: usize = 2_000_000;

/// Opens what lies at a relative path below a folder; the folder itself for the empty path.
pub(super) fn open(root: impl AsFd, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let inside = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS
        | ResolveFlag::RESOLVE_NO_XDEV;
    openat2(root, path, OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(inside))
}

/// Opens a folder to list it.
pub(super) fn open_folder(root: impl AsFd, path: &Path) -> nix::Result<OwnedFd> {
    open(root, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
}

/// Opens a regular file of a folder to read it. Nothing that was put in its place can hold us up.
pub(super) fn open_file(folder: impl AsFd, name: &OsStr) -> nix::Result<std::fs::File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = open(folder, Path::new(name), flags)?;
    match kind(&nix::sys::stat::fstat(&file)?) {
        SFlag::S_IFREG => Ok(file.into()),
        _ => Err(Errno::EINVAL),
    }
}

/// The names in a folder, in no order.
pub(super) fn names(folder: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut listed = Dir::from_fd(open_folder(folder, Path::new(""))?)?;
    let mut names = Vec::new();
    for entry in listed.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(OsStr::from_bytes(name).to_owned());
        }
        if names.len() > MOST_ENTRIES {
            return Err(too_many());
        }
    }
    Ok(names)
}

/// What a tree that exceeds [`MOST_ENTRIES`] is answered with.
pub(super) fn too_many() -> io::Error {
    io::Error::other(format!("more than {MOST_ENTRIES} files"))
}

/// What a name in a folder is; `None` when there is no such name.
pub(super) fn stat(folder: BorrowedFd<'_>, name: &OsStr) -> nix::Result<Option<FileStat>> {
    match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(about) => Ok(Some(about)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The kind of a file.
pub(super) fn kind(about: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(about.st_mode & SFlag::S_IFMT.bits())
}

/// Its permission bits.
pub(super) fn mode(about: &FileStat) -> Mode {
    Mode::from_bits_truncate(about.st_mode)
}

/// Whether it is what an overlay leaves where something of a lower layer was deleted.
pub(super) fn is_whiteout(about: &FileStat) -> bool {
    kind(about) == SFlag::S_IFCHR && about.st_rdev == 0
}
