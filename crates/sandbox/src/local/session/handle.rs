//! What a session is, and what its calls have in common.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::dialog::{Dialog, Over, Phase, Progress};
use super::output::Output;
use super::speech::Speech;
use crate::local::channel::Channel;
use crate::local::protocol::{GuestReply, GuestRequest, ShellCommand};
use crate::local::sandbox::GuestSandbox;
use crate::local::sys;
use crate::shell::{self, COMMAND_BYTES, Listener};
use crate::{OutputLimit, SandboxError, SessionOutput, SessionStatus};

/// How long to look for the end of a command that may have ended since somebody looked.
const LOOK: Duration = Duration::from_millis(1);

/// What a session is made of.
pub(super) struct Parts {
    pub(super) channel: Arc<Channel<GuestReply>>,
    /// The exec that started the shell.
    pub(super) exec: u64,
    pub(super) dialog: Dialog,
    pub(super) speech: Arc<Speech>,
    pub(super) progress: Arc<Progress>,
    pub(super) input: Arc<AsyncFd<OwnedFd>>,
    pub(super) output: Arc<AsyncFd<OwnedFd>>,
    /// Whether these two are a terminal.
    pub(super) has_terminal: bool,
    /// Our end of the shell's private terminal, which lives as long as this is open.
    pub(super) private: Option<OwnedFd>,
    pub(super) roots: Roots,
}

/// What a session needs to know of the root of its sandbox, which changes when that is forked.
pub(super) struct Roots {
    /// Held while it may change.
    pub(super) visited: Arc<Mutex<()>>,
    /// How often it did.
    pub(super) switches: Arc<AtomicU64>,
    /// How often it had when the shell last went to its working directory by its path.
    pub(super) seen: AtomicU64,
}

impl Roots {
    pub(super) fn of(sandbox: &GuestSandbox) -> Self {
        let switches = Arc::clone(&sandbox.root_switches);
        let seen = AtomicU64::new(switches.load(Ordering::Acquire));
        Self { visited: Arc::clone(&sandbox.visited), switches, seen }
    }

    /// Whether it has changed since this was asked last.
    pub(super) fn has_switched(&self) -> bool {
        let switches = self.switches.load(Ordering::Acquire);
        self.seen.swap(switches, Ordering::AcqRel) != switches
    }
}

/// A shell in a sandbox; ended when it is dropped.
pub(crate) struct LocalSession {
    channel: Arc<Channel<GuestReply>>,
    exec: u64,
    /// Process id of the shell inside.
    shell: i32,
    /// Keys of reports follow from it.
    pub(super) secret: RandomState,
    pub(super) dialog: Mutex<Dialog>,
    pub(super) speech: Arc<Speech>,
    progress: Arc<Progress>,
    input: Mutex<Arc<AsyncFd<OwnedFd>>>,
    output: Arc<Output>,
    pump: JoinHandle<()>,
    terminal: Option<Arc<AsyncFd<OwnedFd>>>,
    _private: Option<OwnedFd>,
    pub(super) roots: Roots,
}

impl LocalSession {
    pub(super) fn new(parts: Parts, limit: OutputLimit) -> Self {
        let terminal = parts.has_terminal.then(|| Arc::clone(&parts.output));
        let output = Arc::new(Output::new(parts.output, limit));
        let pump = {
            let (output, progress) = (Arc::clone(&output), Arc::clone(&parts.progress));
            tokio::spawn(async move { output.pump(&progress).await })
        };
        Self {
            channel: parts.channel,
            exec: parts.exec,
            shell: 0,
            secret: RandomState::new(),
            dialog: Mutex::new(parts.dialog),
            speech: parts.speech,
            progress: parts.progress,
            input: Mutex::new(parts.input),
            output,
            pump,
            terminal,
            _private: parts.private,
            roots: parts.roots,
        }
    }

    /// Tells the shell what it needs to know, and learns its process id.
    pub(super) async fn greet(&mut self) -> Result<(), Over> {
        let dialog = self.dialog.get_mut();
        let key = key(&self.secret, dialog);
        dialog.listen(Listener::new(&key, COMMAND_BYTES));
        dialog.speech.say(&shell::definitions(&key));
        self.shell = dialog.hear(Listener::hello).await?;
        // What bash had to say before it was told to be silent.
        self.output.take();
        Ok(())
    }

    /// Waits for the end of the command that runs.
    async fn hear(&self, dialog: &mut Dialog) {
        if matches!(dialog.phase(), Phase::Running) {
            match dialog.hear(Listener::report).await {
                Ok(report) => dialog.reach(Phase::Done(report)),
                Err(over) => self.note(dialog, &over),
            }
        }
    }

    /// The shell has ended; what it left behind shall not outlive it.
    pub(super) fn note(&self, dialog: &mut Dialog, over: &Over) {
        match over {
            Over::Gone => dialog.reach(Phase::Gone),
            Over::Ended(_) => {
                dialog.reach(Phase::Ended { told: false });
                self.end();
            }
        }
    }

