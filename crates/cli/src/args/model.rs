//! Flags about the model.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use swegym_model::ToolParser;

use super::at_least_one;

/// A model behind OpenAI-compatible endpoints. The key comes from `OPENAI_API_KEY` and from nowhere else.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// Model to ask for
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Address of an endpoint, such as http://localhost:8000/v1 [env: OPENAI_BASE_URL]
    ///
    /// Give several for servers of the same model, which then share the rollouts.
    #[arg(long, value_name = "URL", requires = "model")]
    pub(crate) base_url: Vec<String>,
    /// Requests that an endpoint is given at once; it gets fewer while it is overloaded
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one, requires = "model", hide_short_help = true)]
    pub(crate) max_concurrency: usize,
    /// Take answers piece by piece, so that a server that has stopped is found out sooner
    #[arg(long, requires = "model", hide_short_help = true)]
    pub(crate) stream: bool,
    /// Sampling temperature [default: the endpoint's]
    #[arg(long, requires = "model")]
    pub(crate) temperature: Option<f64>,
    /// Probability mass of nucleus sampling [default: the endpoint's]
    #[arg(long, value_name = "P", requires = "model", hide_short_help = true)]
    pub(crate) top_p: Option<f64>,
    /// Most tokens of one answer [default: the endpoint's]
    #[arg(long, value_name = "N", requires = "model")]
    pub(crate) max_completion_tokens: Option<u64>,
    /// Seed from which each rollout's own is made, for endpoints that sample reproducibly
    #[arg(long, value_name = "SEED", requires = "model", hide_short_help = true)]
    pub(crate) seed_sampling: Option<u64>,
    /// Further field of each request (repeatable), such as top_k=20
    #[arg(long, value_name = "KEY=JSON", requires = "model", hide_short_help = true)]
    pub(crate) sampling: Vec<String>,
    /// Prices in dollars per million tokens: a TOML file
    ///
    /// It has a section ["PATTERN"] for each model name, `*` standing for any text, with `prompt`, `cached` and
    /// `completion`.
    #[arg(long, value_name = "FILE", requires = "model", hide_short_help = true)]
    pub(crate) prices: Option<PathBuf>,
    /// How calls of tools are sent
    ///
    /// The words around calls in text are those of `text_calls.json` in `--prompts`, where that is.
    #[arg(long, value_enum, default_value_t = ToolFormat::Native, value_name = "FORM")]
    pub(crate) tool_format: ToolFormat,
    /// Whether messages of the user that follow on each other are sent as one
    ///
    /// By default they are where the chat template in `--tokenizer` refuses others, and with `--behaviour openhands`. The
    /// trajectory has each by itself, and says that they were sent so.
    #[arg(long, value_name = "BOOL", requires = "model", hide_short_help = true)]
    pub(crate) merge_turns: Option<bool>,
    #[command(flatten)]
    pub(crate) tokens: TokenArgs,
}

/// What is kept and sent in tokens.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tokens")]
pub(crate) struct TokenArgs {
    /// Keep token ids and log probabilities of prompts and answers, for training
    ///
    /// vLLM and SGLang give them; where a server does not, that is said.
    #[arg(long, requires = "model")]
    pub(crate) token_ids: bool,
    /// Send and take tokens in place of messages, so that no token is ever cut anew
    ///
    /// It goes over text completions, and needs `--tokenizer`.
    #[arg(long, requires = "tokenizer", hide_short_help = true)]
    pub(crate) token_mode: bool,
    /// Folder of the model's `tokenizer.json` and `tokenizer_config.json`
    ///
    /// `--token-mode` needs it, and the scaffold `workflow` counts by it; both need a program that was built with
    /// `--features tokenizer`.
    #[arg(long, value_name = "DIR", requires = "model", hide_short_help = true)]
    pub(crate) tokenizer: Option<PathBuf>,
    /// Notation of calls in answers in tokens [default: what the model's chat template writes]
    #[arg(long, value_name = "NAME", requires = "token_mode", hide_short_help = true,
        value_parser = PossibleValuesParser::new(ToolParser::ALL.map(ToolParser::name)).map(tool_parser))]
    pub(crate) tool_parser: Option<ToolParser>,
}

/// The parser of this name, which the command line knows to be one.
fn tool_parser(name: String) -> ToolParser {
    ToolParser::ALL.into_iter().find(|parser| parser.name() == name).unwrap_or_default()
}

/// How calls of tools are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ToolFormat {
    /// As calls, which the endpoint must know about.
    Native,
    /// As text: tools in the system prompt, calls between tags, results as messages of the user.
    Text,
}
