//! What a policy is.

use async_trait::async_trait;
use swegym_core::fncall::{CallError, TextFormat};
use swegym_core::{Boundary, ChatRequest, Completion, Failure};

/// Chooses the next action. One value serves one rollout, so it may keep state.
#[async_trait]
pub trait Policy: Send {
    /// Name for records and predictions: the model's, or `gold`, `noop` ...
    fn name(&self) -> &str;

    /// The words around calls, where they are sent as text: what belongs into the record of a rollout.
    fn tool_format(&self) -> Option<&TextFormat> {
        None
    }

    /// Whether it sends messages of the user that follow on each other as one: what belongs into the record, too.
    fn merges_turns(&self) -> bool {
        false
    }

    /// Answers the conversation so far.
    ///
    /// # Errors
    /// [`ModelError`] when there is no answer to be had; retries are behind this call, not before it.
    async fn complete(&mut self, request: &ChatRequest<'_>) -> Result<Completion, ModelError>;
}

/// Why a policy gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The endpoint cannot be reached, or the connection broke, in every try.
    #[error("reach the model endpoint after {tries} tries: {message}")]
    Connection {
        /// How often it was tried.
        tries: u32,
        /// What happened the last time.
        message: String,
    },
    /// The endpoint answered with an error status, in every try where trying again makes sense.
    #[error("get an answer from the model endpoint after {tries} tries: HTTP status {status}: {message}")]
    Status {
        /// How often it was tried.
        tries: u32,
        /// HTTP status of the last answer.
        status: u16,
        /// Beginning of the body.
        message: String,
    },
    /// The answer is not a chat completion, in every try.
    #[error("read the answer of the model endpoint after {tries} tries: {message}")]
    Malformed {
        /// How often it was tried.
        tries: u32,
        /// What is wrong with it.
        message: String,
    },
    /// The conversation no longer fits the model's context window.
    #[error("fit the conversation into the model's context window: {message}")]
    ContextWindow {
        /// What the endpoint said.
        message: String,
    },
    /// The answer makes a call that does not fit the tools on offer. The model is to be told, and asked again.
    #[error("read the call in the model's answer: {message}")]
    InvalidCall {
        /// What is wrong with it, for the model.
        message: String,
        /// The answer as it was written.
        completion: Box<Completion>,
    },
    /// The conversation cannot be sent with its calls as text.
    #[error(transparent)]
    TextForm(#[from] CallError),
    /// The client cannot be set up: an address that is none, a certificate store that cannot be read.
    #[error("set up the model client: {message}")]
    Setup {
        /// What is wrong.
        message: String,
    },
    /// A scripted policy has no further answer.
    #[error("answer from the script: it ended after {answers} answers")]
    ScriptEnded {
        /// Answers it had.
        answers: usize,
    },
}

impl From<&ModelError> for Failure {
    fn from(error: &ModelError) -> Self {
        let (kind, retryable) = match error {
            ModelError::Connection { .. } => ("model_connection", true),
            ModelError::Status { status, .. } => ("model_status", *status == 429 || *status >= 500),
            ModelError::Malformed { .. } => ("model_malformed", true),
            ModelError::ContextWindow { .. } => ("context_window", false),
            ModelError::InvalidCall { .. } => ("invalid_call", false),
            ModelError::TextForm(_) => ("text_form", false),
            ModelError::Setup { .. } => ("model_setup", false),
            ModelError::ScriptEnded { .. } => ("script_ended", false),
        };
        Self {
            boundary: Boundary::Model,
            kind: kind.to_owned(),
            message: format!("failed to {error}"),
            retryable,
        }
    }
}
