//! What files were before they were edited.

use std::collections::VecDeque;

/// Bytes that are remembered over all files; the oldest go first.
const SIZE_LIMIT: usize = 64 << 20;

/// Former contents, oldest first.
#[derive(Default)]
pub(super) struct Undo {
    former: VecDeque<(String, String)>,
    bytes: usize,
    /// Contents of one file that are remembered, where that is limited.
    per_file: Option<usize>,
}

impl Undo {
    /// One that remembers at most so many contents of each file.
    pub(super) fn per_file(limit: usize) -> Self {
        Self { per_file: Some(limit), ..Self::default() }
    }

    /// Remembers what `path` held before an edit.
    pub(super) fn remember(&mut self, path: &str, content: String) {
        self.bytes += content.len();
        self.former.push_back((path.to_owned(), content));
        if self.per_file.is_some_and(|limit| self.of(path).count() > limit) {
            let oldest = self.of(path).next();
            self.forget(oldest);
        }
        while self.bytes > SIZE_LIMIT
            && let Some((_, oldest)) = self.former.pop_front()
        {
            self.bytes -= oldest.len();
        }
    }

    /// What `path` held before its latest edit that is not yet undone.
    pub(super) fn latest(&self, path: &str) -> Option<&str> {
        let index = self.index(path)?;
        self.former.get(index).map(|(_, content)| content.as_str())
    }

    /// Forgets [`Self::latest`], and gives it back.
    pub(super) fn take_latest(&mut self, path: &str) -> Option<String> {
        let index = self.index(path);
        self.forget(index)
    }

    fn forget(&mut self, index: Option<usize>) -> Option<String> {
        let (_, content) = self.former.remove(index?)?;
        self.bytes -= content.len();
        Some(content)
    }

    fn index(&self, path: &str) -> Option<usize> {
        self.of(path).next_back()
    }

    fn of(&self, path: &str) -> impl DoubleEndedIterator<Item = usize> {
        let former = self.former.iter().enumerate();
        former.filter(move |(_, (former, _))| former == path).map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_undone_per_file_and_newest_first() {
        let mut undo = Undo::default();
        for (path, content) in [("/a", "1"), ("/b", "2"), ("/a", "3")] {
            undo.remember(path, content.to_owned());
        }
        assert_eq!(undo.latest("/a"), Some("3"));
        assert_eq!(undo.take_latest("/a").as_deref(), Some("3"));
        assert_eq!(undo.latest("/a"), Some("1"));
        assert_eq!(undo.take_latest("/a").as_deref(), Some("1"));
        assert_eq!(undo.latest("/a"), None);
        assert_eq!(undo.latest("/b"), Some("2"));
    }

    #[test]
    fn contents_of_one_file_are_limited_apart_from_others() {
        let mut undo = Undo::per_file(2);
        for (path, content) in [("/b", "0"), ("/a", "1"), ("/a", "2"), ("/a", "3")] {
            undo.remember(path, content.to_owned());
        }
        assert_eq!(undo.take_latest("/a").as_deref(), Some("3"));
        assert_eq!(undo.take_latest("/a").as_deref(), Some("2"));
        assert_eq!(undo.take_latest("/a"), None);
        assert_eq!(undo.latest("/b"), Some("0"));
    }

    #[test]
    fn memory_is_limited() {
        let mut undo = Undo::default();
        for number in 0..9 {
            undo.remember(&format!("/{number}"), "x".repeat(SIZE_LIMIT / 4));
        }
        assert_eq!(undo.latest("/4"), None);
        assert!(undo.latest("/5").is_some());
        assert!(undo.bytes <= SIZE_LIMIT);
    }
}
