//! What is known of pull requests and issues.

use swegym_core::{CommitId, RepoName};

/// A pull request, as GitHub has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Repository that it is for.
    pub repo: RepoName,
    /// Its number.
    pub number: u64,
    /// The commit that it is based on.
    pub base_commit: CommitId,
    /// Its title.
    pub title: Option<String>,
    /// Its description.
    pub body: Option<String>,
    /// Its commits, in order.
    pub commits: Vec<PullCommit>,
    /// When it was made, as `2024-05-01T10:00:00Z`.
    pub created_at: String,
    /// When it was merged, if it was.
    pub merged_at: Option<String>,
    /// Address that the repository is cloned from.
    pub clone_url: Option<String>,
}

/// A commit of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullCommit {
    /// Its message.
    pub message: String,
    /// When it was written, as `2024-05-01T10:00:00Z`.
    pub author_date: String,
}

/// An issue, as GitHub has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Its title.
    pub title: Option<String>,
    /// Its description.
    pub body: Option<String>,
    /// Its comments, in the order in which GitHub gives them.
    pub comments: Vec<IssueComment>,
}

/// A comment on an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueComment {
    /// When it was changed last, as `2024-05-01T10:00:00Z`.
    pub updated_at: String,
    /// What it says.
    pub body: Option<String>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A pull request with one commit.
    pub(crate) fn pull() -> PullRequest {
        PullRequest {
            repo: RepoName::new("o/n").unwrap(),
            number: 7,
            base_commit: CommitId::new("a".repeat(40)).unwrap(),
            title: None,
            body: None,
            commits: vec![PullCommit {
                message: String::new(),
                author_date: "2024-05-01T10:00:00Z".to_owned(),
            }],
            created_at: "2024-05-02T10:00:00Z".to_owned(),
            merged_at: Some("2024-05-03T10:00:00Z".to_owned()),
            clone_url: Some("https://github.com/o/n.git".to_owned()),
        }
    }

    /// An issue with comments of given times and texts.
    pub(crate) fn issue(title: &str, body: Option<&str>, comments: &[(&str, Option<&str>)]) -> Issue {
        let comment = |(updated_at, body): &(&str, Option<&str>)| IssueComment {
            updated_at: (*updated_at).to_owned(),
            body: body.map(str::to_owned),
        };
        Issue {
            title: Some(title.to_owned()),
            body: body.map(str::to_owned),
            comments: comments.iter().map(comment).collect(),
        }
    }
}
