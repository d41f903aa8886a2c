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
    /// Pipes: output is not formatted for a screen. Standard output and error come in one stream, in order.
    Pipes,
    /// A terminal of this size.
    Pty {
        /// Lines.
        rows: u16,
        /// Characters in a line.
        columns: u16,
    },
}

/// A shell (bash) that lives on between commands: working directory, variables, functions and jobs are kept.
///
/// One command runs at a time. That one has ended is learnt from the shell itself over a channel that the
/// commands do not have, so no output can be taken for it. Dropping the session kills the shell and
/// everything below it.
#[async_trait]
pub trait Session: Send + Sync {
    /// Runs a command line and waits for its end, `patience` at most; after that it goes on running, and
    /// [`Self::poll`] waits again.
    ///
    /// # Errors
    /// [`SandboxError::Session`] when another command still runs or the shell has ended.
    async fn run(&self, command: &str, patience: Duration) -> Result<SessionOutput, SandboxError>;

    /// Waits for the running command `patience` longer. Output is what came since the last answer.
    ///
    /// # Errors
    /// [`SandboxError::Session`] when no command runs.
    async fn poll(&self, patience: Duration) -> Result<SessionOutput, SandboxError>;

    /// Writes to the standard input of the running command; on a terminal these are key strokes.
    ///
    /// # Errors
    /// [`SandboxError::Session`] when the shell has ended.
    async fn send_input(&self, input: &[u8]) -> Result<(), SandboxError>;

    /// Interrupts the running command, as Ctrl-C does. The command may choose not to end.
    ///
    /// # Errors
    /// [`SandboxError::Session`] when the shell has ended.
    async fn interrupt(&self) -> Result<(), SandboxError>;

    /// Kills every process that the running command has started, and keeps the shell.
    ///
    /// # Errors
    /// [`SandboxError::Session`] when the shell has ended.
    async fn kill_foreground(&self) -> Result<(), SandboxError>;

    /// The shell's exported variables and working directory, when no command runs: what another session can
    /// go on from.
    ///
    /// # Errors
    /// [`SandboxError::Session`] when a command runs or the shell has ended.
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
    /// The shell itself has ended: by `exit`, or killed.
    ShellEnded,
}
