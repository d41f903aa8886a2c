//! Whether the agent goes round in circles. Four rules, over the newest actions and the newest observations, which
//! are taken apart from each other: the same again and again, the same error again and again, the same words again
//! and again, and two that take turns.

use std::collections::HashSet;

use swegym_core::python::strip;

use super::event::{Event, EventKind, Source};
use crate::Behaviour;

/// What the rules say of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StuckReport {
    /// Whether one of them holds.
    pub stuck: bool,
    /// How many repetitions are missing until the first does: 1 or 2, and 0 where it is not near.
    pub almost_stuck: u8,
}

/// What IPython says of a cell that does not parse.
const UNTERMINATED: &str = "SyntaxError: unterminated string literal (detected at line";
const INVALID: [&str; 2] =
    ["SyntaxError: invalid syntax. Perhaps you forgot a comma?", "SyntaxError: incomplete input"];
/// The lines that OpenHands puts below the output of every cell.
const CELL_FOLDER: &str = "[Jupyter current working directory:";
const CELL_PYTHON: &str = "[Jupyter Python interpreter:";

/// Applies the rules to a history, oldest event first.
pub fn stuck(events: &[Event<'_>], behaviour: Behaviour) -> StuckReport {
    let counts = |event: &&Event<'_>| !event.is_message_of(Source::User) && !event.is_null();
    let events: Vec<&Event<'_>> = events.iter().filter(counts).collect();
    if events.len() < 3 {
        return StuckReport::default();
    }
    let newest = Newest::of(&events, behaviour);
    let almost_stuck = newest.almost();
    let repeats = newest.repeats();
    let stuck = repeats
        || newest.fails_again()
        || monologue(&events, behaviour)
        || (events.len() >= 6 && newest.takes_turns());
    StuckReport { stuck, almost_stuck: if repeats { 0 } else { almost_stuck } }
}

/// The newest six actions and the newest six observations, newest first.
struct Newest<'a> {
    actions: Vec<&'a EventKind<'a>>,
    observations: Vec<&'a EventKind<'a>>,
    behaviour: Behaviour,
}

impl<'a> Newest<'a> {
    fn of(events: &[&'a Event<'a>], behaviour: Behaviour) -> Self {
        let newest = |observations: bool| {
            let kinds = events.iter().rev().filter(|event| event.is_observation() == observations);
            kinds.take(6).map(|event| &event.kind).collect()
        };
        Self { actions: newest(false), observations: newest(true), behaviour }
    }

    fn both_have(&self, count: usize) -> bool {
        self.actions.len() >= count && self.observations.len() >= count
    }

    /// Whether these of the actions are equal to the first of them, and these of the observations.
    fn equal(&self, indices: &[usize]) -> bool {
        let equal = |kinds: &[&EventKind<'_>]| {
            indices.iter().all(|index| same(kinds[indices[0]], kinds[*index], self.behaviour))
        };
        equal(&self.actions) && equal(&self.observations)
    }

    fn almost(&self) -> u8 {
        if self.both_have(3) && self.equal(&[0, 1, 2]) {
            1
        } else if self.both_have(2) && self.equal(&[0, 1]) {
            2
        } else {
            0
        }
    }

    /// Rule 1. Upstream does not look at the third newest.
    fn repeats(&self) -> bool {
        let compared: &[usize] = match self.behaviour {
            Behaviour::Sane => &[0, 1, 2, 3],
            Behaviour::OpenHands => &[0, 1, 3],
        };
        self.both_have(4) && self.equal(compared)
    }

    /// Rule 2. Upstream wants four of each, and looks at three.
    fn fails_again(&self) -> bool {
        let needed = if self.behaviour == Behaviour::Sane { 3 } else { 4 };
        if !self.both_have(needed) {
            return false;
        }
        let (actions, observations) = (&self.actions[..3], &self.observations[..3]);
        actions.iter().all(|action| same(actions[0], action, self.behaviour))
            && (observations.iter().all(|kind| matches!(kind, EventKind::Failed { .. }))
                || same_syntax_error(observations))
    }

