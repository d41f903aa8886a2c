//! One thing that happened.

/// Where an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The user, or what speaks in the user's name.
    User,
    /// The agent.
    Agent,
    /// Neither.
    Environment,
}

/// One thing that happened. Events of a history have different ids, which grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its id.
    pub id: u64,
    /// Where it comes from.
    pub source: Source,
    /// For an observation, the id of the action that it is of.
    pub cause: Option<u64>,
    /// What it is.
    pub kind: EventKind<'a>,
}

/// What an event is. Two are equal when nothing in them differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind<'a> {
    /// An action: something was said.
    Message {
        /// What.
        text: &'a str,
        /// Whether the agent waits for a reply.
        waits: bool,
    },
    /// An action: an IPython cell, which is how OpenHands calls its editor.
    RunCell {
        /// Its code.
        code: &'a str,
        /// What was said with it.
        thought: &'a str,
    },
    /// Any other action.
    Call {
        /// What is called: `run`, `finish` ...
        name: &'a str,
        /// With what.
        input: &'a str,
        /// What was said with it.
        thought: &'a str,
    },
    /// The observation of a command.
    CommandEnded {
        /// The command.
        command: &'a str,
        /// How it ended.
        exit_code: i64,
        /// What it printed.
        text: &'a str,
    },
    /// The observation of an IPython cell.
    CellEnded {
        /// Its code.
        code: &'a str,
        /// What it printed.
        text: &'a str,
    },
    /// The observation that something went wrong.
    Failed {
        /// Which kind of error, where errors have kinds.
        id: &'a str,
        /// What went wrong.
        text: &'a str,
    },
    /// Any other observation.
    Seen {
        /// Of what.
        name: &'a str,
        /// What was seen.
        text: &'a str,
    },
    /// An action that does nothing.
    NullAction,
    /// An observation of nothing.
    NullObservation,
}

impl Event<'_> {
    pub(super) fn is_observation(&self) -> bool {
        matches!(
            self.kind,
            EventKind::CommandEnded { .. }
                | EventKind::CellEnded { .. }
                | EventKind::Failed { .. }
                | EventKind::Seen { .. }
                | EventKind::NullObservation
        )
    }

    pub(super) fn is_message_of(&self, source: Source) -> bool {
        self.source == source && matches!(self.kind, EventKind::Message { .. })
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.kind, EventKind::NullAction | EventKind::NullObservation)
    }
}
