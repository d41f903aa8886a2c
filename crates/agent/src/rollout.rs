//! The loop: ask the policy, do what it says, show it what came of it.

use std::time::{Duration, Instant};

use swegym_core::{ChatRequest, Completion, ExitStatus, Message, Role, ToolCall, Trajectory};
use swegym_model::{ModelError, Policy};
use swegym_sandbox::{Sandbox, SandboxError};

use crate::stuck::is_stuck;
use crate::tools::{Reply, Toolbox};
use crate::{AgentCause, ScaffoldConfig};

/// Answers in a row without a tool call that end a rollout.
const ANSWERS_WITHOUT_CALL: usize = 3;
/// Calls of one answer that are executed.
const CALLS_PER_ANSWER: usize = 256;

/// A rollout under way. `trajectory` holds the whole of what happened at any time.
pub(crate) struct Rollout<'a> {
    config: &'a ScaffoldConfig,
    policy: &'a mut dyn Policy,
    tools: Toolbox<'a>,
    reminder: String,
    begun: Instant,
    pub(crate) trajectory: Trajectory,
}

impl<'a> Rollout<'a> {
    /// Begins with the messages of `trajectory`; the clock starts now.
    pub(crate) fn new(
        config: &'a ScaffoldConfig,
        policy: &'a mut dyn Policy,
        sandbox: &'a dyn Sandbox,
        trajectory: Trajectory,
        reminder: String,
    ) -> Self {
        Self {
            config,
            policy,
            tools: Toolbox::new(sandbox, config, &trajectory.tools),
            reminder,
            begun: Instant::now(),
            trajectory,
        }
    }

    /// Steps until the policy finishes or a limit is reached.
    pub(crate) async fn run(&mut self) -> Result<ExitStatus, AgentCause> {
        loop {
            let end = match self.limit_reached() {
                None => self.step().await?,
                limit => limit,
            };
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    fn limit_reached(&self) -> Option<ExitStatus> {
        let tokens = self.trajectory.usage.total();
        if self.trajectory.steps.len() >= self.config.max_steps {
            Some(ExitStatus::StepLimit)
        } else if self.config.max_tokens.is_some_and(|limit| tokens >= limit) {
            Some(ExitStatus::TokenLimit)
        } else if self.config.max_cost.is_some_and(|limit| self.cost() >= limit) {
            Some(ExitStatus::CostLimit)
        } else if self.time_left().is_zero() {
            Some(ExitStatus::TimeLimit)
        } else {
            None
        }
    }

    fn cost(&self) -> f64 {
        self.trajectory.steps.iter().filter_map(|step| step.cost).sum()
    }

    fn time_left(&self) -> Duration {
        self.config.time_limit.saturating_sub(self.begun.elapsed())
    }

    async fn step(&mut self) -> Result<Option<ExitStatus>, AgentCause> {
        let request = ChatRequest::new(&self.trajectory.messages, &self.trajectory.tools);
        let asked = Instant::now();
        let answer = tokio::time::timeout(self.time_left(), self.policy.complete(&request)).await;
        let completion = match answer {
            Err(_) => return Ok(Some(ExitStatus::TimeLimit)),
            Ok(Err(ModelError::ContextWindow { .. })) => return Ok(Some(ExitStatus::TokenLimit)),
            Ok(answer) => answer?,
        };
        let calls = self.record(completion, asked.elapsed());
        if calls.is_empty() {
            return Ok(self.remind());
        }
        let begun = Instant::now();
        let finished = self.act(&calls).await;
        if let Some(step) = self.trajectory.steps.last_mut() {
            step.tool_ms = millis(begun.elapsed());
        }
        if finished? {
            return Ok(Some(ExitStatus::Finished));
        }
        Ok(is_stuck(&self.trajectory).then_some(ExitStatus::StuckInLoop))
    }

    /// Appends an answer to the conversation and gives back its calls.
    fn record(&mut self, mut completion: Completion, took: Duration) -> Vec<ToolCall> {
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
        self.trajectory.push_answer(completion, Vec::new(), millis(took));
        calls
    }

    fn remind(&mut self) -> Option<ExitStatus> {
        let messages = &self.trajectory.messages;
        let latest = self.trajectory.steps.iter().rev().take(ANSWERS_WITHOUT_CALL);
        let silent = latest.filter(|step| messages[step.message_index].tool_calls.is_empty());
        if silent.count() == ANSWERS_WITHOUT_CALL {
            return Some(ExitStatus::NoToolCall);
        }
        let reminder = Message::text(Role::User, self.reminder.clone());
        self.trajectory.messages.push(reminder);
        None
    }

    /// Executes calls in order, up to the one that finishes: says whether there was one. Calls after it have
    /// no observation, every other one does.
    async fn act(&mut self, calls: &[ToolCall]) -> Result<bool, SandboxError> {
        for (number, call) in calls.iter().enumerate() {
            let time_left = self.time_left();
            let reply = if number >= CALLS_PER_ANSWER {
                Reply::refused(&format!("not executed: an answer can make {CALLS_PER_ANSWER} calls at most"))
            } else if time_left.is_zero() {
                Reply::refused("not executed: the time limit is reached")
            } else {
                self.tools.call(call, time_left).await?
            };
            match reply {
                Reply::Finish => return Ok(true),
                Reply::Observation(text) => self.trajectory.messages.push(Message::tool_result(call, text)),
            }
        }
        Ok(false)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
