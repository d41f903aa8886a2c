//! Kernel calls that no safe wrapper covers: the only unsafe code of this crate.
//!
//! Everything here that forks is for the launcher and what it forks. They have one thread, so a fork is a
//! whole copy of the program, in which ordinary Rust code may go on.
#![expect(unsafe_code, reason = "kernel calls that no safe wrapper covers")]

use std::ffi::{CStr, c_int, c_long, c_uint, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sched::CloneFlags;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{ForkResult, Pid};
use tokio::io::unix::AsyncFd;

// linux/keyctl.h and linux/capability.h; the libc crate does not have them for every target.
const KEYCTL_JOIN_SESSION_KEYRING: c_int = 1;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Stack of a process that only prepares to execute another program.
const SHARING_STACK_BYTES: usize = 256 << 10;

fn result(returned: c_long) -> nix::Result<c_long> {
    Errno::result(returned)
}

/// Takes ownership of a file descriptor that the kernel has just made for this process.
pub(crate) fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: the callers pass descriptors received through SCM_RIGHTS, which nobody else owns yet.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Lets the runtime watch a descriptor. Must be called in a tokio runtime.
pub(crate) fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open until it is dropped, and nothing here puts another in its place.
    Ok(unsafe { AsyncFd::register(descriptor) }?)
}

/// Forks; `None` in the child. The caller must have one thread.
pub(crate) fn fork() -> nix::Result<Option<Pid>> {
    // SAFETY: the caller has one thread, so no lock is held by a thread that the child lacks.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

/// Forks into new namespaces; `None` in the child. The caller must have one thread.
pub(crate) fn fork_into(namespaces: CloneFlags) -> nix::Result<Option<Pid>> {
    let flags = c_long::from(namespaces.bits() | libc::SIGCHLD);
    // SAFETY: without CLONE_VM and a stack this is a fork; the caller has one thread.
    let pid = result(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    Ok((pid != 0).then(|| Pid::from_raw(pid as i32)))
}

/// Runs `body` in a new process that shares the memory of this one, which waits until the new one has executed
/// another program or has ended, with the code that `body` returns. No page is copied. What `body` writes is seen
/// here, what it drops is gone here too. The caller must have one thread.
pub(crate) fn spawn_sharing_memory(mut body: &mut dyn FnMut() -> c_int) -> nix::Result<Pid> {
    extern "C" fn run(body: *mut c_void) -> c_int {
        // SAFETY: `body` below, which the caller keeps until this process no longer uses its memory.
        let body = unsafe { &mut *body.cast::<&mut dyn FnMut() -> c_int>() };
        body()
    }
    // Aligned for any use of a stack, which grows downwards from its end.
    let mut stack: Vec<u128> = Vec::with_capacity(SHARING_STACK_BYTES / size_of::<u128>());
    let end = stack.spare_capacity_mut().as_mut_ptr_range().end;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack is unused memory that outlives the call, and CLONE_VFORK lets the call return only when the
    // new process uses neither stack nor body any more.
    let pid = unsafe { libc::clone(run, end.cast(), flags, (&raw mut body).cast()) };
    Errno::result(pid).map(Pid::from_raw)
}

/// Ends this process without running destructors or exit handlers: they belong to the process it was forked from.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: always sound.
    unsafe { libc::_exit(code) }
}

/// Closes every descriptor but the standard streams and these, for a process forked a moment ago that never
/// returns to the code that owned the others.
pub(crate) fn keep_only(descriptors: Vec<OwnedFd>) -> nix::Result<Vec<OwnedFd>> {
    let first = libc::STDERR_FILENO + 1;
    let end = first + descriptors.len() as RawFd;
    // Above the numbers that they get, so that none is overwritten before its turn.
    let raised = descriptors.iter().map(|kept| fcntl(kept, FcntlArg::F_DUPFD_CLOEXEC(end)));
    let raised: Vec<RawFd> = raised.collect::<nix::Result<_>>()?;
    for (kept, number) in raised.into_iter().zip(first..) {
        // SAFETY: whatever had this number is forgotten, as the caller promises.
        Errno::result(unsafe { libc::dup3(kept, number, libc::O_CLOEXEC) })?;
    }
    for kept in descriptors {
        // Its number may belong to another one by now.
        let _ = kept.into_raw_fd();
    }
    // SAFETY: as above.
    result(unsafe { libc::syscall(libc::SYS_close_range, end, c_uint::MAX, 0) })?;
    Ok((first..end).map(own).collect())
}

/// Marks every descriptor from `first` on to be closed by exec.
pub(crate) fn close_from_on_exec(first: c_uint) -> nix::Result<()> {
    // SAFETY: closes nothing now.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    result(done).map(drop)
}

/// Mounts the tree at `source` also at `target`, with everything below it, adding `attributes`
/// (`MOUNT_ATTR_*`) to every mount of the copy before anyone can see it.
pub(crate) fn attach_tree(source: &Path, target: BorrowedFd<'_>, attributes: u64) -> nix::Result<()> {
    let tree = clone_tree(source, true, attributes)?;
    move_mount(tree.as_fd(), target)
}

/// A copy of the mount at `source`, with everything mounted below it where `recursive`, that is mounted nowhere.
pub(crate) fn clone_tree(source: &Path, recursive: bool, attributes: u64) -> nix::Result<OwnedFd> {
    let below = if recursive { libc::AT_RECURSIVE } else { 0 };
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | below as c_uint;
    // SAFETY: the path is a valid C string for the call.
    let tree = source.with_nix_path(|path| unsafe {
        libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags)
    })?;
    let tree = own(result(tree)? as RawFd);
    change_mount(tree.as_fd(), below, attributes, 0)?;
    Ok(tree)
}

