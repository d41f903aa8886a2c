//! The loop: ask in the present state, look at the answer, go on to the next.

use std::time::{Duration, Instant};

use minijinja::context;
use swegym_core::{ChatRequest, ExitStatus, Message, Problem, Role, Trajectory};
use swegym_model::{ModelError, Policy};
use swegym_sandbox::Sandbox;

use super::config::WorkflowConfig;
use super::context::{FileContext, Workspace};
use super::conversation::Conversation;
use super::state::{Move, State, StateKind, Visit};
use super::tokens::CountTokens;
use crate::prompts::Prompts;
use crate::{AgentCause, PromptError};

/// A rollout under way. `trajectory` holds the whole of what happened at any time.
pub(super) struct Machine<'a> {
    pub(super) config: &'a WorkflowConfig,
    pub(super) problem: &'a Problem,
    pub(super) sandbox: &'a dyn Sandbox,
    pub(super) policy: &'a mut dyn Policy,
    pub(super) prompts: &'a Prompts,
    pub(super) tokens: &'a dyn CountTokens,
    /// Tokens of the words around code in any prompt.
    pub(super) words: usize,
    pub(super) files: Workspace,
    /// Code that is known to matter.
    pub(super) context: FileContext,
    /// Code that may be a start, made once.
    pub(super) first_look: Option<String>,
    /// States that were left, and the present one.
    pub(super) visits: Vec<Visit>,
    pub(super) conversation: Conversation,
    pub(super) trajectory: Trajectory,
    pub(super) begun: Instant,
}

/// What is sent in a state, besides the messages.
struct Ask {
    stop: &'static [&'static str],
    json: bool,
}

