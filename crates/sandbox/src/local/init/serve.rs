//! The loop of process 1: takes requests, forks who serves them, reaps everything.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill as send_signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::MsgFlags;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::freeze::Frozen;
use super::{Held, exec, files, kill, session, trees};
use crate::TreeLimits;
use crate::local::protocol::{
    Command, End, Envelope, GuestReply, GuestRequest, Received, Usage, receive, send,
};
use crate::local::sys;

/// Where a process reports to, and as what.
pub(super) struct Client<'a> {
    control: &'a OwnedFd,
    request: u64,
}

impl<'a> Client<'a> {
    pub(super) fn new(control: &'a OwnedFd, request: u64) -> Self {
        Self { control, request }
    }

    pub(super) fn reply(&self, body: GuestReply, descriptors: &[BorrowedFd<'_>]) {
        let reply = Envelope { id: self.request, body };
        // Nobody is left to be told when the owner is gone; init ends then anyway.
        let _ = send(self.control.as_fd(), &reply, descriptors, MsgFlags::empty());
    }
}

struct Init {
    control: OwnedFd,
    held: Held,
    /// Limit on processes, for kernels whose cgroups do not enforce it.
    processes: u64,
    /// Which request a helper serves.
    helpers: HashMap<Pid, u64>,
    /// Those of them that serve files.
    file_helpers: HashSet<Pid>,
    /// While everything is stopped: what that was, and what waits for its end.
    frozen: Option<(Frozen, Vec<Received<GuestRequest>>)>,
}

/// Serves the owner until it is gone.
pub(crate) fn serve(control: OwnedFd, held: Held, processes: u64) {
    let mut init = Init {
        control,
        held,
        processes,
        helpers: HashMap::new(),
        file_helpers: HashSet::new(),
        frozen: None,
    };
    let signals = SigSet::from(Signal::SIGCHLD);
    let Ok(signals) = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK) else {
        return;
    };
    loop {
        let mut ready = [
            PollFd::new(init.control.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
        let asked = ready[0].any() == Some(true);
        while let Ok(Some(_)) = signals.read_signal() {}
        init.reap();
        if asked && !matches!(init.take_request(), Ok(true)) {
            return;
        }
    }
}

impl Init {
    /// Returns whether the owner is still there.
    fn take_request(&mut self) -> io::Result<bool> {
        let received = match receive::<GuestRequest>(self.control.as_fd(), MsgFlags::MSG_DONTWAIT) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            other => other?,
        };
        let Some((request, descriptors)) = received else {
            return Ok(false);
        };
        if let Some((request, descriptors)) = self.unless_it_waits((request, descriptors)) {
            self.handle(request.id, request.body, descriptors);
        }
        Ok(true)
    }

    fn handle(&mut self, id: u64, request: GuestRequest, descriptors: Vec<OwnedFd>) {
        match request {
            GuestRequest::Exec(command) => self.exec(id, &command, descriptors),
            GuestRequest::Kill { exec } => {
                let complete = self.supervisor(exec).is_none_or(kill::kill_descendants);
                self.client(id).reply(GuestReply::Killed { complete }, &[]);
            }
            GuestRequest::KillNewer { command, runs } => {
                let kill = |supervisor| session::kill_newer(supervisor, command, runs);
                let complete = self.supervisor(command.exec).is_none_or(kill);
                self.client(id).reply(GuestReply::Killed { complete }, &[]);
            }
            GuestRequest::Interrupt { command, has_terminal } => {
                if let Some(supervisor) = self.supervisor(command.exec) {
                    session::await_beginning(command);
                    if !has_terminal {
                        session::interrupt(supervisor, command);
                    }
                }
                self.client(id).reply(GuestReply::Interrupted, &[]);
            }
            GuestRequest::OpenTerminal { rows, columns } => {
                self.fork_helper(id, |client| session::open_terminal(client, rows, columns));
            }
            GuestRequest::Read { path } => self.fork_file_helper(id, |client| files::read(client, &path)),
            GuestRequest::Write { path } => {
                self.fork_file_helper(id, |client| files::write(client, &path, descriptors))
            }
            GuestRequest::Stat { path } => self.fork_file_helper(id, |client| trees::stat(client, &path)),
            GuestRequest::List { path } => self.fork_file_helper(id, |client| trees::list(client, &path)),
            GuestRequest::Pack { path, bytes, entries } => {
                let limits = TreeLimits { bytes, entries };
                self.fork_file_helper(id, |client| trees::pack(client, &path, limits, descriptors))
            }
            GuestRequest::Unpack { path } => {
                self.fork_file_helper(id, |client| trees::unpack(client, &path, descriptors))
            }
            GuestRequest::Listen => self.listen(id),
            GuestRequest::Namespaces => self.hand_out_namespaces(id, GuestReply::Namespaces),
            GuestRequest::Freeze { shells } => {
                self.held.spare = None;
                let frozen = Frozen::freeze(&self.helpers, &shells);
                let (complete, quiet) = (frozen.complete, frozen.quiet);
                self.frozen = Some((frozen, Vec::new()));
                self.hand_out_namespaces(id, GuestReply::Frozen { complete, quiet });
            }
            GuestRequest::Thaw => self.thaw(id),
        }
    }

    fn exec(&mut self, id: u64, command: &Command, streams: Vec<OwnedFd>) {
        if let Some(spare) = self.held.spare.take()
            && let Ok(supervisor) = spare.take_over(&self.control, id, command, &streams)
        {
            self.helpers.insert(supervisor, id);
            return;
        }
        let processes = self.processes;
        self.held.is_forking_commands(true);
        self.fork_helper(id, |client| exec::supervise(client, command, streams, processes));
        self.held.is_forking_commands(false);
    }

    fn listen(&self, id: u64) {
        match listen() {
            Ok(socket) => self.client(id).reply(GuestReply::Listening, &[socket.as_fd()]),
            Err(error) => self.client(id).reply(GuestReply::NotStarted { message: error.to_string() }, &[]),
        }
    }

    fn hand_out_namespaces(&self, id: u64, reply: GuestReply) {
        let namespaces: Vec<BorrowedFd<'_>> = self.held.namespaces.iter().map(OwnedFd::as_fd).collect();
        self.client(id).reply(reply, &namespaces);
    }

    /// Puts off what would start a process while none may run.
    fn unless_it_waits(&mut self, received: Received<GuestRequest>) -> Option<Received<GuestRequest>> {
        let Some((_, waiting)) = &mut self.frozen else { return Some(received) };
        match &received.0.body {
            GuestRequest::Thaw | GuestRequest::Namespaces => return Some(received),
            GuestRequest::Kill { exec } => {
                let put_off = waiting.iter().position(|(request, _)| request.id == *exec);
                let Some(place) = put_off else { return Some(received) };
                let (request, _) = waiting.remove(place);
                let end = End::Signaled(Signal::SIGKILL as i32);
                self.client(request.id).reply(GuestReply::Ended { end, usage: Usage::default() }, &[]);
                self.client(received.0.id).reply(GuestReply::Killed { complete: true }, &[]);
            }
            _ => waiting.push(received),
        }
        None
    }

    fn thaw(&mut self, id: u64) {
        let (frozen, waiting) = self.frozen.take().unzip();
        if let Some(frozen) = frozen {
            frozen.thaw();
        }
        self.client(id).reply(GuestReply::Thawed, &[]);
        for (request, descriptors) in waiting.into_iter().flatten() {
            self.handle(request.id, request.body, descriptors);
        }
    }

    /// Serves a request for files. Whoever stops this helper from inside gains nothing: it is told to go on.
    fn fork_file_helper(&mut self, id: u64, body: impl FnOnce(&Client<'_>)) {
        self.fork_helper(id, body);
        self.file_helpers
            .extend(self.helpers.iter().filter(|(_, request)| **request == id).map(|(pid, _)| *pid));
    }

    /// The process that supervises an exec.
    fn supervisor(&self, exec: u64) -> Option<Pid> {
        self.helpers.iter().find_map(|(pid, id)| (*id == exec).then_some(*pid))
    }

    fn client(&self, request: u64) -> Client<'_> {
        Client::new(&self.control, request)
    }

    /// Serves a request in a process of its own, which replies itself.
    fn fork_helper(&mut self, id: u64, body: impl FnOnce(&Client<'_>)) {
        match sys::fork() {
            Ok(Some(helper)) => {
                self.helpers.insert(helper, id);
            }
            Ok(None) => {
                body(&self.client(id));
                sys::exit_now(0)
            }
            Err(errno) => {
                let message = format!("no process could be made for it: {errno}");
                self.client(id).reply(GuestReply::NotStarted { message }, &[]);
            }
        }
    }

    /// Reaps what has ended, and replies for helpers that were killed from inside before they could.
    fn reap(&mut self) {
        let any = Pid::from_raw(-1);
        while let Ok(status) = waitpid(any, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
            let Some(pid) = status.pid() else { return };
            if let WaitStatus::Stopped(..) = status {
                if self.file_helpers.contains(&pid) {
                    let _ = send_signal(pid, Signal::SIGCONT);
                }
                continue;
            }
            self.file_helpers.remove(&pid);
            let Some(id) = self.helpers.remove(&pid) else { continue };
            let end = match status {
                WaitStatus::Signaled(_, signal, _) => End::Signaled(signal as i32),
                WaitStatus::Exited(_, code) if code != 0 => End::Exited(code),
                _ => continue,
            };
            self.client(id).reply(GuestReply::Ended { end, usage: Usage::default() }, &[]);
        }
    }
}

/// A socket of this network namespace, at the port that proxies usually have. The other end is the owner, which
/// sees nothing else of this network.
fn listen() -> io::Result<TcpListener> {
    const USUAL_PORT: u16 = 3128;
    let at = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    at(USUAL_PORT).or_else(|_| at(0))
}
