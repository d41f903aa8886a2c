//! The system calls that a sandbox has, and those that it is refused, in groups with reasons.
//!
//! Whatever stands in neither table does not exist inside (`ENOSYS`): calls that came with a kernel later than
//! this table, the numbers of the x32 ABI, and calls that nothing uses any more. C libraries take that answer as
//! an old kernel's and go on without; a new call is allowed by adding it here. Numbers from 424 on are the same
//! on every architecture, and written out where the libc crate does not name them everywhere.

use std::ffi::c_long;

use libc::*;

/// Calls with one reason.
pub(super) type Group = (&'static str, &'static [c_long]);

/// What a program needs to compute, and to use files, processes and sockets of its sandbox. Some of these are
/// refused with certain arguments by [`CONDITIONAL`].
#[rustfmt::skip] // or every call would have a line of its own
pub(super) const ALLOWED: &[Group] = &[
    ("reading and writing what is open", &[
        SYS_read, SYS_write, SYS_pread64, SYS_pwrite64, SYS_readv, SYS_writev, SYS_preadv, SYS_pwritev,
        SYS_preadv2, SYS_pwritev2, SYS_lseek, SYS_sendfile, SYS_splice, SYS_tee, SYS_vmsplice,
        SYS_copy_file_range, SYS_ioctl, SYS_fcntl, SYS_flock, SYS_fsync, SYS_fdatasync, SYS_sync, SYS_syncfs,
        SYS_fallocate, SYS_fadvise64, SYS_readahead, SYS_ftruncate, CACHESTAT,
    ]),
    ("opening and closing", &[
        SYS_openat, SYS_openat2, SYS_close, SYS_close_range, SYS_dup, SYS_dup3, SYS_pipe2, SYS_memfd_create,
    ]),
    ("the file tree, as far as the rights on files and read-only mounts go", &[
        SYS_truncate, SYS_fstat, SYS_newfstatat, SYS_statx, SYS_statfs, SYS_fstatfs, SYS_faccessat,
        SYS_faccessat2, SYS_fchmod, SYS_fchmodat, FCHMODAT2, SYS_fchown, SYS_fchownat, SYS_utimensat,
        SYS_mknodat, SYS_mkdirat, SYS_unlinkat, SYS_symlinkat, SYS_linkat, SYS_renameat2,
        SYS_readlinkat, SYS_getcwd, SYS_chdir, SYS_fchdir, SYS_getdents64, SYS_umask, SYS_name_to_handle_at,
        SYS_inotify_init1, SYS_inotify_add_watch, SYS_inotify_rm_watch,
    ]),
    ("extended attributes, which package tools copy", &[
        SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr, SYS_getxattr, SYS_lgetxattr, SYS_fgetxattr, SYS_listxattr,
        SYS_llistxattr, SYS_flistxattr, SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr,
    ]),
    ("its own memory", &[
        SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_brk, SYS_msync, SYS_mincore, SYS_madvise, SYS_mlock,
        SYS_mlock2, SYS_munlock, SYS_mlockall, SYS_munlockall, SYS_remap_file_pages, SYS_pkey_alloc,
        SYS_pkey_free, SYS_pkey_mprotect, SYS_membarrier, MSEAL,
    ]),
    ("processes and threads", &[
        SYS_clone, SYS_unshare, SYS_execve, SYS_execveat, SYS_exit, SYS_exit_group, SYS_wait4, SYS_waitid,
        SYS_getpid, SYS_getppid, SYS_gettid, SYS_set_tid_address, SYS_set_robust_list, SYS_get_robust_list,
        SYS_setpgid, SYS_getpgid, SYS_getsid, SYS_setsid, SYS_prctl, SYS_rseq, SYS_personality, SYS_futex,
        FUTEX_WAITV, FUTEX_WAKE, FUTEX_WAIT, FUTEX_REQUEUE,
    ]),
    ("ids and capabilities: there are none to gain, but programs give them up", &[
        SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getresuid, SYS_getresgid, SYS_getgroups,
        SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid, SYS_setfsuid,
        SYS_setfsgid, SYS_setgroups, SYS_capget, SYS_capset,
    ]),
    ("priorities and limits of its own processes", &[
        SYS_getpriority, SYS_setpriority, SYS_sched_yield, SYS_sched_setparam, SYS_sched_getparam,
        SYS_sched_setscheduler, SYS_sched_getscheduler, SYS_sched_get_priority_max,
        SYS_sched_get_priority_min, SYS_sched_rr_get_interval, SYS_sched_setaffinity, SYS_sched_getaffinity,
        SYS_sched_setattr, SYS_sched_getattr, SYS_ioprio_set, SYS_ioprio_get, SYS_getrusage,
        SYS_prlimit64, SYS_times,
    ]),
    ("signals, which stay in the process namespace", &[
        SYS_kill, SYS_tkill, SYS_tgkill, SYS_pidfd_open, SYS_pidfd_send_signal, SYS_rt_sigaction,
        SYS_rt_sigprocmask, SYS_rt_sigpending, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_rt_sigreturn,
        SYS_rt_sigsuspend, SYS_rt_sigtimedwait, SYS_sigaltstack, SYS_signalfd4, SYS_restart_syscall,
    ]),
    ("clocks to read and timers", &[
        SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday,
        SYS_getitimer, SYS_setitimer, SYS_timer_create, SYS_timer_settime, SYS_timer_gettime,
        SYS_timer_getoverrun, SYS_timer_delete, SYS_timerfd_create, SYS_timerfd_settime, SYS_timerfd_gettime,
    ]),
    ("waiting for descriptors, and the asynchronous I/O of old that databases use", &[
        SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_eventfd2, SYS_ppoll,
        SYS_pselect6, SYS_io_setup, SYS_io_destroy, SYS_io_submit, SYS_io_cancel, SYS_io_getevents,
    ]),
    ("semaphores, queues and shared memory of its IPC namespace", &[
        SYS_shmget, SYS_shmat, SYS_shmctl, SYS_shmdt, SYS_semget, SYS_semop, SYS_semtimedop, SYS_semctl,
        SYS_msgget, SYS_msgsnd, SYS_msgrcv, SYS_msgctl, SYS_mq_open, SYS_mq_unlink, SYS_mq_timedsend,
        SYS_mq_timedreceive, SYS_mq_notify, SYS_mq_getsetattr,
    ]),
    ("sockets of the families that `CONDITIONAL` leaves", &[
        SYS_socket, SYS_socketpair, SYS_bind, SYS_listen, SYS_accept, SYS_accept4, SYS_connect,
        SYS_getsockname, SYS_getpeername, SYS_sendto, SYS_recvfrom, SYS_sendmsg, SYS_recvmsg, SYS_sendmmsg,
        SYS_recvmmsg, SYS_setsockopt, SYS_getsockopt, SYS_shutdown,
    ]),
    ("giving up more rights still: browsers and test suites confine their own children", &[
        SYS_seccomp, SYS_landlock_create_ruleset, SYS_landlock_add_rule, SYS_landlock_restrict_self,
    ]),
    ("what kind of machine this is", &[SYS_uname, SYS_sysinfo, SYS_getcpu, SYS_getrandom]),
    #[cfg(target_arch = "x86_64")]
    ("older forms of the above", &[
        SYS_open, SYS_creat, SYS_stat, SYS_lstat, SYS_access, SYS_dup2, SYS_pipe, SYS_mkdir, SYS_rmdir,
        SYS_unlink, SYS_rename, SYS_link, SYS_symlink, SYS_readlink, SYS_chmod, SYS_chown, SYS_lchown,
        SYS_mknod, SYS_utime, SYS_utimes, SYS_futimesat, SYS_getdents, SYS_poll, SYS_select,
        SYS_epoll_create, SYS_epoll_wait, SYS_eventfd, SYS_signalfd, SYS_inotify_init, SYS_fork, SYS_vfork,
        SYS_getpgrp, SYS_time, SYS_alarm, SYS_pause, SYS_renameat, SYS_sync_file_range, SYS_getrlimit,
        SYS_setrlimit,
    ]),
    #[cfg(target_arch = "x86_64")]
    ("thread-local storage and shadow stacks", &[SYS_arch_prctl, MAP_SHADOW_STACK]),
    // renameat, sync_file_range, getrlimit and setrlimit.
    #[cfg(target_arch = "aarch64")]
    ("older forms of the above", &[38, 84, 163, 164]),
];

