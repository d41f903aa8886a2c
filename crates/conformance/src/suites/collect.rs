//! `collect`: which pull requests and instances are kept, what the task says, and which comments go with it.

use serde_json::{Value, json};
use swegym_collect::{CollectedInstance, Issue, IssueComment, PullCommit, PullRequest};
use swegym_core::{CommitId, Patch, RepoName, RowError};

use crate::compare::{same, same_outcome};

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let expected = &record["expected"];
    if record.get("pull").is_some() {
        return same("expected", &validity_of_pull(&record["pull"])?, expected);
    }
    if record.get("instance").is_some() {
        return same("expected", &validity_of_instance(&record["instance"])?, expected);
    }
    // The rule sets do not differ here.
    let ours = texts(record)?.map_err(|error| exception(&error));
    let variants = expected.as_object().filter(|variants| !variants.is_empty()).ok_or("no expectation")?;
    variants.iter().try_for_each(|(variant, expected)| same_outcome(variant, ours.clone(), expected))
}

/// A pull request that says nothing.
pub(super) fn empty_pull() -> Result<PullRequest, String> {
    Ok(PullRequest {
        repo: RepoName::new("o/n").map_err(|error| error.to_string())?,
        number: 1,
        base_commit: CommitId::new("0".repeat(40)).map_err(|error| error.to_string())?,
        title: None,
        body: None,
        commits: Vec::new(),
        created_at: String::new(),
        merged_at: None,
        clone_url: Some("https://github.com/o/n.git".to_owned()),
    })
}

fn validity_of_pull(pull: &Value) -> Result<Value, String> {
    let merged_at = pull["merged_at"].as_str().map(str::to_owned);
    let is_valid = PullRequest { merged_at, ..empty_pull()? }.is_valid(&texts_in(&pull["resolved_issues"]));
    Ok(json!({"is_valid_pull": is_valid}))
}

fn validity_of_instance(instance: &Value) -> Result<Value, String> {
    // What is null is as empty to upstream as an empty text.
    let text = |field: &str| instance[field].as_str().unwrap_or_default();
    let patches = (Patch::from(text("patch")), Patch::from(text("test_patch")));
    let made = empty_pull()?.instance(Vec::new(), &[], patches).map_err(|error| error.to_string())?;
    let made = CollectedInstance { problem_statement: text("problem_statement").to_owned(), ..made };
    Ok(json!({"is_valid_instance": made.is_valid(), "has_test_patch": made.has_test_patch()}))
}

/// Task and hints; the inner error is of ours, the outer one of the record.
fn texts(record: &Value) -> Result<Result<Value, RowError>, String> {
    let numbers = texts_in(&record["resolved_issues"]);
    let issues: Vec<Issue> = numbers.iter().filter_map(|number| issue(record, number)).collect();
    let dates = texts_in(&record["first_to_last_commit_dates"]);
    let commit = |author_date| PullCommit { message: String::new(), author_date };
    let pull = PullRequest { commits: dates.into_iter().map(commit).collect(), ..empty_pull()? };
    let instance = pull.instance(numbers, &issues, (Patch::default(), Patch::default()));
    Ok(instance
        .map(|made| json!({"problem_statement": made.problem_statement, "hints_text": made.hints_text})))
}

fn issue(record: &Value, number: &str) -> Option<Issue> {
    let issue = record["issues"].get(number).filter(|issue| !issue.is_null())?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let comments = record["comments"][number].as_array().map(Vec::as_slice).unwrap_or_default();
    let comment = |comment: &Value| IssueComment {
        updated_at: text(&comment[0]).unwrap_or_default(),
        body: text(&comment[1]),
    };
    Some(Issue {
        title: text(&issue["title"]),
        body: text(&issue["body"]),
        comments: comments.iter().map(comment).collect(),
    })
}

fn texts_in(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What upstream raises: it joins texts of which one is none, or reads a time.
fn exception(error: &RowError) -> &'static str {
    if error.field == "body" { "TypeError" } else { "ValueError" }
}
