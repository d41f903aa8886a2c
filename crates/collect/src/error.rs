//! Errors of making instances.

use swegym_core::RowError;
use swegym_sandbox::SandboxError;

/// What kept instances from being made. A bug that turns out unusable is no error: the next one is tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SynthError {
    /// A sandbox could not be made or used.
    #[error("use a sandbox")]
    Sandbox(#[from] SandboxError),
    /// The caller's workbench could not provide a sandbox or store a commit.
    #[error("prepare the workbench")]
    Workbench(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The tests of the clean tree did not run to their end, or none of them passed.
    #[error("run the tests of the clean tree: {message}; the log ends with `{log_end}`")]
    CleanRun {
        /// What happened.
        message: &'static str,
        /// The last lines of the log.
        log_end: String,
    },
    /// The record of what the tests cover is missing or malformed.
    #[error("read which functions the tests cover: {message}; the log ends with `{log_end}`")]
    Coverage {
        /// What is wrong.
        message: String,
        /// The last lines of the log.
        log_end: String,
    },
    /// The package's names do not make a valid instance.
    #[error("make an instance")]
    Row(#[from] RowError),
}

impl SynthError {
    /// What the user can do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Sandbox(error) => error.hints(),
            Self::CleanRun { .. } => {
                vec![
                    "run the test command in the package's image: it must pass before bugs are planted"
                        .to_owned(),
                ]
            }
            Self::Coverage { .. } => {
                vec![
                    "the test command must run pytest in one process (`-n0` where pytest-xdist is installed)"
                        .to_owned(),
                ]
            }
            _ => Vec::new(),
        }
    }
}
