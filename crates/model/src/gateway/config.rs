//! What a gateway is set up with.

use std::time::Duration;

use crate::Secret;

/// Settings of a [`Gateway`](super::Gateway).
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// The endpoint behind it.
    pub endpoint: EndpointConfig,
    /// Whether token ids and log probabilities are asked for, as vLLM gives them. Callers that did not ask for them do
    /// not see them.
    pub tokens: bool,
    /// What keys of rollouts are made from; whoever manages a guarded gateway proves it by this.
    pub secret: Secret,
    /// Whether every call needs the key that was given out for its rollout. Otherwise it is enough to name a rollout.
    pub guarded: bool,
    /// Name of the scaffold in trajectories of rollouts that callers open.
    pub scaffold: String,
    /// Limits.
    pub limits: GatewayLimits,
}

impl GatewayConfig {
    /// A guarded gateway before `endpoint` that asks for no tokens.
    pub fn new(endpoint: EndpointConfig, secret: Secret) -> Self {
        Self {
            endpoint,
            tokens: false,
            secret,
            guarded: true,
            scaffold: "outside".to_owned(),
            limits: GatewayLimits::default(),
        }
    }
}

/// The endpoint that a gateway passes calls on to. It is asked once for each call: whether to try again is for the
/// caller to say.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// Address up to and including the version, such as `http://host:8000/v1`.
    pub base_url: String,
    /// Sent as bearer token.
    pub api_key: Option<Secret>,
    /// Takes the place of the model that callers ask for, unless it is empty.
    pub model: String,
    /// Limit on one call, from connecting to the last byte of the answer.
    pub request_time_limit: Duration,
    /// Limit on connecting alone.
    pub connect_time_limit: Duration,
}

impl EndpointConfig {
    /// An endpoint that needs no key: 20 minutes a call, whatever model callers ask for.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            api_key: None,
            model: String::new(),
            request_time_limit: Duration::from_secs(1200),
            connect_time_limit: Duration::from_secs(30),
        }
    }
}

/// Limits of a gateway. The first ones are a budget of each rollout: beyond it, calls are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayLimits {
    /// Answers, and calls that the caller gave up.
    pub max_steps: usize,
    /// Tokens of prompts and answers together, where the endpoint counts them.
    pub max_tokens: Option<u64>,
    /// Bytes of messages, and as many that it takes to find them again.
    pub max_recorded_bytes: usize,
    /// Bytes of one request.
    pub max_request_bytes: usize,
    /// Bytes of one answer.
    pub max_answer_bytes: usize,
    /// Rollouts that are open at a time.
    pub max_rollouts: usize,
    /// Connections at a time; more have to wait.
    pub max_connections: usize,
    /// Limit on the head and the body of a request to arrive, each.
    pub patience: Duration,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self {
            max_steps: 1000,
            max_tokens: None,
            max_recorded_bytes: 256 << 20,
            max_request_bytes: 32 << 20,
            max_answer_bytes: 16 << 20,
            max_rollouts: 10_000,
            max_connections: 1024,
            patience: Duration::from_secs(60),
        }
    }
}
