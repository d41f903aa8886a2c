//! What is said to the shell.
//!
//! A command is one line. Bash may drop it: because of an interrupt, or of an error that leads back to its top.
//! So some time after a command its report is asked for by another line, which does nothing where it came.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UnixStream;

use crate::local::sys;

/// When the report on a command is asked for; most come earlier.
const QUESTION_AFTER: Duration = Duration::from_millis(3);
/// How long bash may take to read what was said to it, before it is interrupted nevertheless: it may be stopped.
const READING: Duration = Duration::from_secs(5);
/// Between two looks whether it was read.
const PAUSE: Duration = Duration::from_millis(1);

/// The socket that the shell reads, and what there was no room for yet.
pub(super) struct Speech {
    commands: UnixStream,
    words: Mutex<Words>,
}

struct Words {
    unsaid: Vec<u8>,
    /// Asks for the report on the last command.
    question: Vec<u8>,
    /// Whether it was, which is not before the command was read: bash does not read while it runs one.
    asked: bool,
}

impl Speech {
    /// On a socket that does not block. Must be called in a tokio runtime.
    pub(super) fn new(commands: std::os::unix::net::UnixStream) -> io::Result<Self> {
        let words = Words { unsaid: Vec::new(), question: Vec::new(), asked: true };
        Ok(Self { commands: UnixStream::from_std(commands)?, words: Mutex::new(words) })
    }

    /// Says lines that are answered without being asked again.
    pub(super) fn say(&self, lines: &[u8]) {
        let mut words = self.lock();
        words.asked = true;
        words.unsaid.extend_from_slice(lines);
        self.flush(&mut words);
    }

    /// Says a command, whose report can be asked for.
    pub(super) fn say_command(&self, line: &[u8], question: Vec<u8>) {
        let mut words = self.lock();
        words.question = question;
        words.asked = false;
        words.unsaid.extend_from_slice(line);
        self.flush(&mut words);
    }

    /// Asks for the report; to be repeated after every interrupt, as each can make bash drop a line.
    pub(super) fn ask(&self) {
        let mut words = self.lock();
        words.asked = true;
        let Words { unsaid, question, .. } = &mut *words;
        unsaid.extend_from_slice(question);
        self.flush(&mut words);
    }

    /// Waits until the command has been read. An interrupt before that would make bash drop what it has, and
    /// take the rest for another command. It is one thing to have read the last of it, another to have begun.
    pub(super) async fn be_read(&self) {
        let read = async {
            while !self.was_read() {
                tokio::time::sleep(PAUSE).await;
            }
        };
        let _ = tokio::time::timeout(READING, read).await;
    }

    fn was_read(&self) -> bool {
        let mut words = self.lock();
        self.flush(&mut words);
        words.asked
            || words.unsaid.is_empty() && sys::unread(self.commands.as_fd()).is_ok_and(|bytes| bytes == 0)
    }

    /// Does what is next to do, when its time has come; ends when something was done.
    pub(super) async fn go_on(&self) {
        let (is_said, asked) = {
            let words = self.lock();
            (words.unsaid.is_empty(), words.asked)
        };
        if !is_said {
            // A socket that fails is closed, which `flush` sees.
            let _ = self.commands.writable().await;
            self.flush(&mut self.lock());
        } else if !asked {
            tokio::time::sleep(QUESTION_AFTER).await;
            if self.was_read() {
                self.ask();
            }
        } else {
            std::future::pending().await
        }
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
