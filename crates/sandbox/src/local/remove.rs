//! Removing trees that hostile programs have made: closed folders, and folders in folders without end.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::beneath::names;

/// Removes a folder with everything in it; nothing may write into it meanwhile. It is no error when there is none.
///
/// Folders are moved to the top before they are emptied, so that depth costs neither stack nor descriptors.
pub(super) fn remove_tree(folder: &Path) -> io::Result<()> {
    let top = match open(folder, FLAGS, Mode::empty()) {
        Err(Errno::ENOENT) => return Ok(()),
        top => top?,
    };
    let mut moved = 0;
    loop {
        let left = names(&top)?;
        if left.is_empty() {
            return fs::remove_dir(folder);
        }
        for name in left {
            if is_folder_left(&top, &name)? {
                move_up(&top, &name, &mut moved)?;
                unlinkat(&top, name.as_os_str(), UnlinkatFlags::RemoveDir)?;
            }
        }
    }
}

const FLAGS: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Removes a name; a folder is opened for its owner instead, and left.
fn is_folder_left(parent: &OwnedFd, name: &OsStr) -> nix::Result<bool> {
    match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::EISDIR) => {
            fchmodat(parent, name, Mode::S_IRWXU, FchmodatFlags::FollowSymlink)?;
            Ok(true)
        }
        done => done.map(|()| false),
    }
}

/// Empties a folder at the top: folders in it become folders beside it.
fn move_up(top: &OwnedFd, name: &OsStr, moved: &mut u64) -> io::Result<()> {
    let folder = openat(top, name, FLAGS, Mode::empty())?;
    for name in names(&folder)? {
        if is_folder_left(&folder, &name)? {
            move_beside(&folder, &name, top, moved)?;
        }
    }
    Ok(())
}

fn move_beside(folder: &OwnedFd, name: &OsStr, top: &OwnedFd, moved: &mut u64) -> nix::Result<()> {
    loop {
        *moved += 1;
        match renameat(folder, name, top, OsString::from(format!(".removed-{moved}")).as_os_str()) {
            // Left from a removal that did not come to its end.
            Err(Errno::EEXIST | Errno::ENOTEMPTY | Errno::ENOTDIR) => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn closed_and_endless_folders_are_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let tree = scratch.path().join("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join(".removed-1"), "in the way").unwrap();
        let mut folder = open(&tree, FLAGS, Mode::empty()).unwrap();
        for _ in 0..3000 {
            nix::sys::stat::mkdirat(&folder, "folder", Mode::S_IRWXU).unwrap();
            nix::unistd::symlinkat("/", &folder, "link").unwrap();
            folder = openat(&folder, "folder", FLAGS, Mode::empty()).unwrap();
        }
        let closed = tree.join("folder");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();

        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        remove_tree(&tree).unwrap();
    }
}
