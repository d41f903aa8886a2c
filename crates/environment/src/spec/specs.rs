//! The environment specs of all repositories and versions.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use swegym_core::Environment;

use super::environment_spec::EnvironmentSpec;
use super::{builtin, json_form, toml_form};
use crate::EnvironmentError;

/// Specs by repository and version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Specs(BTreeMap<String, BTreeMap<String, Versions>>);

/// Whose values count where two upstreams differ. Where one of them has none, the other's count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// The SWE-Gym fork.
    SweGym,
    /// SWE-bench 4.1.0.
    SweBench,
}

/// The specs of one version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Versions {
    swe_gym: Option<EnvironmentSpec>,
    swe_bench: Option<EnvironmentSpec>,
}

impl Specs {
    /// Reads specs: a TOML file, a JSON file, or a folder of such files.
    ///
    /// # Errors
    /// [`EnvironmentError::Specs`] when one is not there or malformed; the message says where.
    pub fn load(path: &Path) -> Result<Self, EnvironmentError> {
        let mut specs = Self::default();
        for file in Self::files(path)? {
            let failed = |message: String| EnvironmentError::Specs { path: file.clone(), message };
            let text = fs::read_to_string(&file).map_err(|error| failed(error.to_string()))?;
            if file.extension().is_some_and(|extension| extension == "toml") {
                toml_form::read(&text, &mut specs).map_err(failed)?;
            } else {
                specs.add(json_form::read(&text).map_err(failed)?).map_err(failed)?;
            }
        }
        Ok(specs)
    }

    /// The files that [`Self::load`] reads: `path`, or the TOML and JSON files in it, in order of their names.
    ///
    /// # Errors
    /// [`EnvironmentError::Specs`] when a folder cannot be read or has no such file.
    pub fn files(path: &Path) -> Result<Vec<PathBuf>, EnvironmentError> {
        if !path.is_dir() {
            return Ok(vec![path.to_owned()]);
        }
        let failed = |message: String| EnvironmentError::Specs { path: path.to_owned(), message };
        let entries: Result<Vec<_>, _> =
            fs::read_dir(path).and_then(Iterator::collect).map_err(|error| failed(error.to_string()));
        let mut files: Vec<PathBuf> = entries?.into_iter().map(|entry: fs::DirEntry| entry.path()).collect();
        files.retain(|file| {
            file.extension().is_some_and(|extension| extension == "toml" || extension == "json")
        });
        files.sort();
        if files.is_empty() {
            return Err(failed("the folder has no .toml or .json file".to_owned()));
        }
        Ok(files)
    }

    /// The specs that come with the program: every repository and version of SWE-Gym and SWE-bench.
    ///
    /// # Errors
    /// Never, as a test sees to.
    pub fn builtin() -> Result<Self, EnvironmentError> {
        let mut specs = Self::default();
        for (name, text) in builtin::FILES {
            let failed = |message| EnvironmentError::Specs { path: PathBuf::from(name), message };
            toml_form::read(text, &mut specs).map_err(failed)?;
        }
        Ok(specs)
    }

    /// The specs that consist of pins, in the JSON form that [`Self::load`] reads.
    pub fn pinned_as_json(&self) -> serde_json::Value {
        let pinned = self.0.iter().flat_map(|(repo, versions)| {
            let rows = versions
                .iter()
                .filter_map(|(version, specs)| Some((version, json_form::Row::of(specs.swe_gym.as_ref()?)?)));
            rows.map(move |(version, row)| (repo, version, row))
        });
        let mut repos: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (repo, version, row) in pinned {
            repos.entry(repo).or_default().insert(version, row);
        }
        serde_json::json!(repos)
    }

    /// SHA-256 of all built-in files.
    pub fn builtin_digest() -> String {
        builtin::digest()
    }

    /// Adds or replaces a spec.
    pub fn insert(&mut self, repo: &str, version: &str, spec: EnvironmentSpec) {
        self.insert_for(Upstream::SweGym, repo, version, spec);
    }

    /// Adds or replaces a spec of one upstream, and gives the one that was there.
    pub(super) fn insert_for(
        &mut self,
        upstream: Upstream,
        repo: &str,
        version: &str,
        spec: EnvironmentSpec,
    ) -> Option<EnvironmentSpec> {
        let versions = self.0.entry(repo.to_lowercase()).or_default();
        let slot = versions.entry(version.to_owned()).or_default();
        match upstream {
            Upstream::SweGym => slot.swe_gym.replace(spec),
            Upstream::SweBench => slot.swe_bench.replace(spec),
        }
    }

