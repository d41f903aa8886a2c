//! What of the tests is run, and which files go back to the base commit before.

use std::path::Path;
use std::sync::LazyLock;

use serde_json::Value;
use swegym_core::{Patch, RepoName};
use swegym_harness::{Profile, directives, reset_files, test_command};

use super::patches::{or_error, without_message};
use crate::compare::{same, text, texts};

/// Beside the checkout, like the vectors.
static SPECS: LazyLock<Result<Value, String>> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/env_specs.json");
    let said = |error: &dyn std::fmt::Display| format!("failed to read `{}`: {error}", path.display());
    let specs = std::fs::read_to_string(&path).map_err(|error| said(&error))?;
    serde_json::from_str(&specs).map_err(|error| said(&error))
});

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let patch = Patch::from(text(record, "test_patch")?);
    let repo = RepoName::new(text(record, "repo")?).map_err(|error| error.to_string())?;
    let test_cmd = test_cmd(repo.as_str(), text(record, "version")?)?;
    let recorded = record["expected"].as_object().ok_or("`expected` is no object")?;
    for (key, recorded) in recorded {
        let ours = match key.as_str() {
            "directives" => directives(&repo, &patch).into(),
            "test_command" => test_command(&repo, &test_cmd, &patch).into(),
            "reset_files" => or_error(reset_files(Profile::Swegym, &patch).map(texts)),
            other => return Err(format!("`{other}` is not known")),
        };
        same(key, &ours, &without_message(recorded))?;
    }
    Ok(())
}

fn test_cmd(repo: &str, version: &str) -> Result<String, String> {
    let specs = SPECS.as_ref().map_err(Clone::clone)?;
    let named = |(name, _): &(&String, &Value)| name.eq_ignore_ascii_case(repo);
    let of_repo = specs["repos"].as_object().and_then(|repos| repos.iter().find(named)).map(|(_, spec)| spec);
    let test_cmd = of_repo.and_then(|spec| spec["versions"][version]["test_cmd"].as_str());
    test_cmd.map(str::to_owned).ok_or_else(|| format!("no test command is known of {repo} {version}"))
}
