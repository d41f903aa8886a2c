//! `requirements`: what a repository asks pip or conda for, and which of its files are read, in which order.

use serde_json::{Value, json};
use swegym_core::RepoName;
use swegym_environment::EnvironmentError;
use swegym_environment::upstream::{
    ScriptRules, environment_yml_text, fork_requirements_lines, requirements_text,
};

use crate::compare::{same, same_outcome};

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let repo =
        RepoName::new(record["repo"].as_str().unwrap_or_default()).map_err(|error| error.to_string())?;
    let mut fetched = Vec::new();
    let read = |path: &str| {
        fetched.push(path.to_owned());
        record["files"][path].as_str().map(str::to_owned)
    };
    let kind = record["kind"].as_str().unwrap_or_default();
    let text = match kind {
        "requirements" => requirements_text(&repo, ScriptRules::Swegym, read),
        "environment_yml" => {
            environment_yml_text(&repo, record["env_name"].as_str().unwrap_or_default(), read)
        }
        unknown => return Err(format!("unknown kind `{unknown}`")),
    };
    let expected = &record["expected"];
    same("fetched", &json!(fetched), &expected["fetched"])?;
    if kind == "requirements" {
        let tidied = text.as_ref().ok().map(|text| fork_requirements_lines(text));
        same("after_replace_step", &json!(tidied), &expected["after_replace_step"])?;
    }
    same_outcome("text", text.map(Value::from).map_err(|error| exception(&error)), &expected["text"])
}

/// What upstream raises: it looks repositories up in a table, and fetches what is no address.
fn exception(error: &EnvironmentError) -> &'static str {
    match error {
        EnvironmentError::NoPackageFile { tried, .. } if tried.is_empty() => "KeyError",
        EnvironmentError::RequirementsPath { .. } => "MissingSchema",
        _ => "ValueError",
    }
}
