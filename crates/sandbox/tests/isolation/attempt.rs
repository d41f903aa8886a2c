//! What an attempt is, and how it is judged.

/// Something that hostile code does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    pub(crate) name: &'static str,
    pub(crate) code: Code,
    /// The output holds one of these: how the kernel refused it, or what harmless thing came of it. It is
    /// what shows that the attempt was really made.
    pub(crate) refused: &'static [&'static str],
}

/// What runs inside; `{secret}`, `{host}` and `{pid}` stand for a file, a folder and a process of the host.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Code {
    Shell(&'static str),
    /// After [`PRELUDE`].
    Python(&'static str),
}

/// An attempt by the shell.
pub(crate) const fn shell(
    name: &'static str,
    script: &'static str,
    refused: &'static [&'static str],
) -> Attempt {
    Attempt { name, code: Code::Shell(script), refused }
}

/// An attempt in Python.
pub(crate) const fn python(
    name: &'static str,
    script: &'static str,
    refused: &'static [&'static str],
) -> Attempt {
    Attempt { name, code: Code::Python(script), refused }
}

/// How an attempt ended: how it was refused, or what it achieved.
pub(crate) type Outcome = Result<String, String>;

/// What a Python attempt cannot do without, on this architecture.
pub(crate) const ABSENT: &str = "absent here";

/// `call` makes a system call by name and returns the name of the error, `tried` does so for a function.
pub(crate) const PRELUDE: &str = r#"
import ctypes, errno, fcntl, os, platform, resource, signal, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
NUMBERS = {
    'mount': (165, 40), 'umount2': (166, 39), 'pivot_root': (155, 41), 'chroot': (161, 51), 'clone': (56, 220),
    'unshare': (272, 97), 'setns': (308, 268), 'ptrace': (101, 117), 'process_vm_readv': (310, 270),
    'process_vm_writev': (311, 271), 'kcmp': (312, 272), 'add_key': (248, 217), 'request_key': (249, 218),
    'keyctl': (250, 219), 'bpf': (321, 280), 'perf_event_open': (298, 241), 'userfaultfd': (323, 282),
    'open_by_handle_at': (304, 265), 'name_to_handle_at': (303, 264), 'kexec_load': (246, 104),
    'kexec_file_load': (320, 294), 'init_module': (175, 105), 'finit_module': (313, 273),
    'delete_module': (176, 106), 'reboot': (169, 142), 'syslog': (103, 116), 'swapon': (167, 224),
    'swapoff': (168, 225), 'acct': (163, 89), 'quotactl': (179, 60), 'iopl': (172, None), 'ioperm': (173, None),
    'personality': (135, 92), 'settimeofday': (164, 170), 'clock_settime': (227, 112), 'adjtimex': (159, 171),
    'clock_adjtime': (305, 266), 'sethostname': (170, 161), 'setdomainname': (171, 162), 'vhangup': (153, 58),
    'modify_ldt': (154, None), 'move_pages': (279, 239), 'mbind': (237, 235), 'fanotify_init': (300, 262),
    'getpid': (39, 172), 'memfd_create': (319, 279), 'nfsservctl': (180, 42), 'lookup_dcookie': (212, 18),
    'open_tree': (428, 428), 'move_mount': (429, 429), 'fsopen': (430, 430), 'fsconfig': (431, 431),
    'fsmount': (432, 432), 'fspick': (433, 433), 'pidfd_open': (434, 434), 'clone3': (435, 435),
    'pidfd_getfd': (438, 438), 'mount_setattr': (442, 442), 'quotactl_fd': (443, 443),
    'io_uring_setup': (425, 425), 'io_uring_enter': (426, 426), 'io_uring_register': (427, 427),
    'memfd_secret': (447, 447),
}
COLUMN = {'x86_64': 0, 'aarch64': 1}[platform.machine()]
def raw(number, *arguments):
    ctypes.set_errno(0)
    values = [a if isinstance(a, (bytes, ctypes.Array, ctypes.Structure)) else ctypes.c_long(a) for a in arguments]
    if libc.syscall(ctypes.c_long(number), *values) == -1:
        return errno.errorcode[ctypes.get_errno()]
    return 'DONE'
def call(name, *arguments):
    number = NUMBERS[name][COLUMN]
    return 'absent here' if number is None else raw(number, *arguments)
def tried(function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    except ValueError as error:
        return str(error)
    return 'DONE'
"#;