/// Refused with `EPERM`, which programs take as "not allowed here".
#[rustfmt::skip] // or every call would have a line of its own
pub(super) const REFUSED: &[Group] = &[
    ("mounts: the file tree is made from outside, once", &[
        SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_open_tree, SYS_move_mount, SYS_fsopen,
        SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_mount_setattr, OPEN_TREE_ATTR, SYS_fanotify_init,
        SYS_fanotify_mark,
    ]),
    ("joining namespaces of others", &[SYS_setns]),
    ("reaching into other processes", &[
        SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_pidfd_getfd, SYS_kcmp,
        SYS_process_madvise, PROCESS_MRELEASE,
    ]),
    ("keyrings, which no namespace divides", &[SYS_keyctl, SYS_add_key, SYS_request_key]),
    ("machinery of the kernel with the most flaws, which no test suite needs", &[
        SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup, SYS_io_uring_enter,
        SYS_io_uring_register, #[cfg(target_arch = "x86_64")] SYS_modify_ldt,
    ]),
    ("placing memory on nodes of the machine, and moving that of others", &[
        SYS_mbind, SYS_set_mempolicy, SYS_get_mempolicy, SYS_migrate_pages, SYS_move_pages,
        SET_MEMPOLICY_HOME_NODE,
    ]),
    ("files by number rather than by path", &[SYS_open_by_handle_at, SYS_lookup_dcookie]),
    ("the kernel, its modules and its log", &[
        SYS_kexec_load, SYS_kexec_file_load, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_reboot,
        SYS_syslog, SYS_nfsservctl,
    ]),
    ("the machine's disks, names, clocks and terminals", &[
        SYS_quotactl, QUOTACTL_FD, SYS_acct, SYS_swapon, SYS_swapoff, SYS_sethostname, SYS_setdomainname,
        SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime, SYS_vhangup,
        #[cfg(target_arch = "x86_64")] SYS_iopl, #[cfg(target_arch = "x86_64")] SYS_ioperm,
    ]),
];

