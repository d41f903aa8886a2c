//! What is kept of a conversation that no longer fits the model's context window.

use super::event::{Event, EventKind, Source};

/// The events that are kept, as indices, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The task, where it is no part of the newer half, and the newer half.
    pub kept: Vec<usize>,
    /// Index of the first event of the newer half; `None` when that is empty.
    pub newer: Option<usize>,
    /// Index of the first message of the user.
    pub task: Option<usize>,
}

/// Keeps the newer half. When an observation is the first that is not said by anyone, its action is put before it;
/// where that is not to be found, the first event goes. The first message of the user is always kept.
pub fn conversation_window(events: &[Event<'_>]) -> Window {
    let task = events.iter().position(|event| event.is_message_of(Source::User));
    let middle = (events.len() / 2).max(1).min(events.len());
    let mut kept: Vec<usize> = (middle..events.len()).collect();
    let first = kept.iter().map(|index| &events[*index]).find(|event| !is_passed_over(event));
    if let Some(cause) = first.and_then(dangling) {
        let is_cause = |event: &Event<'_>| !event.is_observation() && event.id == cause;
        match events[..middle].iter().rposition(is_cause) {
            Some(action) => kept.insert(0, action),
            None => drop(kept.remove(0)),
        }
    }
    let newer = kept.first().copied();
    // What is compared is what was said, as upstream does: a later message of the same words counts as the task.
    if let Some(task) = task
        && !kept.iter().any(|index| events[*index].kind == events[task].kind)
    {
        kept.insert(0, task);
    }
    Window { kept, newer, task }
}

/// Messages, and what the user does, need no observation.
fn is_passed_over(event: &Event<'_>) -> bool {
    matches!(event.kind, EventKind::Message { .. })
        || (!event.is_observation() && event.source == Source::User)
}

/// The action that an observation is of. Upstream takes the id 0 for none.
fn dangling(event: &Event<'_>) -> Option<u64> {
    event.cause.filter(|cause| *cause != 0 && event.is_observation())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(id: usize, letter: char) -> Event<'static> {
        let call = EventKind::Call { name: "run", input: "ls", thought: "" };
        let message = |text| EventKind::Message { text, waits: false };
        let (source, kind) = match letter {
            'U' => (Source::User, message("task")),
            'M' => (Source::Agent, message("hm")),
            'A' => (Source::Agent, call),
            _ => (Source::Environment, EventKind::Seen { name: "run", text: "a" }),
        };
        let cause = (letter == 'O').then(|| id as u64 - 1);
        Event { id: id as u64, source, cause, kind }
    }

    fn kept(letters: &str) -> Vec<usize> {
        let events: Vec<_> = letters.chars().enumerate().map(|(id, letter)| event(id, letter)).collect();
        conversation_window(&events).kept
    }

    #[test]
    fn the_newer_half_stays_with_the_task_and_whole_pairs() {
        assert_eq!(kept("UAOAOAO"), [0, 3, 4, 5, 6]);
        assert_eq!(kept("UAOAOAOAO"), [0, 3, 4, 5, 6, 7, 8], "an action goes with its observation");
        assert_eq!(kept("AOAOAO"), [2, 3, 4, 5]);
        assert_eq!(kept("U"), [0]);
        assert_eq!(kept(""), Vec::<usize>::new());
    }

    proptest! {
        #[test]
        fn any_history_has_a_window_that_has_its_end(letters in "[UMAE]{0,30}") {
            let kept = kept(&letters);
            prop_assert!(kept.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(letters.len() < 2 || kept.last() == Some(&(letters.len() - 1)));
        }
    }
}
