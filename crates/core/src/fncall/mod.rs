//! Function calls in the form of text, for models that were not trained to make them otherwise: calls between tags,
//! tools described in the system prompt, results as messages of the user. The rules are those of OpenHands as SWE-Gym
//! used it, its repairs included, because published models were trained on what they give.
//!
//! Conversations are JSON values here, because contents may be texts or lists of parts, and messages of other programs
//! have fields of their own. Nothing here panics, and everything takes time in proportion to the text.

mod content;
mod describe;
mod error;
mod format;
mod pack;
mod read;
mod render;
mod scan;
mod single;
mod validate;

pub use describe::{describe_tools, example_fits};
pub use error::{CallError, Exception};
pub use format::{TextExample, TextFormat};
pub use pack::PackError;
pub use read::{CallText, from_text, read_call};
pub use render::{render_call, render_tool_call, to_text};
pub use scan::{CALL_END, with_end};
pub use single::{single_calls, training_text};

#[cfg(test)]
mod tests;
