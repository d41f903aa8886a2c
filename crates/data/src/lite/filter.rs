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

#[cfg(test)]
mod tests {
    use super::*;

    const HUNK: &str = "@@ -1 +1 @@\n-a\n+b\n";

    fn keeps(statement: &str, patch: &str, test_patch: &str) -> bool {
        let (patch, test_patch) = (&Patch::from(patch), &Patch::from(test_patch));
        let filter = LiteFilter { repo: "o/n", problem_statement: statement, patch, test_patch };
        filter.keeps(&mut |_| false).unwrap()
    }

    #[test]
    fn small_changes_with_long_statements_are_kept() {
        let long = "word ".repeat(41);
        let file = format!("--- a/x.py\n+++ b/x.py\n{HUNK}");
        assert!(keeps(&long, &file, ""));
        assert!(keeps(&long, &format!("{file}{HUNK}{HUNK}"), "+ pytest.raises(E)\n"));
        for (statement, patch, test_patch) in [
            ("word ".repeat(40), file.clone(), ""),
            (format!("{long} a.png"), file.clone(), ""),
            (long.clone(), format!("{file}{HUNK}{HUNK}{HUNK}"), ""),
            (long.clone(), format!("{file}--- a/y.py\n+++ b/y.py\n{HUNK}"), ""),
            (long.clone(), "--- /dev/null\n+++ b/x.py\n@@ -0,0 +1 @@\n+b\n".to_owned(), ""),
            (long.clone(), "diff --git a/x b/x\nold mode 100644\nnew mode 100755\n".to_owned(), ""),
            (long.clone(), file.clone(), "-  pytest.warns(E)\n match\n"),
            (long.clone(), file.clone(), "+ self.assertRaises(E)\n"),
        ] {
            assert!(!keeps(&statement, &patch, test_patch), "{statement} {patch} {test_patch}");
        }
    }

    #[test]
    fn a_patch_that_cannot_be_read_is_an_error() {
        let patch = Patch::from("--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n");
        let statement = "word ".repeat(41);
        let filter =
            LiteFilter { repo: "o/n", problem_statement: &statement, patch: &patch, test_patch: &patch };
        assert_eq!(filter.keeps(&mut |_| false).unwrap_err().upstream(), "UnidiffParseError");
        assert_eq!(LiteFilter { problem_statement: "short", ..filter }.keeps(&mut |_| false), Ok(false));
    }
}
