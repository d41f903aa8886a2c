//! The files that an editor works on.

use std::time::Duration;

use async_trait::async_trait;
use swegym_sandbox::{ExecRequest, Sandbox, SandboxError};

/// Wall time of one line of shell.
const SHELL_TIME_LIMIT: Duration = Duration::from_secs(120);

/// Where the files of an editor lie.
#[async_trait]
pub trait EditorFiles: Send + Sync {
    /// At most `limit` bytes of a regular file.
    ///
    /// # Errors
    /// [`SandboxError::File`] when it is not there, not a regular file (`EISDIR` for a folder), or not readable.
    async fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, SandboxError>;

    /// Replaces the content of a file. Missing parent folders may be made.
    ///
    /// # Errors
    /// [`SandboxError::File`] when it cannot be written.
    async fn write(&self, path: &str, content: &[u8]) -> Result<(), SandboxError>;

    /// Runs a line of shell.
    ///
    /// # Errors
    /// When it could not be started.
    async fn shell(&self, script: &str) -> Result<Printed, SandboxError>;
}

/// What a line of shell printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// On standard output.
    pub stdout: String,
    /// On standard error.
    pub stderr: String,
    /// Whether it exited with 0.
    pub success: bool,
}

/// The files of a sandbox.
pub(super) struct SandboxFiles<'a>(pub(super) &'a dyn Sandbox);

#[async_trait]
impl EditorFiles for SandboxFiles<'_> {
    async fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, SandboxError> {
        self.0.read_file(path, limit).await
    }

    async fn write(&self, path: &str, content: &[u8]) -> Result<(), SandboxError> {
        self.0.write_file(path, content).await
    }

    async fn shell(&self, script: &str) -> Result<Printed, SandboxError> {
        let output = self.0.exec(&ExecRequest::shell(script).within(SHELL_TIME_LIMIT)).await?;
        Ok(Printed {
            stdout: output.stdout.to_text(),
            stderr: output.stderr.to_text(),
            success: output.success(),
        })
    }
}

/// A text as one word of shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
