//! Statuses as upstream stores them: words that need not be statuses.

use std::borrow::Cow;
use std::collections::HashMap;

use swegym_core::{TestStatus, TestStatuses};

/// The words that are statuses.
pub(super) const STATUSES: [(&str, TestStatus); 5] = [
    ("PASSED", TestStatus::Passed),
    ("FAILED", TestStatus::Failed),
    ("ERROR", TestStatus::Error),
    ("SKIPPED", TestStatus::Skipped),
    ("XFAIL", TestStatus::Xfail),
];

/// Test id -> the word that stands for its status, in the order in which the tests first appear.
///
/// Parsers of upstream store words such as `ERRORS` or `PASSED:` as they find them, and grading then knows no such
/// status. A later word takes the place of an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawStatuses {
    words: HashMap<String, (usize, Cow<'static, str>)>,
}

impl RawStatuses {
    /// Sets the status of a test.
    pub fn set(&mut self, id: impl Into<String>, word: &str) {
        let position = self.words.len();
        let known = STATUSES.iter().find(|(known, _)| *known == word);
        let word = known.map_or_else(|| Cow::Owned(word.to_owned()), |(known, _)| Cow::Borrowed(*known));
        self.words.entry(id.into()).or_insert((position, Cow::Borrowed(""))).1 = word;
    }

    /// The word of a test, where the log shows one.
    pub fn get(&self, id: &str) -> Option<&str> {
        self.words.get(id).map(|(_, word)| &**word)
    }

    /// All tests and their words, in order of first appearance.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut entries: Vec<_> = self.words.iter().collect();
        entries.sort_unstable_by_key(|(_, (position, _))| *position);
        entries.into_iter().map(|(id, (_, word))| (id.as_str(), &**word))
    }

    /// Whether the log shows no test.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The tests whose word is a status.
    pub fn known(self) -> TestStatuses {
        let status =
            |word: &str| STATUSES.iter().find(|(known, _)| *known == word).map(|(_, status)| *status);
        self.words.into_iter().filter_map(|(id, (_, word))| Some((id, status(&word)?))).collect()
    }
}

impl<K: Into<String>, V: AsRef<str>> FromIterator<(K, V)> for RawStatuses {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut statuses = Self::default();
        entries.into_iter().for_each(|(id, word)| statuses.set(id, word.as_ref()));
        statuses
    }
}
