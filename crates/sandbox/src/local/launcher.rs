//! The launcher: a small process with one thread that forks the sandboxes of one owner.
//!
//! It keeps nothing but the list of them. It kills them all when its owner is gone, however that ended, and
//! they die with it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::MsgFlags;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Gid, Pid, Uid};

use super::cgroup::{OwnerGroups, SandboxGroups, UsageFiles};
use super::identity::is_privileged;
use super::init::{self, Filter, Surroundings};
use super::leftovers::Scratch;
use super::protocol::{
    CreateSpec, Envelope, LauncherReply, LauncherRequest, SetupError, Step, receive, send,
};
use super::sys;

/// Runs the launcher; its owner is at the other end of standard input. The calling process must have one thread.
pub fn launcher_main() -> ExitCode {
    match Launcher::begin().and_then(|mut launcher| launcher.serve()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

struct Launcher {
    owner: OwnedFd,
    signals: SignalFd,
    scratch: Scratch,
    groups: OwnerGroups,
    privileged: bool,
    ids: (u32, u32),
    filter: Option<Filter>,
    running: HashMap<Pid, Running>,
}

/// A sandbox, by its process 1.
struct Running {
    sandbox: u64,
    groups: SandboxGroups,
    work: Option<PathBuf>,
    /// The request that waits for its end.
    destroyed_by: Option<u64>,
}

impl Launcher {
    fn begin() -> io::Result<Self> {
        // A terminal's interrupt is for the owner, which then ends the sandboxes in order.
        let _ = nix::unistd::setsid();
        let owner = io::stdin().as_fd().try_clone_to_owned()?;
        let signals = SigSet::from(Signal::SIGCHLD);
        signals.thread_block()?;
        let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let first = receive(owner.as_fd(), MsgFlags::empty())?;
        let Some((Envelope { id, body: LauncherRequest::Begin { owner: name, scratch } }, _)) = first else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let groups = OwnerGroups::make(&name);
        let unenforced = groups.unenforced.clone();
        let (filter, no_filter) = match Filter::compile() {
            Ok(filter) => (Some(filter), None),
            Err(reason) => (None, Some(format!("the filter of system calls is not enforced: {reason}"))),
        };
        let launcher = Self {
            owner,
            signals,
            scratch: Scratch::at(scratch),
            groups,
            privileged: is_privileged(),
            ids: (Uid::effective().as_raw(), Gid::effective().as_raw()),
            filter,
            running: HashMap::new(),
        };
        launcher.reply(id, LauncherReply::Begun { unenforced, no_filter });
        Ok(launcher)
    }

    fn serve(&mut self) -> io::Result<()> {
        let served = self.serve_until_owner_is_gone();
        self.end_all();
        served
    }

    fn serve_until_owner_is_gone(&mut self) -> io::Result<()> {
        loop {
            let mut ready = [
                PollFd::new(self.owner.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let asked = ready[0].any() == Some(true);
            while let Ok(Some(_)) = self.signals.read_signal() {}
            self.reap();
            if asked && !self.take_request()? {
                return Ok(());
            }
        }
    }

    /// Returns whether the owner is still there.
    fn take_request(&mut self) -> io::Result<bool> {
        let received = receive::<LauncherRequest>(self.owner.as_fd(), MsgFlags::empty())?;
        let Some((request, descriptors)) = received else {
            return Ok(false);
        };
        match request.body {
            LauncherRequest::Create(spec) => {
                let reply = match self.create(*spec, descriptors) {
                    Ok(usage) => LauncherReply::Created { usage },
                    Err(error) => LauncherReply::Failed(error),
                };
                self.reply(request.id, reply);
            }
            LauncherRequest::Destroy { sandbox } => self.destroy(request.id, sandbox),
            LauncherRequest::Begin { .. } => {}
        }
        Ok(true)
    }

    fn reply(&self, id: u64, body: LauncherReply) {
        // An owner that cannot be told anything is gone, which the next round sees.
        let _ = send(self.owner.as_fd(), &Envelope { id, body }, &[] as &[BorrowedFd<'_>], MsgFlags::empty());
    }

    /// Forks a sandbox. Returns where the kernel tells what it has used.
    fn create(&mut self, spec: CreateSpec, descriptors: Vec<OwnedFd>) -> Result<UsageFiles, SetupError> {
        let control =
            descriptors.into_iter().next().ok_or("it did not come").step("receive control socket")?;
        let work = spec.upper.as_ref().map(|(_, work)| work.clone());
        if let Some(work) = &work {
            self.scratch.make_work_folder(spec.sandbox, work).step("make work folder")?;
        }
        let groups = self.groups.add(&spec)?;
        let forked = sys::fork_into(namespaces(self.privileged, spec.host_network)).step("make namespaces");
        let pid = match forked {
            Ok(Some(pid)) => pid,
            Ok(None) => {
                let mount_point = self.scratch.mount_point();
                let surroundings = Surroundings {
                    mount_point: &mount_point,
                    groups: &groups,
                    privileged: self.privileged,
                    ids: self.ids,
                    filter: self.filter.as_ref(),
                };
                init::run(control, &spec, &surroundings)
            }
            Err(error) => {
                self.clean_up(spec.sandbox, &groups, work.as_deref());
                return Err(error);
            }
        };
        let usage = groups.usage.clone();
        let running = Running { sandbox: spec.sandbox, groups, work, destroyed_by: None };
        self.running.insert(pid, running);
        Ok(usage)
    }

    fn destroy(&mut self, request: u64, sandbox: u64) {
        match self.running.iter_mut().find(|(_, running)| running.sandbox == sandbox) {
            Some((pid, running)) => {
                running.destroyed_by = Some(request);
                let _ = kill(*pid, Signal::SIGKILL);
                running.groups.kill();
            }
            None => self.reply(request, LauncherReply::Destroyed),
        }
    }

    fn reap(&mut self) {
        while let Ok(status) = waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            let Some(pid) = status.pid() else { return };
            self.forget(pid);
        }
    }

    /// Process 1 is gone, and with it every process and mount of the sandbox: removes the rest.
    fn forget(&mut self, pid: Pid) {
        let Some(running) = self.running.remove(&pid) else {
            return;
        };
        self.clean_up(running.sandbox, &running.groups, running.work.as_deref());
        if let Some(request) = running.destroyed_by {
            self.reply(request, LauncherReply::Destroyed);
        }
    }

    fn clean_up(&self, sandbox: u64, groups: &SandboxGroups, work: Option<&Path>) {
        groups.remove();
        if let Some(work) = work {
            self.scratch.remove_work_folder(sandbox, work);
        }
    }

    fn end_all(&mut self) {
        for pid in self.running.keys() {
            let _ = kill(*pid, Signal::SIGKILL);
        }
        while let Ok(status) = waitpid(Pid::from_raw(-1), None) {
            if let Some(pid) = status.pid() {
                self.forget(pid);
            }
        }
        self.groups.remove();
        let _ = fs::remove_dir_all(self.scratch.folder());
    }
}

fn namespaces(privileged: bool, host_network: bool) -> CloneFlags {
    let mut flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    flags.set(CloneFlags::CLONE_NEWUSER, !privileged);
    flags.set(CloneFlags::CLONE_NEWNET, !host_network);
    flags
}
