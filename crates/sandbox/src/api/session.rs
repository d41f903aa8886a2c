//! Shells that keep their state between commands.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Captured, OutputLimit, SandboxError};

/// How a shell session is opened.
#[derive(Debug, Clone)]
pub struct SessionSpec {
    /// Working directory; the image's when `None`.
    pub cwd: Option<String>,
    /// Added to the image's environment, over it.
    pub env: BTreeMap<String, String>,
    /// What commands see as their standard streams.
    pub terminal: Terminal,
    /// How much of the output of each command is kept.
    pub output_limit: OutputLimit,
}

impl Default for SessionSpec {
    fn default() -> Self {
        Self {
            cwd: None,
            env: BTreeMap::new(),
            terminal: Terminal::Pipes,
            output_limit: OutputLimit { head: 512 << 10, tail: 512 << 10 },
        }
    }
}

/// What the commands of a session see as their standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// Pipes: output is not formatted for a screen, jobs are not controlled. Standard output and error come in
    /// one stream, in order.
    Pipes,
    /// A terminal of this size. Lines end with a carriage return too, input is echoed, jobs are controlled.
    /// `TERM` is `xterm-256color` where the image does not say.
    Pty {
        /// Lines.
        rows: u16,
        /// Characters in a line.
        columns: u16,
    },
}

/// A shell (bash) that lives on between commands: working directory, variables, functions and jobs are kept.
///
/// One command runs at a time; the other calls may be made meanwhile, from anywhere, and a call that is dropped
/// leaves the command running. That a command has ended is learnt from the shell itself over a channel that the
/// processes of commands do not have, so no output can be taken for it. Dropping the session kills the shell and
/// everything below it, and so does the end of the shell.
///
/// The shell is interactive, but without prompts, history and editing: what bash prints between commands, such
/// as `PS1` and notices of jobs that have ended, is not shown, and `PROMPT_COMMAND` and `TMOUT` are removed. The
/// line `[1] 123` with which bash begins a background job is output of the command. Three things differ from a
/// shell that a person types into: `exec` changes standard streams only until the end of the command; `$_` and
/// `PIPESTATUS` do not last from one command to the next; with `set -e` a command whose exit code is not 0 ends
/// the shell even where that is the code of a condition, as in `false && true`. Processes have a strange
/// limit on file locks (`ulimit -x`), which the kernel does not use.
#[async_trait]
pub trait Session: Send + Sync {
    /// Runs a command line, of any number of lines, and waits for its end, `patience` at most; after that it
    /// goes on running, and [`Self::poll`] waits again. Processes in its background are not waited for; what
    /// they print comes with later answers, as does what came since the last one. The end of an earlier command
    /// that nobody has polled for is forgotten.
    ///
    /// # Errors
    /// [`SandboxError::Session`] when another command still runs, the shell has ended, or the command holds a
    /// zero byte. [`SandboxError::Gone`] when the sandbox is gone, as from every other call.
    async fn run(&self, command: &str, patience: Duration) -> Result<SessionOutput, SandboxError>;

    /// Waits for the running command `patience` longer. Output is what came since the last answer. The end of a
    /// command, and of the shell, is told once.
    ///
    /// # Errors
    /// [`SandboxError::Session`] when no command runs.
    async fn poll(&self, patience: Duration) -> Result<SessionOutput, SandboxError>;

    /// Writes to the standard input of the running command; on a terminal these are key strokes. What the
    /// command does not read is there for the next one.
    ///
    /// # Errors
    /// [`SandboxError::Session`] when no command runs, or when it leaves so much unread that no more can be
    /// written for some seconds.
    async fn send_input(&self, input: &[u8]) -> Result<(), SandboxError>;

    /// Interrupts the running command, as Ctrl-C does: the processes that it waits for, and the shell, which
    /// drops the rest of the command. It may choose not to end. Does nothing when no command runs.
    ///
    /// # Errors
    /// [`SandboxError::Session`] when the shell has ended.
    async fn interrupt(&self) -> Result<(), SandboxError>;

    /// Interrupts the running command, then kills every process that it has started, in whatever way those
    /// detached themselves, and keeps the shell and what earlier commands have started. The command's end is told by
    /// [`Self::poll`]. A shell that ignores interrupts may go on with the rest of the command. Does nothing
    /// when no command runs.
    ///
    /// # Errors
    /// [`SandboxError::Session`] when the shell has ended, or its processes multiply faster than they can be
    /// killed: then the sandbox is to be destroyed.
    async fn kill_foreground(&self) -> Result<(), SandboxError>;

    /// The shell's exported variables and working directory, when no command runs: what another session can
    /// go on from. Variables that are not UTF-8 are left out, as are those that every shell makes for itself.
    ///
    /// # Errors
    /// [`SandboxError::Session`] when a command runs, the shell has ended, or it does not tell.
    async fn state(&self) -> Result<SessionState, SandboxError>;
}

/// Where a session stands between two commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionState {
    /// Working directory.
    pub cwd: String,
    /// Exported variables.
    pub env: BTreeMap<String, String>,
}

/// What a command of a session printed, and where it stands.
#[derive(Debug, Clone)]
pub struct SessionOutput {
    /// Where the command stands.
    pub status: SessionStatus,
    /// What came since the last answer.
    pub output: Captured,
    /// Since the command was started.
    pub wall: Duration,
}

/// Where the command of a session stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionStatus {
    /// It has ended; the shell waits for the next one.
    Done {
        /// Its exit code.
        exit_code: i32,
        /// Working directory of the shell now.
        cwd: String,
    },
    /// It still runs.
    Running,
    /// The shell itself has ended: by `exit`, by `exec` of what then ended, by `set -e`, or killed.
    ShellEnded,
}