    /// Waits for the end of the command, and answers with what there is.
    pub(super) async fn answer(
        &self,
        dialog: &mut Dialog,
        patience: Duration,
    ) -> Result<SessionOutput, SandboxError> {
        // What the time runs out on is the answer too.
        let _ = timeout(patience, self.hear(dialog)).await;
        let status = match dialog.phase().clone() {
            Phase::Idle => return Err(error("no command runs")),
            Phase::Running => SessionStatus::Running,
            Phase::Done(report) => {
                dialog.reach(Phase::Idle);
                SessionStatus::Done { exit_code: report.exit_code, cwd: report.cwd }
            }
            Phase::Ended { told: true } => return Err(error("the shell has ended")),
            Phase::Ended { told: false } => {
                dialog.reach(Phase::Ended { told: true });
                SessionStatus::ShellEnded
            }
            Phase::Gone => return Err(SandboxError::Gone),
        };
        Ok(SessionOutput { status, output: self.output.take(), wall: dialog.started.elapsed() })
    }

    /// The dialog with a shell that waits for a command.
    pub(super) async fn idle(&self) -> Result<MutexGuard<'_, Dialog>, SandboxError> {
        let mut dialog = match self.dialog.try_lock() {
            Ok(dialog) => dialog,
            // Whoever waits for a command may do so for long.
            Err(_) if self.progress.running().is_some() => return Err(error("another command still runs")),
            Err(_) => self.dialog.lock().await,
        };
        // It may have ended since somebody looked.
        let _ = timeout(LOOK, self.hear(&mut dialog)).await;
        match dialog.phase() {
            Phase::Idle | Phase::Done(_) => Ok(dialog),
            Phase::Running => Err(error("another command still runs")),
            Phase::Ended { .. } => Err(error("the shell has ended")),
            Phase::Gone => Err(SandboxError::Gone),
        }
    }

    /// The number of the command that runs.
    pub(super) fn running(&self) -> Result<Option<u64>, SandboxError> {
        match self.progress.has_ended() {
            true => Err(error("the shell has ended")),
            false => Ok(self.progress.running()),
        }
    }

    fn target(&self, command: u64) -> ShellCommand {
        ShellCommand { exec: self.exec, shell: self.shell, tag: shell::tag(command) }
    }

    pub(super) async fn interrupt_command(&self, command: u64) -> Result<(), SandboxError> {
        self.speech.be_read().await;
        let has_terminal = self.terminal.is_some();
        let request = GuestRequest::Interrupt { command: self.target(command), has_terminal };
        self.channel.call(request, &[]).await?;
        if let Some(terminal) = &self.terminal {
            // A shell that has just ended takes its terminal along.
            let _ = sys::interrupt_foreground(terminal.get_ref().as_fd());
        }
        self.speech.ask();
        Ok(())
    }

    /// Waits a moment for the end of a command, and returns whether it has ended. Others may hear of it first.
    pub(super) async fn ends_within(&self, command: u64, patience: Duration) -> bool {
        let heard = async { self.hear(&mut *self.dialog.lock().await).await };
        let _ = timeout(patience, heard).await;
        self.progress.running() != Some(command)
    }

    /// Kills what the command has started, and interrupts the shell if it still `runs` it.
    pub(super) async fn kill_command(&self, command: u64, runs: bool) -> Result<(), SandboxError> {
        let request = match self.progress.is_replaced() {
            // What runs in place of the shell is part of the command.
            true => GuestRequest::Kill { exec: self.exec },
            false => GuestRequest::KillNewer { command: self.target(command), runs },
        };
        let killed = self.channel.call(request, &[]).await?;
        self.speech.ask();
        match killed {
            (GuestReply::Killed { complete: true }, _) => Ok(()),
            _ => Err(error("its processes multiply faster than they can be killed")),
        }
    }

    /// Kills the shell and everything below it.
    fn end(&self) {
        self.channel.notify(GuestRequest::Kill { exec: self.exec });
    }

    pub(super) async fn write(&self, input: &[u8], written: &mut usize) -> io::Result<()> {
        let target = self.input.lock().await;
        while *written < input.len() {
            let rest = &input[*written..];
            let write = |target: &OwnedFd| Ok(nix::unistd::write(target, rest)?);
            *written += target.async_io(Interest::WRITABLE, write).await?;
        }
        Ok(())
    }
}

impl Drop for LocalSession {
    fn drop(&mut self) {
        self.pump.abort();
        self.end();
    }
}

impl From<Over> for SandboxError {
    fn from(over: Over) -> Self {
        match over {
            Over::Ended(_) => error("the shell has ended"),
            Over::Gone => Self::Gone,
        }
    }
}

/// What the next report bears: not to be guessed, whatever reports were seen before.
pub(super) fn key(secret: &RandomState, dialog: &Dialog) -> String {
    format!("{:016x}", secret.hash_one(dialog.questions))
}

pub(super) fn error(message: impl Into<String>) -> SandboxError {
    SandboxError::Session { message: message.into() }
}
