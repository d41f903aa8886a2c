//! Errors of sandboxes.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;
use swegym_core::{Boundary, Failure};

/// What kept a sandbox from doing what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The process that makes sandboxes could not be started, or is gone.
    #[error("start the sandbox launcher: {message}")]
    Launcher {
        /// What happened.
        message: String,
    },
    /// A sandbox could not be set up.
    #[error("create a sandbox: {step}: {message}")]
    Create {
        /// The step that failed, such as `mount overlay`.
        step: String,
        /// What the kernel said.
        message: String,
    },
    /// The sandbox ended while something was asked of it: killed, out of memory, or destroyed.
    #[error("reach the sandbox: it is gone")]
    Gone,
    /// A command could not be started: no such program, no such directory.
    #[error("start `{program}` in the sandbox: {message}")]
    Start {
        /// First word of the command.
        program: String,
        /// What the kernel said.
        message: String,
    },
    /// A file could not be read or written.
    #[error("{action} `{path}` in the sandbox: {message}")]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The path inside.
        path: String,
        /// What the kernel said.
        message: String,
        /// Errno of it, where there is one.
        errno: Option<i32>,
    },
    /// A shell session cannot do what it was asked.
    #[error("use the shell session: {message}")]
    Session {
        /// Why not.
        message: String,
    },
    /// A checkpoint could not be written or read.
    #[error("{action} the checkpoint `{}`: {message}", folder.display())]
    Checkpoint {
        /// `write` or `read`.
        action: &'static str,
        /// Its folder.
        folder: PathBuf,
        /// What went wrong.
        message: String,
    },
    /// The container daemon cannot be reached, or does not do what it is asked.
    #[error("use the container daemon: {message}")]
    Daemon {
        /// What happened.
        message: String,
        /// What the user can do about it.
        hint: Option<&'static str>,
    },
    /// An image cannot be used by this backend.
    #[error("use the image `{reference}`: {message}")]
    Image {
        /// Its name; empty where it has none.
        reference: String,
        /// Why not.
        message: String,
        /// What the user can do about it.
        hint: Option<&'static str>,
    },
    /// This backend cannot do it.
    #[error("{action}: this kind of sandbox cannot")]
    Unsupported {
        /// What was asked, such as `fork the sandbox`.
        action: &'static str,
    },
    /// Talking to the sandbox failed.
    #[error("talk to the sandbox")]
    Io(#[from] io::Error),
}

impl SandboxError {
    /// What the user can do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Launcher { .. } | Self::Create { .. } => {
                vec!["`swegym doctor` says what this machine lacks for sandboxes".to_owned()]
            }
            Self::Daemon { hint, .. } | Self::Image { hint, .. } => {
                hint.iter().map(|hint| (*hint).to_owned()).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl From<&SandboxError> for Failure {
    fn from(error: &SandboxError) -> Self {
        let (kind, retryable) = match error {
            SandboxError::File { errno: Some(errno), .. } if *errno == Errno::ENOSPC as i32 => {
                ("disk_full", true)
            }
            SandboxError::Io(cause) if cause.kind() == io::ErrorKind::StorageFull => ("disk_full", true),
            SandboxError::Launcher { .. } => ("sandbox_launcher", false),
            SandboxError::Create { .. } => ("sandbox_create", true),
            SandboxError::Gone => ("sandbox_gone", true),
            SandboxError::Start { .. } => ("sandbox_start", false),
            SandboxError::File { .. } => ("sandbox_file", false),
            SandboxError::Session { .. } => ("sandbox_session", false),
            SandboxError::Checkpoint { .. } => ("sandbox_checkpoint", false),
            SandboxError::Daemon { .. } => ("sandbox_daemon", true),
            SandboxError::Image { .. } => ("sandbox_image", false),
            SandboxError::Unsupported { .. } => ("sandbox_unsupported", false),
            SandboxError::Io(_) => ("sandbox_io", true),
        };
        let mut message = format!("failed to {error}");
        if let SandboxError::Io(cause) = error {
            message.push_str(&format!(": {cause}"));
        }
        Self { boundary: Boundary::Sandbox, kind: kind.to_owned(), message, retryable }
    }
}
