//! The kernel's own doors: mounts, namespaces, and what only the machine's administrator may ask of it.

use std::process::Command;

use super::attempt::{Attempt, python, shell};
use super::lab::Lab;

const EPERM: &[&str] = &["EPERM"];

const MOUNTS: &[Attempt] = &[
    python("mount a tmpfs", "print(call('mount', b'none', b'/tmp', b'tmpfs', 0, 0))", EPERM),
    python(
        "mount an overlay",
        "print(call('mount', b'o', b'/mnt', b'overlay', 0, b'lowerdir=/:/usr'))",
        EPERM,
    ),
    python("mount another /proc", "print(call('mount', b'p', b'/mnt', b'proc', 0, 0))", EPERM),
    python("mount the cgroups", "print(call('mount', b'c', b'/mnt', b'cgroup2', 0, 0))", EPERM),
    python("bind a folder", "print(call('mount', b'/usr', b'/tmp', 0, 4096, 0))", EPERM),
    python("make /usr writable", "print(call('mount', 0, b'/usr', 0, 32 | 4096, 0))", EPERM),
    python("make mounts shared", "print(call('mount', 0, b'/', 0, 1 << 20, 0))", EPERM),
    python(
        "uncover what lies below /proc",
        "print(call('umount2', b'/proc/sys', 2), call('umount2', b'/proc', 2))",
        &["EPERM EPERM"],
    ),
    python("pivot_root", "print(call('pivot_root', b'/tmp', b'/tmp'))", EPERM),
    python(
        "chroot and climb by a kept folder",
        "d = os.open('/', 0); os.mkdir('/tmp/c'); print(call('chroot', b'/tmp/c'))",
        EPERM,
    ),
    python("fsopen", "print(call('fsopen', b'tmpfs', 0))", EPERM),
    python("fsconfig", "print(call('fsconfig', 0, 0, 0, 0, 0))", EPERM),
    python("fsmount", "print(call('fsmount', 0, 0, 0))", EPERM),
    python("fspick", "print(call('fspick', -100, b'/', 0))", EPERM),
    python("open_tree", "print(call('open_tree', -100, b'/', 1))", EPERM),
    python("move_mount", "print(call('move_mount', -100, b'/mnt', -100, b'/tmp', 0))", EPERM),
    python(
        "mount_setattr",
        "print(call('mount_setattr', -100, b'/usr', 0, ctypes.create_string_buffer(32), 32))",
        EPERM,
    ),
    shell(
        "mount by a program",
        "mount -t tmpfs none /tmp",
        &["permission denied", "only root", "must be superuser"],
    ),
    python("watch all of a mount", "print(call('fanotify_init', 0, 0))", EPERM),
];

const NAMESPACES: &[Attempt] = &[
    python("unshare a user namespace", "print(call('unshare', 0x10000000))", EPERM),
    python(
        "unshare any other namespace",
        "print({call('unshare', 1 << bit) for bit in (17, 25, 26, 27, 29, 30)})",
        &["{'EPERM'}"],
    ),
    python("unshare a time namespace", "print(call('unshare', 0x80))", &["EPERM", "EINVAL"]),
    python(
        "clone into any namespace",
        "print({call('clone', (1 << bit) | 17, 0, 0, 0, 0) for bit in (17, 25, 26, 27, 28, 29, 30)})",
        &["{'EPERM'}"],
    ),
    python(
        "clone3 into a user namespace",
        "print(call('clone3', struct.pack('11Q', 0x10000000, *[0] * 10), 88))",
        &["ENOSYS"],
    ),
    python("clone3 at all", "print(call('clone3', struct.pack('11Q', *[0] * 11), 88))", &["ENOSYS"]),
    python(
        "join the namespace of process 1",
        "print(tried(os.open, '/proc/1/ns/mnt', 0), tried(os.readlink, '/proc/1/ns/net'))",
        &["EACCES EACCES"],
    ),
    python("setns", "print(call('setns', os.open('/proc/self/ns/net', 0), 0))", EPERM),
    shell("unshare by a program", "unshare -Ur true", &["Operation not permitted"]),
];

