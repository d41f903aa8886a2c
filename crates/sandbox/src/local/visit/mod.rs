//! Visitors: processes that the launcher forks to do what a sandbox may not do to itself.
//!
//! A visitor moves into the mount namespace of a sandbox (and, of an ordinary user, first into its user
//! namespace, where it then may do everything), does one thing there, and answers its owner directly. It is no
//! process of the sandbox: nothing inside sees it. It reads what hostile programs have made, so it follows no
//! link, is killed when it takes too long, and ends when the launcher does.

mod changes;
mod checkpoint;
mod fork;
mod request;
mod switch;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::socket::MsgFlags;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, getppid};

pub(super) use changes::read as read_changes;
pub(crate) use request::{ForkPlan, Inherited, Visit, VisitReply};

use super::layout::Stack;
use super::protocol::{Envelope, SetupError, Step, send};
use super::sys;

/// How long a visit may take, in seconds.
pub(super) const SECONDS: u32 = 120;

/// Where a visitor is.
struct Place {
    /// The mount namespace of the sandbox.
    mounts: OwnedFd,
    /// This process in the host's `/proc`, which is out of sight here.
    process: OwnedFd,
    privileged: bool,
}

/// Makes this process, forked a moment ago by the launcher, a visitor. The descriptors are the socket to answer
/// on, the mount and the user namespace of the sandbox, and what the visit is about.
pub(super) fn run(visit: &Visit, descriptors: Vec<OwnedFd>, privileged: bool, launcher: Pid) -> ! {
    if let Ok(descriptors) = sys::keep_only(descriptors) {
        let mut descriptors = descriptors.into_iter();
        if let Some(owner) = descriptors.next() {
            let answered = match answer(visit, descriptors, privileged, launcher) {
                Ok(answer) => tell(&owner, &answer.reply, answer.descriptor.as_ref()).map(|()| answer.held),
                Err(error) => tell(&owner, &VisitReply::Failed(error), None).map(|()| None),
            };
            sys::exit_now(i32::from(answered.is_err()));
        }
    }
    sys::exit_now(1)
}

fn tell(owner: &OwnedFd, body: &VisitReply, descriptor: Option<&OwnedFd>) -> std::io::Result<()> {
    let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().map(OwnedFd::as_fd).collect();
    send(owner.as_fd(), &Envelope { id: 0, body }, &descriptors, MsgFlags::empty())
}

/// What the owner is told.
struct Answer {
    reply: VisitReply,
    /// Goes with the reply.
    descriptor: Option<OwnedFd>,
    /// Let go of only after the reply.
    held: Option<OwnedFd>,
}

impl Answer {
    fn new(reply: VisitReply, descriptor: Option<OwnedFd>) -> Self {
        Self { reply, descriptor, held: None }
    }
}

fn answer(
    visit: &Visit,
    mut descriptors: impl Iterator<Item = OwnedFd>,
    privileged: bool,
    launcher: Pid,
) -> Result<Answer, SetupError> {
    let mut next = || descriptors.next().ok_or("it did not come").step("receive a descriptor");
    let (mounts, users) = (next()?, next()?);
    super::init::detach()?;
    let place = enter(mounts, &users, privileged)?;
    // Reset by a change of ids, so it comes last; the launcher may be gone already.
    prctl::set_pdeathsig(Signal::SIGKILL).step("die with the launcher")?;
    if getppid() != launcher {
        sys::exit_now(1);
    }
    nix::unistd::alarm::set(SECONDS);
    match visit {
        Visit::Fork { quiet } => fork::fork(*quiet, &place),
        Visit::Changes => Ok(Answer::new(VisitReply::Compared, Some(changes::list(&place)?.into()))),
        Visit::Checkpoint => {
            let target = next()?;
            let uppers = checkpoint::write(&target, privileged)?;
            Ok(Answer::new(VisitReply::Written { uppers }, None))
        }
    }
}

/// Moves into the sandbox; its tmpfs becomes root and working directory.
fn enter(mounts: OwnedFd, users: &OwnedFd, privileged: bool) -> Result<Place, SetupError> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let process = open("/proc/self", flags, Mode::empty()).step("open /proc/self")?;
    if !privileged {
        setns(users, CloneFlags::CLONE_NEWUSER).step("enter the user namespace")?;
    }
    let place = Place { mounts, process, privileged };
    place.go_to_tmpfs()?;
    Ok(place)
}

impl Place {
    fn go_to_tmpfs(&self) -> Result<(), SetupError> {
        setns(&self.mounts, CloneFlags::CLONE_NEWNS).step("enter the mount namespace")?;
        nix::unistd::chdir("/").step("enter the tmpfs")
    }

    /// From here on what this process mounts is seen by itself alone, and gone with it.
    fn keep_mounts_private() -> Result<(), SetupError> {
        unshare(CloneFlags::CLONE_NEWNS).step("make a mount namespace")
    }

    /// Mount points of the namespace, as seen from the tmpfs.
    fn mount_info(&self) -> std::io::Result<Vec<u8>> {
        use std::io::Read;
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = nix::fcntl::openat(&self.process, "mountinfo", flags, Mode::empty())?;
        let mut text = Vec::new();
        File::from(file).read_to_end(&mut text)?;
        Ok(text)
    }
}

fn stack() -> Result<Stack, SetupError> {
    Stack::read().step("find the layers")
}

fn open_layer(path: &str) -> Result<OwnedFd, SetupError> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty()).step(format!("open layer `{path}`"))
}
