//! The history of a rollout: which messages of its trajectory are which events, and which of them the model is shown.

use swegym_core::{Message, Role, Trajectory};

use super::event::{Event, EventKind, Source};
use super::window::conversation_window;

/// How what a call led to is told apart by the rules for being stuck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// A command ended with this exit code.
    Exited(i32),
    /// It was refused, or went wrong.
    Failed,
    /// Anything else.
    Other,
}

/// The events of a rollout. What was said lies in the messages of its trajectory; an event knows where.
#[derive(Debug, Default)]
pub(crate) struct History {
    entries: Vec<Entry>,
    next_id: u64,
    /// Whether there are messages that the model is not shown.
    has_gaps: bool,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    id: u64,
    /// Index of the message.
    message: usize,
    kind: EntryKind,
}

#[derive(Debug, Clone, Copy)]
enum EntryKind {
    UserMessage,
    AgentMessage,
    /// The call of this number in the message.
    Call(usize),
    /// What a call led to; the event of the call, and the message and number of it.
    Result {
        cause: u64,
        answer: usize,
        call: usize,
        end: End,
    },
    /// What went wrong with an answer that was no call.
    Failure,
}

impl History {
    /// The newest message is the user's.
    pub(crate) fn user_spoke(&mut self, trajectory: &Trajectory) {
        self.push(newest(trajectory), EntryKind::UserMessage);
    }

    /// The newest message is the agent's, and makes no call.
    pub(crate) fn agent_spoke(&mut self, trajectory: &Trajectory) {
        self.push(newest(trajectory), EntryKind::AgentMessage);
    }

    /// The newest message says what was wrong with the answer before it.
    pub(crate) fn answer_failed(&mut self, trajectory: &Trajectory, shows_answer: bool) {
        let message = newest(trajectory);
        if shows_answer {
            self.push(message.saturating_sub(1), EntryKind::AgentMessage);
        } else {
            self.has_gaps = true;
        }
        self.push(message, EntryKind::Failure);
    }

    /// The newest message answers call number `call` of message `answer`.
    pub(crate) fn call_ended(&mut self, trajectory: &Trajectory, answer: usize, call: usize, end: End) {
        let cause = self.push(answer, EntryKind::Call(call));
        self.push(newest(trajectory), EntryKind::Result { cause, answer, call, end });
    }

    /// How often the user has spoken.
    pub(crate) fn user_messages(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.kind, EntryKind::UserMessage)).count()
    }

    /// Forgets the older half. Says whether that made the conversation shorter.
    pub(crate) fn shorten(&mut self, trajectory: &Trajectory) -> bool {
        let before = self.entries.len();
        let window = conversation_window(&self.events(trajectory));
        self.entries = window.kept.iter().map(|index| self.entries[*index]).collect();
        self.has_gaps = true;
        self.entries.len() < before
    }

    /// The events, oldest first.
    pub(crate) fn events<'a>(&self, trajectory: &'a Trajectory) -> Vec<Event<'a>> {
        self.entries.iter().map(|entry| entry.event(&trajectory.messages)).collect()
    }

    /// What the next prompt is made of, as in [`Step::prompt`](swegym_core::Step::prompt): empty where it is everything.
    pub(crate) fn prompt(&self, trajectory: &Trajectory) -> Vec<(usize, usize)> {
        if !self.has_gaps {
            return Vec::new();
        }
        let mut indices: Vec<usize> = self.entries.iter().map(|entry| entry.message).collect();
        let is_system = |message: &&Message| message.role == Role::System;
        indices.extend(0..trajectory.messages.iter().take_while(is_system).count());
        indices.sort_unstable();
        indices.dedup();
        let incomplete = self.incomplete_answers(trajectory);
        indices.retain(|index| !incomplete.contains(index));
        ranges(&indices)
    }

    /// Answers of which not every call has its result among the events, with the results that are: endpoints refuse
    /// the one without the other.
    fn incomplete_answers(&self, trajectory: &Trajectory) -> Vec<usize> {
        let results = self.entries.iter().filter_map(|entry| match entry.kind {
            EntryKind::Result { answer, .. } => Some((answer, entry.message)),
            _ => None,
        });
        let results: Vec<(usize, usize)> = results.collect();
        let mut incomplete = Vec::new();
        for group in results.chunk_by(|one, other| one.0 == other.0) {
            let answer = group[0].0;
            if group.len() < trajectory.messages[answer].tool_calls.len() {
                incomplete.push(answer);
                incomplete.extend(group.iter().map(|(_, message)| *message));
            }
        }
        incomplete.sort_unstable();
        incomplete
    }

    fn push(&mut self, message: usize, kind: EntryKind) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.entries.push(Entry { id, message, kind });
        id
    }
}

impl Entry {
    fn event<'a>(&self, messages: &'a [Message]) -> Event<'a> {
        let message = &messages[self.message];
        let text = message.content.as_str();
        let call = |answer: usize, number: usize| &messages[answer].tool_calls[number].function;
        let (source, cause, kind) = match self.kind {
            EntryKind::UserMessage => (Source::User, None, EventKind::Message { text, waits: false }),
            EntryKind::AgentMessage => (Source::Agent, None, EventKind::Message { text, waits: true }),
            EntryKind::Call(number) => {
                let function = call(self.message, number);
                // What is said with several calls is said with the first.
                let thought = if number == 0 { text } else { "" };
                let kind = EventKind::Call { name: &function.name, input: &function.arguments, thought };
                (Source::Agent, None, kind)
            }
            EntryKind::Result { cause, answer, call: number, end } => {
                let function = call(answer, number);
                let kind = match end {
                    End::Exited(code) => EventKind::CommandEnded {
                        command: &function.arguments,
                        exit_code: i64::from(code),
                        text,
                    },
                    End::Failed => EventKind::Failed { id: "", text },
                    End::Other => EventKind::Seen { name: &function.name, text },
                };
                (Source::Environment, Some(cause), kind)
            }
            EntryKind::Failure => (Source::Environment, None, EventKind::Failed { id: "", text }),
        };
        Event { id: self.id, source, cause, kind }
    }
}

fn newest(trajectory: &Trajectory) -> usize {
    trajectory.messages.len().saturating_sub(1)
}

/// Sorted indices as half-open ranges.
fn ranges(indices: &[usize]) -> Vec<(usize, usize)> {
    let runs = indices.chunk_by(|one, other| one + 1 == *other);
    runs.map(|run| (run[0], run[run.len() - 1] + 1)).collect()
}
