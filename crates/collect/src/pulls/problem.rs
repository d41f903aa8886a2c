//! What the task says, and what was said of it before work on it began.

use jiff::civil::DateTime;
use swegym_core::RowError;

use super::{Issue, IssueComment, PullRequest};

/// How GitHub writes times.
const TIME: &str = "%Y-%m-%dT%H:%M:%SZ";

/// Title and description of each issue, in order. Issues that could not be fetched are not among them.
pub fn problem_statement(issues: &[Issue]) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    issues.iter().map(|issue| format!("{}\n{}\n", text(&issue.title), text(&issue.body))).collect()
}

impl PullRequest {
    /// The comments on the issues from before its first commit. Of each issue, those count that precede the first one
    /// changed later. Without commits there are none.
    ///
    /// # Errors
    /// [`RowError`] when a time cannot be read, or when a comment that counts has no text.
    pub fn hints_text(&self, issues: &[Issue]) -> Result<String, RowError> {
        let Some(first) = self.commits.first() else {
            // Kept from upstream: nothing is joined for every issue.
            return Ok("\n".repeat(issues.len().saturating_sub(1)));
        };
        let hints = |issue: &Issue| hints(&issue.comments, time("author_date", &first.author_date)?);
        Ok(issues.iter().map(hints).collect::<Result<Vec<_>, _>>()?.join("\n"))
    }
}

fn hints(comments: &[IssueComment], first_commit: DateTime) -> Result<String, RowError> {
    let mut texts = Vec::new();
    for comment in comments {
        if time("updated_at", &comment.updated_at)? >= first_commit {
            break;
        }
        texts.push(comment.body.as_deref());
    }
    let texts: Option<Vec<_>> = texts.into_iter().collect();
    let texts = texts.ok_or_else(|| wrong("body", "of a comment is null".to_owned()))?;
    Ok(texts.join("\n"))
}

fn time(field: &str, text: &str) -> Result<DateTime, RowError> {
    DateTime::strptime(TIME, text).map_err(|error| wrong(field, format!("`{text}` is not a time: {error}")))
}

fn wrong(field: &str, message: String) -> RowError {
    RowError { field: field.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::super::records::tests::{issue, pull};
    use super::*;

    #[test]
    fn what_an_issue_lacks_leaves_an_empty_line() {
        let mut issues = [issue("T", Some("B"), &[]), issue("U", None, &[])];
        issues[0].title = None;
        assert_eq!(problem_statement(&issues), "\nB\nU\n\n");
        assert_eq!(problem_statement(&[]), "");
    }

    #[test]
    fn comments_count_up_to_the_first_that_is_too_late() {
        let comments = [
            ("2024-05-01T09:59:59Z", Some("a")),
            ("2024-04-01T00:00:00Z", Some("b")),
            ("2024-05-01T10:00:00Z", Some("late")),
            ("2024-04-01T00:00:00Z", Some("behind")),
            ("no time", None),
        ];
        let issues = [issue("T", None, &comments), issue("U", None, &[])];
        assert_eq!(pull().hints_text(&issues).unwrap(), "a\nb\n");
    }

    #[test]
    fn without_commits_or_issues_there_are_no_hints() {
        let issues = [issue("T", None, &[("no time", None)]), issue("U", None, &[])];
        let pull_without = PullRequest { commits: Vec::new(), ..pull() };
        assert_eq!(pull_without.hints_text(&issues).unwrap(), "\n");
        assert_eq!(pull_without.hints_text(&[]).unwrap(), "");
        assert_eq!(pull().hints_text(&[]).unwrap(), "");
    }

    #[test]
    fn records_that_cannot_be_read_are_errors() {
        let null = [issue("T", None, &[("2024-04-01T00:00:00Z", None)])];
        assert_eq!(pull().hints_text(&null).unwrap_err().to_string(), "field `body`: of a comment is null");
        for text in ["yesterday", "2024-13-01T00:00:00Z", "2024-04-01T00:00:00", "2024-04-01T00:00:00Z "] {
            let error = pull().hints_text(&[issue("T", None, &[(text, None)])]).unwrap_err();
            assert_eq!(error.field, "updated_at", "{text}");
        }
    }
}
