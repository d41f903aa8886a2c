//! What is said to the shell.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::UnixStream;

/// How long bash may take to read a command, on a machine that is busy; it was seen to take a tenth of it.
const READING: Duration = Duration::from_millis(10);
const READING_PER_KIB: Duration = Duration::from_millis(2);

/// The socket that the shell reads, and what there was no room for yet.
pub(super) struct Speech {
    commands: UnixStream,
    words: Mutex<Words>,
}

struct Words {
    unsaid: Vec<u8>,
    /// Asks for the report on the last command once more.
    question: Vec<u8>,
    /// When the last command will have been read.
    read_by: Instant,
}

impl Speech {
    /// On a socket that does not block. Must be called in a tokio runtime.
    pub(super) fn new(commands: std::os::unix::net::UnixStream) -> io::Result<Self> {
        let words = Words { unsaid: Vec::new(), question: Vec::new(), read_by: Instant::now() };
        Ok(Self { commands: UnixStream::from_std(commands)?, words: Mutex::new(words) })
    }

    /// Says lines, and keeps the question for [`Self::ask_again`].
    pub(super) fn say(&self, lines: &[u8], question: Vec<u8>) {
        let mut words = self.lock();
        let kib = u32::try_from(lines.len() >> 10).unwrap_or(u32::MAX);
        words.read_by = Instant::now() + READING + READING_PER_KIB.saturating_mul(kib);
        words.question = question;
        words.unsaid.extend_from_slice(lines);
        self.flush(&mut words);
    }

    /// An interrupt makes bash drop the line that it reads or runs, and a second one the next line too: that
    /// could have been what asks for the report.
    pub(super) fn ask_again(&self) {
        let mut words = self.lock();
        let Words { unsaid, question, .. } = &mut *words;
        unsaid.extend_from_slice(question);
        self.flush(&mut words);
    }

    /// Waits until a command that was just said has been read. An interrupt before that would make bash take
    /// the rest of it for another command.
    pub(super) async fn be_read(&self) {
        let read_by = self.lock().read_by;
        tokio::time::sleep_until(read_by.into()).await;
    }

    /// Says what is left, as there comes room for it; ends when something was said.
    pub(super) async fn go_on(&self) {
        if self.lock().unsaid.is_empty() {
            std::future::pending::<()>().await;
        }
        // A socket that fails is closed, which `flush` sees.
        let _ = self.commands.writable().await;
        self.flush(&mut self.lock());
    }

    /// Writes as far as there is room. A shell that cannot be told anything has ended or was replaced, which is
    /// learnt elsewhere.
    fn flush(&self, words: &mut Words) {
        while !words.unsaid.is_empty() {
            match self.commands.try_write(&words.unsaid) {
                Ok(length) => drop(words.unsaid.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => words.unsaid.clear(),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
