//! Whose scripts, and what they are made from.

use serde::Deserialize;

use crate::EnvironmentError;

/// Name of the conda environment, and of the folder of the repository.
pub(super) const ENV_NAME: &str = "testbed";
/// Ends the file of packages within the script.
pub(super) const HEREDOC: &str = "EOF_59812759871";
/// Makes `conda` known to the shell.
pub(super) const ACTIVATE: &str = "source /opt/miniconda3/bin/activate";

/// Whose scripts are made. SWE-bench 5 makes none: its images are published ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptRules {
    /// SWE-Gym's fork of SWE-bench.
    Swegym,
    /// SWE-bench 4.1.0, its rules for Python.
    Swebench4,
}

/// The part of an upstream spec record that its scripts are made from. An absent field is not the same as an empty one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct UpstreamSpec {
    /// Version of the interpreter.
    pub python: Option<String>,
    /// `requirements.txt`, `environment.yml`, or packages of conda.
    pub packages: Option<String>,
    /// Packages of pip, installed last.
    pub pip_packages: Option<Vec<String>>,
    /// Shell commands that change the file of packages, or come before everything where there is none.
    pub env_patches: Vec<String>,
    /// Whether the environment is created first and updated from the file.
    pub no_use_env: bool,
    /// Shell commands before the installation.
    pub pre_install: Vec<String>,
    /// Shell command that installs the repository.
    pub install: Option<String>,
    /// Shell commands before the tests.
    pub eval_commands: Vec<String>,
    /// Shell command that the test directives are appended to.
    pub test_cmd: Option<String>,
}

/// A file of the repository that lists packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageFile {
    /// For pip.
    Requirements,
    /// For conda.
    EnvironmentYml,
}

impl UpstreamSpec {
    /// The file of the repository that the packages come from, if it is one.
    pub fn package_file(&self) -> Option<PackageFile> {
        match self.packages.as_deref() {
            Some("requirements.txt") => Some(PackageFile::Requirements),
            Some("environment.yml") => Some(PackageFile::EnvironmentYml),
            _ => None,
        }
    }

    /// Version of the interpreter, where the script cannot do without.
    pub(super) fn needed_python(&self) -> Result<&str, EnvironmentError> {
        self.python.as_deref().ok_or(EnvironmentError::SpecColumn { column: "python" })
    }
}

/// The file that runs the lines of an environment or repository script, and stops at the first that fails.
pub fn setup_script_text(lines: &[String], rules: ScriptRules) -> String {
    let options = match rules {
        ScriptRules::Swegym => "set -exo pipefail",
        ScriptRules::Swebench4 => "set -euxo pipefail",
    };
    format!("#!/bin/bash\n{options}\n{}\n", lines.join("\n"))
}