/// A test of an argument: the first number is its index.
#[derive(Debug, Clone, Copy)]
pub(super) enum Test {
    Is(u8, u64),
    IsNot(u8, u64),
    /// All of these bits are set.
    Has(u8, u64),
}

/// Allowed calls that are refused with `EPERM` when all tests of one of the lists hold.
pub(super) const CONDITIONAL: &[(c_long, &[&[Test]])] = &[
    // A new namespace, of users above all, is where capabilities and most flaws are. clone3 hides its flags in
    // memory, where no filter sees them: it does not exist inside, and C libraries use clone instead.
    (SYS_clone, NEW_NAMESPACE),
    (SYS_unshare, NEW_NAMESPACE),
    // Typing into the terminal of someone else.
    (SYS_ioctl, &[&[Test::Is(1, TIOCSTI)], &[Test::Is(1, TIOCLINUX)]]),
    (SYS_socket, OTHER_FAMILY),
    (SYS_socketpair, OTHER_FAMILY),
    // Process 1 is init: with a limit of one open file it could serve nobody.
    (SYS_prlimit64, INIT),
    (SYS_sched_setparam, INIT),
    (SYS_sched_setscheduler, INIT),
    (SYS_sched_setaffinity, INIT),
    (SYS_sched_setattr, INIT),
    (SYS_setpriority, &[&[Test::Is(0, 0), Test::Is(1, 1)]]),
    // Layouts of memory of other systems, with flaws of their own: the usual one, the name of the 32-bit one or
    // of an old kernel, addresses that stay the same, and the question which one it is.
    (
        SYS_personality,
        &[&[
            Test::IsNot(0, PER_LINUX as u64),
            Test::IsNot(0, PER_LINUX32 as u64),
            Test::IsNot(0, UNAME26 as u64),
            Test::IsNot(0, ADDR_NO_RANDOMIZE as u64),
            Test::IsNot(0, 0xffff_ffff),
        ]],
    ),
];

const INIT: &[&[Test]] = &[&[Test::Is(0, 1)]];

const NEW_NAMESPACE: &[&[Test]] = &[
    &[Test::Has(0, CLONE_NEWNS as u64)],
    &[Test::Has(0, CLONE_NEWCGROUP as u64)],
    &[Test::Has(0, CLONE_NEWUTS as u64)],
    &[Test::Has(0, CLONE_NEWIPC as u64)],
    &[Test::Has(0, CLONE_NEWUSER as u64)],
    &[Test::Has(0, CLONE_NEWPID as u64)],
    &[Test::Has(0, CLONE_NEWNET as u64)],
];

/// Netlink for interfaces and addresses only, which C libraries list.
const OTHER_FAMILY: &[&[Test]] = &[
    &[
        Test::IsNot(0, AF_UNIX as u64),
        Test::IsNot(0, AF_INET as u64),
        Test::IsNot(0, AF_INET6 as u64),
        Test::IsNot(0, AF_NETLINK as u64),
    ],
    &[Test::Is(0, AF_NETLINK as u64), Test::IsNot(2, NETLINK_ROUTE as u64)],
];

const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;
const PER_LINUX: u32 = 0;
const PER_LINUX32: u32 = 8;
const UNAME26: u32 = 0x0002_0000;
const ADDR_NO_RANDOMIZE: u32 = 0x0004_0000;
const QUOTACTL_FD: c_long = 443;
const PROCESS_MRELEASE: c_long = 448;
const FUTEX_WAITV: c_long = 449;
const SET_MEMPOLICY_HOME_NODE: c_long = 450;
const CACHESTAT: c_long = 451;
const FCHMODAT2: c_long = 452;
#[cfg(target_arch = "x86_64")]
const MAP_SHADOW_STACK: c_long = 453;
const FUTEX_WAKE: c_long = 454;
const FUTEX_WAIT: c_long = 455;
const FUTEX_REQUEUE: c_long = 456;
const MSEAL: c_long = 462;
const OPEN_TREE_ATTR: c_long = 467;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_call_stands_in_two_places() {
        let calls: Vec<c_long> =
            ALLOWED.iter().chain(REFUSED).flat_map(|(_, calls)| calls.iter().copied()).collect();
        let once: BTreeSet<c_long> = calls.iter().copied().collect();
        assert_eq!(once.len(), calls.len());
    }

    #[test]
    fn what_has_conditions_is_allowed_without_them() {
        let allowed: Vec<c_long> = ALLOWED.iter().flat_map(|(_, calls)| calls.iter().copied()).collect();
        assert!(CONDITIONAL.iter().all(|(call, _)| allowed.contains(call)));
        assert!(!allowed.contains(&SYS_clone3));
    }
}
