//! What a pull request becomes.

use serde::Serialize;
use swegym_core::{CommitId, InstanceId, Patch, RepoName, RowError, python};

use super::{Issue, PullRequest, problem_statement};

/// A row of a set of collected instances, with its columns in upstream's order: nothing was run yet, so it has neither
/// a version nor lists of tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CollectedInstance {
    /// Repository.
    pub repo: RepoName,
    /// Number of the pull request.
    pub pull_number: u64,
    /// `owner__name-number`.
    pub instance_id: InstanceId,
    /// Issues that the pull request solves.
    pub issue_numbers: Vec<String>,
    /// Commit that the work starts from.
    pub base_commit: CommitId,
    /// What the pull request changes but for tests.
    pub patch: Patch,
    /// What it changes in tests.
    pub test_patch: Patch,
    /// The task, in words.
    pub problem_statement: String,
    /// Comments from before the work began.
    pub hints_text: String,
    /// When the pull request was made.
    pub created_at: String,
}

impl PullRequest {
    /// Whether it was merged and solves an issue. An empty time of merging counts, as it does upstream.
    pub fn is_valid(&self, linked_issues: &[String]) -> bool {
        self.merged_at.is_some() && !linked_issues.is_empty()
    }

    /// The instance that it becomes, with the issues that could be fetched and its change in two parts: what changes
    /// tests comes second.
    ///
    /// # Errors
    /// [`RowError`] when the hints cannot be read or the id is none.
    pub fn instance(
        &self,
        issue_numbers: Vec<String>,
        issues: &[Issue],
        (patch, test_patch): (Patch, Patch),
    ) -> Result<CollectedInstance, RowError> {
        let id = InstanceId::new(format!("{}-{}", self.repo.folder(), self.number));
        Ok(CollectedInstance {
            repo: self.repo.clone(),
            pull_number: self.number,
            instance_id: id
                .map_err(|error| RowError { field: "instance_id".to_owned(), message: error.to_string() })?,
            issue_numbers,
            base_commit: self.base_commit.clone(),
            patch,
            test_patch,
            problem_statement: problem_statement(issues),
            hints_text: self.hints_text(issues)?,
            created_at: self.created_at.clone(),
        })
    }
}

impl CollectedInstance {
    /// Whether it has a change and a task, be they white space.
    pub fn is_valid(&self) -> bool {
        !self.patch.as_bytes().is_empty() && !self.problem_statement.is_empty()
    }

    /// Whether it changes tests: others are kept apart.
    pub fn has_test_patch(&self) -> bool {
        !python::strip(&self.test_patch.to_text_lossy()).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::tests::{issue, pull};
    use super::*;

    fn instance(patch: &str, test_patch: &str) -> CollectedInstance {
        let issues = [issue("T", Some("B"), &[])];
        pull().instance(vec!["3".to_owned()], &issues, (patch.into(), test_patch.into())).unwrap()
    }

    #[test]
    fn a_row_has_the_columns_of_upstream_in_order() {
        let row = serde_json::to_string(&instance("p", "t")).unwrap();
        let expected = format!(
            "{{\"repo\":\"o/n\",\"pull_number\":7,\"instance_id\":\"o__n-7\",\"issue_numbers\":[\"3\"],\
             \"base_commit\":\"{}\",\"patch\":\"p\",\"test_patch\":\"t\",\"problem_statement\":\"T\\nB\\n\",\
             \"hints_text\":\"\",\"created_at\":\"2024-05-02T10:00:00Z\"}}",
            "a".repeat(40)
        );
        assert_eq!(row, expected);
    }

    #[test]
    fn a_change_and_a_task_are_needed() {
        assert!(instance(" ", "").is_valid());
        assert!(!instance("", "t").is_valid());
        assert!(!CollectedInstance { problem_statement: String::new(), ..instance("p", "t") }.is_valid());
        assert!(instance("p", "t").has_test_patch());
        assert!(!instance("p", " \u{1f}\u{a0}\n").has_test_patch());
    }

    #[test]
    fn pull_requests_that_were_not_merged_or_solve_nothing_are_left_out() {
        let issues = ["1".to_owned()];
        assert!(pull().is_valid(&issues));
        assert!(!pull().is_valid(&[]));
        assert!(!PullRequest { merged_at: None, ..pull() }.is_valid(&issues));
        assert!(PullRequest { merged_at: Some(String::new()), ..pull() }.is_valid(&issues));
    }
}
