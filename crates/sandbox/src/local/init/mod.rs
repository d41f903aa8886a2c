//! Process 1 of a sandbox: sets it up, then starts commands and opens files for the owner.
//!
//! What runs inside is hostile, so init itself never waits for it: whatever can block is done by a process of
//! its own. Init gives up every privilege before the first command, and cannot be traced or killed from inside.

mod blank;
mod exec;
mod files;
mod freeze;
mod kill;
mod landlock;
mod mounts;
mod privileges;
mod seccomp;
pub(crate) mod serve;
mod session;
mod skeleton;
mod spare;
mod syscalls;
mod trees;

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, socket};
use nix::sys::stat::Mode;

use super::cgroup::SandboxGroups;
use super::protocol::{CreateSpec, Envelope, GuestReply, SetupError, Step, send};
use super::sys;

pub(crate) use blank::{Extent, run_blank};
pub(crate) use landlock::{Support as LandlockSupport, support as landlock_support};
pub(crate) use mounts::STEP_OVERLAY;
pub(crate) use mounts::STEP_PROC;
pub(crate) use seccomp::Filter;
use spare::Spare;

const STEP_FILTER: &str = "install the filter of system calls";

const COMMAND_OOM_SCORE: &[u8] = b"500";
const OWN_OOM_SCORE: &[u8] = b"0";

/// What a sandbox needs to know of the launcher that forks it.
pub(crate) struct Surroundings<'a> {
    /// An empty folder of the host to mount things on.
    pub(crate) mount_point: &'a Path,
    pub(crate) groups: &'a SandboxGroups,
    /// Whether the launcher may do what needs root.
    pub(crate) privileged: bool,
    /// User and group of the launcher.
    pub(crate) ids: (u32, u32),
    /// `None` where the kernel has none.
    pub(crate) filter: Option<&'a Filter>,
}

/// Sets the sandbox up in the new namespaces this process is in, and serves its owner until the end.
///
/// The descriptors are its end of the control socket and, of a fork, the family of its parent.
pub(crate) fn run(descriptors: Vec<OwnedFd>, spec: &CreateSpec, surroundings: &Surroundings<'_>) -> ! {
    let mut kept = sys::keep_only(descriptors).unwrap_or_default().into_iter();
    if let Some(control) = kept.next() {
        let beginnings = begin(spec, surroundings);
        let finished = beginnings.and_then(|it| finish(spec, kept.next(), surroundings, it));
        serve_as(control, finished, spec.processes);
    }
    sys::exit_now(0)
}

/// What init keeps, because it could not get it any more.
pub(crate) struct Held {
    /// The file that says how ready init is to be killed for memory.
    oom_score: File,
    /// Its mount and its user namespace, for visitors; none in a container.
    namespaces: Vec<OwnedFd>,
    /// Who supervises the first command, where that was forked ahead.
    spare: Option<Spare>,
}

impl Held {
    pub(crate) fn new(oom_score: File, namespaces: Vec<OwnedFd>) -> Self {
        Self { oom_score, namespaces, spare: None }
    }

    /// Whether what is forked now is killed for memory before init is, without which the sandbox is gone.
    fn is_forking_commands(&mut self, commands: bool) {
        let _ = self.oom_score.write_all(if commands { COMMAND_OOM_SCORE } else { OWN_OOM_SCORE });
    }
}

/// Says how the set-up went, and serves the owner until the end.
fn serve_as(control: OwnedFd, finished: Result<Held, SetupError>, processes: u64) {
    let (reply, held) = match finished {
        Ok(held) => (GuestReply::Ready, Some(held)),
        Err(error) => (GuestReply::Failed(error), None),
    };
    let sent = send(control.as_fd(), &Envelope { id: 0, body: reply }, &[], MsgFlags::empty());
    if let (Ok(()), Some(held)) = (sent, held) {
        serve::serve(control, held, processes);
    }
}

/// A sandbox in which everything is set up that does not follow from its image.
struct Beginnings {
    /// The file that says how ready init is to be killed for memory.
    oom_score: File,
    root: mounts::Prepared,
    /// In which the sandbox's root is an unprivileged id of the host; none where that is so already.
    user_namespace: Option<OwnedFd>,
}

/// Does what [`finish`] need not do.
fn begin(spec: &CreateSpec, surroundings: &Surroundings<'_>) -> Result<Beginnings, SetupError> {
    detach()?;
    surroundings.groups.join().step("join cgroup")?;
    if !surroundings.privileged {
        privileges::map_own_ids(surroundings.ids).step("map user ids")?;
    }
    // Only hides the names of the groups, and kernels may lack it.
    let _ = unshare(CloneFlags::CLONE_NEWCGROUP);
    let oom_score =
        File::options().write(true).open("/proc/self/oom_score_adj").step("open oom_score_adj")?;
    let root = mounts::prepare_root(spec, surroundings)?;
    nix::unistd::sethostname("sandbox").step("set host name")?;
    if !spec.host_network {
        let probe = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
        sys::set_loopback_up(probe.step("open socket")?.as_fd()).step("set loopback up")?;
    }
    let user_namespace = match surroundings.privileged {
        true => Some(privileges::make_user_namespace(Path::new("proc")).step("map user ids")?),
        false => None,
    };
    prctl::set_no_new_privs().step("set no_new_privs")?;
    // Installing a filter takes as long as mounting a file tree, so what can be done ahead is.
    surroundings.filter.map_or(Ok(()), Filter::install_arguments).step(STEP_FILTER)?;
    Ok(Beginnings { oom_score, root, user_namespace })
}

/// Completes the file system and gives up every privilege.
fn finish(
    spec: &CreateSpec,
    family: Option<OwnedFd>,
    surroundings: &Surroundings<'_>,
    beginnings: Beginnings,
) -> Result<Held, SetupError> {
    let sysctls = mounts::finish_root(spec, family, surroundings, beginnings.root)?;
    if let Some(namespace) = beginnings.user_namespace {
        privileges::become_sandbox_user(&namespace).step("map user ids")?;
    }
    let namespace = |name: &str| {
        let opened = open(name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        opened.step(format!("open `{name}`"))
    };
    let namespaces = vec![namespace("/proc/self/ns/mnt")?, namespace("/proc/self/ns/user")?];
    mounts::enter_root().step("enter root")?;
    privileges::give_up(&sysctls)?;
    landlock::confine().step("enter a Landlock domain")?;
    // The last step: what came before needs calls that it refuses.
    surroundings.filter.map_or(Ok(()), Filter::install_numbers).step(STEP_FILTER)?;
    Ok(Held::new(beginnings.oom_score, namespaces))
}

/// Cuts the ties to the launcher: its session, its streams and its signal handling.
pub(super) fn detach() -> Result<(), SetupError> {
    nix::unistd::setsid().step("start session")?;
    cut_off()
}

/// Cuts the ties to whoever started this process, but for its session.
pub(crate) fn cut_off() -> Result<(), SetupError> {
    SigSet::from(Signal::SIGCHLD).thread_set_mask().step("block signals")?;
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).step("open /dev/null")?;
    nix::unistd::dup2_stdin(&null).step("close stdin")?;
    nix::unistd::dup2_stdout(&null).step("close stdout")?;
    nix::unistd::dup2_stderr(&null).step("close stderr")
}
