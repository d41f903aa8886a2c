//! `eval_scripts`: the scripts of SWE-Gym's fork for an instance and its spec, and the name of its image.

use serde::Deserialize;
use serde_json::{Value, json};
use swegym_core::{CommitId, Environment, Patch, RepoName};
use swegym_environment::upstream::{
    Architecture, PackageFile, PackageTexts, ScriptRules, UpstreamSpec, env_image_key, env_script,
    repo_script,
};
use swegym_harness::{EvalScript, Profile, reset_files, test_command};

use crate::compare::same_outcome;

#[derive(Deserialize)]
struct Record {
    instance: Instance,
    specs: UpstreamSpec,
    requirements_text: String,
    environment_yml_text: String,
    expected: Value,
}

#[derive(Deserialize)]
struct Instance {
    repo: RepoName,
    version: String,
    test_patch: Patch,
    base_commit: CommitId,
}

pub(crate) fn check(record: &Value) -> Result<(), String> {
    let record = Record::deserialize(record).map_err(|error| error.to_string())?;
    same_outcome("expected", scripts(&record), &record.expected)
}

/// The error is the exception that upstream raises where the spec lacks something.
fn scripts(record: &Record) -> Result<Value, &'static str> {
    let Record { instance, specs, .. } = record;
    let environment = Environment {
        repo: instance.repo.clone(),
        base_commit: instance.base_commit.clone(),
        version: instance.version.clone(),
    };
    let texts = PackageTexts { from_repository: packages(record), cached_environment_yml: None };
    let env = env_script(specs, ScriptRules::Swegym, &texts).map_err(|_| "KeyError")?;
    let test_cmd = specs.test_cmd.as_deref().ok_or("KeyError")?;
    let script = EvalScript {
        base_commit: &instance.base_commit,
        test_patch: &instance.test_patch,
        test_files: &reset_files(Profile::Swegym, &instance.test_patch).map_err(|_| "UnidiffParseError")?,
        eval_commands: &specs.eval_commands,
        install: specs.install.as_deref(),
        test_command: &test_command(&instance.repo, test_cmd, &instance.test_patch),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let commands: Vec<_> = script.commands(Profile::Swegym).iter().map(|command| text(command)).collect();
    Ok(json!({
        "eval_script_list": commands,
        "eval_script": text(&script.text(Profile::Swegym)),
        "repo_script_list": repo_script(specs, ScriptRules::Swegym, &environment),
        "env_image_key": env_image_key(ScriptRules::Swegym, Architecture::X86_64, &env),
        "env_script_list": env,
    }))
}

fn packages(record: &Record) -> &str {
    match record.specs.package_file() {
        Some(PackageFile::Requirements) => &record.requirements_text,
        Some(PackageFile::EnvironmentYml) => &record.environment_yml_text,
        None => "",
    }
}
