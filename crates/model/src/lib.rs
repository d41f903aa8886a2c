//! Policies: whatever chooses the next action of a rollout.

mod action;
mod config;
pub mod gateway;
mod gold;
mod noop;
mod openai;
mod policy;
mod replay;
mod retry;
mod scripted;
mod shell;
mod text_tools;
mod unified_diff;
mod wire;

pub use config::{ClientConfig, Sampling, Secret};
pub use gold::{GoldPolicy, GoldTask};
pub use noop::NoopPolicy;
pub use openai::{ChatClient, ChatPolicy};
pub use policy::{ModelError, Policy};
pub use replay::{Difference, DifferenceSink, ReplayPolicy};
pub use scripted::{Script, ScriptedPolicy};
pub use text_tools::{TextTools, read_text_format};
