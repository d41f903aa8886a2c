//! Scaffolds: the programs around a policy. Each has its prompts, its tools and the loop that lets the policy
//! use them in a sandbox until it finishes or a limit is reached; then the patch is taken.
//!
//! What must stay true: a scaffold sees a [`Problem`](swegym_core::Problem) and nothing of the answer; whatever
//! a policy says is an observation or an [`ExitStatus`](swegym_core::ExitStatus), never an error of this crate.

mod base_commit;
mod bash_split;
mod clip;
mod codeact;
mod config;
mod error;
pub mod history;
mod mini;
pub mod openhands;
mod outside;
mod patch;
mod prompts;
mod python;
mod rollout;
mod scaffold;
mod tools;
pub mod workflow;

pub use bash_split::{SplitError, split_commands};
pub use clip::truncate_observation;
pub use codeact::CodeAct;
pub use config::{Behaviour, ScaffoldConfig};
pub use error::{AgentCause, AgentError, PromptError};
pub use mini::Mini;
pub use outside::{AGENT_DIR, OutputSink, OutsideAgent};
pub use prompts::{Prompts, Template};
pub use scaffold::{Outcome, Scaffold};
pub use tools::{AciEditor, EditorError, EditorFiles, EditorVersion, Printed};
pub use workflow::{Embedder, Workflow, WorkflowConfig};
