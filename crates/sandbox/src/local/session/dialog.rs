//! The talk with the shell.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use tokio::net::UnixStream;

use super::speech::Speech;
use crate::local::channel::{Closed, Pending};
use crate::local::protocol::GuestReply;
use crate::shell::{Listener, Report};

/// Bytes of reports read at once.
const CHUNK_BYTES: usize = 4 << 10;

/// What is said to the shell, what it reports, and where it stands.
///
/// A call may be dropped at any point: the next one goes on with what is left to say and to hear.
pub(super) struct Dialog {
    pub(super) speech: Arc<Speech>,
    reports: UnixStream,
    /// How init tells that the shell has ended.
    shell: Pending<GuestReply>,
    listener: Listener,
    /// How often something was said that has an answer.
    pub(super) questions: u64,
    phase: Phase,
    /// How many commands were begun.
    pub(super) commands_begun: u64,
    /// When the last one was.
    pub(super) started: Instant,
    progress: Arc<Progress>,
}

/// Where the shell stands.
#[derive(Clone)]
pub(super) enum Phase {
    /// It waits for a command.
    Idle,
    /// It runs one.
    Running,
    /// It has run one, of which nobody was told yet.
    Done(Report),
    /// It has ended, and somebody was told or not.
    Ended { told: bool },
    /// The sandbox is gone.
    Gone,
}

/// Why nothing can be heard any more.
pub(super) enum Over {
    /// Init says that the shell has ended, or never began.
    Ended(GuestReply),
    /// The sandbox is gone.
    Gone,
}

/// What can be seen of a session while somebody talks.
#[derive(Default)]
pub(in crate::local) struct Progress {
    /// Number of the command that runs, or 0.
    running: AtomicU64,
    ended: AtomicBool,
    /// Nothing can report any more, although the process that was the shell lives on.
    replaced: AtomicBool,
}

impl Progress {
    pub(in crate::local) fn running(&self) -> Option<u64> {
        Some(self.running.load(Ordering::Acquire)).filter(|number| *number > 0)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Acquire)
    }
}

impl Dialog {
    /// With a socket that does not block. Must be called in a tokio runtime.
    pub(super) fn new(
        speech: Arc<Speech>,
        reports: std::os::unix::net::UnixStream,
        shell: Pending<GuestReply>,
        progress: Arc<Progress>,
    ) -> io::Result<Self> {
        Ok(Self {
            speech,
            reports: UnixStream::from_std(reports)?,
            shell,
            listener: Listener::new("", 0),
            questions: 0,
            phase: Phase::Idle,
            commands_begun: 0,
            started: Instant::now(),
            progress,
        })
    }

    pub(super) fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Notes where the shell stands now.
    pub(super) fn reach(&mut self, phase: Phase) {
        let running = matches!(phase, Phase::Running).then_some(self.commands_begun);
        self.progress.running.store(running.unwrap_or(0), Ordering::Release);
        if matches!(phase, Phase::Ended { .. } | Phase::Gone) {
            self.progress.ended.store(true, Ordering::Release);
        }
        self.phase = phase;
    }

    /// Listens from here on to the answer to something alone.
    pub(super) fn listen(&mut self, listener: Listener) {
        self.questions += 1;
        self.listener = listener;
    }

    /// Waits until `found` makes something of what was heard.
    pub(super) async fn hear<T>(&mut self, found: impl Fn(&Listener) -> Option<T>) -> Result<T, Over> {
        loop {
            if let Some(found) = found(&self.listener) {
                return Ok(found);
            }
            let over = tokio::select! {
                _ = self.reports.readable(), if !self.progress.is_replaced() => None,
                () = self.speech.go_on() => None,
                reply = self.shell.reply() => Some(reply),
            };
            match over {
                None => self.read(),
                Some(Ok((reply, _))) => return Err(Over::Ended(reply)),
                Some(Err(Closed)) => return Err(Over::Gone),
            }
        }
    }

    /// Reads what was reported, as far as it is there.
    fn read(&mut self) {
        let mut chunk = [0; CHUNK_BYTES];
        match self.reports.try_read(&mut chunk) {
            Ok(length @ 1..) => self.listener.push(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => self.progress.replaced.store(true, Ordering::Release),
        }
    }
}
