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

/// What a failure is about, for summaries: each kind belongs to one. `docs/formats.md` has the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The image cannot be had, or its repository cannot be used.
    Image,
    /// The environment cannot be installed.
    Install,
    /// The test patch does not apply to the base commit.
    Patch,
    /// The harness's own commands took too long; tests that do are a result.
    Timeout,
    /// The harness's own commands ran out of memory; tests that do are a result.
    OutOfMemory,
    /// There was no room for a file of the harness.
    DiskFull,
    /// The sandbox, or a command of the harness, was killed from outside.
    Killed,
    /// The log could not be graded by the rules asked for.
    Parser,
    /// Anything else about sandboxes.
    Sandbox,
    /// The model endpoint.
    Model,
    /// The scaffold.
    Agent,
    /// A defect of this program.
    Internal,
}

impl FailureClass {
    /// Its name in summaries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Install => "install",
            Self::Patch => "patch",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out of memory",
            Self::DiskFull => "disk full",
            Self::Killed => "killed",
            Self::Parser => "parser",
            Self::Sandbox => "sandbox",
            Self::Model => "model",
            Self::Agent => "agent",
            Self::Internal => "internal",
        }
    }
}

impl Failure {
    /// What it is about.
    pub fn class(&self) -> FailureClass {
        match (self.boundary, self.kind.as_str()) {
            (Boundary::Model, _) => FailureClass::Model,
            (Boundary::Agent, _) => FailureClass::Agent,
            (Boundary::Internal, _) => FailureClass::Internal,
            (_, "image_build") => FailureClass::Install,
            (_, "test_patch") => FailureClass::Patch,
            (_, "timeout") => FailureClass::Timeout,
            (_, "out_of_memory") => FailureClass::OutOfMemory,
            (_, "disk_full") => FailureClass::DiskFull,
            (_, "killed" | "sandbox_gone") => FailureClass::Killed,
            (_, "parser") => FailureClass::Parser,
            (Boundary::Harness, _) | (_, "sandbox_image") => FailureClass::Image,
            (Boundary::Sandbox, kind) if kind.starts_with("image_") => FailureClass::Image,
            (Boundary::Sandbox, _) => FailureClass::Sandbox,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_belong_to_classes() {
        let class = |boundary, kind: &str| {
            let (kind, message) = (kind.to_owned(), String::new());
            Failure { boundary, kind, message, retryable: false }.class().as_str()
        };
        for (boundary, kind, expected) in [
            (Boundary::Sandbox, "image_fetch", "image"),
            (Boundary::Sandbox, "image_build", "install"),
            (Boundary::Harness, "base_tree", "image"),
            (Boundary::Harness, "test_patch", "patch"),
            (Boundary::Sandbox, "sandbox_gone", "killed"),
            (Boundary::Sandbox, "disk_full", "disk full"),
            (Boundary::Sandbox, "sandbox_create", "sandbox"),
            (Boundary::Model, "timeout", "model"),
        ] {
            assert_eq!(class(boundary, kind), expected, "{kind}");
        }
    }
}
