//! How the files of a sandbox differ from those of its image.
//!
//! Names come from the writable layers, because those are small; what a name meant in the image and what it means
//! now is asked of two overlays: one of the image alone, and the sandbox's own. So nothing here has to know how
//! an overlay puts layers together, but which of them may hold names that count.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_RDONLY};
use nix::errno::Errno;
use nix::fcntl::readlinkat;
use nix::mount::{MsFlags, mount};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{FileStat, SFlag};

use super::{Place, open_layer, stack};
use crate::local::beneath::{self, kind, mode, open_folder};
use crate::local::layout::{EMPTY, NEXT, OPAQUE, ROOT, Stack, opaque_attribute, overlay_options};
use crate::local::protocol::{SetupError, Step};
use crate::local::sys;
use crate::{Change, ChangeKind};

/// Bytes read at once of files that are compared.
const CHUNK_BYTES: usize = 64 << 10;
/// Longest list, in bytes.
const LIST_BYTES: u64 = 512 << 20;

/// Returns a memory file with the differences, for [`read`].
pub(super) fn list(place: &Place) -> Result<File, SetupError> {
    Place::keep_mounts_private()?;
    let stack = stack()?;
    let comparison = Comparison {
        image: mount_image(stack, place.privileged)?,
        now: sys::clone_tree(Path::new(ROOT), false, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV)
            .step("clone the root")?,
        uppers: stack.uppers().iter().map(|upper| open_layer(upper)).collect::<Result<_, _>>()?,
        privileged: place.privileged,
        todo: Vec::new(),
        found: Vec::new(),
        entries: 0,
    };
    let found = comparison.run().step("compare")?;
    write(&found).step("list the differences")
}

/// An overlay of the image alone; the kernel wants two layers.
fn mount_image(stack: Stack, privileged: bool) -> Result<OwnedFd, SetupError> {
    let mut layers = stack.of_image();
    layers.push(EMPTY.to_owned());
    let options = overlay_options(&layers, None, privileged);
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
    mount(Some("overlay"), NEXT, Some("overlay"), flags, Some(options.as_str())).step("mount the image")?;
    open_layer(NEXT)
}

struct Comparison {
    image: OwnedFd,
    now: OwnedFd,
    /// Lowest first.
    uppers: Vec<OwnedFd>,
    privileged: bool,
    todo: Vec<Folder>,
    found: Vec<Change>,
    entries: usize,
}

/// A folder to look into.
struct Folder {
    path: PathBuf,
    in_image: bool,
    /// The writable layers that have a part in it, topmost first.
    uppers: Vec<usize>,
    /// Whether the lowest of these hides what the image has there.
    hidden: bool,
}

impl Comparison {
    fn run(mut self) -> io::Result<Vec<Change>> {
        let uppers = (0..self.uppers.len()).rev().collect();
        self.todo.push(Folder { path: PathBuf::new(), in_image: true, uppers, hidden: false });
        while let Some(folder) = self.todo.pop() {
            self.look_into(&folder)?;
        }
        self.found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(self.found)
    }

    fn look_into(&mut self, folder: &Folder) -> io::Result<()> {
        // It may be gone by now: the sandbox goes on.
        let Some(now) = unless_gone(open_folder(&self.now, &folder.path))? else { return Ok(()) };
        let image = if folder.in_image { unless_gone(open_folder(&self.image, &folder.path))? } else { None };
        let mut parts = Vec::new();
        for upper in &folder.uppers {
            if let Some(part) = unless_gone(open_folder(&self.uppers[*upper], &folder.path))? {
                parts.push((*upper, part));
            }
        }
        for name in candidates(&parts, image.as_ref().filter(|_| folder.hidden))? {
            self.entries += 1;
            if self.entries > beneath::MOST_ENTRIES {
                return Err(beneath::too_many());
            }
            self.compare(folder, &parts, &name, (image.as_ref(), &now))?;
        }
        Ok(())
    }

    fn compare(
        &mut self,
        folder: &Folder,
        parts: &[(usize, OwnedFd)],
        name: &OsStr,
        (image, now): (Option<&OwnedFd>, &OwnedFd),
    ) -> io::Result<()> {
        let new = beneath::stat(now.as_fd(), name)?;
        let old = match image {
            Some(image) => beneath::stat(image.as_fd(), name)?.map(|about| (image, about)),
            None => None,
        };
        let path = folder.path.join(name);
        if new.as_ref().map(kind) == Some(SFlag::S_IFDIR) {
            let in_image = old.as_ref().is_some_and(|(_, about)| kind(about) == SFlag::S_IFDIR);
            let (uppers, hidden) = self.parts_of(folder, parts, name)?;
            self.todo.push(Folder { path: path.clone(), in_image, uppers, hidden });
        }
        let change = match (old, new) {
            (None, None) => None,
            (None, Some(_)) => Some(ChangeKind::Added),
            (Some(_), None) => Some(ChangeKind::Deleted),
            (Some((image, old)), Some(new)) => {
                let same = is_same((image, &old), (now, &new), name)?;
                (!same).then_some(ChangeKind::Modified)
            }
        };
        if let Some(kind) = change {
            let path = [b"/", path.as_os_str().as_bytes()].concat();
            self.found.push(Change { path, kind });
        }
        Ok(())
    }

