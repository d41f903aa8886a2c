//! Flags about the program around the policy.

use clap::{Args, ValueEnum};

/// Which scaffold, and its limits.
#[derive(Debug, Args)]
pub(crate) struct ScaffoldArgs {
    /// Program around the policy: prompts, tools and loop
    #[arg(long, value_enum, default_value_t = ScaffoldName::Codeact)]
    pub(crate) scaffold: ScaffoldName,
    /// Steps after which a rollout ends
    #[arg(long, default_value_t = 100)]
    pub(crate) max_steps: usize,
    /// Tokens (prompts and answers together) after which a rollout ends
    #[arg(long)]
    pub(crate) max_tokens: Option<u64>,
    /// Seconds after which a rollout ends
    #[arg(long, default_value_t = 7200, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    /// Model by whose embeddings the scaffold `workflow` finds code; it goes by words without one
    #[arg(long, value_name = "MODEL")]
    pub(crate) embedding_model: Option<String>,
    /// Address of its OpenAI-compatible endpoint, such as `http://host:8000/v1` [default: that of the policy's model]
    #[arg(long, value_name = "URL", requires = "embedding_model")]
    pub(crate) embedding_url: Option<String>,
}

/// A scaffold by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScaffoldName {
    /// A shell and a file editor, called as functions.
    Codeact,
    /// Searches for code, picks out what matters, plans changes and makes them span by span, as Moatless tools does.
    Workflow,
}
