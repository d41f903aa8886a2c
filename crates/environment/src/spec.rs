//! Environment specs: how the image of a repository at a version is built and how its tests run.
//!
//! A specs file is JSON: repository -> version -> spec. Columns that are not ours are left alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use swegym_core::{Environment, InstanceId, TestCommand};

use crate::EnvironmentError;

/// How an image is built, and how the tests in it are run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentSpec {
    /// Version of the interpreter, such as `3.11`, or a range that `uv` understands.
    pub python: String,
    /// Packages, pinned (`name==version`). Nothing that they ask for is added.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Further packages of single instances, whose base commits need others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub instance_packages: BTreeMap<InstanceId, Vec<String>>,
    /// Shell command that installs the repository, run in `/testbed` without network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_repo: Option<String>,
    /// Shell commands before the test command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub eval_commands: Vec<String>,
    /// Shell command that the test directives are appended to.
    pub test_cmd: String,
}

impl EnvironmentSpec {
    /// Packages of one instance, its own last.
    pub fn packages_of(&self, instance_id: &InstanceId) -> Vec<String> {
        let own = self.instance_packages.get(instance_id);
        self.packages.iter().chain(own.into_iter().flatten()).cloned().collect()
    }

    /// How the tests are run.
    pub fn test_command(&self) -> TestCommand {
        TestCommand { eval_commands: self.eval_commands.clone(), test_cmd: self.test_cmd.clone() }
    }
}

/// The specs of all repositories and versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Specs(BTreeMap<String, BTreeMap<String, EnvironmentSpec>>);

impl Specs {
    /// Reads a specs file.
    ///
    /// # Errors
    /// [`EnvironmentError::Specs`] when it is not there or malformed; the message has line and column.
    pub fn load(path: &Path) -> Result<Self, EnvironmentError> {
        let failed = |message: String| EnvironmentError::Specs { path: path.to_owned(), message };
        let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
    }

    /// Adds or replaces a spec.
    pub fn insert(&mut self, repo: &str, version: &str, spec: EnvironmentSpec) {
        self.0.entry(repo.to_owned()).or_default().insert(version.to_owned(), spec);
    }

    /// The spec of an environment. Upstream looks repositories up without regard to case, and so does this.
    ///
    /// # Errors
    /// [`EnvironmentError::NoSpec`] names the repository and the version, and what there is.
    pub fn get(&self, environment: &Environment) -> Result<&EnvironmentSpec, EnvironmentError> {
        let repo = environment.repo.as_str();
        let versions =
            self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(repo)).map(|(_, versions)| versions);
        versions.and_then(|versions| versions.get(&environment.version)).ok_or_else(|| {
            EnvironmentError::NoSpec {
                repo: repo.to_owned(),
                version: environment.version.clone(),
                known: versions.map(|versions| versions.keys().cloned().collect()).unwrap_or_default(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &str = r#"{"getmoto/moto": {"5.0": {"python": "3.11", "packages": ["a==1"], "test_cmd": "pytest -rA",
        "instance_packages": {"getmoto__moto-1": ["b==2"]}, "resolved_by": ["not ours"]}}}"#;

    fn environment(repo: &str, version: &str) -> Environment {
        Environment {
            repo: swegym_core::RepoName::new(repo).unwrap(),
            base_commit: swegym_core::CommitId::new("0".repeat(40)).unwrap(),
            version: version.to_owned(),
        }
    }

    #[test]
    fn specs_are_found_without_regard_to_case() {
        let specs: Specs = serde_json::from_str(SPECS).unwrap();
        let spec = specs.get(&environment("GetMoto/moto", "5.0")).unwrap();
        assert_eq!(spec.packages_of(&InstanceId::new("getmoto__moto-1").unwrap()), ["a==1", "b==2"]);
        assert_eq!(spec.packages_of(&InstanceId::new("getmoto__moto-2").unwrap()), ["a==1"]);
    }

    #[test]
    fn a_missing_spec_says_what_there_is() {
        let specs: Specs = serde_json::from_str(SPECS).unwrap();
        let error = specs.get(&environment("getmoto/moto", "4.9")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "find the environment spec of `getmoto/moto` version `4.9`: the specs have 5.0"
        );
        let error = specs.get(&environment("a/b", "1")).unwrap_err();
        assert!(error.to_string().ends_with("the specs do not have the repository"), "{error}");
    }
}
