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
    /// The repository cannot be read for an index of its code.
    #[error("read the repository: {message}")]
    Repository {
        /// What went wrong.
        message: String,
    },
    /// Somebody else's agent ended before it had an answer of the model.
    #[error("run the agent: it {end}: {output}")]
    Outside {
        /// How it ended.
        end: String,
        /// End of what it printed.
        output: String,
    },
    /// A prompt could not be made from its template.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The comparison with the base commit was killed, so that another attempt may succeed.
    #[error("take the patch: git {end}")]
    PatchKilled {
        /// By what.
        end: String,
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
            AgentCause::Outside { .. } => (Boundary::Agent, "agent_command", false),
            AgentCause::Prompt(_) => (Boundary::Internal, "prompt", false),
            AgentCause::PatchKilled { .. } => (Boundary::Agent, "patch", true),
            AgentCause::Repository { .. } => (Boundary::Agent, "repository", false),
        };
        Self { boundary, kind: kind.to_owned(), message: format!("failed to {error}"), retryable }
    }
}

/// What is wrong with a prompt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read the prompt `{file}`: {}{message}", line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub struct PromptError {
    /// Its file.
    pub file: String,
    /// The line that is at fault, where one is.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl PromptError {
    pub(crate) fn new(file: String, line: Option<usize>, message: String) -> Self {
        Self { file, line, message }
    }

    pub(crate) fn of(file: &str, error: &minijinja::Error) -> Self {
        let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
        Self::new(file.to_owned(), error.line(), format!("{}{detail}", error.kind()))
    }
}
