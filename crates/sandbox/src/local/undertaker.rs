//! A helper of the launcher that lets go of the mounts of ended sandboxes: that waits for all processors, and
//! neither the launcher nor whoever destroys a sandbox need wait with it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::socket::MsgFlags;
use nix::unistd::Pid;

use super::protocol::{Envelope, receive, send, socket_pair};
use super::sys;

/// It ends, with nothing left to do, when this is dropped.
pub(super) struct Undertaker {
    socket: OwnedFd,
}

/// The mounts of a sandbox, which stay until this is dropped, also when its processes are gone.
pub(super) struct Mounts(File);

impl Mounts {
    /// Those that this process sees.
    pub(super) fn of(process: Pid) -> io::Result<Self> {
        File::open(format!("/proc/{process}/ns/mnt")).map(Self)
    }
}

impl Undertaker {
    /// Forks it. The caller must have one thread.
    pub(super) fn start() -> io::Result<Self> {
        let (socket, theirs) = socket_pair()?;
        if sys::fork()?.is_none() {
            let kept = sys::keep_only(vec![theirs]).unwrap_or_default();
            if let Some(theirs) = kept.first() {
                // Whatever came along is closed at once.
                while let Ok(Some(_)) = receive::<()>(theirs.as_fd(), MsgFlags::empty()) {}
            }
            sys::exit_now(0)
        }
        Ok(Self { socket })
    }

    /// Lets go of them there. When it is gone or behind, they go here.
    pub(super) fn take(&self, Mounts(mounts): Mounts) {
        let message = Envelope { id: 0, body: () };
        let _ = send(self.socket.as_fd(), &message, &[mounts.as_fd()], MsgFlags::MSG_DONTWAIT);
    }
}
