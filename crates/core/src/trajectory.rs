//! What happened in a rollout.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::fncall::{CallError, TextFormat};
use crate::{
    Completion, CompletionTokens, FailedCall, InstanceId, Message, Problem, ToolSpec, Usage, merged_turns,
};

/// Version of the stored form of [`Trajectory`].
pub const TRAJECTORY_SCHEMA_VERSION: u32 = 2;

/// How a valid trajectory ended. Running out of budget is an end, not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// The policy called the finish tool.
    Finished,
    /// The limit on steps was reached.
    StepLimit,
    /// The limit on tokens was reached, or the context window is full.
    TokenLimit,
    /// The limit on wall time was reached.
    TimeLimit,
    /// The same action again and again.
    StuckInLoop,
    /// The policy answered without any tool call too often in a row.
    NoToolCall,
    /// The limit on cost was reached.
    CostLimit,
    /// The policy gave the task up, or the workflow turned away what it did once too often.
    Rejected,
    /// It was read from a file that does not say, or in words that mean none of the others.
    Unknown,
}

impl ExitStatus {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Finished,
        Self::StepLimit,
        Self::TokenLimit,
        Self::TimeLimit,
        Self::StuckInLoop,
        Self::NoToolCall,
        Self::CostLimit,
        Self::Rejected,
        Self::Unknown,
    ];

    /// Its name in stored files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::StepLimit => "step_limit",
            Self::TokenLimit => "token_limit",
            Self::TimeLimit => "time_limit",
            Self::StuckInLoop => "stuck_in_loop",
            Self::NoToolCall => "no_tool_call",
            Self::CostLimit => "cost_limit",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
        }
    }

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// One step: one answer of the policy and the observations that followed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Step {
    /// Index in `messages` of the assistant message of this step; its observations follow it.
    pub message_index: usize,
    /// What was sent, as half-open ranges of `messages` in order: a shortened conversation, or one of several. Empty
    /// when it was everything before `message_index`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompt: Vec<(usize, usize)>,
    /// The message as the model wrote it, where the one in `messages` was read from it: calls in text form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Box<Message>>,
    /// Where the request was somebody else's: its fields that nothing else here says, such as how to sample. `tools`
    /// when they were not the trajectory's; `messages` has, by index, those that first came up here and hold more
    /// than the trajectory's.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub request: Map<String, Value>,
    /// Token ids, where the endpoint gives them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<StepTokens>,
    /// Tokens of this answer.
    pub usage: Usage,
    /// Price of this answer in US dollars, where prices are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Why the endpoint stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// Milliseconds until the policy had answered.
    pub model_ms: u64,
    /// Milliseconds that the tools took.
    pub tool_ms: u64,
}

/// Token ids of a step without those that it has in common with the one before: a conversation that grows would
/// otherwise be stored anew with every answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StepTokens {
    /// How many of the first tokens of the prompt are those of the last step that has tokens, prompt and answer.
    pub shared: usize,
    /// The rest, as [`CompletionTokens`] has it.
    #[serde(flatten)]
    pub new: CompletionTokens,
}

/// A whole rollout as the policy saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trajectory {
    /// [`TRAJECTORY_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The instance.
    pub instance_id: InstanceId,
    /// Index of the sample.
    pub sample: u32,
    /// Name of the scaffold.
    pub scaffold: String,
    /// Name of the policy: the model, or `gold`, `noop` ...
    pub policy: String,
    /// Tools that were on offer.
    pub tools: Vec<ToolSpec>,
    /// The words around calls, where they were sent as text; `messages` has them as calls all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_format: Option<TextFormat>,
    /// Whether it was sent as [`merged_turns`] has it; `messages` has every message by itself all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merged_turns: bool,
    /// Every message that was sent or answered, each once, in the order in which it came up.
    pub messages: Vec<Message>,
    /// One entry for each answer of the policy.
    pub steps: Vec<Step>,
    /// Calls that got no whole answer, where a gateway saw them; `messages` has what was new in their prompts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_calls: Vec<FailedCall>,
    /// How it ended.
    pub exit_status: ExitStatus,
    /// Sum over the steps.
    pub usage: Usage,
}

impl Trajectory {
    /// One in which nothing has happened yet.
    pub fn empty(problem: &Problem, sample: u32, scaffold: &str, policy: &str) -> Self {
        Self {
            schema_version: TRAJECTORY_SCHEMA_VERSION,
            instance_id: problem.instance_id.clone(),
            sample,
            scaffold: scaffold.to_owned(),
            policy: policy.to_owned(),
            tools: Vec::new(),
            tool_format: None,
            merged_turns: false,
            messages: Vec::new(),
            steps: Vec::new(),
            failed_calls: Vec::new(),
            exit_status: ExitStatus::StepLimit,
            usage: Usage::default(),
        }
    }

    /// Appends an answer to what was sent: `prompt` as in [`Step::prompt`].
    pub fn push_answer(&mut self, completion: Completion, prompt: Vec<(usize, usize)>, model_ms: u64) {
        let Completion { message, usage, finish_reason, raw, tokens, cost } = completion;
        let tokens = tokens.map(|tokens| pack(self.last_token_ids(), tokens));
        let message_index = self.messages.len();
        self.messages.push(message);
        self.usage += usage;
        self.steps.push(Step {
            message_index,
            prompt,
            raw,
            request: Map::new(),
            tokens,
            usage,
            cost,
            finish_reason,
            model_ms,
            tool_ms: 0,
        });
    }

