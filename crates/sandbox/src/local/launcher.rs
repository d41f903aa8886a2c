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
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::MsgFlags;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Gid, Pid, Uid};

use super::blanks::{Blank, BlankKind, Blanks};
use super::cgroup::{OwnerGroups, SandboxGroups, UsageFiles};
use super::identity::is_privileged;
use super::init::{self, Filter, Surroundings};
use super::leftovers::{DiskFolder, Scratch};
use super::protocol::{
    CreateSpec, Envelope, LauncherReply, LauncherRequest, SetupError, Step, receive, send, socket_pair,
};
use super::sys;
use super::undertaker::{Mounts, Undertaker};
use super::visit::{self, Inherited, Visit};

/// Time without a request after which blanks are made: earlier, they would take the processor from sandboxes that
/// are being used for a moment only. In milliseconds.
const IDLE_MILLIS: u8 = 10;

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
    /// Visitors, and the sandbox that they are in.
    visitors: HashMap<Pid, u64>,
    /// Processes that remove folders, and the request that waits for their end.
    removers: HashMap<Pid, Option<u64>>,
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
    /// Folders that it writes into or reads, its ancestors' included.
    disks: Vec<Rc<DiskFolder>>,
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
            visitors: HashMap::new(),
            removers: HashMap::new(),
            blanks: Blanks::new(),
            blanks_made: 0,
            // Without it, destroying only takes longer.
            undertaker: Undertaker::start().ok(),
        };
        launcher.reply(id, LauncherReply::Begun { unenforced, no_filter });
        Ok(launcher)
    }

    fn serve(&mut self) -> io::Result<()> {
        // Where it cannot be had, whoever cleans up after this owner only does not wait.
        let _lock = self.scratch.lock();
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
        match self.blanks.wanted() {
            Some(kind) => match self.fork_blank(kind) {
                Ok(blank) => self.blanks.add(blank),
                Err(_) => self.blanks.give_up(),
            },
            None => self.blanks.dismiss(),
        }
    }

    fn fork_blank(&mut self, kind: BlankKind) -> Result<Blank, SetupError> {
        let (socket, theirs) = socket_pair().step("make socket")?;
        self.blanks_made += 1;
        let (template, extent) = (&kind.template, kind.extent());
        let (pid, groups) =
            self.fork_init(&format!("blank-{}", self.blanks_made), template, |surroundings| {
                init::run_blank(theirs, template, extent, surroundings)
            })?;
        Ok(Blank { pid, groups, socket, layers: kind.layers })
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
            LauncherRequest::Visit { sandbox, visit } => {
                let reply = match self.visit(sandbox, visit, descriptors) {
                    Ok(()) => LauncherReply::Visiting,
                    Err(error) => LauncherReply::Failed(error),
                };
                self.reply(request.id, reply);
            }
            LauncherRequest::Begin { .. } => {}
        }
        Ok(true)
    }

    fn reply(&self, id: u64, body: LauncherReply) {
        // An owner that cannot be told anything is gone, which the next round sees.
        let _ = send(self.owner.as_fd(), &Envelope { id, body }, &[] as &[BorrowedFd<'_>], MsgFlags::empty());
    }

    /// Forks a sandbox. Returns where the kernel tells what it has used.
    fn create(&mut self, mut spec: CreateSpec, descriptors: Vec<OwnedFd>) -> Result<UsageFiles, SetupError> {
        let work = spec.upper.as_ref().map(|(_, work)| work.clone());
        if let Some(work) = &work {
            self.scratch.make_work_folder(spec.sandbox, work).step("make work folder")?;
        }
        let disks = self.disks(&mut spec)?;
        let (pid, groups) = match self.start(&spec, descriptors) {
            Ok(started) => started,
            Err(error) => {
                self.remove_folders(&spec, disks, work.as_deref());
                return Err(error);
            }
        };
        let usage = groups.usage.clone();
        let running =
            Running { sandbox: spec.sandbox, groups, work, disks, destroyed_by: None, mounts: None };
        self.running.insert(pid, running);
        Ok(usage)
    }

    /// Lets a blank become the sandbox, or else forks one.
    fn start(
        &mut self,
        spec: &CreateSpec,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(Pid, SandboxGroups), SetupError> {
        while let Some(blank) = self.blanks.take(spec) {
            match blank.become_sandbox(spec, &descriptors) {
                Ok(()) => return Ok((blank.pid, blank.groups)),
                Err(_) => self.blanks.discard(blank),
            }
        }
        self.fork_init(&spec.sandbox.to_string(), spec, |surroundings| {
            init::run(descriptors, spec, surroundings)
        })
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
                    filter: self.filter.as_ref(),
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

    fn remove_folders(&self, spec: &CreateSpec, disks: Vec<Rc<DiskFolder>>, work: Option<&Path>) {
        if let Some(work) = work {
            self.scratch.remove_work_folder(spec.sandbox, work);
        }
        disks.into_iter().filter_map(Rc::into_inner).for_each(|disk| disk.remove());
    }

    /// Makes the folder that the sandbox writes into, where it does, and holds on to those of its ancestors.
    fn disks(&self, spec: &mut CreateSpec) -> Result<Vec<Rc<DiskFolder>>, SetupError> {
        let mut disks = Vec::new();
        if let Inherited::Fork { parent, .. } = &spec.inherited {
            let parent = self.running.values().find(|running| running.sandbox == *parent);
            disks.clone_from(&parent.ok_or("it is gone").step("find the parent")?.disks);
        }
        if let Some(below) = &spec.disk {
            let step = || format!("make a folder in `{}`", below.display());
            let disk = self.scratch.make_disk_folder(spec.sandbox, below).step(step())?;
            spec.disk = Some(disk.path.clone());
            disks.push(Rc::new(disk));
        }
        Ok(disks)
    }

    /// Forks a visitor. It answers the owner itself.
    fn visit(&mut self, sandbox: u64, visit: Visit, descriptors: Vec<OwnedFd>) -> Result<(), SetupError> {
        let launcher = Pid::this();
        match sys::fork().step("make a process")? {
            None => visit::run(&visit, descriptors, self.privileged, launcher),
            Some(pid) => {
                self.visitors.insert(pid, sandbox);
                Ok(())
            }
        }
    }

    fn destroy(&mut self, request: u64, sandbox: u64) {
        for (visitor, _) in self.visitors.iter().filter(|(_, visited)| **visited == sandbox) {
            let _ = kill(*visitor, Signal::SIGKILL);
        }
        match self.running.iter_mut().find(|(_, running)| running.sandbox == sandbox) {
            Some((pid, running)) => {
                running.destroyed_by = Some(request);
                // A folder of the host may be used for something else once it is no longer mounted, and one that
                // goes with its sandbox gives its room back then.
                let nobody_waits = running.work.is_none() && running.disks.is_empty();
                running.mounts = Mounts::of(*pid).ok().filter(|_| nobody_waits);
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
        self.visitors.remove(&pid);
        if let Some(Some(request)) = self.removers.remove(&pid) {
            self.reply(request, LauncherReply::Destroyed);
        }
        if let Some(groups) = self.blanks.forget(pid) {
            groups.remove();
        }
        let Some(running) = self.running.remove(&pid) else {
            return;
        };
        if let (Some(undertaker), Some(mounts)) = (&self.undertaker, running.mounts) {
            undertaker.take(mounts);
        }
        if let Some(work) = &running.work {
            self.scratch.remove_work_folder(running.sandbox, work);
        }
        let disks: Vec<DiskFolder> = running.disks.into_iter().filter_map(Rc::into_inner).collect();
        self.remove_disks(&disks, running.destroyed_by);
        // The kernel takes its time, and nobody can use empty groups: no reason to wait for it.
        running.groups.remove();
    }

    /// Removes folders in a process of its own: they may hold any number of files.
    fn remove_disks(&mut self, disks: &[DiskFolder], destroyed_by: Option<u64>) {
        let forked = if disks.is_empty() { Err(Errno::ECANCELED) } else { sys::fork() };
        match forked {
            Ok(Some(remover)) => {
                self.removers.insert(remover, destroyed_by);
            }
            Ok(None) => {
                disks.iter().for_each(DiskFolder::remove);
                sys::exit_now(0)
            }
            Err(_) => {
                disks.iter().for_each(DiskFolder::remove);
                if let Some(request) = destroyed_by {
                    self.reply(request, LauncherReply::Destroyed);
                }
            }
        }
    }

    fn end_all(&mut self) {
        self.blanks.dismiss();
        // It is a child too, and ends when it has let go of everything.
        self.undertaker = None;
        for pid in self.running.keys().chain(self.visitors.keys()) {
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
