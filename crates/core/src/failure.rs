//! Failures of infrastructure: what kept a rollout or an evaluation from happening.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a failure happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// Building or finding the image, creating the sandbox, running a command in it.
    Sandbox,
    /// Talking to the model endpoint.
    Model,
    /// The scaffold itself.
    Agent,
    /// Applying patches, running tests, reading their results.
    Harness,
    /// A defect of this program.
    Internal,
}

/// A failure is a record, and stays in the denominator of every rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Where it happened.
    pub boundary: Boundary,
    /// Short stable name of what happened, such as `connect`, `http_status`, `image_build`.
    pub kind: String,
    /// For people: what happened, to what.
    pub message: String,
    /// Whether trying again may help.
    pub retryable: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}
