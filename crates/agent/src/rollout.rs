//! The loop: ask the policy, do what it says, show it what came of it.

use std::time::{Duration, Instant};

use swegym_core::{ChatRequest, Completion, ExitStatus, Message, Role, ToolCall, Trajectory};
use swegym_model::{ModelError, Policy};
use swegym_sandbox::{Sandbox, SandboxError};

use crate::clip::clip;
use crate::history::{History, Shown, observation_text, stuck};
use crate::tools::{Observed, Reply, Toolbox};
use crate::{AgentCause, Behaviour, CodeAct, ScaffoldConfig};

/// Answers in a row without a tool call that end a rollout.
const ANSWERS_WITHOUT_CALL: usize = 3;
/// Calls of one answer that are executed.
const CALLS_PER_ANSWER: usize = 256;
/// How much longer than the time that is left a call may take before it is given up: tools keep to their limits by
/// themselves, unless the sandbox no longer answers.
const GRACE: Duration = Duration::from_secs(60);

/// A rollout under way. `trajectory` holds the whole of what happened at any time.
pub(crate) struct Rollout<'a> {
    scaffold: &'a CodeAct,
    config: &'a ScaffoldConfig,
    policy: &'a mut dyn Policy,
    tools: Toolbox<'a>,
    begun: Instant,
    history: History,
    trajectory: Trajectory,
}

impl<'a> Rollout<'a> {
    /// Begins with the messages of `trajectory`, the last of which is the task; the clock starts now.
    pub(crate) fn new(
        scaffold: &'a CodeAct,
        policy: &'a mut dyn Policy,
        sandbox: &'a dyn Sandbox,
        trajectory: Trajectory,
    ) -> Self {
        let mut history = History::default();
        history.user_spoke(&trajectory);
        let config = &scaffold.config;
        let tools = Toolbox::new(sandbox, config, &trajectory.tools);
        Self { scaffold, config, policy, tools, begun: Instant::now(), history, trajectory }
    }

    /// Steps until the policy finishes or a limit is reached. The shell and what runs in it end with it.
    pub(crate) async fn run(mut self) -> (Trajectory, Result<ExitStatus, AgentCause>) {
        loop {
            let end = match self.limit_reached() {
                None => self.step().await.transpose(),
                Some(limit) => Some(Ok(limit)),
            };
            if let Some(end) = end {
                return (self.trajectory, end);
            }
        }
    }

    fn limit_reached(&self) -> Option<ExitStatus> {
        let tokens = self.trajectory.usage.total();
        if stuck(&self.history.events(&self.trajectory), self.config.behaviour).stuck {
            Some(ExitStatus::StuckInLoop)
        } else if self.trajectory.steps.len() >= self.config.max_steps {
            Some(ExitStatus::StepLimit)
        } else if self.config.max_tokens.is_some_and(|limit| tokens >= limit) {
            Some(ExitStatus::TokenLimit)
        } else if self.config.cost_is_reached(&self.trajectory) {
            Some(ExitStatus::CostLimit)
        } else if self.time_left().is_zero() {
            Some(ExitStatus::TimeLimit)
        } else {
            None
        }
    }

    fn time_left(&self) -> Duration {
        self.config.time_limit.saturating_sub(self.begun.elapsed())
    }

