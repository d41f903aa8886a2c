//! Policies: whatever chooses the next action of a rollout.

mod action;
mod answer_text;
mod budget;
mod config;
mod dialogue;
mod gold;
mod noop;
mod notices;
mod openai;
mod policy;
mod pool;
mod prices;
mod problem;
mod retry;
mod scripted;
mod seed;
mod shell;
mod sse;
mod stream;
mod template;
mod tokenizer;
mod tokens;
mod transport;
mod unified_diff;
mod wire;

pub use config::{ClientConfig, Sampling, Secret};
pub use gold::{GoldPolicy, GoldTask};
pub use noop::NoopPolicy;
pub use notices::Notices;
pub use openai::{ChatClient, ChatPolicy, Totals};
pub use policy::{ModelError, Policy};
pub use prices::{Price, Prices};
pub use scripted::{Script, ScriptedPolicy};
pub use seed::rollout_seed;
pub use template::ChatTemplate;
pub use tokenizer::{TokenModel, Tokenizer};
