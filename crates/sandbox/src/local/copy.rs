//! Copying a writable layer, as the overlay left it, to where it serves as a layer again: files, folders, links,
//! what marks deleted and replaced things, modes, owners and times. Holes stay holes, and names of one file stay
//! names of one file.
//!
//! What is copied was written by hostile programs, so neither its depth nor its names nor its sizes are trusted.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, fstat, futimens, mkdirat,
    mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, Whence, fchown, fchownat, linkat, lseek, symlinkat};

use super::beneath::{self, is_whiteout, kind, mode, open_folder};
use super::layout::{OPAQUE, opaque_attribute};
use super::sys;

/// What is copied beside files, folders, links and marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pipes {
    Copied,
    LeftOut,
}

/// Copies what is in the folder `from` into the empty folder `to`. Devices and sockets are left out.
pub(super) fn copy_layer(from: &OwnedFd, to: &OwnedFd, privileged: bool, pipes: Pipes) -> io::Result<()> {
    let opaque = opaque_attribute(privileged);
    let mut copy =
        LayerCopy { from, to, opaque, pipes, first_names: HashMap::new(), folders: Vec::new(), entries: 0 };
    let mut next = 0;
    copy.folders.push((PathBuf::new(), fstat(from)?));
    while let Some((folder, _)) = copy.folders.get(next) {
        copy.folder(&folder.clone())?;
        next += 1;
    }
    copy.finish()
}

struct LayerCopy<'a> {
    from: &'a OwnedFd,
    to: &'a OwnedFd,
    opaque: &'static CStr,
    pipes: Pipes,
    /// Where files with several names were copied to first, by their number.
    first_names: HashMap<u64, PathBuf>,
    /// Every folder so far, those above before those below.
    folders: Vec<(PathBuf, FileStat)>,
    entries: usize,
}

impl LayerCopy<'_> {
    fn folder(&mut self, path: &Path) -> io::Result<()> {
        let from = open_folder(self.from, path)?;
        let to = open_folder(self.to, path)?;
        if sys::has_attribute(from.as_fd(), self.opaque, OPAQUE)? {
            sys::set_attribute(to.as_fd(), self.opaque, OPAQUE)?;
        }
        for name in beneath::names(&from)? {
            self.entries += 1;
            if self.entries > beneath::MOST_ENTRIES {
                return Err(beneath::too_many());
            }
            if let Some(about) = beneath::stat(from.as_fd(), &name)? {
                self.entry(&from, &to, &path.join(&name), &about)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, from: &OwnedFd, to: &OwnedFd, path: &Path, about: &FileStat) -> io::Result<()> {
        let name = path.file_name().unwrap_or_default();
        match kind(about) {
            SFlag::S_IFDIR => {
                mkdirat(to, name, Mode::S_IRWXU)?;
                self.folders.push((path.to_owned(), *about));
            }
            SFlag::S_IFREG if about.st_nlink > 1 => self.linked_file(from, to, path, about)?,
            SFlag::S_IFREG => file(from.as_fd(), to.as_fd(), name)?,
            SFlag::S_IFLNK => link(from.as_fd(), to.as_fd(), name, about)?,
            SFlag::S_IFIFO if self.pipes == Pipes::Copied => special(to.as_fd(), name, about)?,
            _ if is_whiteout(about) => special(to.as_fd(), name, about)?,
            _ => {}
        }
        Ok(())
    }

    /// A file with several names.
    fn linked_file(&mut self, from: &OwnedFd, to: &OwnedFd, path: &Path, about: &FileStat) -> io::Result<()> {
        let name = path.file_name().unwrap_or_default();
        if let Some(first) = self.first_names.get(&about.st_ino)
            && linkat(self.to, first, to, name, AtFlags::empty()).is_ok()
        {
            return Ok(());
        }
        file(from.as_fd(), to.as_fd(), name)?;
        self.first_names.insert(about.st_ino, path.to_owned());
        Ok(())
    }

    /// Gives the folders what filling them would have changed or what could have forbidden it.
    fn finish(self) -> io::Result<()> {
        for (path, about) in self.folders.iter().rev() {
            dress(&open_folder(self.to, path)?, about)?;
        }
        Ok(())
    }
}

fn file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    // Gone meanwhile, or another kind of thing.
    let Ok(source) = beneath::open_file(from, name) else { return Ok(()) };
    let about = fstat(&source)?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let target = File::from(openat(to, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
    let size = about.st_size.unsigned_abs();
    content(&source, &target, size)?;
    target.set_len(size)?;
    dress(&target, &about)
}

/// Copies what is not a hole.
fn content(mut source: &File, mut target: &File, size: u64) -> io::Result<()> {
    let mut at = 0;
    while at < size {
        let begin = match lseek(source, at.cast_signed(), Whence::SeekData) {
            Ok(begin) => begin.unsigned_abs(),
            Err(Errno::ENXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        let end = lseek(source, begin.cast_signed(), Whence::SeekHole)?.unsigned_abs().min(size);
        source.seek(SeekFrom::Start(begin))?;
        target.seek(SeekFrom::Start(begin))?;
        io::copy(&mut source.take(end.saturating_sub(begin)), &mut target)?;
        at = end.max(begin + 1);
    }
    Ok(())
}

/// Owner first: changing it clears bits of the mode.
fn dress(target: &impl AsFd, about: &FileStat) -> io::Result<()> {
    let (uid, gid) = owner(about);
    fchown(target, Some(uid), Some(gid))?;
    fchmod(target, mode(about))?;
    let (accessed, modified) = times(about);
    futimens(target, &accessed, &modified)?;
    Ok(())
}

fn link(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &OsStr, about: &FileStat) -> io::Result<()> {
    let Ok(target) = readlinkat(from, name) else { return Ok(()) };
    symlinkat(target.as_os_str(), to, name)?;
    let (uid, gid) = owner(about);
    fchownat(to, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let (accessed, modified) = times(about);
    utimensat(to, name, &accessed, &modified, UtimensatFlags::NoFollowSymlink)?;
    Ok(())
}

/// A pipe, or the mark of something deleted. Nobody else writes where it is made, so its name stays its own.
fn special(to: BorrowedFd<'_>, name: &OsStr, about: &FileStat) -> io::Result<()> {
    mknodat(to, name, kind(about), Mode::S_IRUSR | Mode::S_IWUSR, 0)?;
    let (uid, gid) = owner(about);
    fchownat(to, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    fchmodat(to, name, mode(about), FchmodatFlags::FollowSymlink)?;
    let (accessed, modified) = times(about);
    utimensat(to, name, &accessed, &modified, UtimensatFlags::NoFollowSymlink)?;
    Ok(())
}

fn owner(about: &FileStat) -> (Uid, Gid) {
    (Uid::from_raw(about.st_uid), Gid::from_raw(about.st_gid))
}

/// Last access and last change.
fn times(about: &FileStat) -> (TimeSpec, TimeSpec) {
    (TimeSpec::new(about.st_atime, about.st_atime_nsec), TimeSpec::new(about.st_mtime, about.st_mtime_nsec))
}
