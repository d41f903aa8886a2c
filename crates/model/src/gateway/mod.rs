//! The recording gateway: an OpenAI-compatible endpoint that passes calls on to another one, and keeps every call of
//! each rollout as its trajectory.
//!
//! Who calls is hostile. What must stay true: no answer, error or header holds the key of the endpoint behind; a
//! caller reaches the rollout that its own key names and no other; a call is recorded before its answer is complete, and
//! one that comes to no whole answer with what had come of it and why.

mod answer;
mod chat;
mod config;
mod http;
mod keyring;
mod outgoing;
mod serve;
mod session;
mod sessions;
mod stream;
mod upstream;
mod watched;

pub use config::{EndpointConfig, GatewayConfig, GatewayLimits};
pub use serve::Listener;
pub use session::{Archive, Journal, Recording};
pub use sessions::Gateway;
