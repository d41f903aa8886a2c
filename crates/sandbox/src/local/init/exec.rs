//! Running a command: a supervisor, and below it the command with all its descendants.
//!
//! The supervisor adopts every descendant whose parent ends, so that a process that detaches itself is still
//! found below it when the command has to be killed.

use std::convert::Infallible;
use std::ffi::{CStr, CString, NulError};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeValLike;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, setsid};

use super::serve::Client;
use super::session;
use crate::SideChannel;
use crate::local::protocol::{Command, End, GuestReply, Usage};
use crate::local::sys;

/// Where programs are looked for when the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Open files of a process: what servers and test suites expect, not what the host's administrator has.
const OPEN_FILES: u64 = 65_536;

/// Runs the command and reports how it ended. Its descendants may live on.
pub(super) fn supervise(client: &Client<'_>, command: &Command, streams: Vec<OwnedFd>, processes: u64) {
    let reply = match start(command, streams, processes) {
        Ok(main) => wait_for(main),
        Err(message) => GuestReply::NotStarted { message },
    };
    client.reply(reply, &[]);
    if command.session.is_some() {
        // What a shell leaves behind is found below this process, and killed, when its owner gives it up.
        while !matches!(waitpid(None, None), Err(Errno::ECHILD)) {}
    }
}

fn start(command: &Command, streams: Vec<OwnedFd>, processes: u64) -> Result<Pid, String> {
    let describe = |errno: Errno| errno.desc().to_owned();
    let program = Program::new(command).map_err(|_| "a word of the command holds a zero byte".to_owned())?;
    prctl::set_child_subreaper(true).map_err(describe)?;
    let mut failure = None;
    let main = sys::spawn_sharing_memory(&mut || {
        let Err(message) = become_command(command, &program, &streams, processes);
        failure = Some(message);
        127
    });
    let main = main.map_err(describe)?;
    let Some(message) = failure else { return Ok(main) };
    let _ = waitpid(main, None);
    Err(message)
}

/// Turns this process into the command.
fn become_command(
    command: &Command,
    program: &Program,
    streams: &[OwnedFd],
    processes: u64,
) -> Result<Infallible, String> {
    let describe = |errno: Errno| errno.desc().to_owned();
    setsid().map_err(describe)?;
    let [stdin, stdout, stderr, more @ ..] = streams else {
        return Err("the request came without its streams".to_owned());
    };
    dup2_stdin(stdin.as_fd()).map_err(describe)?;
    dup2_stdout(stdout.as_fd()).map_err(describe)?;
    dup2_stderr(stderr.as_fd()).map_err(describe)?;
    sys::close_from_on_exec(3).map_err(describe)?;
    match (&command.session, more) {
        (Some(session), _) => session::attach(session, more).map_err(describe)?,
        (None, [channel]) => {
            sys::duplicate_to(channel.as_fd(), SideChannel::DESCRIPTOR).map_err(describe)?;
        }
        (None, _) => {}
    }
    limit_resources(processes).map_err(describe)?;
    sys::reset_signals().map_err(describe)?;
    chdir(command.cwd.as_str())
        .map_err(|errno| format!("working directory `{}`: {}", command.cwd, errno.desc()))?;
    Err(program.execute().desc().to_owned())
}

fn limit_resources(processes: u64) -> nix::Result<()> {
    lower(Resource::RLIMIT_CORE, 0)?;
    lower(Resource::RLIMIT_NOFILE, OPEN_FILES)?;
    // Counted by the kernel for each user namespace, so for this sandbox alone.
    lower(Resource::RLIMIT_NPROC, processes)
}

/// Sets a limit, as far as the hard limit allows.
fn lower(resource: Resource, limit: u64) -> nix::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    let limit = limit.min(hard);
    setrlimit(resource, limit, limit)
}

/// What `execve` needs, made before the fork.
struct Program {
    candidates: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
}

impl Program {
    fn new(command: &Command) -> Result<Self, NulError> {
        let name = command.argv.first().map_or("", String::as_str);
        let path = command.env.get("PATH").map_or(DEFAULT_PATH, String::as_str);
        let candidates = if name.contains('/') {
            vec![CString::new(name)?]
        } else {
            path.split(':').map(|folder| candidate(folder, name)).collect::<Result<_, _>>()?
        };
        let env = command.env.iter().map(|(name, value)| CString::new(format!("{name}={value}")));
        Ok(Self {
            candidates,
            argv: command.argv.iter().map(|word| CString::new(word.as_str())).collect::<Result<_, _>>()?,
            env: env.collect::<Result<_, _>>()?,
        })
    }

    /// Tries the candidates in order; a program that is there but may not be run counts for more than one that
    /// is not there.
    fn execute(&self) -> Errno {
        let mut worst = Errno::ENOENT;
        for candidate in &self.candidates {
            let Err(errno) = execve::<&CStr, &CStr>(candidate, &as_strs(&self.argv), &as_strs(&self.env));
            match errno {
                Errno::ENOENT | Errno::ENOTDIR => {}
                Errno::EACCES => worst = errno,
                _ => return errno,
            }
        }
        worst
    }
}

/// An empty part of `PATH` means the working directory.
fn candidate(folder: &str, name: &str) -> Result<CString, NulError> {
    let folder = if folder.is_empty() { "." } else { folder };
    CString::new(format!("{folder}/{name}"))
}

fn as_strs(strings: &[CString]) -> Vec<&CStr> {
    strings.iter().map(CString::as_c_str).collect()
}

/// Waits for the main process, reaping orphans of its tree meanwhile.
fn wait_for(main: Pid) -> GuestReply {
    loop {
        let end = match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == main => End::Exited(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == main => End::Signaled(signal as i32),
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(errno) => return GuestReply::NotStarted { message: errno.desc().to_owned() },
        };
        return GuestReply::Ended { end, usage: usage_of_children() };
    }
}

fn usage_of_children() -> Usage {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else {
        return Usage::default();
    };
    let micros = (usage.user_time() + usage.system_time()).num_microseconds();
    Usage {
        cpu: Duration::from_micros(micros.unsigned_abs()),
        // The kernel counts it in KiB.
        peak_memory: usage.max_rss().unsigned_abs() << 10,
    }
}
