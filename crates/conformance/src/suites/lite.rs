//! The criteria of the Lite sets, one by one and together.

use serde_json::Value;
use swegym_core::Patch;
use swegym_core::diff::DiffError;
use swegym_data::lite::{
    Changes, LiteFilter, count_words, expects_message, has_commit_hash, has_hyperlink, has_image_name,
    has_issue_reference,
};

use super::patches::{or_error, without_message};
use crate::compare::{same, text};

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let instance = &record["instance"];
    let patch = Patch::from(text(instance, "patch")?);
    let test_patch = Patch::from(text(instance, "test_patch")?);
    let (statement, repo) = (text(instance, "problem_statement")?, text(instance, "repo")?);
    let filter = LiteFilter { repo, problem_statement: statement, patch: &patch, test_patch: &test_patch };
    let existing = record["existing_issue_numbers"].as_array().ok_or("no issue numbers")?;
    let exists = &mut |url: &str| existing.iter().any(|number| url.rsplit('/').next() == number.as_str());
    let changes = |rule: fn(Changes) -> bool| yes_or_no(Changes::of(&patch).map(rule));

    let recorded = record["expected"].as_object().ok_or("`expected` is no object")?;
    for (key, recorded) in recorded {
        let ours = match key.as_str() {
            "contains_git_commit_hash" => has_commit_hash(statement).into(),
            "contains_hyperlinks" => has_hyperlink(statement, repo).into(),
            "contains_hyperlinks_norepo" => has_hyperlink(statement, "").into(),
            "contains_image" => has_image_name(statement).into(),
            "contains_issue_reference" => has_issue_reference(statement, repo, exists).into(),
            "leq_40_words" => (count_words(statement) <= 40).into(),
            "contains_non_modified_files" => changes(|changes| changes.added_or_removed > 0),
            "leq_1_files" => changes(|changes| changes.modified <= 1),
            "leq_3_hunks" => changes(|changes| (1..=3).contains(&changes.hunks)),
            "leq_25_code_lines" => changes(|changes| changes.lines <= 25),
            "contains_pytest_match_arg" => expects_message(&test_patch).into(),
            "filter_problem_statement" => filter.keeps_statement(exists).into(),
            "filter_patch" => yes_or_no(filter.keeps_patch()),
            "filter_patch_test" => filter.keeps_test_patch().into(),
            "kept" => yes_or_no(filter.keeps(exists)),
            other => return Err(format!("`{other}` is not known")),
        };
        same(key, &ours, &without_message(recorded))?;
    }
    Ok(())
}

fn yes_or_no(ours: Result<bool, DiffError>) -> Value {
    or_error(ours.map(Value::from))
}
