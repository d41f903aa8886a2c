//! Scaffolds: the programs around a policy. Each has its prompts, its tools and the loop that lets the policy
//! use them in a sandbox until it finishes or a limit is reached; then the patch is taken.
//!
//! What must stay true: a scaffold sees a [`Problem`](swegym_core::Problem) and nothing of the answer; whatever
//! a policy says is an observation or an [`ExitStatus`](swegym_core::ExitStatus), never an error of this crate.

mod clip;
mod codeact;
mod config;
mod error;
pub mod history;
mod mini;
pub mod openhands;
mod patch;
mod prompts;
mod rollout;
mod scaffold;
mod tools;

pub use codeact::CodeAct;
pub use config::{Behaviour, ScaffoldConfig};
pub use error::{AgentCause, AgentError, PromptError};
pub use mini::Mini;
pub use prompts::{Prompts, Template};
pub use scaffold::{Outcome, Scaffold};
