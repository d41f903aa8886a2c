//! The one gate of all output: data to stdout, everything else to stderr.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Prints. Clones share the state of the status line.
#[derive(Debug, Clone)]
pub(crate) struct Printer {
    quiet: bool,
    terminal: bool,
    status_shown: Arc<Mutex<bool>>,
}

impl Printer {
    /// A printer that says nothing but errors and data when `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, terminal: io::stderr().is_terminal(), status_shown: Arc::default() }
    }

    /// A line of data.
    pub(crate) fn data(&self, line: &str) {
        self.clear_status();
        // A reader that has gone away is not our concern.
        writeln!(io::stdout().lock(), "{line}").ok();
    }

    /// A line of progress.
    pub(crate) fn line(&self, line: &str) {
        if !self.quiet {
            self.to_stderr(&format!("{line}\n"));
        }
    }

    /// What is going on right now: replaces itself, and only shows on a terminal.
    pub(crate) fn status(&self, text: &str) {
        if self.terminal && !self.quiet {
            // A line that wraps could not be taken back.
            let text: String = text.chars().take(79).collect();
            self.to_stderr(&text);
            *self.status_shown.lock().unwrap_or_else(PoisonError::into_inner) = true;
        }
    }

    /// Something is wrong.
    pub(crate) fn error(&self, message: &str) {
        self.to_stderr(&format!("error: {message}\n"));
    }

    /// What the user can do about it.
    pub(crate) fn hint(&self, message: &str) {
        self.to_stderr(&format!("hint: {message}\n"));
    }

    fn clear_status(&self) {
        let mut shown = self.status_shown.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut *shown) {
            io::stderr().lock().write_all(b"\r\x1b[K").ok();
        }
    }

    fn to_stderr(&self, text: &str) {
        self.clear_status();
        io::stderr().lock().write_all(text.as_bytes()).ok();
    }
}
