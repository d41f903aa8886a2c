//! The built-in specs against the recorded values of upstream.
#![expect(clippy::unwrap_used, reason = "tests end where they cannot go on")]

use std::path::Path;

use serde_json::{Map, Value, json};
use swegym_core::{CommitId, Environment, RepoName};
use swegym_environment::{EnvironmentSpec, Setup, Specs, Upstream};

/// A spec with the keys of the recorded values, those left out that are not given.
fn as_recorded(spec: &EnvironmentSpec) -> Map<String, Value> {
    let Setup::Steps(steps) = &spec.setup else { return Map::new() };
    let flag = |set: bool| set.then_some(true);
    let list = |items: &Vec<String>| (!items.is_empty()).then(|| items.clone());
    let test_cmd = Some(&spec.test_cmd).filter(|command| !command.is_empty());
    let values = [
        ("python", json!(spec.python)),
        ("packages", json!(steps.packages)),
        ("pip_packages", json!(list(&steps.pip_packages))),
        ("no_use_env", json!(flag(steps.no_use_env))),
        ("env_patches", json!(list(&steps.env_patches))),
        ("pre_install", json!(list(&steps.pre_install))),
        ("install", json!(steps.install)),
        ("eval_commands", json!(list(&spec.eval_commands))),
        ("test_cmd", json!(test_cmd)),
        ("execute_test_as_nonroot", json!(flag(spec.execute_test_as_nonroot))),
        ("nano_cpus", json!(spec.nano_cpus)),
    ];
    let given = values.into_iter().filter(|(_, value)| !value.is_null());
    given.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What holds for all versions of a repository.
fn of_repository(spec: &EnvironmentSpec) -> [Value; 4] {
    let Setup::Steps(steps) = &spec.setup else { return Default::default() };
    let list = |items: &Vec<String>| if items.is_empty() { Value::Null } else { json!(items) };
    [
        json!(spec.log_parser.as_ref().map(|name| format!("parse_log_{name}"))),
        list(&steps.requirements_paths),
        list(&steps.environment_yml_paths),
        json!(steps.repo_install),
    ]
}

fn find<'a>(specs: &'a Specs, upstream: Upstream, repo: &str, version: &str) -> &'a EnvironmentSpec {
    let environment = Environment {
        repo: RepoName::new(repo).unwrap(),
        base_commit: CommitId::new("0".repeat(40)).unwrap(),
        version: version.to_owned(),
    };
    specs.get_for(upstream, &environment).unwrap()
}

#[test]
fn every_recorded_spec_resolves_to_exactly_its_values() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/env_specs.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: {} is not there", path.display());
        return;
    };
    let recorded: Value = serde_json::from_str(&text).unwrap();
    let specs = Specs::builtin().unwrap();
    let mut count = 0;
    for (repo, facts) in recorded["repos"].as_object().unwrap() {
        let keys = ["log_parser", "requirements_paths", "environment_yml_paths", "repo_install"];
        for (version, values) in facts["versions"].as_object().unwrap() {
            let spec = find(&specs, Upstream::SweGym, repo, version);
            assert_eq!(Some(&as_recorded(spec)), values.as_object(), "{repo} {version}");
            assert_eq!(of_repository(spec), keys.map(|key| facts[key].clone()), "{repo} {version}");
            count += 1;
        }
    }
    for (repo, versions) in recorded["swe_bench_v4.1.0_overrides"]["repos"].as_object().unwrap() {
        for (version, values) in versions.as_object().unwrap() {
            let spec = find(&specs, Upstream::SweBench, repo, version);
            assert_eq!(Some(&as_recorded(spec)), values.as_object(), "{repo} {version} of SWE-bench");
            count += 1;
        }
    }
    println!("{count} specs compared");
    assert!(count > 800, "only {count} specs were compared");
}
