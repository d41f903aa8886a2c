//! Flags of the standing gateway.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// Flags of `gateway`.
#[derive(Debug, Args)]
pub(crate) struct GatewayArgs {
    /// Address of the endpoint that calls are passed on to, such as http://localhost:8000/v1 [env: OPENAI_BASE_URL]
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// Model to ask for, whatever callers ask for [default: the one that they ask for]
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Where callers reach the gateway
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8089")]
    pub(crate) listen: SocketAddr,
    /// Unix socket where callers reach it, too
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Folder for journals and trajectories
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Ask the endpoint for token ids and log probabilities, as vLLM gives them
    #[arg(long)]
    pub(crate) tokens: bool,
    /// Answers that one rollout may get
    #[arg(long, default_value_t = 1000)]
    pub(crate) max_steps: usize,
    /// Tokens (prompts and answers together) that one rollout may use
    #[arg(long)]
    pub(crate) max_tokens: Option<u64>,
    /// Seconds without a call after which a rollout is closed
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    pub(crate) idle: u64,
}
