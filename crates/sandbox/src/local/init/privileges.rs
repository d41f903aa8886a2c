//! How init becomes an unprivileged process, and everything it forks with it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::waitpid;
use nix::unistd::{Gid, Uid, pipe2, setgroups, setresgid, setresuid};

use crate::local::identity::SANDBOX_UID;
use crate::local::protocol::{SetupError, Step};
use crate::local::sys;

/// In a new user namespace of the ordinary user with these ids: becomes its root.
pub(super) fn map_own_ids((uid, gid): (u32, u32)) -> io::Result<()> {
    write_maps(Path::new("/proc/self"), uid, gid)
}

/// Makes a user namespace in which [`SANDBOX_UID`] is root. `proc` is a `/proc` of the own process namespace.
pub(super) fn make_user_namespace(proc: &Path) -> io::Result<OwnedFd> {
    let (mut entered, mut tell_entered) = pipe()?;
    let (mut end, tell_end) = pipe()?;
    let Some(holder) = sys::fork()? else {
        drop(tell_end);
        let held = unshare(CloneFlags::CLONE_NEWUSER).is_ok()
            && tell_entered.write_all(&[1]).is_ok()
            && end.read(&mut [0]).is_ok();
        sys::exit_now(i32::from(!held))
    };
    drop(tell_entered);
    let process = proc.join(holder.to_string());
    // Only a process of the namespace above may map other ids than its own.
    let made = entered.read_exact(&mut [0]).and_then(|()| {
        write_maps(&process, SANDBOX_UID, SANDBOX_UID)?;
        File::open(process.join("ns/user"))
    });
    drop(tell_end);
    waitpid(holder, None)?;
    Ok(made?.into())
}

/// Moves from the host's root into a user namespace of [`make_user_namespace`]. The mounts made before belong to
/// the namespace above, so nobody inside can undo them.
pub(super) fn become_sandbox_user(namespace: &OwnedFd) -> io::Result<()> {
    setgroups(&[])?;
    setns(namespace, CloneFlags::CLONE_NEWUSER)?;
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    Ok(())
}

fn write_maps(process: &Path, uid: u32, gid: u32) -> io::Result<()> {
    fs::write(process.join("setgroups"), "deny")?;
    fs::write(process.join("uid_map"), format!("0 {uid} 1"))?;
    fs::write(process.join("gid_map"), format!("0 {gid} 1"))
}

fn pipe() -> nix::Result<(File, File)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    Ok((reader.into(), writer.into()))
}

/// Gives up, for good, whatever could be used to get out. `sysctls` is `/proc/sys/user`.
pub(super) fn give_up(sysctls: &OwnedFd) -> Result<(), SetupError> {
    forbid_user_namespaces(sysctls).step("forbid user namespaces")?;
    sys::leave_session_keyring();
    umask(Mode::from_bits_truncate(0o022));
    sys::drop_capabilities().step("drop capabilities")?;
    // Both are reset by a change of ids, so they come last. A process that can be dumped can be traced by any
    // other of its user, which inside all are.
    prctl::set_pdeathsig(Signal::SIGKILL).step("die with the launcher")?;
    prctl::set_dumpable(false).step("forbid tracing")
}

/// In a user namespace of its own a process has all capabilities, and with them most of the kernel's bugs.
fn forbid_user_namespaces(sysctls: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    match openat(sysctls, "max_user_namespaces", flags, Mode::empty()) {
        Ok(file) => File::from(file).write_all(b"0"),
        // A kernel without user namespaces has nothing to forbid.
        Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