/// Makes a mount read-only, which fails with `EBUSY` while anything in it is open for writing, or writable again.
pub(crate) fn set_read_only(mount: BorrowedFd<'_>, read_only: bool) -> nix::Result<()> {
    let (set, clear) = if read_only { (libc::MOUNT_ATTR_RDONLY, 0) } else { (0, libc::MOUNT_ATTR_RDONLY) };
    change_mount(mount, 0, set, clear)
}

fn change_mount(mount: BorrowedFd<'_>, flags: c_int, set: u64, clear: u64) -> nix::Result<()> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: clear, propagation: 0, userns_fd: 0 };
    let empty: &CStr = c"";
    // SAFETY: the structure is valid for the call and its size is passed.
    let changed = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            empty.as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    result(changed).map(drop)
}

/// Moves a mount, with everything below it, to where `target` lies.
pub(crate) fn move_mount(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> nix::Result<()> {
    let empty: &CStr = c"";
    // SAFETY: both descriptors are open, both paths valid C strings.
    result(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            empty.as_ptr(),
            target.as_raw_fd(),
            empty.as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// Whether the extended attribute of an open file has this value of one byte.
pub(crate) fn has_attribute(file: BorrowedFd<'_>, name: &CStr, value: u8) -> nix::Result<bool> {
    let mut found = 0_u8;
    // SAFETY: the name is a valid C string, and the buffer holds one byte, as the call is told.
    let length =
        unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), (&raw mut found).cast::<c_void>(), 1) };
    match result(length as c_long) {
        Ok(length) => Ok(length == 1 && found == value),
        // Another value that is longer, none, or a file system that has none.
        Err(Errno::ERANGE | Errno::ENODATA | Errno::ENOTSUP) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Gives an extended attribute of an open file this value of one byte.
pub(crate) fn set_attribute(file: BorrowedFd<'_>, name: &CStr, value: u8) -> nix::Result<()> {
    // SAFETY: the name is a valid C string, and the buffer holds one byte, as the call is told.
    let done = unsafe {
        libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), (&raw const value).cast::<c_void>(), 1, 0)
    };
    result(c_long::from(done)).map(drop)
}

