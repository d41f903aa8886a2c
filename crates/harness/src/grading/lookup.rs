//! Finding the status of a test that is asked for.

use std::collections::HashMap;

use crate::{Profile, RawStatuses};

/// Finds words by id. SWE-bench 5 takes an id with more opening than closing brackets, cut by an older parser, for
/// the tests that start with it, when they agree on whether they passed.
pub(super) struct Lookup<'a> {
    statuses: &'a RawStatuses,
    /// Ids with their position in the log, in order of ids; empty where ids are never completed.
    sorted: Vec<(&'a str, usize, &'a str)>,
    /// What cut ids stand for: many of a list may be the same.
    cut: HashMap<String, Option<&'a str>>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(profile: Profile, statuses: &'a RawStatuses) -> Self {
        let mut sorted = Vec::new();
        if profile == Profile::Swebench5 {
            let entries = statuses.iter().enumerate();
            sorted = entries.map(|(position, (id, word))| (id, position, word)).collect();
            sorted.sort_unstable();
        }
        Self { statuses, sorted, cut: HashMap::new() }
    }

    pub(super) fn word(&mut self, id: &str) -> Option<&'a str> {
        let opened = || id.matches('[').count() > id.matches(']').count();
        match self.statuses.get(id) {
            None if !self.sorted.is_empty() && opened() => {
                if let Some(word) = self.cut.get(id) {
                    return *word;
                }
                let word = self.complete(id);
                self.cut.insert(id.to_owned(), word);
                word
            }
            word => word,
        }
    }

    /// The word of the first test that starts with this, where all of them passed or none did.
    fn complete(&self, id: &str) -> Option<&'a str> {
        let from = self.sorted.partition_point(|(known, ..)| *known < id);
        let matches = || self.sorted[from..].iter().take_while(|(known, ..)| known.starts_with(id));
        let passed = |word: &str| matches!(word, "PASSED" | "XFAIL");
        let (_, _, first) = matches().min_by_key(|(_, position, _)| position)?;
        matches().all(|(_, _, word)| passed(word) == passed(first)).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_id_stands_for_tests_that_agree() {
        let words = [
            ("t[b z]", "SKIPPED"),
            ("t[a y]", "XFAIL"),
            ("t[a x]", "PASSED"),
            ("t[b y]", "FAILED"),
            ("t[c x]", "PASSED"),
            ("t[c y]", "FAILED"),
            ("u", "PASSED"),
        ];
        let statuses: RawStatuses = words.into_iter().collect();
        let mut lookup = Lookup::new(Profile::Swebench5, &statuses);
        for (id, word) in [
            ("t[a", Some("XFAIL")),
            ("t[a", Some("XFAIL")),
            ("t[b", Some("SKIPPED")),
            ("t[c", None),
            ("t[c x]", Some("PASSED")),
            ("t[d", None),
            ("t[z", None),
            ("t", None),
            ("u", Some("PASSED")),
        ] {
            assert_eq!(lookup.word(id), word, "{id}");
        }
        assert_eq!(Lookup::new(Profile::Swebench4, &statuses).word("t[a"), None);
    }
}
