//! What the Lite filters look for in patches.

use std::sync::LazyLock;

use regex::bytes::Regex;
use swegym_core::Patch;
use swegym_core::diff::{DiffError, LineKind, parse};

#[expect(clippy::unwrap_used, reason = "the pattern is constant and covered by tests")]
static PYTEST: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"pytest\.(?:raises|warns|deprecated_call)").unwrap());
#[expect(clippy::unwrap_used, reason = "the pattern is constant and covered by tests")]
static OTHERS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"assertOutput|assertRaises|checks\.Error").unwrap());
#[expect(clippy::unwrap_used, reason = "the pattern is constant and covered by tests")]
static MATCH: LazyLock<Regex> = LazyLock::new(|| Regex::new("match").unwrap());

/// How much a patch changes, as unidiff counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// Files that are new or go away.
    pub added_or_removed: usize,
    /// Other files, renamed ones and those whose mode changes included.
    pub modified: usize,
    /// Hunks of the files in `modified`.
    pub hunks: usize,
    /// Added and removed lines of all files.
    pub lines: usize,
}

impl Changes {
    /// Those of a patch.
    ///
    /// # Errors
    /// [`DiffError`] where unidiff raises an exception.
    pub fn of(patch: &Patch) -> Result<Self, DiffError> {
        let mut changes = Self::default();
        for file in parse(patch.as_bytes())? {
            changes.lines += file.count(LineKind::Added) + file.count(LineKind::Removed);
            if file.is_modified() {
                changes.modified += 1;
                changes.hunks += file.hunks.len();
            } else {
                changes.added_or_removed += 1;
            }
        }
        Ok(changes)
    }
}

/// Whether a test patch seems to compare the message of an error: it names something of pytest for errors and warnings
/// and has `match` anywhere, or else it names one of three assertions. Context and removed lines count.
pub fn expects_message(test_patch: &Patch) -> bool {
    let text = test_patch.as_bytes();
    if PYTEST.is_match(text) { MATCH.is_match(text) } else { OTHERS.is_match(text) }
}
