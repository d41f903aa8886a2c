//! What of the tests is run, and which files go back to the base commit before.

use std::sync::LazyLock;

use serde_json::Value;
use swegym_core::{CommitId, Environment, Patch, RepoName};
use swegym_environment::Specs;
use swegym_harness::{Profile, directives, reset_files, test_command};

use super::patches::{or_error, without_message};
use crate::compare::{same, text, texts};

/// Those that come with the program.
static SPECS: LazyLock<Result<Specs, String>> =
    LazyLock::new(|| Specs::builtin().map_err(|error| error.to_string()));

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let patch = Patch::from(text(record, "test_patch")?);
    let repo = RepoName::new(text(record, "repo")?).map_err(|error| error.to_string())?;
    let test_cmd = test_cmd(&repo, text(record, "version")?)?;
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

fn test_cmd(repo: &RepoName, version: &str) -> Result<String, String> {
    let specs = SPECS.as_ref().map_err(Clone::clone)?;
    let base_commit = CommitId::new("0".repeat(40)).map_err(|error| error.to_string())?;
    let environment = Environment { repo: repo.clone(), base_commit, version: version.to_owned() };
    let spec = specs.get(&environment).map_err(|error| error.to_string())?;
    Ok(spec.test_cmd.clone())
}
