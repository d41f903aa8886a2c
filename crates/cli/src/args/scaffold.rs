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
    /// Dollars after which a rollout ends, by the prices of `--prices`
    #[arg(long, value_name = "DOLLARS", requires = "prices", value_parser = amount)]
    pub(crate) max_cost: Option<f64>,
    /// Seconds after which a rollout ends
    #[arg(long, default_value_t = 7200, value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

/// A scaffold by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScaffoldName {
    /// A shell and a file editor, called as functions.
    Codeact,
}

fn amount(text: &str) -> Result<f64, String> {
    let amount: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if amount.is_finite() && amount > 0.0 { Ok(amount) } else { Err("must be more than 0".to_owned()) }
}