    async fn step(&mut self) -> Result<Option<ExitStatus>, AgentCause> {
        let prompt = self.history.prompt(&self.trajectory);
        let asked = Instant::now();
        let answer = tokio::time::timeout(self.time_left(), self.ask(&prompt)).await;
        let took = millis(asked.elapsed());
        match answer {
            Err(_) => Ok(Some(ExitStatus::TimeLimit)),
            Ok(Err(ModelError::ContextWindow { .. })) => {
                let is_shorter = self.history.shorten(&self.trajectory);
                Ok((!is_shorter).then_some(ExitStatus::TokenLimit))
            }
            Ok(Err(ModelError::InvalidCall { message, completion })) => {
                self.trajectory.push_answer(*completion, prompt, took);
                self.tell_error(message);
                Ok(None)
            }
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(completion)) => {
                let calls = self.record(completion, prompt, took);
                self.follow(&calls).await
            }
        }
    }

    /// Asks the policy with the messages of these ranges; with all of them, when there is no range.
    async fn ask(&mut self, prompt: &[(usize, usize)]) -> Result<Completion, ModelError> {
        let Trajectory { messages, tools, .. } = &self.trajectory;
        if prompt.is_empty() {
            return self.policy.complete(&ChatRequest::new(messages, tools)).await;
        }
        let chosen: Vec<Message> =
            prompt.iter().flat_map(|(start, end)| &messages[*start..*end]).cloned().collect();
        self.policy.complete(&ChatRequest::new(&chosen, tools)).await
    }

    /// Appends an answer to the conversation and gives back its calls.
    fn record(
        &mut self,
        mut completion: Completion,
        prompt: Vec<(usize, usize)>,
        took: u64,
    ) -> Vec<ToolCall> {
        let message_index = self.trajectory.messages.len();
        let message = &mut completion.message;
        message.role = Role::Assistant;
        for (number, call) in message.tool_calls.iter_mut().enumerate() {
            // Results refer to calls by id, and some endpoints give none.
            if call.id.is_empty() {
                call.id = format!("call_{message_index}_{number}");
            }
        }
        let calls = message.tool_calls.clone();
        self.trajectory.push_answer(completion, prompt, took);
        calls
    }

    async fn follow(&mut self, calls: &[ToolCall]) -> Result<Option<ExitStatus>, AgentCause> {
        if calls.is_empty() {
            return self.remind();
        }
        let begun = Instant::now();
        let end = self.act(calls).await;
        if let Some(step) = self.trajectory.steps.last_mut() {
            step.tool_ms = millis(begun.elapsed());
        }
        Ok(end?)
    }

    fn remind(&mut self) -> Result<Option<ExitStatus>, AgentCause> {
        self.history.agent_spoke(&self.trajectory);
        let messages = &self.trajectory.messages;
        let latest = self.trajectory.steps.iter().rev().take(ANSWERS_WITHOUT_CALL);
        let silent = latest.filter(|step| messages[step.message_index].tool_calls.is_empty());
        if self.config.behaviour == Behaviour::Sane && silent.count() == ANSWERS_WITHOUT_CALL {
            return Ok(Some(ExitStatus::NoToolCall));
        }
        let text = self.scaffold.reminder(self.history.user_messages())?;
        self.trajectory.messages.push(Message::text(Role::User, text));
        self.history.user_spoke(&self.trajectory);
        Ok(None)
    }

    /// Says what was wrong with an answer that makes no call, though it meant to.
    fn tell_error(&mut self, message: String) {
        let limit = self.config.observation_limit;
        let is_sane = self.config.behaviour == Behaviour::Sane;
        let text = match is_sane {
            true => Observed::refused(&clip(message, limit)).text,
            false => observation_text(&Shown::Error(&message), false, Some(limit)),
        };
        // Calls without results are refused by endpoints.
        let makes_calls = self.trajectory.messages.last().is_some_and(|answer| !answer.tool_calls.is_empty());
        self.trajectory.messages.push(Message::text(Role::User, text));
        self.history.answer_failed(&self.trajectory, is_sane && !makes_calls);
    }

    /// Executes calls in order, up to the one that finishes. Calls after it have no observation, every other one does.
    async fn act(&mut self, calls: &[ToolCall]) -> Result<Option<ExitStatus>, SandboxError> {
        let answer = self.trajectory.messages.len() - 1;
        for (number, call) in calls.iter().enumerate() {
            let time_left = self.time_left();
            let reply = if number >= CALLS_PER_ANSWER {
                let why = format!("not executed: an answer can make {CALLS_PER_ANSWER} calls at most");
                Reply::Observation(Observed::refused(&why))
            } else if time_left.is_zero() {
                Reply::Observation(Observed::refused("not executed: the time limit is reached"))
            } else {
                let done = tokio::time::timeout(time_left + GRACE, self.tools.call(call, time_left));
                let Ok(reply) = done.await else { return Ok(Some(ExitStatus::TimeLimit)) };
                reply?
            };
            let Observed { text, end } = match reply {
                Reply::Finish => return Ok(Some(ExitStatus::Finished)),
                Reply::Observation(observed) => observed,
            };
            self.trajectory.messages.push(Message::tool_result(call, text));
            self.history.call_ended(&self.trajectory, answer, number, end);
        }
        Ok(None)
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