    /// Which writable layers have a part in a folder below this one, and whether they hide the image's.
    fn parts_of(
        &self,
        folder: &Folder,
        parts: &[(usize, OwnedFd)],
        name: &OsStr,
    ) -> io::Result<(Vec<usize>, bool)> {
        let opaque = opaque_attribute(self.privileged);
        let mut uppers = Vec::new();
        for (upper, part) in parts {
            match beneath::stat(part.as_fd(), name)? {
                None => {}
                Some(about) if kind(&about) == SFlag::S_IFDIR => {
                    uppers.push(*upper);
                    let below = open_folder(part, Path::new(name))?;
                    if sys::has_attribute(below.as_fd(), opaque, OPAQUE)? {
                        return Ok((uppers, true));
                    }
                }
                // Something else, or the mark of a deletion, that the folder above came after.
                Some(_) => return Ok((uppers, true)),
            }
        }
        Ok((uppers, folder.hidden))
    }
}

/// Names in a folder that may differ: what the writable layers hold, and what the image does where that is hidden.
fn candidates(parts: &[(usize, OwnedFd)], hidden: Option<&OwnedFd>) -> io::Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    for folder in parts.iter().map(|(_, part)| part).chain(hidden) {
        names.extend(beneath::names(folder)?);
    }
    Ok(names)
}

fn unless_gone<T>(opened: nix::Result<T>) -> nix::Result<Option<T>> {
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Whether a name stands for the same thing in two folders.
fn is_same(old: (&OwnedFd, &FileStat), new: (&OwnedFd, &FileStat), name: &OsStr) -> io::Result<bool> {
    let ((old_folder, old), (new_folder, new)) = (old, new);
    if kind(old) != kind(new) || mode(old) != mode(new) {
        return Ok(false);
    }
    match kind(new) {
        SFlag::S_IFREG if old.st_size != new.st_size => Ok(false),
        SFlag::S_IFREG => has_same_content(old_folder, new_folder, name),
        SFlag::S_IFLNK => Ok(readlinkat(old_folder, name)? == readlinkat(new_folder, name)?),
        SFlag::S_IFCHR | SFlag::S_IFBLK => Ok(old.st_rdev == new.st_rdev),
        _ => Ok(true),
    }
}

fn has_same_content(old: &OwnedFd, new: &OwnedFd, name: &OsStr) -> io::Result<bool> {
    let (Ok(mut old), Ok(mut new)) = (beneath::open_file(old, name), beneath::open_file(new, name)) else {
        return Ok(false);
    };
    let (mut one, mut other) = (Vec::new(), Vec::new());
    loop {
        one.clear();
        other.clear();
        (&mut old).take(CHUNK_BYTES as u64).read_to_end(&mut one)?;
        (&mut new).take(CHUNK_BYTES as u64).read_to_end(&mut other)?;
        if one != other || one.is_empty() {
            return Ok(one == other);
        }
    }
}

/// Each difference is a letter, the path, and a zero byte.
fn write(found: &[Change]) -> io::Result<File> {
    let mut text = Vec::new();
    for Change { path, kind } in found {
        text.push(match kind {
            ChangeKind::Added => b'A',
            ChangeKind::Modified => b'M',
            ChangeKind::Deleted => b'D',
        });
        text.extend_from_slice(path);
        text.push(0);
        if text.len() as u64 > LIST_BYTES {
            return Err(beneath::too_many());
        }
    }
    let mut file = File::from(memfd_create("changes", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(&text)?;
    Ok(file)
}

/// Reads what [`list`] wrote.
pub(in crate::local) fn read(mut file: File) -> io::Result<Vec<Change>> {
    let mut text = Vec::new();
    file.rewind()?;
    file.take(LIST_BYTES + CHUNK_BYTES as u64).read_to_end(&mut text)?;
    let records = text.split(|byte| *byte == 0).filter_map(|record| record.split_first());
    records
        .map(|(letter, path)| {
            let kind = match letter {
                b'A' => ChangeKind::Added,
                b'M' => ChangeKind::Modified,
                b'D' => ChangeKind::Deleted,
                _ => return Err(io::ErrorKind::InvalidData.into()),
            };
            Ok(Change { path: path.to_vec(), kind })
        })
        .collect()
}
