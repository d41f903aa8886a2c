//! Errors that end a run. What goes wrong with one rollout is a record, not an error.

use swegym_data::DataError;

/// What ended a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunnerError {
    /// The run directory cannot be read or written.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A worker ended in a way that it must not.
    #[error("run a worker: {message}")]
    Worker {
        /// What happened.
        message: String,
    },
}

impl RunnerError {
    /// What the user can do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Data(error) => error.hints(),
            Self::Worker { .. } => Vec::new(),
        }
    }
}
