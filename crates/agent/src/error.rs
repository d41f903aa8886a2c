//! Errors of scaffolds.

use swegym_core::{Boundary, Failure, Trajectory};
use swegym_model::ModelError;
use swegym_sandbox::SandboxError;

/// A rollout that could not be brought to its end, with what had happened until then.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct AgentError {
    /// What kept it from its end.
    #[source]
    pub cause: AgentCause,
    /// Evidence: everything up to the error. Where the loop itself was cut off, its exit status says nothing.
    pub trajectory: Box<Trajectory>,
}

/// What kept a rollout from its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentCause {
    /// The sandbox did not do what it was asked.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The policy gave no answer.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A prompt could not be made from its template: a defect of this crate.
    #[error("render a prompt")]
    Prompt(#[from] minijinja::Error),
    /// The repository cannot be read for an index of its code.
    #[error("read the repository: {message}")]
    Repository {
        /// What went wrong.
        message: String,
    },
    /// Git cannot compare the files with the base commit, for instance because the repository was deleted.
    #[error("take the patch: git {end}: {message}")]
    Patch {
        /// How git ended.
        end: String,
        /// End of what it printed.
        message: String,
        /// Whether it was killed, so that another attempt may succeed.
        killed: bool,
    },
    /// The patch is larger than any that can be meant.
    #[error("take the patch: it has {bytes} bytes, more than the limit of {limit}")]
    PatchTooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: usize,
    },
}

impl AgentError {
    pub(crate) fn new(cause: impl Into<AgentCause>, trajectory: Trajectory) -> Self {
        Self { cause: cause.into(), trajectory: Box::new(trajectory) }
    }
}

impl From<&AgentError> for Failure {
    fn from(error: &AgentError) -> Self {
        let (boundary, kind, retryable) = match &error.cause {
            AgentCause::Sandbox(cause) => return cause.into(),
            AgentCause::Model(cause) => return cause.into(),
            AgentCause::Prompt(_) => (Boundary::Internal, "prompt", false),
            AgentCause::Repository { .. } => (Boundary::Agent, "repository", false),
            AgentCause::Patch { killed, .. } => (Boundary::Agent, "patch", *killed),
            AgentCause::PatchTooLarge { .. } => (Boundary::Agent, "patch_too_large", false),
        };
        let mut message = format!("failed to {error}");
        if let AgentCause::Prompt(cause) = &error.cause {
            message.push_str(&format!(": {cause}"));
        }
        Self { boundary, kind: kind.to_owned(), message, retryable }
    }
}
