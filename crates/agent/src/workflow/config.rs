//! Settings of the workflow.

use crate::ScaffoldConfig;

/// Limits of the workflow. The defaults are those with which SWE-Gym sampled trajectories.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkflowConfig {
    /// Limits that every scaffold has, and where the repository lies.
    pub scaffold: ScaffoldConfig,
    /// Transitions between states, the first state included; the next one is a rejection.
    pub max_transitions: usize,
    /// How often planning and editing may each have been left before they are entered once more.
    pub max_visits: usize,
    /// Refused answers in a row in one state; one more is a rejection.
    pub max_retries: usize,
    /// Price of all states that were left, in US dollars, where prices are known.
    pub max_cost: f64,
    /// Tokens of an answer.
    pub max_answer_tokens: u64,
    /// Tokens that prompt and answer may have together: what code is shown is limited by it.
    pub context_tokens: usize,
    /// Tokens of code in the prompts of searching.
    pub max_file_tokens: usize,
    /// Tokens of code around an edit.
    pub max_edit_file_tokens: usize,
    /// Tokens of a span beyond which lines of it have to be chosen.
    pub max_span_tokens: usize,
    /// Tokens of lines that can be chosen.
    pub max_line_tokens: usize,
    /// Spans that one search finds, shared among its requests.
    pub max_search_results: usize,
    /// Decisions that code is relevant, before the present one, after which incomplete code is enough.
    pub relevant_count: usize,
    /// Whether to do as upstream where that is worse, as [`FileRules`](super::FileRules) says.
    pub as_upstream: bool,
}

impl Default for WorkflowConfig {
    fn default() -> Self {
        Self {
            scaffold: ScaffoldConfig::default(),
            max_transitions: 25,
            max_visits: 8,
            max_retries: 2,
            max_cost: 1.0,
            max_answer_tokens: 2000,
            context_tokens: 10_240,
            max_file_tokens: 12_000,
            max_edit_file_tokens: 8000,
            max_span_tokens: 750,
            max_line_tokens: 500,
            max_search_results: 75,
            relevant_count: 1,
            as_upstream: false,
        }
    }
}
