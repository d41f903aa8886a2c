//! The states of the workflow, and what leads from one to the next.

use swegym_core::ExitStatus;

use super::index::Hit;
use super::lint::Finding;

/// Where the work stands.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// Looks for code.
    Search { message: Option<String> },
    /// Picks what matters out of what was found.
    Identify { hits: Vec<Hit> },
    /// Decides whether that is enough.
    Decide,
    /// Chooses the next change, or ends the work.
    Plan(Report),
    /// Chooses lines of a span that is too large.
    Clarify(Change),
    /// Writes the new code.
    Edit { change: Change, start_line: usize, end_line: usize },
}

/// What planning is told of what happened before it.
#[derive(Debug, Clone, Default)]
pub(super) struct Report {
    pub(super) message: Option<String>,
    pub(super) diff: Option<String>,
    pub(super) findings: Vec<Finding>,
}

/// A change that was asked for.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) instructions: String,
    pub(super) file_path: String,
    pub(super) span_id: String,
}

/// The name of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StateKind {
    Search,
    Identify,
    Decide,
    Plan,
    Clarify,
    Edit,
}

impl State {
    pub(super) fn kind(&self) -> StateKind {
        match self {
            Self::Search { .. } => StateKind::Search,
            Self::Identify { .. } => StateKind::Identify,
            Self::Decide => StateKind::Decide,
            Self::Plan(_) => StateKind::Plan,
            Self::Clarify(_) => StateKind::Clarify,
            Self::Edit { .. } => StateKind::Edit,
        }
    }
}

/// What an answer leads to.
#[derive(Debug)]
pub(super) enum Move {
    /// The same state again: what is wrong with the answer.
    Retry(String),
    /// Another state.
    To(Box<State>),
    /// The end.
    End(ExitStatus),
}

impl Move {
    pub(super) fn retry(message: impl Into<String>) -> Self {
        Self::Retry(message.into())
    }

    pub(super) fn to(state: State) -> Self {
        Self::To(Box::new(state))
    }

    /// Back to planning, with a message alone.
    pub(super) fn plan(message: impl Into<String>) -> Self {
        Self::to(State::Plan(Report { message: Some(message.into()), ..Report::default() }))
    }
}

/// One stay in a state.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) kind: StateKind,
    /// What was said when it began, of what later prompts show again.
    pub(super) opening: String,
    /// Answers with what was wrong with them, in a row.
    pub(super) retries: Vec<(String, String)>,
    /// The answer that led on, as later prompts show it.
    pub(super) action: Option<String>,
    /// Steps before it.
    pub(super) first_step: usize,
    /// Whether code was called relevant in it.
    pub(super) relevant: bool,
}
