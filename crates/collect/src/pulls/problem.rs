//! What the task says, and what was said of it before work on it began.

use std::sync::LazyLock;

use jiff::ToSpan;
use jiff::civil::{Date, DateTime, Time};
use regex::Regex;
use swegym_core::RowError;

use super::{Issue, IssueComment, PullRequest};

/// How GitHub writes times, as freely as `time.strptime` of Python reads them.
#[expect(clippy::unwrap_used, reason = "the pattern is constant and covered by tests")]
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    let two = "([0-9]{1,2})";
    Regex::new(&format!("^(?i-u)([0-9]{{4}})-{two}-{two}T{two}:{two}:{two}Z$")).unwrap()
});
/// Highest second that Python takes: it leaves room for two leap seconds.
const MAX_SECOND: i8 = 61;

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
    parse_time(text)
        .ok_or_else(|| wrong(field, format!("`{text}` is not a time such as `2024-05-01T10:00:00Z`")))
}

fn parse_time(text: &str) -> Option<DateTime> {
    let (_, [year, rest @ ..]) = TIME.captures(text)?.extract::<6>();
    let [month, day, hour, minute, second] = rest.map(|part| part.parse::<i8>().unwrap_or(-1));
    let date = Date::new(year.parse().ok()?, month, day).ok()?;
    let minute = date.to_datetime(Time::new(hour, minute, 0, 0).ok()?);
    (second <= MAX_SECOND).then(|| minute.checked_add(i64::from(second).seconds()).ok())?
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
    fn times_are_read_as_python_reads_them() {
        let time = |text| parse_time(text).map(|time| time.to_string());
        assert_eq!(time("2024-5-1t1:2:3z").as_deref(), Some("2024-05-01T01:02:03"));
        assert_eq!(time("2024-12-31T23:59:60Z").as_deref(), Some("2025-01-01T00:00:00"));
        let bad = [
            "2024-02-30T0:0:0Z",
            "24-02-01T0:0:0Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:62Z",
            "9999-12-31T23:59:60Z",
        ];
        for text in bad {
            assert_eq!(time(text), None, "{text}");
        }
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
