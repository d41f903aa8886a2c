//! Scaffolds: the programs around a policy. Each has its prompts, its tools and the loop that lets the policy
//! use them in a sandbox until it finishes or a limit is reached; then the patch is taken.
//!
//! What must stay true: a scaffold sees a [`Problem`](swegym_core::Problem) and nothing of the answer; whatever
//! a policy says is an observation or an [`ExitStatus`](swegym_core::ExitStatus), never an error of this crate.

mod clip;
mod codeact;
mod config;
mod error;
mod patch;
mod prompt;
mod rollout;
mod scaffold;
mod stuck;
mod tools;
pub mod workflow;

pub use codeact::CodeAct;
pub use config::ScaffoldConfig;
pub use error::{AgentCause, AgentError};
pub use scaffold::{Outcome, Scaffold};
pub use workflow::{Embedder, Workflow, WorkflowConfig};
