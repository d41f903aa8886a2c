//! What files were before they were edited.

use std::collections::VecDeque;

/// Bytes that are remembered over all files; the oldest go first.
const SIZE_LIMIT: usize = 64 << 20;

/// Former contents, oldest first.
#[derive(Default)]
pub(super) struct Undo {
    former: VecDeque<(String, String)>,
    bytes: usize,
}

impl Undo {
    /// Remembers what `path` held before an edit.
    pub(super) fn remember(&mut self, path: &str, content: String) {
        self.bytes += content.len();
        self.former.push_back((path.to_owned(), content));
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

    /// Forgets [`Self::latest`].
    pub(super) fn forget_latest(&mut self, path: &str) {
        let forgotten = self.index(path).and_then(|index| self.former.remove(index));
        self.bytes -= forgotten.map_or(0, |(_, content)| content.len());
    }

    fn index(&self, path: &str) -> Option<usize> {
        self.former.iter().rposition(|(former, _)| former == path)
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
        undo.forget_latest("/a");
        assert_eq!(undo.latest("/a"), Some("1"));
        undo.forget_latest("/a");
        assert_eq!(undo.latest("/a"), None);
        assert_eq!(undo.latest("/b"), Some("2"));
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
