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
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::MsgFlags;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Gid, Pid, Uid};

use super::blanks::{Blank, Blanks};
use super::cgroup::{OwnerGroups, SandboxGroups, UsageFiles};
use super::identity::is_privileged;
use super::init::{self, Surroundings};
use super::leftovers::Scratch;
use super::protocol::{
    CreateSpec, Envelope, LauncherReply, LauncherRequest, SetupError, Step, receive, send, socket_pair,
};
use super::sys;
use super::undertaker::{Mounts, Undertaker};

/// Time without a request after which blanks are made: earlier, they would take the processor from sandboxes that
/// are being used. In milliseconds.
const IDLE_MILLIS: u8 = 3;

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
    running: HashMap<Pid, Running>,
    blanks: Blanks,
    /// Blanks made so far.
    blanks_made: u64,
    undertaker: Option<Undertaker>,
}

/// A sandbox, by its process 1.
struct Running {
    sandbox: u64,
    groups: SandboxGroups,
    work: Option<PathBuf>,
    /// The request that waits for its end.
    destroyed_by: Option<u64>,
    /// Its mounts, where nobody waits for them to be gone.
    mounts: Option<Mounts>,
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
        let launcher = Self {
            owner,
            signals,
            scratch: Scratch::at(scratch),
            groups,
            privileged: is_privileged(),
            ids: (Uid::effective().as_raw(), Gid::effective().as_raw()),
            running: HashMap::new(),
            blanks: Blanks::new(),
            blanks_made: 0,
            // Without it, destroying only takes longer.
            undertaker: Undertaker::start().ok(),
        };
        launcher.reply(id, LauncherReply::Begun { unenforced });
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
            match poll(&mut ready, self.idle_time()) {
                Ok(0) => {
                    self.use_idle_time();
                    continue;
                }
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

    /// After how much time without anything asked there is something to do about blanks.
    fn idle_time(&self) -> PollTimeout {
        match self.blanks.wanted() {
            Some(_) => PollTimeout::from(IDLE_MILLIS),
            // One more millisecond, for what is left is rounded down.
            None => self.blanks.patience().map_or(PollTimeout::NONE, |left| {
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            }),
        }
    }

    fn use_idle_time(&mut self) {
        match self.blanks.wanted().cloned() {
            Some(template) => match self.fork_blank(&template) {
                Ok(blank) => self.blanks.add(blank),
                Err(_) => self.blanks.give_up(),
            },
            None => self.blanks.dismiss(),
        }
    }

    fn fork_blank(&mut self, template: &CreateSpec) -> Result<Blank, SetupError> {
        let (socket, theirs) = socket_pair().step("make socket")?;
        self.blanks_made += 1;
        let (pid, groups) =
            self.fork_init(&format!("blank-{}", self.blanks_made), template, |surroundings| {
                init::run_blank(theirs, template, surroundings)
            })?;
        Ok(Blank { pid, groups, socket })
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
        let (pid, groups) = match self.start(&spec, control) {
            Ok(started) => started,
            Err(error) => {
                self.remove_work(spec.sandbox, work.as_deref());
                return Err(error);
            }
        };
        let usage = groups.usage.clone();
        let running = Running { sandbox: spec.sandbox, groups, work, destroyed_by: None, mounts: None };
        self.running.insert(pid, running);
        Ok(usage)
    }

    /// Lets a blank become the sandbox, or else forks one.
    fn start(&mut self, spec: &CreateSpec, control: OwnedFd) -> Result<(Pid, SandboxGroups), SetupError> {
        while let Some(blank) = self.blanks.take(spec) {
            match blank.become_sandbox(spec, &control) {
                Ok(()) => return Ok((blank.pid, blank.groups)),
                Err(_) => self.blanks.discard(blank),
            }
        }
        self.fork_init(&spec.sandbox.to_string(), spec, |surroundings| init::run(control, spec, surroundings))
    }

    /// Forks a process 1, with new groups of this name, that runs `body`.
    fn fork_init(
        &self,
        name: &str,
        spec: &CreateSpec,
        body: impl FnOnce(&Surroundings<'_>),
    ) -> Result<(Pid, SandboxGroups), SetupError> {
        let groups = self.groups.add(name, spec)?;
        match sys::fork_into(namespaces(self.privileged, spec.host_network)).step("make namespaces") {
            Ok(Some(pid)) => Ok((pid, groups)),
            Ok(None) => {
                let mount_point = self.scratch.mount_point();
                let surroundings = Surroundings {
                    mount_point: &mount_point,
                    groups: &groups,
                    privileged: self.privileged,
                    ids: self.ids,
                };
                body(&surroundings);
                sys::exit_now(0)
            }
            Err(error) => {
                groups.remove();
                Err(error)
            }
        }
    }

    fn destroy(&mut self, request: u64, sandbox: u64) {
        match self.running.iter_mut().find(|(_, running)| running.sandbox == sandbox) {
            Some((pid, running)) => {
                running.destroyed_by = Some(request);
                // A folder of the host may be used for something else once it is no longer mounted.
                running.mounts = Mounts::of(*pid).ok().filter(|_| running.work.is_none());
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
        if let Some(groups) = self.blanks.forget(pid) {
            groups.remove();
        }
        let Some(running) = self.running.remove(&pid) else {
            return;
        };
        running.groups.remove();
        if let (Some(undertaker), Some(mounts)) = (&self.undertaker, running.mounts) {
            undertaker.take(mounts);
        }
        self.remove_work(running.sandbox, running.work.as_deref());
        if let Some(request) = running.destroyed_by {
            self.reply(request, LauncherReply::Destroyed);
        }
    }

    fn remove_work(&self, sandbox: u64, work: Option<&Path>) {
        if let Some(work) = work {
            self.scratch.remove_work_folder(sandbox, work);
        }
    }

    fn end_all(&mut self) {
        self.blanks.dismiss();
        // It is a child too, and ends when it has let go of everything.
        self.undertaker = None;
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
