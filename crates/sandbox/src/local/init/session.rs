//! What a shell session needs of init, besides being started.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::kill::{descendants, kill_those, signal};
use super::serve::Client;
use crate::local::protocol::{GuestReply, ShellCommand, ShellStreams};
use crate::local::sys;

/// Gives the process that is about to become the shell what it has besides its streams.
pub(super) fn attach(session: &ShellStreams, descriptors: &[OwnedFd]) -> nix::Result<()> {
    if session.controls_terminal {
        sys::control_terminal(io::stderr().as_fd())?;
    }
    let mut pairs = descriptors.iter().zip(&session.numbers);
    pairs.try_for_each(|(descriptor, number)| sys::duplicate_to(descriptor.as_fd(), *number))
}

/// How often, and how far apart, a shell is interrupted whose processes were killed.
const INTERRUPTS: u32 = 40;
const INTERRUPT_PAUSE: Duration = Duration::from_micros(100);

/// Kills what the command and later ones have started. Returns whether none of it is left. The shell is stopped
/// meanwhile, and goes on afterwards, also when it was stopped before. If the command still `runs` then the
/// shell is interrupted.
pub(super) fn kill_newer(supervisor: Pid, command: ShellCommand, runs: bool) -> bool {
    let shell = Pid::from_raw(command.shell);
    let is_newer = |pid| pid != shell && is_newer(pid, command.tag);
    if !descendants(supervisor).iter().any(|(pid, _)| *pid == shell) {
        return kill_those(supervisor, is_newer);
    }
    signal(shell, Signal::SIGSTOP);
    let forks = runs.then(|| sys::limit_forks(shell, 0));
    let complete = kill_those(supervisor, is_newer);
    signal(shell, Signal::SIGCONT);
    if runs {
        interrupt_often(shell);
    }
    if let Some(Ok(forks)) = forks {
        let _ = sys::limit_forks(shell, forks);
    }
    complete
}

/// Bash ignores an interrupt that comes while it waits for a process that then does not die of it, and goes on
/// with the rest of the command. Of that it cannot start anything now, so it gives up, or is in time for the
/// next interrupt.
fn interrupt_often(shell: Pid) {
    for _ in 0..INTERRUPTS {
        signal(shell, Signal::SIGINT);
        std::thread::sleep(INTERRUPT_PAUSE);
    }
}

/// How long a shell is waited for that has read a command and not begun it, and between two looks.
const BEGINNING: Duration = Duration::from_millis(200);
const LOOK_PAUSE: Duration = Duration::from_micros(200);

/// Waits until the command has begun. An interrupt before that makes bash drop what it has parsed of the line, and
/// take the rest for another command. What has ended meanwhile does not begin: hence the limit.
pub(super) fn await_beginning(command: ShellCommand) {
    let give_up = Instant::now() + BEGINNING;
    while reads_commands(command.shell) && Instant::now() < give_up {
        std::thread::sleep(LOOK_PAUSE);
    }
}

/// Whether standard input is the socket that commands come from: while one runs, it is the command's own.
fn reads_commands(shell: i32) -> bool {
    let input = fs::read_link(format!("/proc/{shell}/fd/0"));
    input.is_ok_and(|input| input.as_os_str().as_encoded_bytes().starts_with(b"socket:"))
}

/// Does what Ctrl-C does on a terminal: interrupts the shell, and of the command what has not left its session.
///
/// A terminal interrupts all at once. Here parents come before their children, and of siblings the last comes first:
/// it is the one whose end is the end of a pipeline, and it must not see the end of its input before.
pub(super) fn interrupt(supervisor: Pid, command: ShellCommand) {
    let is_target = |pid| pid == Pid::from_raw(command.shell) || is_newer(pid, command.tag);
    let mut found = descendants(supervisor);
    found.retain(|(pid, stat)| stat.session == command.shell && is_target(*pid));
    for siblings in found.chunk_by(|(_, one), (_, other)| one.parent == other.parent) {
        siblings.iter().rev().for_each(|(pid, _)| signal(*pid, Signal::SIGINT));
    }
}

/// Whether a process bears this tag or that of a later command.
fn is_newer(pid: Pid, tag: u64) -> bool {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    tag_of(&limits).is_some_and(|own| own <= tag)
}

/// The hard limit on file locks.
fn tag_of(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max file locks"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Makes a terminal of the sandbox's own, and passes both ends on.
pub(super) fn open_terminal(client: &Client<'_>, rows: u16, columns: u16) {
    match make_terminal(rows, columns) {
        Ok((master, terminal)) => client.reply(GuestReply::Terminal, &[master.as_fd(), terminal.as_fd()]),
        Err(error) => {
            client.reply(GuestReply::NotStarted { message: format!("open a terminal: {error}") }, &[])
        }
    }
}

fn make_terminal(rows: u16, columns: u16) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // Whatever lies there now: only a master has another end.
    let master = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/pts/ptmx")?;
    let terminal = sys::terminal_of(master.as_fd())?;
    sys::set_terminal_size(terminal.as_fd(), rows, columns)?;
    Ok((master.into(), terminal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_the_hard_limit_on_file_locks() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\n\
                      Max address space   unlimited   unlimited   bytes\n\
                      Max file locks      77          99          locks\n";
        assert_eq!(tag_of(limits), Some(99));
        assert_eq!(tag_of(&limits.replace("99", "unlimited")), None);
        assert_eq!(tag_of(""), None);
    }

    #[test]
    fn the_kernel_tells_the_tag_of_a_process() {
        let limits = fs::read_to_string("/proc/self/limits").unwrap();
        assert!(limits.lines().any(|line| line.starts_with("Max file locks")), "{limits}");
    }
}
