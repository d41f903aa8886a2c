//! Process 1 of a sandbox: sets it up, then starts commands and opens files for the owner.
//!
//! What runs inside is hostile, so init itself never waits for it: whatever can block is done by a process of
//! its own. Init gives up every privilege before the first command, and cannot be traced or killed from inside.

mod blank;
mod exec;
mod files;
mod kill;
mod mounts;
mod privileges;
mod serve;
mod skeleton;

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, socket};
use nix::sys::stat::Mode;

use super::cgroup::SandboxGroups;
use super::protocol::{CreateSpec, Envelope, GuestReply, SetupError, Step, send};
use super::sys;

pub(crate) use blank::run_blank;
pub(crate) use mounts::STEP_OVERLAY;
pub(crate) use mounts::STEP_PROC;

/// What a sandbox needs to know of the launcher that forks it.
pub(crate) struct Surroundings<'a> {
    /// An empty folder of the host to mount things on.
    pub(crate) mount_point: &'a Path,
    pub(crate) groups: &'a SandboxGroups,
    /// Whether the launcher may do what needs root.
    pub(crate) privileged: bool,
    /// User and group of the launcher.
    pub(crate) ids: (u32, u32),
}

/// Sets the sandbox up in the new namespaces this process is in, and serves its owner until the end.
pub(crate) fn run(control: OwnedFd, spec: &CreateSpec, surroundings: &Surroundings<'_>) -> ! {
    if let Ok(control) = sys::keep_only(control) {
        let beginnings = begin(spec, surroundings);
        serve_as(control, spec, surroundings, beginnings);
    }
    sys::exit_now(0)
}

/// Finishes what was begun, says so, and serves the owner until the end.
fn serve_as(
    control: OwnedFd,
    spec: &CreateSpec,
    surroundings: &Surroundings<'_>,
    beginnings: Result<Beginnings, SetupError>,
) {
    let finished = beginnings.and_then(|beginnings| finish(spec, surroundings, beginnings));
    let (reply, oom_score, listener) = match finished {
        Ok((oom_score, listener)) => (GuestReply::Ready, Some(oom_score), listener),
        Err(error) => (GuestReply::Failed(error), None, None),
    };
    let listening: Vec<BorrowedFd<'_>> = listener.iter().map(AsFd::as_fd).collect();
    let sent = send(control.as_fd(), &Envelope { id: 0, body: reply }, &listening, MsgFlags::empty());
    // From here on it is the owner's alone.
    drop(listener);
    if let (Ok(()), Some(oom_score)) = (sent, oom_score) {
        serve::serve(control, oom_score, spec.processes);
    }
}

/// A sandbox in which everything is set up that does not follow from its image.
struct Beginnings {
    /// The file that says how ready init is to be killed for memory.
    oom_score: File,
    root: mounts::Prepared,
    /// The socket of the owner's proxy.
    listener: Option<TcpListener>,
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
    let listener = if spec.proxy { Some(listen().step("open the socket of the proxy")?) } else { None };
    let user_namespace = match surroundings.privileged {
        true => Some(privileges::make_user_namespace(Path::new("proc")).step("map user ids")?),
        false => None,
    };
    Ok(Beginnings { oom_score, root, listener, user_namespace })
}

/// Completes the file system and gives up every privilege. Returns the file that says how ready init is to be
/// killed for memory, and the socket of the owner's proxy.
fn finish(
    spec: &CreateSpec,
    surroundings: &Surroundings<'_>,
    beginnings: Beginnings,
) -> Result<(File, Option<TcpListener>), SetupError> {
    let sysctls = mounts::finish_root(spec, surroundings, beginnings.root)?;
    if let Some(namespace) = beginnings.user_namespace {
        privileges::become_sandbox_user(&namespace).step("map user ids")?;
    }
    privileges::give_up(&sysctls)?;
    Ok((beginnings.oom_score, beginnings.listener))
}

/// A socket of this network namespace, at the port that proxies usually have. The other end is the owner, which
/// sees nothing else of this network.
fn listen() -> io::Result<TcpListener> {
    const USUAL_PORT: u16 = 3128;
    let at = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    at(USUAL_PORT).or_else(|_| at(0))
}

/// Cuts the ties to the launcher: its session, its streams and its signal handling.
fn detach() -> Result<(), SetupError> {
    nix::unistd::setsid().step("start session")?;
    SigSet::from(Signal::SIGCHLD).thread_set_mask().step("block signals")?;
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).step("open /dev/null")?;
    nix::unistd::dup2_stdin(&null).step("close stdin")?;
    nix::unistd::dup2_stdout(&null).step("close stdout")?;
    nix::unistd::dup2_stderr(&null).step("close stderr")
}