    /// Rule 4.
    fn takes_turns(&self) -> bool {
        self.both_have(6) && self.equal(&[0, 2, 4]) && self.equal(&[1, 3, 5])
    }
}

/// Rule 3. Upstream takes the newest three messages of the agent, however old they are, with any actions between
/// them; so three old ones keep it stuck.
fn monologue(events: &[&Event<'_>], behaviour: Behaviour) -> bool {
    let said = |(_, event): &(usize, &&Event<'_>)| event.is_message_of(Source::Agent);
    let mut messages = events.iter().enumerate().rev().filter(said).map(|(index, _)| index);
    let (Some(last), Some(second), Some(first)) = (messages.next(), messages.next(), messages.next()) else {
        return false;
    };
    let equal = [second, last].iter().all(|index| events[*index].kind == events[first].kind);
    equal
        && match behaviour {
            Behaviour::Sane => last + 1 == events.len() && first + 2 == last,
            Behaviour::OpenHands => !events[first..last].iter().any(|event| event.is_observation()),
        }
}

/// When two count as equal. Upstream looks at what was said with an action, and not at what a command printed.
fn same(one: &EventKind<'_>, other: &EventKind<'_>, behaviour: Behaviour) -> bool {
    match (behaviour, one, other) {
        (
            Behaviour::Sane,
            EventKind::Call { name, input, .. },
            EventKind::Call { name: other_name, input: other_input, .. },
        ) => (name, input) == (other_name, other_input),
        (
            Behaviour::OpenHands,
            EventKind::CommandEnded { command, exit_code, .. },
            EventKind::CommandEnded { command: other_command, exit_code: other_code, .. },
        ) => (command, exit_code) == (other_command, other_code),
        (_, EventKind::RunCell { code, .. }, EventKind::RunCell { code: other, .. })
            if are_edits(code, other) =>
        {
            first_lines(code).is_some_and(|lines| first_lines(other) == Some(lines))
        }
        _ => one == other,
    }
}

fn are_edits(code: &str, other: &str) -> bool {
    [code, other].iter().all(|code| code.contains("edit_file_by_replace("))
}

fn first_lines(code: &str) -> Option<[&str; 3]> {
    let mut lines = code.split('\n');
    Some([lines.next()?, lines.next()?, lines.next()?])
}

fn same_syntax_error(observations: &[&EventKind<'_>]) -> bool {
    let cells = observations.iter().filter_map(|kind| match kind {
        EventKind::CellEnded { text, .. } => Some(cell_lines(text)),
        _ => None,
    });
    let cells: Vec<Vec<&str>> = cells.collect();
    if cells.len() < observations.len() {
        return false;
    }
    same_line(&cells, UNTERMINATED) || INVALID.iter().any(|message| same_error(&cells, message))
}

fn cell_lines(text: &str) -> Vec<&str> {
    strip(text).split('\n').collect()
}

/// The line above the two of OpenHands, where it holds `message`.
fn error_line<'a>(lines: &[&'a str], message: &str) -> Option<&'a str> {
    let [.., error, folder, python] = lines else { return None };
    let is_cell = folder.starts_with(CELL_FOLDER) && python.starts_with(CELL_PYTHON);
    (is_cell && error.contains(message)).then_some(*error)
}

fn same_line(cells: &[Vec<&str>], message: &str) -> bool {
    let errors: HashSet<_> = cells.iter().map(|lines| error_line(lines, message)).collect();
    errors.len() == 1 && !errors.contains(&None)
}

fn same_error(cells: &[Vec<&str>], message: &str) -> bool {
    let heads: HashSet<&str> = cells.iter().map(|lines| strip(lines[0])).collect();
    heads.len() == 1
        && heads.iter().all(|head| head.starts_with("Cell In[1], line"))
        && cells.iter().all(|lines| lines.len() >= 6)
        && same_line(cells, message)
}
