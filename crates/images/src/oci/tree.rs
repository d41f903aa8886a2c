//! A folder whose content is hostile: nothing in it leads out of it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mknodat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use xattr::FileExt;

/// How overlayfs marks a folder that hides the one below it: the first where root mounts it, the second where an
/// ordinary user does.
pub(crate) const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];
/// Tries of a look-up that the kernel gave up because something was renamed meanwhile, anywhere on the machine.
const LOOK_UPS: usize = 100;

/// The folder.
pub(crate) struct Tree {
    root: OwnedFd,
    depth: usize,
    max_depth: usize,
}

impl Tree {
    /// Opens it. Folders deeper than `max_depth` are not opened: removing them would take a file descriptor each.
    pub(crate) fn open(root: &Path, max_depth: usize) -> nix::Result<Self> {
        let root = open(root, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let depth = depth(&root)?;
        Ok(Self { root, depth, max_depth })
    }

    /// Opens a folder in it. Links on the way are followed as a process inside would.
    pub(crate) fn folder(&self, path: &[u8]) -> nix::Result<OwnedFd> {
        match self.plain_folder(path) {
            Err(Errno::ELOOP) => {
                let found =
                    self.look_up(path, ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS)?;
                if depth(&found)? > self.depth + self.max_depth {
                    Err(Errno::ENAMETOOLONG)
                } else {
                    Ok(found)
                }
            }
            other => other,
        }
    }

    /// Opens a folder in it, and follows no link.
    pub(crate) fn plain_folder(&self, path: &[u8]) -> nix::Result<OwnedFd> {
        let path = if path.is_empty() { b".".as_slice() } else { path };
        self.look_up(path, ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS)
    }

    fn look_up(&self, path: &[u8], resolve: ResolveFlag) -> nix::Result<OwnedFd> {
        let how = OpenHow::new().flags(OFlag::O_DIRECTORY | OFlag::O_CLOEXEC).resolve(resolve);
        for _ in 1..LOOK_UPS {
            match openat2(&self.root, path, how) {
                Err(Errno::EAGAIN) => {}
                other => return other,
            }
        }
        openat2(&self.root, path, how)
    }
}

fn depth(folder: &OwnedFd) -> nix::Result<usize> {
    let path = nix::fcntl::readlink(format!("/proc/self/fd/{}", folder.as_raw_fd()).as_str())?;
    Ok(Path::new(&path).components().count())
}

/// What a name in a folder is, itself and not what it leads to.
pub(crate) fn status(folder: &impl AsFd, name: &[u8]) -> nix::Result<Option<FileStat>> {
    match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(status) => Ok(Some(status)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The type of what `status` tells about.
pub(crate) fn file_type(status: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT
}

pub(crate) fn is_folder(status: &FileStat) -> bool {
    file_type(status) == SFlag::S_IFDIR
}

/// Whether it hides what lies below it: overlayfs takes the character device 0/0 for that.
pub(crate) fn is_whiteout(status: &FileStat) -> bool {
    file_type(status) == SFlag::S_IFCHR && status.st_rdev == 0
}

/// The same for what the standard library tells.
pub(crate) fn is_whiteout_file(about: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    about.file_type().is_char_device() && about.rdev() == 0
}

pub(crate) fn make_whiteout(folder: &impl AsFd, name: &[u8]) -> nix::Result<()> {
    mknodat(folder, name, SFlag::S_IFCHR, Mode::empty(), 0)
}

/// Lets a folder hide what layers below have at its place.
pub(crate) fn make_opaque(folder: OwnedFd) -> io::Result<()> {
    let folder = File::from(folder);
    match folder.set_xattr(OPAQUE[0], b"y") {
        Err(error) if error.raw_os_error() == Some(libc_eperm()) => folder.set_xattr(OPAQUE[1], b"y"),
        done => done,
    }
}

/// Whether a folder hides what layers below have at its place.
pub(crate) fn is_opaque(folder: &Path) -> bool {
    let marked = |name| xattr::get(folder, name).ok().flatten().is_some_and(|value| value == b"y");
    OPAQUE.iter().any(marked)
}

/// Removes whatever has this name. A folder's content is never followed out of it.
pub(crate) fn remove(folder: &impl AsFd, name: &[u8], status: &FileStat) -> io::Result<()> {
    if is_folder(status) {
        std::fs::remove_dir_all(path_in(folder, name))
    } else {
        Ok(unlinkat(folder, name, UnlinkatFlags::NoRemoveDir)?)
    }
}

/// A path of a name in an open folder, for functions that take paths alone.
fn path_in(folder: &impl AsFd, name: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let folder = format!("/proc/self/fd/{}", folder.as_fd().as_raw_fd());
    Path::new(&folder).join(std::ffi::OsStr::from_bytes(name))
}

fn libc_eperm() -> i32 {
    Errno::EPERM as i32
}