impl Machine<'_> {
    /// Goes from state to state until the end, or until a limit is reached.
    pub(super) async fn run(&mut self) -> Result<ExitStatus, AgentCause> {
        let mut next = State::Search { message: None };
        let mut transitions = 0;
        loop {
            transitions += 1;
            // Upstream counts the states that were left, so the tenth entry is the one that is turned away.
            let limited = matches!(next.kind(), StateKind::Plan | StateKind::Edit);
            if transitions > self.config.max_transitions
                || limited && self.visits_of(next.kind()) > self.config.max_visits
            {
                return Ok(ExitStatus::Rejected);
            }
            match self.stay(next).await? {
                Ok(state) => next = state,
                Err(end) => return Ok(end),
            }
        }
    }

    /// Stays in a state until an answer leads on or is the end.
    async fn stay(&mut self, mut state: State) -> Result<Result<State, ExitStatus>, AgentCause> {
        self.enter(&mut state)?;
        loop {
            if let Some(limit) = self.limit_reached() {
                return Ok(Err(limit));
            }
            let answer = match self.ask(&state).await? {
                Ok(answer) => answer,
                Err(end) => return Ok(Err(end)),
            };
            let acted = Instant::now();
            let next = self.handle(&state, &answer).await?;
            if let Some(step) = self.trajectory.steps.last_mut() {
                step.tool_ms = millis(acted.elapsed());
            }
            // Upstream looks at what the states that were left have cost, so the present one is free.
            if self.cost_before_visit() > self.config.max_cost {
                return Ok(Err(ExitStatus::CostLimit));
            }
            match next {
                Move::To(state) => return Ok(Ok(*state)),
                Move::End(end) => return Ok(Err(end)),
                Move::Retry(message) => {
                    let Some(visit) = self.visits.last_mut() else { continue };
                    visit.retries.push((answer, message));
                    if visit.retries.len() > self.config.max_retries {
                        return Ok(Err(ExitStatus::Rejected));
                    }
                }
            }
        }
    }

    fn enter(&mut self, state: &mut State) -> Result<(), AgentCause> {
        if let State::Plan(_) = state {
            self.context.expand_initiating(&self.files);
        }
        let opening = self.opening(state)?;
        self.visits.push(Visit {
            kind: state.kind(),
            opening,
            retries: Vec::new(),
            action: None,
            first_step: self.trajectory.steps.len(),
            relevant: false,
        });
        Ok(())
    }

    /// States of this kind that were left, the present one aside.
    fn visits_of(&self, kind: StateKind) -> usize {
        let left = self.visits.split_last().map_or(&[][..], |(_, left)| left);
        left.iter().filter(|visit| visit.kind == kind).count()
    }

    fn cost_before_visit(&self) -> f64 {
        let first = self.visits.last().map_or(0, |visit| visit.first_step);
        self.trajectory.steps[..first].iter().filter_map(|step| step.cost).sum()
    }

    fn limit_reached(&self) -> Option<ExitStatus> {
        let limits = &self.config.scaffold;
        if self.trajectory.steps.len() >= limits.max_steps {
            Some(ExitStatus::StepLimit)
        } else if limits.max_tokens.is_some_and(|limit| self.trajectory.usage.total() >= limit) {
            Some(ExitStatus::TokenLimit)
        } else if limits.cost_is_reached(&self.trajectory) {
            Some(ExitStatus::CostLimit)
        } else if self.time_left().is_zero() {
            Some(ExitStatus::TimeLimit)
        } else {
            None
        }
    }

    fn time_left(&self) -> Duration {
        self.config.scaffold.time_limit.saturating_sub(self.begun.elapsed())
    }

    /// Asks for an answer: its text, or the end.
    async fn ask(&mut self, state: &State) -> Result<Result<String, ExitStatus>, AgentCause> {
        let ask = match state.kind() {
            StateKind::Edit => Ask { stop: &["</replace>"], json: false },
            _ => Ask { stop: &[], json: true },
        };
        let prompt = self.prompt(state).await?;
        let ranges = self.conversation.ranges(&mut self.trajectory, &prompt);
        let request = ChatRequest {
            stop: ask.stop,
            json_object: ask.json,
            max_tokens: Some(self.config.max_answer_tokens),
            ..ChatRequest::new(&prompt, &[])
        };
        let asked = Instant::now();
        let answer = tokio::time::timeout(self.time_left(), self.policy.complete(&request)).await;
        let mut completion = match answer {
            Err(_) => return Ok(Err(ExitStatus::TimeLimit)),
            Ok(Err(ModelError::ContextWindow { .. })) => return Ok(Err(ExitStatus::TokenLimit)),
            Ok(Err(ModelError::InvalidCall { completion, .. })) => *completion,
            Ok(answer) => answer?,
        };
        completion.message.role = Role::Assistant;
        let text = completion.message.content.clone();
        self.trajectory.push_answer(completion, ranges, millis(asked.elapsed()));
        Ok(Ok(text))
    }

    /// The messages of a state: its instructions, its conversation, answers that were refused.
    async fn prompt(&mut self, state: &State) -> Result<Vec<Message>, AgentCause> {
        let system = self.system(state)?;
        let mut prompt = vec![Message::text(Role::System, system)];
        match state {
            State::Search { message } => self.search_prompt(message.as_deref(), &mut prompt).await?,
            State::Identify { hits } => prompt.push(self.identify_prompt(hits)?),
            State::Decide => prompt.push(self.decide_prompt()?),
            State::Plan(_) => self.plan_prompt(&mut prompt)?,
            State::Clarify(change) => prompt.push(self.clarify_prompt(change)?),
            State::Edit { change, start_line, end_line } => {
                prompt.push(self.edit_prompt(change, *start_line, *end_line)?);
            }
        }
        for (answer, complaint) in self.visits.last().map_or(&[][..], |visit| &visit.retries) {
            prompt.push(Message::text(Role::Assistant, answer.clone()));
            prompt.push(Message::text(Role::User, complaint.clone()));
        }
        Ok(prompt)
    }

    fn system(&self, state: &State) -> Result<String, PromptError> {
        use super::actions;
        let (name, schema) = match state.kind() {
            StateKind::Search => ("search_system.j2", Some(actions::search_schema())),
            StateKind::Identify => ("identify_system.j2", Some(actions::identify_schema())),
            StateKind::Decide => ("decide_system.j2", Some(actions::decision_schema())),
            StateKind::Plan => ("plan_system.j2", Some(actions::change_schema())),
            StateKind::Clarify => ("clarify_system.j2", Some(actions::lines_schema())),
            StateKind::Edit => ("edit_system.j2", None),
        };
        let mut text = self.prompts.render(name, context! {})?;
        if let Some(schema) = schema {
            text.push_str(&self.prompts.render("answer.j2", context! { schema => format!("{schema:#}") })?);
        }
        Ok(text)
    }

    async fn handle(&mut self, state: &State, answer: &str) -> Result<Move, AgentCause> {
        Ok(match state {
            State::Search { .. } => self.search(answer).await?,
            State::Identify { hits } => self.identify(hits, answer),
            State::Decide => self.decide(answer),
            State::Plan(report) => self.plan(report, answer),
            State::Clarify(change) => self.clarify(change, answer),
            State::Edit { change, start_line, end_line } => {
                self.edit(change, *start_line, *end_line, answer).await?
            }
        })
    }

    /// Remembers an answer that can be read, as later prompts of its state show it.
    pub(super) fn remember(&mut self, action: &impl serde::Serialize) {
        if let Some(visit) = self.visits.last_mut() {
            visit.action = serde_json::to_string_pretty(action).ok();
        }
    }

    /// Earlier stays in the present state: what was said, and the answer that led on.
    pub(super) fn history(&self) -> Vec<(&str, &str)> {
        let Some((present, left)) = self.visits.split_last() else { return Vec::new() };
        let same = left.iter().filter(|visit| visit.kind == present.kind);
        same.map(|visit| (visit.opening.as_str(), visit.action.as_deref().unwrap_or_default())).collect()
    }

    /// Tokens of code that fit in a prompt of at most `most`, beside the problem, the words around it and the answer.
    pub(super) fn room(&self, most: usize) -> usize {
        let answer = usize::try_from(self.config.max_answer_tokens).unwrap_or(usize::MAX);
        let problem = self.tokens.count(&self.problem.problem_statement);
        let taken = answer.saturating_add(problem).saturating_add(self.words);
        most.min(self.config.context_tokens.saturating_sub(taken))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
