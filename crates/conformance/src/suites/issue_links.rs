//! `issue_links`: the issues that a pull request says it solves.

use serde_json::{Value, json};
use swegym_collect::{PullCommit, PullRequest};
use swegym_harness::Profile;

use super::collect::empty_pull;
use crate::compare::same;

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let text = |field: &str| record[field].as_str().map(str::to_owned);
    let messages = record["commit_messages"].as_array().ok_or("no commit messages")?;
    let commit = |message: &Value| {
        let message = message.as_str().ok_or("a commit message is no text")?.to_owned();
        Ok(PullCommit { message, author_date: String::new() })
    };
    let pull = PullRequest {
        title: text("title"),
        body: text("body"),
        commits: messages.iter().map(commit).collect::<Result<_, &str>>()?,
        ..empty_pull()?
    };
    let mut head = pull.linked_issues(Profile::Swebench5);
    head.sort();
    let ours = json!({"fork": pull.linked_issues(Profile::Swegym), "head": head});
    same("expected", &ours, &record["expected"])
}
