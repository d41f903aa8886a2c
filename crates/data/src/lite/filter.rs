//! The three filters, in the order of upstream.

use swegym_core::diff::DiffError;
use swegym_core::{Instance, Patch};

use super::changes::{Changes, expects_message};
use super::statement::{count_words, has_commit_hash, has_hyperlink, has_image_name, has_issue_reference};

/// A statement needs more words than this.
const FEW_WORDS: usize = 40;
/// A patch has at most so many hunks.
const MANY_HUNKS: usize = 3;

/// What of an instance decides whether it belongs to a Lite set.
#[derive(Debug, Clone, Copy)]
pub struct LiteFilter<'a> {
    /// `owner/name`.
    pub repo: &'a str,
    /// The task, in words.
    pub problem_statement: &'a str,
    /// The gold patch.
    pub patch: &'a Patch,
    /// What the tests are brought up to date with.
    pub test_patch: &'a Patch,
}

impl<'a> From<&'a Instance> for LiteFilter<'a> {
    fn from(instance: &'a Instance) -> Self {
        Self {
            repo: instance.problem.repo.as_str(),
            problem_statement: &instance.problem.problem_statement,
            patch: &instance.grading.patch,
            test_patch: &instance.grading.test_patch,
        }
    }
}

impl LiteFilter<'_> {
    /// Whether the instance belongs to a Lite set. `exists` is asked for the addresses of issues, and says whether
    /// the server answers with status 200; it is not asked where something else decides.
    ///
    /// # Errors
    /// [`DiffError`] where unidiff raises an exception for the gold patch.
    pub fn keeps(&self, exists: &mut dyn FnMut(&str) -> bool) -> Result<bool, DiffError> {
        Ok(self.keeps_statement(exists) && self.keeps_patch()? && self.keeps_test_patch())
    }

    /// Whether the statement is long enough, and points nowhere else.
    pub fn keeps_statement(&self, exists: &mut dyn FnMut(&str) -> bool) -> bool {
        let text = self.problem_statement;
        count_words(text) > FEW_WORDS
            && !has_hyperlink(text, self.repo)
            && !has_issue_reference(text, self.repo, exists)
            && !has_commit_hash(text)
            && !has_image_name(text)
    }

    /// Whether the gold patch only modifies files, at most one of them, in one to three hunks.
    ///
    /// # Errors
    /// [`DiffError`] where unidiff raises an exception.
    pub fn keeps_patch(&self) -> Result<bool, DiffError> {
        let changes = Changes::of(self.patch)?;
        let only_modifies = changes.added_or_removed == 0 && changes.modified <= 1;
        Ok(only_modifies && (1..=MANY_HUNKS).contains(&changes.hunks))
    }

    /// Whether the tests ask for no particular message.
    pub fn keeps_test_patch(&self) -> bool {
        !expects_message(self.test_patch)
    }
}
