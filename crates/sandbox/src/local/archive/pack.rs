//! From a tree to a stream.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, readlinkat};
use nix::sys::stat::{FileStat, SFlag, fstat, fstatat};
use tar::{Builder, EntryType, Header};

use super::{PATH_BYTES, TreeError, open_below};
use crate::TreeLimits;

/// Bytes written at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Writes everything below a folder; what is neither file, folder nor link is left out. A file with several
/// names is written once for each.
pub(crate) fn pack(root: &OwnedFd, out: impl Write, limits: TreeLimits) -> Result<(), TreeError> {
    let builder = Builder::new(BufWriter::with_capacity(CHUNK_BYTES, out));
    let mut packer = Packer { root, builder, left: limits, limits };
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        packer.folder(&folder, &mut folders)?;
    }
    packer.builder.into_inner()?.flush()?;
    Ok(())
}

struct Packer<'a, W: Write> {
    root: &'a OwnedFd,
    builder: Builder<BufWriter<W>>,
    left: TreeLimits,
    limits: TreeLimits,
}

impl<W: Write> Packer<'_, W> {
    /// Writes what a folder holds; the folders among it come back to be done later.
    fn folder(&mut self, path: &Path, folders: &mut Vec<PathBuf>) -> Result<(), TreeError> {
        let opened = open_below(self.root, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY);
        let mut folder = opened.and_then(Dir::from_fd).map_err(|errno| TreeError::at(path, errno))?;
        for name in self.names(&mut folder, path)? {
            let path = path.join(OsStr::from_bytes(name.to_bytes()));
            match fstatat(&folder, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(about) => self.entry(&folder, &name, &path, &about)?,
                // Somebody was faster.
                Err(nix::errno::Errno::ENOENT) => continue,
                Err(errno) => return Err(TreeError::at(&path, errno)),
            }
            .then(|| folders.push(path));
        }
        Ok(())
    }

    /// Sorted, so that the same tree makes the same stream.
    fn names(&self, folder: &mut Dir, path: &Path) -> Result<Vec<CString>, TreeError> {
        let mut names = Vec::new();
        for entry in folder.iter() {
            let entry = entry.map_err(|errno| TreeError::at(path, errno))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
            if names.len() as u64 > self.left.entries {
                return Err(self.too_many());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Returns whether it is a folder.
    fn entry(&mut self, folder: &Dir, name: &CStr, path: &Path, about: &FileStat) -> Result<bool, TreeError> {
        let kind = SFlag::from_bits_truncate(about.st_mode & SFlag::S_IFMT.bits());
        if ![SFlag::S_IFREG, SFlag::S_IFDIR, SFlag::S_IFLNK].contains(&kind) {
            return Ok(false);
        }
        self.left.entries = self.left.entries.checked_sub(1).ok_or_else(|| self.too_many())?;
        match kind {
            SFlag::S_IFDIR => self.append(path, header(EntryType::Directory, about, 0), None, io::empty())?,
            SFlag::S_IFLNK => {
                let target = readlinkat(folder, name).map_err(|errno| TreeError::at(path, errno))?;
                let header = header(EntryType::Symlink, about, 0);
                self.append(path, header, Some(target.as_bytes()), io::empty())?;
            }
            _ => self.file(path)?,
        }
        Ok(kind == SFlag::S_IFDIR)
    }

    fn file(&mut self, path: &Path) -> Result<(), TreeError> {
        let at = |errno| TreeError::at(path, errno);
        // It may have become a pipe meanwhile, which must not hold us up.
        let file =
            open_below(self.root, path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).map_err(at)?;
        let about = fstat(&file).map_err(at)?;
        if about.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
            return Ok(());
        }
        let size = about.st_size.unsigned_abs();
        self.left.bytes = self.left.bytes.checked_sub(size).ok_or_else(|| {
            TreeError::new(format!("the files are larger than {} bytes together", self.limits.bytes))
        })?;
        let data = Exactly { file: File::from(file), left: size };
        self.append(path, header(EntryType::Regular, &about, size), None, data)
    }

    fn append(
        &mut self,
        path: &Path,
        mut header: Header,
        target: Option<&[u8]>,
        data: impl Read,
    ) -> Result<(), TreeError> {
        let name = path.as_os_str().as_bytes();
        if name.len() > PATH_BYTES {
            return Err(TreeError::at(path, nix::errno::Errno::ENAMETOOLONG));
        }
        self.text(EntryType::GNULongName, name, |header| &mut header.as_old_mut().name, &mut header)?;
        if let Some(target) = target {
            self.text(EntryType::GNULongLink, target, |old| &mut old.as_old_mut().linkname, &mut header)?;
        }
        header.set_cksum();
        self.builder.append(&header, data).map_err(|error| TreeError::at(path, error))
    }

    /// Puts a name into its field, or into an entry of its own before where it does not fit.
    fn text(
        &mut self,
        long: EntryType,
        text: &[u8],
        field: impl Fn(&mut Header) -> &mut [u8; 100],
        header: &mut Header,
    ) -> Result<(), TreeError> {
        if let Some(room) = field(header).get_mut(..text.len()) {
            room.copy_from_slice(text);
            return Ok(());
        }
        let mut before = Header::new_gnu();
        before.set_entry_type(long);
        before.set_size(text.len() as u64);
        before.set_cksum();
        Ok(self.builder.append(&before, text)?)
    }

    fn too_many(&self) -> TreeError {
        TreeError::new(format!("it holds more than {} entries", self.limits.entries))
    }
}

fn header(kind: EntryType, about: &FileStat, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(about.st_mode & 0o7777);
    header.set_mtime(u64::try_from(about.st_mtime).unwrap_or(0));
    header.set_size(size);
    header
}

/// A file that must not become shorter while it is read; what it grows by is left out.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let room = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let length = self.file.read(&mut into[..room])?;
        if length == 0 && room > 0 {
            return Err(io::Error::other("it became shorter while it was read"));
        }
        self.left -= length as u64;
        Ok(length)
    }
}