    /// What the policy was sent before it answered in `step`. Ranges beyond the messages give nothing.
    pub fn prompt_of<'a>(&'a self, step: &'a Step) -> impl Iterator<Item = &'a Message> {
        let whole = step.prompt.is_empty().then_some((0, step.message_index));
        let ranges = step.prompt.iter().copied().chain(whole);
        ranges.flat_map(|(start, end)| self.messages.get(start..end).unwrap_or_default())
    }

    /// What a policy was sent before it answered in `step`, in the form in which it was sent: [`Trajectory::prompt_of`]
    /// where calls were sent as calls, text where they were text, turns merged where they were.
    ///
    /// # Errors
    /// [`CallError`] where the messages cannot be written as text, and so never were.
    pub fn sent_before(&self, step: &Step) -> Result<Vec<Message>, CallError> {
        let messages: Vec<Message> = self.prompt_of(step).cloned().collect();
        let merged =
            |messages: Vec<Message>| if self.merged_turns { merged_turns(messages) } else { messages };
        let Some(format) = &self.tool_format else { return Ok(merged(messages)) };
        let written = self.steps.iter().filter_map(|step| {
            let call = self.messages.get(step.message_index)?.tool_calls.first()?;
            Some((call.id.as_str(), step.raw.as_deref()?))
        });
        let written: HashMap<&str, &Message> = written.collect();
        format.prompt(&messages, &self.tools, |id| written.get(id).copied()).map(merged)
    }

    /// Whole token ids of each step, `None` where the endpoint gave none.
    pub fn token_ids(&self) -> impl Iterator<Item = Option<CompletionTokens>> {
        let mut ids = Vec::new();
        self.steps.iter().map(move |step| {
            let StepTokens { shared, new } = step.tokens.as_ref()?;
            ids.truncate(*shared);
            ids.extend(&new.prompt_token_ids);
            let whole = CompletionTokens { prompt_token_ids: ids.clone(), ..new.clone() };
            ids.extend(&new.completion_token_ids);
            Some(whole)
        })
    }

    /// Price of all answers in US dollars, where that of any is known.
    pub fn cost(&self) -> Option<f64> {
        self.steps.iter().filter_map(|step| step.cost).reduce(|sum, cost| sum + cost)
    }

    /// Prompt and answer of the last step that has tokens.
    fn last_token_ids(&self) -> Vec<u32> {
        let mut ids = Vec::new();
        for StepTokens { shared, new } in self.steps.iter().filter_map(|step| step.tokens.as_ref()) {
            ids.truncate(*shared);
            ids.extend(new.prompt_token_ids.iter().chain(&new.completion_token_ids));
        }
        ids
    }
}

fn pack(before: Vec<u32>, mut new: CompletionTokens) -> StepTokens {
    let shared = before.iter().zip(&new.prompt_token_ids).take_while(|(one, other)| one == other).count();
    new.prompt_token_ids.drain(..shared);
    StepTokens { shared, new }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CommitId, RepoName, Role};

    fn trajectory() -> Trajectory {
        let problem = Problem {
            instance_id: InstanceId::new("a__b-1").unwrap(),
            repo: RepoName::new("a/b").unwrap(),
            base_commit: CommitId::new("0".repeat(40)).unwrap(),
            problem_statement: String::new(),
        };
        Trajectory::empty(&problem, 0, "codeact", "model")
    }

    fn answer(tokens: Option<(&[u32], &[u32])>) -> Completion {
        let tokens = tokens.map(|(prompt, completion)| CompletionTokens {
            prompt_token_ids: prompt.to_vec(),
            completion_token_ids: completion.to_vec(),
            logprobs: vec![-0.5; completion.len()],
        });
        Completion { tokens, ..Completion::new(Message::text(Role::Assistant, "yes"), "stop") }
    }

    #[test]
    fn token_ids_are_stored_once_and_come_back_whole() {
        let mut trajectory = trajectory();
        let given: [Option<(&[u32], &[u32])>; 4] =
            [Some((&[1, 2], &[3])), None, Some((&[1, 2, 3, 4], &[5, 6])), Some((&[1, 9], &[7]))];
        for tokens in given {
            trajectory.push_answer(answer(tokens), Vec::new(), 0);
        }
        let kept = trajectory.steps.iter().map(|step| step.tokens.as_ref().map_or(0, |t| t.shared));
        assert_eq!(kept.collect::<Vec<_>>(), [0, 0, 3, 1]);
        let text = serde_json::to_string(&trajectory).unwrap();
        let read: Trajectory = serde_json::from_str(&text).unwrap();
        let whole = given.map(|tokens| answer(tokens).tokens);
        assert_eq!(read.token_ids().collect::<Vec<_>>(), whole);
    }

    #[test]
    fn the_name_of_an_exit_status_is_the_stored_one() {
        for status in ExitStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(ExitStatus::from_name(status.as_str()), Some(status));
        }
    }

    #[test]
    fn a_prompt_is_all_that_came_before_or_what_the_ranges_say() {
        let mut trajectory = trajectory();
        for text in ["0", "1", "2", "3"] {
            trajectory.messages.push(Message::text(Role::User, text));
        }
        trajectory.push_answer(answer(None), Vec::new(), 0);
        trajectory.push_answer(answer(None), vec![(0, 1), (3, 4), (9, 12)], 0);
        let prompt = |step: usize| -> String {
            trajectory.prompt_of(&trajectory.steps[step]).map(|message| message.content.as_str()).collect()
        };
        assert_eq!((prompt(0).as_str(), prompt(1).as_str()), ("0123", "03"));
    }
}
