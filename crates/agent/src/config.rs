//! What a scaffold is set up with.

use std::time::Duration;

/// Limits of a rollout, and where the repository lies.
#[derive(Debug, Clone, PartialEq)]
pub struct ScaffoldConfig {
    /// Answers that are asked of the policy at most.
    pub max_steps: usize,
    /// Tokens of prompts and answers of all steps together; no limit when `None`.
    pub max_tokens: Option<u64>,
    /// US dollars of all steps together, as far as their prices are known; no limit when `None`.
    pub max_cost: Option<f64>,
    /// Wall time of the whole rollout, policy and tools together.
    pub time_limit: Duration,
    /// Wall time of one command; a call may ask for less.
    pub command_time_limit: Duration,
    /// Characters of an observation beyond which its middle is left out.
    pub observation_limit: usize,
    /// Where the repository lies in the sandbox: an absolute path.
    pub repo_dir: String,
}

impl Default for ScaffoldConfig {
    fn default() -> Self {
        Self {
            max_steps: 100,
            max_tokens: None,
            max_cost: None,
            time_limit: Duration::from_secs(2 * 3600),
            command_time_limit: Duration::from_secs(300),
            observation_limit: 30_000,
            repo_dir: "/testbed".to_owned(),
        }
    }
}