    fn add(&mut self, other: Self) -> Result<(), String> {
        for (repo, versions) in other.0 {
            for (version, specs) in versions {
                let slot = self.0.entry(repo.clone()).or_default().entry(version.clone()).or_default();
                if *slot != Versions::default() {
                    return Err(format!("`{repo}` version `{version}` has a spec in another file"));
                }
                *slot = specs;
            }
        }
        Ok(())
    }

    /// The spec of an environment. Upstream looks repositories up without regard to case, and so does this.
    ///
    /// # Errors
    /// [`EnvironmentError::NoSpec`] names the repository and the version, and what there is.
    pub fn get(&self, environment: &Environment) -> Result<&EnvironmentSpec, EnvironmentError> {
        self.get_for(Upstream::SweGym, environment)
    }

    /// The spec of an environment, as one upstream has it.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_for(
        &self,
        upstream: Upstream,
        environment: &Environment,
    ) -> Result<&EnvironmentSpec, EnvironmentError> {
        let repo = environment.repo.as_str();
        self.find(upstream, repo, &environment.version).ok_or_else(|| EnvironmentError::NoSpec {
            repo: repo.to_owned(),
            version: environment.version.clone(),
            known: self.0.get(&repo.to_lowercase()).into_iter().flat_map(BTreeMap::keys).cloned().collect(),
        })
    }

    pub(super) fn find(&self, upstream: Upstream, repo: &str, version: &str) -> Option<&EnvironmentSpec> {
        let Versions { swe_gym, swe_bench } = self.0.get(&repo.to_lowercase())?.get(version)?;
        let [first, second] = match upstream {
            Upstream::SweGym => [swe_gym, swe_bench],
            Upstream::SweBench => [swe_bench, swe_gym],
        };
        first.as_ref().or(second.as_ref())
    }

    /// The same specs with another interpreter.
    #[must_use]
    pub fn with_python(mut self, python: &str) -> Self {
        let slots = self.0.values_mut().flat_map(BTreeMap::values_mut);
        for spec in slots.flat_map(|slot| slot.swe_gym.iter_mut().chain(&mut slot.swe_bench)) {
            spec.python = Some(python.to_owned());
        }
        self
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
        let specs = json_form::read(SPECS).unwrap();
        let spec = specs.get(&environment("GetMoto/moto", "5.0")).unwrap();
        assert_eq!((spec.python.as_deref(), spec.test_cmd.as_str()), (Some("3.11"), "pytest -rA"));
        let builtin = Specs::builtin().unwrap();
        let spec = builtin.get(&environment("Project-MONAI/MONAI", "1.3")).unwrap();
        assert_eq!(spec.test_cmd, "pytest -rA ", "upstream's trailing space");
    }

    #[test]
    fn pins_survive_a_round_trip() {
        let specs = json_form::read(SPECS).unwrap();
        assert_eq!(json_form::read(&specs.pinned_as_json().to_string()).unwrap(), specs);
        assert_eq!(Specs::builtin().unwrap().pinned_as_json(), serde_json::json!({}));
    }

    #[test]
    fn a_missing_spec_says_what_there_is() {
        let specs = json_form::read(SPECS).unwrap();
        let error = specs.get(&environment("getmoto/moto", "4.9")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "find the environment spec of `getmoto/moto` version `4.9`: the specs have 5.0"
        );
        let error = specs.get(&environment("a/b", "1")).unwrap_err();
        assert!(error.to_string().ends_with("the specs do not have the repository"), "{error}");
    }

    #[test]
    fn a_folder_holds_both_forms_and_no_spec_twice() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert!(Specs::load(folder.path()).unwrap_err().to_string().ends_with("no .toml or .json file"));
        write("a.json", SPECS);
        write("b.toml", "repo = \"o/n\"\n[[specs]]\nversions = [\"1\"]\npython = \"3.9\"");
        write("notes.txt", "not read");
        let specs = Specs::load(folder.path()).unwrap();
        assert!(specs.get(&environment("o/n", "1")).is_ok());
        assert!(specs.get(&environment("getmoto/moto", "5.0")).is_ok());
        let python = |specs: &Specs| specs.get(&environment("o/n", "1")).unwrap().python.clone();
        assert_eq!(python(&specs.with_python("3.12")).as_deref(), Some("3.12"));
        write("c.json", SPECS);
        let error = Specs::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("c.json") && error.contains("has a spec in another file"), "{error}");
    }
}
