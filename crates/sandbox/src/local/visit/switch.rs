//! Giving a running sandbox a new root: the same files, with the writable layer of before read-only.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{FileStat, Mode, fstat, stat};
use nix::unistd::{chroot, fchdir, pivot_root};

use super::Place;
use crate::local::beneath;
use crate::local::identity::as_sandbox_user;
use crate::local::layout::{NEXT, ROOT, Stack, overlay_options, upper, work};
use crate::local::protocol::{SetupError, Step};
use crate::local::sys;

/// Returns the old root, or nothing where the switch was not made because something is open for writing. Processes
/// whose root or working directory is the root get the new one; those in other folders must go there again by
/// their path.
///
/// The kernel forgets all files of the old root when the last reference to it goes, which takes its time: the
/// caller should have nobody wait for that.
pub(super) fn switch(stack: Stack, place: &Place) -> Result<Option<OwnedFd>, SetupError> {
    let old = open_point(ROOT).step("open the root")?;
    match sys::set_read_only(old.as_fd(), true) {
        Err(Errno::EBUSY) => return Ok(None),
        done => done.step("make the old root read-only")?,
    }
    let switched = make_next(stack, place.privileged).and_then(|()| replace(&old, place)).inspect_err(|_| {
        // Where the root of this process is not known.
        let _ = place.go_to_tmpfs();
        undo(&old, stack.own);
    });
    // The working directory may have become the old root, or the new one.
    place.go_to_tmpfs()?;
    switched.map(|()| Some(old))
}

fn open_point(path: &str) -> nix::Result<OwnedFd> {
    open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// Mounts the overlay that is to be the root.
fn make_next(stack: Stack, privileged: bool) -> Result<(), SetupError> {
    let (in_use, next, next_work) = (upper(stack.own - 1), upper(stack.own), work(stack.own));
    as_sandbox_user(privileged, || {
        let mode = fs::metadata(&in_use)?.permissions().mode();
        fs::create_dir(&next)?;
        fs::set_permissions(&next, Permissions::from_mode(mode))?;
        fs::create_dir(&next_work)
    })
    .step("make a writable layer")?;
    let mut lowers = stack.lowers();
    lowers.insert(0, in_use);
    let options = overlay_options(&lowers, Some((&next, &next_work)), privileged);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("overlay"), NEXT, Some("overlay"), flags, Some(options.as_str())).step("mount overlay")
}

/// Takes back what [`make_next`] did, as far as it came.
fn undo(old: &OwnedFd, next: usize) {
    let device = |about: nix::Result<FileStat>| about.map(|about| about.st_dev).ok();
    let is_covered = device(stat(ROOT)) != device(fstat(old));
    let _ = umount2(if is_covered { ROOT } else { NEXT }, MntFlags::MNT_DETACH);
    let _ = fs::remove_dir(upper(next));
    let _ = fs::remove_dir_all(work(next));
    let _ = sys::set_read_only(old.as_fd(), false);
}

/// Makes the overlay at [`NEXT`] the root, with everything that is mounted in the old one.
fn replace(old: &OwnedFd, place: &Place) -> Result<(), SetupError> {
    let next = open_point(NEXT).step("open the new root")?;
    let text = place.mount_info().step("list mounts")?;
    let mut moves = Vec::new();
    for point in points_in(&text, ROOT) {
        match Move::prepare(old, &next, &point) {
            // Another mount hides it.
            Err(Errno::EXDEV) => {}
            prepared => moves.push(prepared.step(format!("find `/{}`", point.display()))?),
        }
    }
    let moved = moves.iter().try_for_each(Move::forth).step("move a mount").and_then(|()| {
        chroot(ROOT).step("enter the old root")?;
        exchange(&next).step("exchange the roots")
    });
    if moved.is_err() {
        // What was not moved is where it belongs already.
        let _ = place.go_to_tmpfs();
        moves.iter().for_each(Move::back);
    }
    moved
}

/// The root of this process must be the old root.
fn exchange(next: &OwnedFd) -> nix::Result<()> {
    sys::move_mount(next.as_fd(), open_point("/")?.as_fd())?;
    fchdir(next)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)
}

/// A mount that moves from one root to the other.
struct Move {
    mount: OwnedFd,
    /// Where it is mounted in the old root and in the new one. The first is found again by its folder, because
    /// a mount hides what it is mounted on.
    from: (OwnedFd, PathBuf),
    to: OwnedFd,
}

impl Move {
    fn prepare(old: &OwnedFd, next: &OwnedFd, point: &Path) -> nix::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        let folder = beneath::open(old, point.parent().unwrap_or(Path::new("")), flags | OFlag::O_DIRECTORY)?;
        let name = PathBuf::from(point.file_name().unwrap_or_default());
        // The mount, not what lies below it.
        let mount = nix::fcntl::openat(&folder, &name, flags | OFlag::O_CLOEXEC, Mode::empty())?;
        Ok(Self { mount, from: (folder, name), to: beneath::open(next, point, flags)? })
    }

    fn forth(&self) -> nix::Result<()> {
        sys::move_mount(self.mount.as_fd(), self.to.as_fd())
    }

    fn back(&self) {
        let (folder, name) = &self.from;
        if let Ok(at) = beneath::open(folder, name, OFlag::O_PATH | OFlag::O_NOFOLLOW) {
            let _ = sys::move_mount(self.mount.as_fd(), at.as_fd());
        }
    }
}

/// Where something is mounted directly in the mount at `/ROOT`, relative to it, from `/proc/PID/mountinfo`.
fn points_in(text: &[u8], root: &str) -> Vec<PathBuf> {
    let mounts: Vec<Mounted> = text.split(|byte| *byte == b'\n').filter_map(Mounted::parse).collect();
    let root = Path::new("/").join(root);
    let Some(top) = mounts.iter().rfind(|mount| mount.point == root) else {
        return Vec::new();
    };
    let inside = mounts.iter().filter(|mount| mount.parent == top.id);
    inside.filter_map(|mount| mount.point.strip_prefix(&root).ok().map(Path::to_path_buf)).collect()
}

struct Mounted<'a> {
    id: &'a [u8],
    parent: &'a [u8],
    point: PathBuf,
}

impl<'a> Mounted<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let (id, parent) = (fields.next()?, fields.next()?);
        Some(Self { id, parent, point: unescape(fields.nth(2)?).into() })
    }
}

/// White space and backslashes are written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> OsString {
    let mut plain = Vec::new();
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                plain.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            _ => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    OsString::from_vec(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_in_the_root_are_found_whatever_their_names() {
        let text = b"\
40 39 0:30 / / rw - tmpfs tmpfs rw
41 40 0:31 / /root rw,relatime - overlay overlay rw
42 41 0:32 / /root/proc rw - proc proc rw
43 42 0:32 /sys /root/proc/sys ro - proc proc rw
44 41 8:1 /x /root/a\\040b\\134 rw - ext4 /dev/sda rw
45 40 8:1 /x /l/0 rw - ext4 /dev/sda rw
";
        assert_eq!(points_in(text, "root"), [PathBuf::from("proc"), PathBuf::from("a b\\")]);
        assert!(points_in(b"", "root").is_empty());
    }
}
