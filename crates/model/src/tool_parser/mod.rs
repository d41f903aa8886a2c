//! Reads answers that are plain text, as the servers of open models do: reasoning, words and calls, in the notation that
//! a model was trained to write. What cannot be read as a call is text.

mod answer;
mod deepseek;
mod hermes;
mod json;
mod llama;
mod mistral;
mod parser;
mod qwen3_coder;

pub(crate) use answer::message;
pub use parser::ToolParser;