const DOORS: &[Attempt] = &[
    python("bpf", "print(call('bpf', 5, ctypes.create_string_buffer(128), 128))", EPERM),
    python(
        "perf_event_open",
        "print(call('perf_event_open', ctypes.create_string_buffer(128), 0, -1, -1, 0))",
        EPERM,
    ),
    python("userfaultfd", "print(call('userfaultfd', 1))", EPERM),
    shell("userfaultfd by its device", "cat /dev/userfaultfd /dev/kvm /dev/fuse", &["No such file"]),
    python("io_uring_setup", "print(call('io_uring_setup', 8, ctypes.create_string_buffer(120)))", EPERM),
    python(
        "io_uring_enter and io_uring_register",
        "print(call('io_uring_enter', 0, 0, 0, 0, 0, 0), call('io_uring_register', 0, 0, 0, 0))",
        &["EPERM EPERM"],
    ),
    python(
        "open files by number (shocker)",
        "print(call('open_by_handle_at', os.open('/', 0), struct.pack('Ii8s', 8, 1, b'\\2'), 0))",
        EPERM,
    ),
    python("add a key", "print(call('add_key', b'user', b'name', b'x', 1, -3))", EPERM),
    python("request a key", "print(call('request_key', b'user', b'name', 0, -3))", EPERM),
    python(
        "read the keyring of the user",
        "print({call('keyctl', 11, ring, 0, 0) for ring in (-1, -2, -3, -4, -5)})",
        &["{'EPERM'}"],
    ),
    python(
        "kexec_load and kexec_file_load",
        "print(call('kexec_load', 0, 0, 0, 0), call('kexec_file_load', 0, 0, 0, 0, 0))",
        &["EPERM EPERM"],
    ),
    python(
        "init_module and finit_module",
        "print(call('init_module', b'', 0, b''), call('finit_module', 0, b'', 0))",
        &["EPERM EPERM"],
    ),
    python("delete_module", "print(call('delete_module', b'overlay', 0))", EPERM),
    python("reboot", "print(call('reboot', 0xfee1dead, 672274793, 0x89abcdef, 0))", EPERM),
    python("read the kernel's log", "print(call('syslog', 3, ctypes.create_string_buffer(64), 64))", EPERM),
    python(
        "swapon and swapoff",
        "print(call('swapon', b'/tmp/s', 0), call('swapoff', b'/tmp/s'))",
        &["EPERM EPERM"],
    ),
    python("acct", "print(call('acct', b'/tmp/a'))", EPERM),
    python(
        "quotactl",
        "print(call('quotactl', 0, 0, 0, 0), call('quotactl_fd', 0, 0, 0, 0))",
        &["EPERM EPERM"],
    ),
    python("ports of the machine", "print(call('iopl', 3))", EPERM),
    python("one port of the machine", "print(call('ioperm', 0, 1, 1))", EPERM),
    python("modify_ldt", "print(call('modify_ldt', 0, 0, 0))", EPERM),
    python(
        "an odd personality",
        "print(call('personality', 0x0400000), call('personality', 4))",
        &["EPERM EPERM"],
    ),
    python(
        "set the time",
        "print(call('settimeofday', struct.pack('qq', 0, 0), 0), call('clock_settime', 0, struct.pack('qq', 0, 0)))",
        &["EPERM EPERM"],
    ),
    python(
        "adjust the time",
        "print(call('adjtimex', ctypes.create_string_buffer(208)), call('clock_adjtime', 0, ctypes.create_string_buffer(208)))",
        &["EPERM EPERM"],
    ),
    python(
        "set the host's name",
        "print(call('sethostname', b'x', 1), call('setdomainname', b'x', 1))",
        &["EPERM EPERM"],
    ),
    python("vhangup", "print(call('vhangup'))", EPERM),
    python(
        "move pages of process 1",
        "print(call('move_pages', 1, 0, 0, 0, 0, 0), call('mbind', 0, 0, 0, 0, 0, 0))",
        &["EPERM EPERM"],
    ),
    python(
        "nfsservctl and lookup_dcookie",
        "print(call('nfsservctl', 0, 0, 0), call('lookup_dcookie', 0, 0, 0))",
        &["EPERM EPERM"],
    ),
    python("memory that not even the kernel reads", "print(call('memfd_secret', 0))", &["ENOSYS"]),
    python("a call that does not exist yet", "print(raw(1000), raw(600, 1, 2))", &["ENOSYS ENOSYS"]),
    python(
        "calls by numbers of the x32 ABI",
        "print(*[raw(0x40000000 | NUMBERS[name][0], 0, 0, 0, 0) for name in ('getpid', 'mount', 'ptrace')] if COLUMN == 0 else ['absent here'])",
        &["ENOSYS ENOSYS ENOSYS"],
    ),
    python(
        "type into a terminal",
        "import pty; ours, theirs = pty.openpty(); print(tried(fcntl.ioctl, theirs, 0x5412, b'x'))",
        EPERM,
    ),
    python(
        "type into a terminal by a longer number",
        "import pty; ours, theirs = pty.openpty(); libc.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p]; print(libc.ioctl(theirs, 0x100005412, b'x'), errno.errorcode[ctypes.get_errno()])",
        &["-1 EPERM"],
    ),
    python(
        "paste into a terminal (TIOCLINUX)",
        "import pty; ours, theirs = pty.openpty(); print(tried(fcntl.ioctl, theirs, 0x541c, b'\\3'))",
        EPERM,
    ),
];

