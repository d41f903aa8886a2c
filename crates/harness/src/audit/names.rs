//! What the package of a repository is called: its modules, and the names that it is installed under.

use std::collections::{BTreeMap, BTreeSet};

use swegym_sandbox::SandboxError;

use super::repository::Repository;
use crate::git::TESTBED;

/// Folders of a repository that modules lie in.
const SOURCES: [&str; 4] = ["", "src/", "lib/", "python/"];
/// Files that say what a package is called.
const METADATA: [&str; 3] = ["pyproject.toml", "setup.cfg", "setup.py"];
/// Modules at the top of many repositories that other packages install too.
const COMMON: [&str; 14] = [
    "test",
    "tests",
    "testing",
    "doc",
    "docs",
    "example",
    "examples",
    "benchmark",
    "benchmarks",
    "tools",
    "scripts",
    "setup",
    "conftest",
    "utils",
];

/// Names of a package.
#[derive(Debug, Default)]
pub(super) struct PackageNames {
    /// Module, as a folder or a file of site-packages would be named -> its path in the repository.
    pub(super) modules: BTreeMap<String, String>,
    /// Names that distributions of it may have, normalised.
    distributions: BTreeSet<String>,
}

impl PackageNames {
    /// What the base commit says.
    pub(super) async fn of(repo: &str, repository: &Repository<'_>) -> Result<Self, SandboxError> {
        let modules = modules(&repository.files().await?);
        let mut distributions: BTreeSet<String> = modules.keys().map(|name| normalised(name)).collect();
        distributions.extend(repo.rsplit('/').next().map(normalised));
        for path in METADATA {
            distributions.extend(declared(&repository.file(path).await?));
        }
        Ok(Self { modules, distributions })
    }

    /// Whether a distribution of this name is one of the package.
    pub(super) fn has(&self, distribution: &str) -> bool {
        self.distributions.contains(&normalised(distribution))
    }

    /// Name and version of a distribution of the package, from the name of its metadata folder or archive.
    pub(super) fn version_of<'a>(&self, file: &'a str) -> Option<&'a str> {
        let dashes = file.match_indices('-').map(|(at, _)| at);
        let mut splits = dashes.map(|at| (&file[..at], &file[at + 1..]));
        let (_, rest) = splits.find(|(name, rest)| {
            rest.starts_with(|first: char| first.is_ascii_digit())
                && self.distributions.contains(&normalised(name))
        })?;
        rest.split(['-', '+']).next()
    }
}

/// Whether a version has a release later than those that the instance's version stands for, such as `5.1.2` after
/// `5.0`. Where either is no number, nothing is said.
pub(super) fn is_later(version: &str, of_instance: &str) -> bool {
    let release = |text: &str| -> Vec<u64> {
        let parts = text.trim_start_matches('v').split('.').map(str::parse);
        parts.map_while(Result::ok).collect()
    };
    let (found, base) = (release(version), release(of_instance));
    let known = found.len().min(base.len());
    known > 0 && found[..known] > base[..known]
}

/// Names as the packaging rules compare them.
fn normalised(name: &str) -> String {
    name.to_lowercase().replace(['_', '.'], "-")
}

fn modules(files: &[String]) -> BTreeMap<String, String> {
    let module = |path: &String| {
        let source =
            SOURCES.iter().filter(|source| path.starts_with(**source)).max_by_key(|source| source.len())?;
        let rest = &path[source.len()..];
        let name = rest.strip_suffix("/__init__.py").or_else(|| rest.strip_suffix(".py"))?;
        let installed = if rest.ends_with("/__init__.py") { name } else { rest };
        let is_top = !name.contains('/') && !COMMON.contains(&name);
        is_top.then(|| (installed.to_owned(), format!("{TESTBED}/{source}{installed}")))
    };
    files.iter().filter_map(module).collect()
}

/// Values of lines such as `name = "hydra-core"`.
fn declared(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().filter_map(|line| {
        let value = line.trim().strip_prefix("name")?.trim_start().strip_prefix('=')?.trim();
        let value = value.trim_end_matches(',').trim_matches(['"', '\'']);
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        (!value.is_empty() && value.chars().all(is_name)).then(|| normalised(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_those_at_the_top() {
        let files = [
            "moto/__init__.py",
            "moto/core/__init__.py",
            "src/six.py",
            "tests/__init__.py",
            "setup.py",
            "a/b.py",
        ];
        let modules = modules(&files.map(str::to_owned));
        let expected = [("moto", "/testbed/moto"), ("six.py", "/testbed/src/six.py")];
        assert_eq!(modules, expected.map(|(name, path)| (name.to_owned(), path.to_owned())).into());
    }

    #[test]
    fn versions_are_read_from_names() {
        let distributions = declared("[metadata]\nname = hydra-core\n  name=\"x y\"\n").collect();
        let names = PackageNames { distributions, ..PackageNames::default() };
        assert_eq!(names.version_of("hydra_core-1.4.0.dist-info"), Some("1.4.0.dist"));
        assert_eq!(names.version_of("hydra-core-1.4.0-py3-none-any.whl"), Some("1.4.0"));
        assert_eq!(names.version_of("hydra_core_plugin-1.0.dist-info"), None);
        assert_eq!(names.version_of("other-1.0.tar.gz"), None);
    }

    #[test]
    fn later_releases_are_told_from_those_of_the_same_version() {
        for (version, later) in [
            ("5.1.2", true),
            ("5.0.9", false),
            ("5.0.9.dist-info", false),
            ("6", true),
            ("4.9", false),
            ("x", false),
        ] {
            assert_eq!(is_later(version, "5.0"), later, "{version}");
        }
        assert!(!is_later("5.1", "main") && is_later("v5.1", "v5.0"));
    }
}
