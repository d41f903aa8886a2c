//! Flags about the model.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::at_least_one;

/// A model behind OpenAI-compatible endpoints. The key comes from `OPENAI_API_KEY` and from nowhere else.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// Model to ask for
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Address of an endpoint, such as http://localhost:8000/v1 (repeatable: servers of the same model that share the
    /// rollouts) [env: OPENAI_BASE_URL]
    #[arg(long, value_name = "URL", requires = "model")]
    pub(crate) base_url: Vec<String>,
    /// Requests that an endpoint is given at once; it gets fewer while it is overloaded
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one, requires = "model")]
    pub(crate) max_concurrency: usize,
    /// Take answers piece by piece, so that a server that has stopped is found out sooner
    #[arg(long, requires = "model")]
    pub(crate) stream: bool,
    /// Sampling temperature [default: the endpoint's]
    #[arg(long, requires = "model")]
    pub(crate) temperature: Option<f64>,
    /// Probability mass of nucleus sampling [default: the endpoint's]
    #[arg(long, value_name = "P", requires = "model")]
    pub(crate) top_p: Option<f64>,
    /// Most tokens of one answer [default: the endpoint's]
    #[arg(long, value_name = "N", requires = "model")]
    pub(crate) max_completion_tokens: Option<u64>,
    /// Seed from which each rollout's own is made, for endpoints that sample reproducibly
    #[arg(long, value_name = "SEED", requires = "model")]
    pub(crate) seed_sampling: Option<u64>,
    /// Further field of each request (repeatable), such as top_k=20
    #[arg(long, value_name = "KEY=JSON", requires = "model")]
    pub(crate) sampling: Vec<String>,
    /// Keep token ids and log probabilities of prompts and answers, for training; vLLM and SGLang give them
    #[arg(long, requires = "model")]
    pub(crate) token_ids: bool,
    /// Send and take tokens in place of messages, over text completions, so that no token is ever cut anew; needs
    /// `--tokenizer` and a program that was built with `--features tokenizer`
    #[arg(long, requires = "tokenizer", conflicts_with = "stream")]
    pub(crate) token_mode: bool,
    /// Folder of the model's `tokenizer.json` and `tokenizer_config.json`, for `--token-mode`
    #[arg(long, value_name = "DIR", requires = "token_mode")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// Prices in dollars per million tokens: a TOML file with a section ["PATTERN"] for each model name, `*` standing
    /// for any text, and in it `prompt`, `cached` and `completion`
    #[arg(long, value_name = "FILE", requires = "model")]
    pub(crate) prices: Option<PathBuf>,
    /// How calls of tools are sent: as calls, or as text for models that were not trained to make them otherwise. The words
    /// around calls are those of `text_calls.json` in `--prompts`, where that is
    #[arg(long, value_enum, default_value_t = ToolFormat::Native, value_name = "FORM")]
    pub(crate) tool_format: ToolFormat,
}

/// How calls of tools are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ToolFormat {
    /// As calls, which the endpoint must know about.
    Native,
    /// As text: tools in the system prompt, calls between tags, results as messages of the user.
    Text,
}
