//! Flags about outside agents.

use std::path::PathBuf;

use clap::Args;

/// An outside agent in place of a scaffold.
#[derive(Debug, Args)]
#[command(next_help_heading = "Outside agents")]
pub(crate) struct OutsideArgs {
    /// Run this agent in the sandbox instead of a scaffold: a line for bash
    ///
    /// It reaches the model alone, at {base_url} and by OPENAI_BASE_URL and OPENAI_API_KEY, and its calls are recorded.
    /// {problem_file}, {model}, {repo_dir}, {agent_dir} and {instance_id} are replaced, too.
    #[arg(
        long,
        value_name = "COMMAND",
        requires = "model",
        conflicts_with_all = [
            "policy", "script", "scaffold", "prompts", "behaviour", "editor_version", "new_files", "max_cost",
            "temperature", "top_p", "max_completion_tokens", "seed_sampling", "sampling", "stream", "prices",
            "token_mode", "tokenizer", "merge_turns", "tool_format", "max_concurrency"
        ]
    )]
    pub(crate) agent_command: Option<String>,
    /// Folder of the agent's files, seen in the sandbox at /opt/agent
    ///
    /// Programs in its `bin` are found by name.
    #[arg(long, value_name = "DIR", requires = "agent_command")]
    pub(crate) agent_path: Option<PathBuf>,
}
