//! What is read in patches, and how they are split and cleaned.

use serde_json::{Value, json};
use swegym_core::diff::{self, DiffError, HunkPlace, LineKind, PatchedFile};
use swegym_core::{Patch, RepoName};
use swegym_harness::{Profile, directives, reset_files};

use crate::compare::{same, text, texts};

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let patch = text(record, "patch")?;
    let bytes = patch.as_bytes();
    let whole = Patch::from(patch);
    let recorded = record["expected"].as_object().ok_or("`expected` is no object")?;
    for (key, recorded) in recorded {
        let ours =
            match key.as_str() {
                "split" => or_error(diff::split_tests(bytes).map(
                    |parts| json!({"patch": lossy(&parts.patch), "test_patch": lossy(&parts.test_patch)}),
                )),
                "unidiff" => or_error(diff::parse(bytes).and_then(|files| files.iter().map(file).collect())),
                "minimal_patch" => or_error(diff::minimal_patch(bytes).map(|patch| lossy(&patch))),
                "reset_files_fork" => or_error(reset_files(Profile::Swegym, &whole).map(texts)),
                "modified_files_v410" => or_error(reset_files(Profile::Swebench4, &whole).map(texts)),
                "directives_generic" => directives(&repo("o/n")?, &whole).into(),
                "directives_django" => directives(&repo("django/django")?, &whole).into(),
                "openhands_process_git_patch" => lossy(&diff::clean_prediction(bytes)),
                "openhands_remove_binary_diffs" => lossy(&diff::remove_binary_diffs(bytes)),
                "openhands_remove_binary_files_from_git" => diff::REMOVE_BINARY_FILES.into(),
                "orm_line_numbers" => {
                    or_error(diff::hunk_places(patch).map(|places| places.iter().map(place).collect()))
                }
                "orm_code_before_after" => {
                    or_error(diff::code_before_after(patch).map(|(before, after)| json!([before, after])))
                }
                other => return Err(format!("`{other}` is not known")),
            };
        same(key, &ours, &without_message(recorded))?;
    }
    Ok(())
}

/// The type of an exception counts, its text does not.
pub(super) fn without_message(recorded: &Value) -> Value {
    match recorded.get("__error__") {
        Some(kind) => json!({"__error__": kind}),
        None => recorded.clone(),
    }
}

pub(super) fn or_error(ours: Result<Value, DiffError>) -> Value {
    ours.unwrap_or_else(|error| json!({"__error__": error.upstream()}))
}

fn repo(name: &str) -> Result<RepoName, String> {
    RepoName::new(name).map_err(|error| error.to_string())
}

fn lossy(bytes: &[u8]) -> Value {
    String::from_utf8_lossy(bytes).into()
}

fn file(file: &PatchedFile<'_>) -> Result<Value, DiffError> {
    let hunk = |hunk: &diff::Hunk<'_>| {
        let heading = lossy(hunk.heading);
        json!([hunk.source_start, hunk.source_length, hunk.target_start, hunk.target_length, heading])
    };
    Ok(json!({
        "path": lossy(file.path()?),
        "source_file": lossy(file.source),
        "target_file": file.target.map(lossy),
        "is_rename": file.is_rename(),
        "is_added_file": file.is_added(),
        "is_removed_file": file.is_removed(),
        "is_modified_file": file.is_modified(),
        "is_binary_file": file.is_binary,
        "added": file.count(LineKind::Added),
        "removed": file.count(LineKind::Removed),
        "hunks": file.hunks.iter().map(hunk).collect::<Vec<_>>(),
    }))
}

fn place(place: &HunkPlace) -> Value {
    json!({
        "filename_a": place.old_path,
        "filename_b": place.new_path,
        "before_line_start": place.old_start,
        "before_line_count": place.old_lines,
        "after_line_start": place.new_start,
        "after_line_count": place.new_lines,
    })
}
