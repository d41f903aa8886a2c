//! What the model is shown of a history from which events are forgotten now and then, and told of in a summary.
//!
//! An answer and the results of its calls go together: where one of them is forgotten, the model sees none.

use std::collections::HashSet;

/// Steps that it may take to follow the condensations of one history: far more than real ones need.
const MAX_WORK: usize = 50_000_000;

/// The events that the model is still shown, in order.
#[derive(Default)]
pub(super) struct View {
    kept: Vec<Kept>,
    condensed: bool,
    work: usize,
}

struct Kept {
    id: String,
    /// The message that it became; several calls of an answer are one.
    message: Option<usize>,
    /// The answer that a result belongs to, else the message.
    group: Option<usize>,
    is_summary: bool,
}

/// What an event says about the history.
pub(super) struct Condensation {
    /// Events that are forgotten, by id.
    pub(super) forgotten: HashSet<String>,
    /// Where among the events that are kept the summary stands, and the message that it became.
    pub(super) summary: Option<(usize, usize)>,
    /// The summary as an event.
    pub(super) summary_id: String,
}

impl View {
    /// Adds an event that the model may be shown, and the message that it became, if any; of a result also the answer
    /// that it belongs to.
    pub(super) fn add(&mut self, id: String, message: Option<usize>, group: Option<usize>) {
        self.kept.push(Kept { id, message, group: group.or(message), is_summary: false });
    }

    /// The ids of kept events that are numbers from `first` to `last`.
    pub(super) fn ids_between(&self, first: i64, last: i64) -> impl Iterator<Item = String> {
        let is_between = move |id: &&String| id.parse().is_ok_and(|id: i64| (first..=last).contains(&id));
        self.kept.iter().map(|kept| &kept.id).filter(is_between).cloned()
    }

    /// Forgets events. The latest summary takes the place of earlier ones.
    pub(super) fn condense(&mut self, condensation: Condensation) -> Result<(), String> {
        self.spend()?;
        let Condensation { forgotten, summary, summary_id } = condensation;
        self.condensed = true;
        let goes = |kept: &&Kept| forgotten.contains(&kept.id);
        let groups: HashSet<usize> = self.kept.iter().filter(goes).filter_map(|kept| kept.group).collect();
        self.kept.retain(|kept| {
            let is_old = kept.is_summary && summary.is_some();
            let is_forgotten =
                forgotten.contains(&kept.id) || kept.group.is_some_and(|group| groups.contains(&group));
            !is_old && !is_forgotten
        });
        if let Some((offset, message)) = summary {
            let place = offset.min(self.kept.len());
            let message = Some(message);
            self.kept.insert(place, Kept { id: summary_id, message, group: message, is_summary: true });
        }
        Ok(())
    }

    /// What is sent next, as ranges of messages; nothing where that is everything so far.
    pub(super) fn prompt(&mut self) -> Result<Vec<(usize, usize)>, String> {
        if !self.condensed {
            return Ok(Vec::new());
        }
        self.spend()?;
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for message in self.kept.iter().filter_map(|kept| kept.message) {
            match ranges.last_mut() {
                // A further call of the same answer.
                Some((_, end)) if *end == message + 1 => {}
                Some((_, end)) if *end == message => *end += 1,
                _ => ranges.push((message, message + 1)),
            }
        }
        // Where nothing is left, no range would mean everything.
        Ok(if ranges.is_empty() { vec![(0, 0)] } else { ranges })
    }

    fn spend(&mut self) -> Result<(), String> {
        self.work += self.kept.len();
        match self.work > MAX_WORK {
            true => Err("the history is condensed too often to be followed".to_owned()),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condensation(forgotten: &[&str], summary: Option<(usize, usize)>) -> Condensation {
        let forgotten = forgotten.iter().map(|id| (*id).to_owned()).collect();
        Condensation { forgotten, summary, summary_id: "summary".to_owned() }
    }

    #[test]
    fn what_is_forgotten_goes_with_what_belongs_to_it() {
        let mut view = View::default();
        for (id, message, group) in [
            ("a", 0, None),
            ("b", 1, None),
            ("c", 1, None),
            ("d", 2, Some(1)),
            ("e", 3, Some(1)),
            ("f", 4, None),
        ] {
            view.add(id.to_owned(), Some(message), group);
        }
        view.add("unseen".to_owned(), None, None);
        assert_eq!(view.prompt().unwrap(), []);
        view.condense(condensation(&["nobody"], None)).unwrap();
        assert_eq!(view.prompt().unwrap(), [(0, 5)]);
        view.condense(condensation(&["d"], Some((1, 5)))).unwrap();
        assert_eq!(view.prompt().unwrap(), [(0, 1), (5, 6), (4, 5)], "a, the summary, f");
        view.condense(condensation(&[], Some((9, 6)))).unwrap();
        assert_eq!(view.prompt().unwrap(), [(0, 1), (4, 5), (6, 7)], "the latest summary alone");
        view.condense(condensation(&["a", "f", "summary"], None)).unwrap();
        assert_eq!(view.prompt().unwrap(), [(0, 0)]);
    }

    #[test]
    fn a_history_that_is_condensed_all_the_time_is_given_up() {
        let mut view = View::default();
        (0..100_000).for_each(|message| view.add(message.to_string(), Some(message), None));
        let outcome = (0..1000).try_for_each(|_| view.condense(condensation(&[], None)));
        assert!(outcome.is_err());
    }
}
