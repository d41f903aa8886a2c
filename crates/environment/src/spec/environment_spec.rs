//! What one environment spec says.

use std::collections::BTreeMap;

use swegym_core::{InstanceId, TestCommand};

/// How an image is built, and how the tests in it are run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnvironmentSpec {
    /// Version of the interpreter, such as `3.11`, or a range that `uv` understands. Where it is absent, an
    /// `environment.yml` names it.
    pub python: Option<String>,
    /// How the image is built.
    pub setup: Setup,
    /// Shell commands before the test command.
    pub eval_commands: Vec<String>,
    /// Shell command that the test directives are appended to; empty where a repository has none.
    pub test_cmd: String,
    /// Name of the log parser, such as `pytest` or `django`.
    pub log_parser: Option<String>,
    /// Whether upstream runs the tests as an ordinary user.
    pub execute_test_as_nonroot: bool,
    /// Billionths of a processor that upstream gives the container.
    pub nano_cpus: Option<u64>,
}

/// How an image is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setup {
    /// From exact pins, and without network after that.
    Pinned(Pins),
    /// By the steps that SWE-Gym and SWE-bench take, with what the package index had at a date.
    Steps(Box<Steps>),
}

/// Exact pins, and the repository on top of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pins {
    /// Packages, pinned (`name==version`). Nothing that they ask for is added.
    pub packages: Vec<String>,
    /// Further packages of single instances, whose base commits need others.
    pub instance_packages: BTreeMap<InstanceId, Vec<String>>,
    /// Shell command that installs the repository, run in `/testbed` without network.
    pub install_repo: Option<String>,
}

/// The steps that SWE-Gym and SWE-bench build by, under their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Steps {
    /// `requirements.txt`, `environment.yml`, or conda packages with spaces between them.
    pub packages: Option<String>,
    /// Packages that are installed after these, in one command.
    pub pip_packages: Vec<String>,
    /// Whether upstream makes the environment first and then updates it by the `environment.yml`.
    pub no_use_env: bool,
    /// Shell commands that mend the requirements or the `environment.yml` before its use.
    pub env_patches: Vec<String>,
    /// Shell commands in the repository before `install`.
    pub pre_install: Vec<String>,
    /// Shell command that installs the repository.
    pub install: Option<String>,
    /// Shell command before `pre_install`.
    pub repo_install: Option<String>,
    /// Where the repository may have its requirements; the first that is there counts.
    pub requirements_paths: Vec<String>,
    /// Where the repository may have its `environment.yml`; the first that is there counts.
    pub environment_yml_paths: Vec<String>,
    /// Packages that the index got on this day (`2024-12-01`) or later are not there. For a base commit that is
    /// newer, its own day counts.
    pub exclude_newer: Option<String>,
}

/// Where [`Steps::packages`] come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageSource<'a> {
    /// Nowhere.
    None,
    /// The requirements file of the repository.
    Requirements,
    /// The `environment.yml` of the repository.
    EnvironmentYml,
    /// Conda packages, named here, with spaces between them.
    Conda(&'a str),
}

impl EnvironmentSpec {
    /// How the tests are run.
    ///
    /// Building an image brings the repository's files back to the base commit. Where the steps of upstream change
    /// how tests run (sphinx: `pytest` becomes `pytest -rA` in `tox.ini`), that is done again before the tests.
    pub fn test_command(&self) -> TestCommand {
        let changes = match &self.setup {
            Setup::Steps(steps) => steps.pre_install.as_slice(),
            Setup::Pinned(_) => &[],
        };
        let changes = changes.iter().filter(|command| changes_test_settings(command));
        let eval_commands = changes.chain(&self.eval_commands).cloned().collect();
        TestCommand { eval_commands, test_cmd: self.test_cmd.clone() }
    }
}

fn changes_test_settings(command: &str) -> bool {
    let file = command.rsplit(' ').next().unwrap_or_default();
    command.starts_with("sed -i ") && ["tox.ini", "pytest.ini", "setup.cfg"].contains(&file)
}

impl Default for Setup {
    fn default() -> Self {
        Self::Pinned(Pins::default())
    }
}

impl Pins {
    /// Packages of one instance, its own last.
    pub fn packages_of(&self, instance_id: &InstanceId) -> Vec<String> {
        let own = self.instance_packages.get(instance_id);
        self.packages.iter().chain(own.into_iter().flatten()).cloned().collect()
    }
}

impl Steps {
    /// Where the packages come from.
    pub fn package_source(&self) -> PackageSource<'_> {
        match self.packages.as_deref() {
            None => PackageSource::None,
            Some("requirements.txt") => PackageSource::Requirements,
            Some("environment.yml") => PackageSource::EnvironmentYml,
            Some(packages) => PackageSource::Conda(packages),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_how_tests_run_is_done_again_before_them() {
        let edits = ["sed -i 's/pytest/pytest -rA/' tox.ini", "sed -i 's/a/b/' setup.py", "apt-get update"];
        let steps = Steps { pre_install: edits.map(str::to_owned).to_vec(), ..Steps::default() };
        let setup = Setup::Steps(Box::new(steps));
        let spec =
            EnvironmentSpec { setup, eval_commands: vec!["c".to_owned()], ..EnvironmentSpec::default() };
        assert_eq!(spec.test_command().eval_commands, [edits[0], "c"]);
    }

    #[test]
    fn packages_of_an_instance_come_last() {
        let [one, two] = ["a__b-1", "a__b-2"].map(|id| InstanceId::new(id).unwrap());
        let instance_packages = BTreeMap::from([(one.clone(), vec!["b==2".to_owned()])]);
        let pins = Pins { packages: vec!["a==1".to_owned()], instance_packages, install_repo: None };
        assert_eq!(pins.packages_of(&one), ["a==1", "b==2"]);
        assert_eq!(pins.packages_of(&two), ["a==1"]);
    }
}
