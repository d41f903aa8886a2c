//! The socket that the program in a container connects to.
//!
//! It lies in a folder of its own, which only this user and the daemon can reach, and takes one connection: that
//! of the container's process 1, which connects before it starts anything else. After that it is gone.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, getsockopt, listen, socket,
};
use nix::sys::stat::Mode;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::local::sys;

/// Name of the socket in its folder.
pub(super) const SOCKET: &str = "socket";

/// Waits for one container.
pub(super) struct Control {
    folder: PathBuf,
    listener: AsyncFd<OwnedFd>,
}

impl Control {
    /// Makes a folder with a socket in it. Must be called in a tokio runtime.
    pub(super) fn listen(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir(&folder)?;
        // Removed by whoever drops it, whatever fails from here on.
        let folder = Folder(folder);
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let listener = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        bind_in(&folder.0, &listener)?;
        // Who is root inside may be anyone outside.
        fs::set_permissions(&folder.0, Permissions::from_mode(0o755))?;
        fs::set_permissions(folder.0.join(SOCKET), Permissions::from_mode(0o666))?;
        listen(&listener, Backlog::new(1)?)?;
        Ok(Self { listener: sys::watch(listener)?, folder: folder.keep() })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits for the connection. May be dropped and called again.
    pub(super) async fn accept(&self) -> io::Result<OwnedFd> {
        let accepted = self.listener.async_io(Interest::READABLE, |listener| {
            Ok(accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?)
        });
        Ok(sys::own(accepted.await?))
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A folder that is removed when it is not kept.
struct Folder(PathBuf);

impl Folder {
    fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// An address holds a hundred characters, and folders may have longer names.
fn bind_in(folder: &Path, listener: &OwnedFd) -> io::Result<()> {
    let folder = open(folder, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    bind(listener.as_raw_fd(), &UnixAddr::new(path.as_str())?)?;
    Ok(())
}

/// The process at the other end, where this process can see it.
pub(super) fn peer(connection: &impl AsFd) -> Option<i32> {
    let credentials = getsockopt(&connection.as_fd(), PeerCredentials).ok()?;
    (credentials.pid() > 0).then_some(credentials.pid())
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::connect;

    use super::*;

    #[tokio::test]
    async fn one_process_connects_and_nothing_is_left() {
        let parent = tempfile::tempdir().unwrap();
        let deep = parent.path().join("a folder with a name that is rather long ".repeat(5));
        fs::create_dir(&deep).unwrap();
        let control = Control::listen(deep.join("control")).unwrap();

        let client = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
        let folder = open(control.folder(), OFlag::O_PATH, Mode::empty()).unwrap();
        let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
        connect(client.as_raw_fd(), &UnixAddr::new(path.as_str()).unwrap()).unwrap();
        let accepted = control.accept().await.unwrap();
        assert_eq!(peer(&accepted), Some(std::process::id() as i32));
        drop(control);
        assert!(fs::read_dir(&deep).unwrap().next().is_none());
    }
}
