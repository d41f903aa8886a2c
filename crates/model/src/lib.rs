//! Policies: whatever chooses the next action of a rollout.

mod action;
mod config;
mod embeddings;
mod gold;
mod noop;
mod openai;
mod policy;
mod retry;
mod scripted;
mod shell;
mod unified_diff;
mod wire;

pub use config::{ClientConfig, Sampling, Secret};
pub use embeddings::EmbeddingClient;
pub use gold::{GoldPolicy, GoldTask};
pub use noop::NoopPolicy;
pub use openai::{ChatClient, ChatPolicy};
pub use policy::{ModelError, Policy};
pub use scripted::{Script, ScriptedPolicy};