#[tokio::test]
async fn mounts_stay() {
    let mut lab = Lab::new().await;
    let mounts = lab.shell("cat /proc/self/mountinfo").await;
    lab.try_all(MOUNTS).await;
    assert_eq!(lab.shell("cat /proc/self/mountinfo").await, mounts);
    lab.end().await;
}

#[tokio::test]
async fn namespaces_stay() {
    let mut lab = Lab::new().await;
    lab.try_all(NAMESPACES).await;
    lab.end().await;
}

#[tokio::test]
async fn doors_stay_shut() {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let mut lab = Lab::new().await;
    lab.try_all(DOORS).await;
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), name);
    lab.end().await;
}

/// A call of the 32-bit architecture: `mkdir("x")` by its number there, 39.
const I386: &str = "int main(void) { int r; __asm__ volatile(\"int $0x80\" : \"=a\"(r) : \"a\"(39), \"b\"(\"x\")); \
                    return r ? 1 : 0; }\n";

#[tokio::test]
async fn calls_of_another_architecture_kill() {
    const NAME: &str = "calls by numbers of the 32-bit architecture";
    if !cfg!(target_arch = "x86_64") {
        return println!("attempt {NAME}: skipped: not on this architecture");
    }
    let mut lab = Lab::new().await;
    let (source, program) = (lab.home.path().join("i386.c"), lab.home.path().join("i386"));
    std::fs::write(&source, I386).unwrap();
    let built = Command::new("gcc").arg("-o").args([&program, &source]).status();
    if !built.is_ok_and(|status| status.success()) {
        return println!("attempt {NAME}: skipped: no gcc on this machine");
    }
    lab.sandbox.write_file("/tmp/i386", &std::fs::read(program).unwrap()).await.unwrap();
    let said = lab.shell("cd /tmp; chmod +x i386; ./i386; echo ended by $?; ls x").await;
    // SIGSYS, or SIGSEGV by a kernel without that architecture.
    let killed = said.contains("ended by 159") || said.contains("ended by 139");
    lab.judge(NAME, if killed { Ok(said) } else { Err(said) });
    lab.end().await;
}