/// Gives up every capability, for good: bounding, ambient, permitted, effective and inheritable.
pub(crate) fn drop_capabilities() -> nix::Result<()> {
    for capability in 0..64 {
        // SAFETY: changes only this process.
        match result(c_long::from(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) })) {
            Err(Errno::EINVAL) => break,
            other => other?,
        };
    }
    // SAFETY: changes only this process.
    let cleared = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    result(c_long::from(cleared))?;
    let header: [u32; 2] = [CAPABILITY_VERSION_3, 0];
    let none = [0_u32; 6];
    // SAFETY: header and data have the layout of version 3: two words, and two times three words.
    result(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) }).map(drop)
}

/// Leaves the session keyring of the owner, whose keys could otherwise be read inside. Kernels without
/// keyrings have nothing to leave.
pub(crate) fn leave_session_keyring() {
    // SAFETY: joins a new anonymous keyring.
    unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0) };
}

/// Whether the kernel takes filters of system calls.
pub(crate) fn has_seccomp_filters() -> bool {
    let none = std::ptr::null::<u8>();
    // SAFETY: a filter at no address is never installed; a kernel that has filters says `EFAULT`.
    let tried = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, none) };
    result(tried) == Err(Errno::EFAULT)
}

/// Sets the loopback interface of this network namespace up.
pub(crate) fn set_loopback_up(socket: BorrowedFd<'_>) -> nix::Result<()> {
    // SAFETY: all-zero bytes are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    result(c_long::from(done)).map(drop)
}

/// Sets every signal to its default action and unblocks all.
pub(crate) fn reset_signals() -> nix::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: the default action runs no code of ours.
        unsafe { sigaction(signal, &default) }?;
    }
    SigSet::empty().thread_set_mask()
}

/// Gives an open file this number too, which exec does not close. Whatever had the number is closed; for a
/// process that is about to become another program.
pub(crate) fn duplicate_to(descriptor: BorrowedFd<'_>, number: RawFd) -> nix::Result<()> {
    // SAFETY: whatever had this number is forgotten, as the caller promises.
    Errno::result(unsafe { libc::dup2(descriptor.as_raw_fd(), number) }).map(drop)
}

/// The other end of the terminal that `master` controls. Fails on anything else than a master.
pub(crate) fn terminal_of(master: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    let unlocked: c_int = 0;
    // SAFETY: TIOCSPTLCK reads an int.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) })?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes flags and returns a descriptor.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) }).map(own)
}

/// Sets how many characters a terminal shows.
pub(crate) fn set_terminal_size(terminal: BorrowedFd<'_>, rows: u16, columns: u16) -> nix::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads a winsize.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }).map(drop)
}

/// Makes a terminal the one of this process's session, which has none and is led by this process.
pub(crate) fn control_terminal(terminal: BorrowedFd<'_>) -> nix::Result<()> {
    // SAFETY: TIOCSCTTY takes a number.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) }).map(drop)
}

/// Interrupts the processes in the foreground of the terminal that `master` controls.
pub(crate) fn interrupt_foreground(master: BorrowedFd<'_>) -> nix::Result<()> {
    // SAFETY: TIOCSIG takes the number of a signal.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSIG, libc::SIGINT) }).map(drop)
}

/// Sets how many processes the user of another process may have when that process forks, up to its hard limit.
/// Returns what it was.
pub(crate) fn limit_forks(pid: Pid, soft: u64) -> nix::Result<u64> {
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: with no new limit it writes the old one.
    let got = unsafe { libc::prlimit(pid.as_raw(), libc::RLIMIT_NPROC, std::ptr::null(), &raw mut old) };
    Errno::result(got)?;
    let new = libc::rlimit { rlim_cur: soft.min(old.rlim_max), ..old };
    // SAFETY: it reads the new limit, and writes no old one.
    let set =
        unsafe { libc::prlimit(pid.as_raw(), libc::RLIMIT_NPROC, &raw const new, std::ptr::null_mut()) };
    Errno::result(set).map(|_| old.rlim_cur)
}

/// How much memory holds what was written to a Unix socket and not yet read at its other end.
pub(crate) fn unread(socket: BorrowedFd<'_>) -> nix::Result<c_int> {
    let mut bytes: c_int = 0;
    // SAFETY: TIOCOUTQ, which sockets call SIOCOUTQ, writes an int.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) })?;
    Ok(bytes)
}
