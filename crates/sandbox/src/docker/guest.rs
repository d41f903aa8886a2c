//! Process 1 of a container: our program, which serves its owner as the init of the `local` backend does.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::ExitCode;

use nix::sys::prctl;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, socket};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Uid;

use super::control::SOCKET;
use super::kit::{CONTROL, INSIDE};
use crate::local::init::{Filter, Held, cut_off, serve::serve};
use crate::local::protocol::{Envelope, GuestReply, SetupError, Step, send};
use crate::local::sys;

/// In a container all processes of a user of the host are counted together, so only the daemon can limit them.
const PROCESSES: u64 = u64::MAX;
const OWNER_MAY_WRITE: u32 = 0o200;

/// Runs in a container as process 1, and ends when its owner does. Commands run in `workdir`, which is made.
/// The calling process must have one thread.
///
/// # Errors
/// When the owner cannot be reached; what happens after that is told to the owner.
pub fn guest_main(workdir: &Path) -> io::Result<ExitCode> {
    let control = connect_to_owner()?;
    let control = sys::keep_only(vec![control])?.pop().ok_or(io::ErrorKind::NotFound)?;
    let (reply, held) = match set_up(workdir) {
        Ok(oom_score) => (GuestReply::Ready, Some(Held::new(oom_score, Vec::new()))),
        Err(error) => (GuestReply::Failed(error), None),
    };
    send(control.as_fd(), &Envelope { id: 0, body: reply }, &[], MsgFlags::empty())?;
    if let Some(held) = held {
        serve(control, held, PROCESSES);
    }
    Ok(ExitCode::SUCCESS)
}

fn connect_to_owner() -> io::Result<OwnedFd> {
    let path = format!("{INSIDE}/{CONTROL}/{SOCKET}");
    let control = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
    connect(control.as_raw_fd(), &UnixAddr::new(path.as_str())?)?;
    Ok(control)
}

/// Returns the file that says how ready this process is to be killed for memory.
fn set_up(workdir: &Path) -> Result<File, SetupError> {
    // The runtime has made it a session's first process; whoever tries it by hand has not.
    let _ = nix::unistd::setsid();
    cut_off()?;
    open_root_folder().step("open the root folder")?;
    fs::create_dir_all(workdir).step("make working directory")?;
    let oom_score =
        File::options().write(true).open("/proc/self/oom_score_adj").step("open oom_score_adj")?;
    sys::leave_session_keyring();
    umask(Mode::from_bits_truncate(0o022));
    prctl::set_no_new_privs().step("set no_new_privs")?;
    has_no_privileges().step("check privileges")?;
    // Or any other process inside could trace this one.
    prctl::set_dumpable(false).step("forbid tracing")?;
    // The last step: what came before needs calls that it refuses. The owner tells where the kernel has none.
    Filter::compile().map_or(Ok(()), |filter| filter.install()).step("install the filter of system calls")?;
    Ok(oom_score)
}

/// Podman closes the root folder to everybody but those who may ignore that, as nobody here may.
fn open_root_folder() -> io::Result<()> {
    let about = fs::metadata("/")?;
    let mode = about.permissions().mode();
    if about.uid() == Uid::effective().as_raw() && mode & OWNER_MAY_WRITE == 0 {
        fs::set_permissions("/", Permissions::from_mode(mode | OWNER_MAY_WRITE))?;
    }
    Ok(())
}

/// The daemon was asked to start this process without privileges: not believed but checked.
fn has_no_privileges() -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let held = status.lines().filter(|line| line.starts_with("Cap")).find(|line| {
        let mask = line.split_whitespace().last().unwrap_or_default();
        !mask.bytes().all(|digit| digit == b'0')
    });
    match held {
        Some(held) => Err(io::Error::other(format!("the container has capabilities: `{held}`"))),
        None => Ok(()),
    }
}
