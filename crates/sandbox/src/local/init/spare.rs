//! A supervisor that is forked before there is anything to supervise, so that the first command of a sandbox does not
//! wait for it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::socket::MsgFlags;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::exec;
use super::serve::Client;
use crate::local::protocol::{Command, Envelope, receive, send, socket_pair};
use crate::local::sys;

/// It ends when this is dropped. Until it has a command, no other process may run inside: it is not guarded from them.
pub(super) struct Spare {
    pid: Pid,
    socket: Option<OwnedFd>,
}

impl Spare {
    /// Forks it, for a sandbox with this limit on processes.
    pub(super) fn fork(processes: u64) -> io::Result<Self> {
        let (socket, theirs) = socket_pair()?;
        match sys::fork()? {
            Some(pid) => Ok(Self { pid, socket: Some(socket) }),
            None => {
                wait_for_command(theirs, processes);
                sys::exit_now(0)
            }
        }
    }

    /// Hands it a command, whose owner it answers itself. Returns who it is.
    pub(super) fn take_over(
        mut self,
        control: &OwnedFd,
        request: u64,
        command: &Command,
        streams: &[OwnedFd],
    ) -> io::Result<Pid> {
        let socket = self.socket.take().ok_or(io::ErrorKind::NotConnected)?;
        let descriptors: Vec<_> = [control].into_iter().chain(streams).map(AsFd::as_fd).collect();
        send(socket.as_fd(), &Envelope { id: request, body: command }, &descriptors, MsgFlags::empty())?;
        Ok(self.pid)
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        if self.socket.take().is_some() {
            let _ = waitpid(self.pid, None);
        }
    }
}

fn wait_for_command(socket: OwnedFd, processes: u64) {
    let Ok(kept) = sys::keep_only(vec![socket]) else { return };
    let Some(socket) = kept.first() else { return };
    if let Ok(Some((Envelope { id, body: command }, mut descriptors))) =
        receive::<Command>(socket.as_fd(), MsgFlags::empty())
        && !descriptors.is_empty()
    {
        let control = descriptors.remove(0);
        exec::supervise(&Client::new(&control, id), &command, descriptors, processes);
    }
}
