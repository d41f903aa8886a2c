//! What a repository asks pip for, put together from its files.

use std::sync::LazyLock;

use regex::Regex;
use swegym_core::{RepoName, python};

use super::ScriptRules;
use crate::EnvironmentError;

/// Paths that are tried for a repository, in order. Repositories are looked up with regard to case.
const PATHS: &[(&str, &[&str])] = &[
    ("dbt-labs/dbt-core", &["dev-requirements.txt", "dev_requirements.txt"]),
    ("django/django", &["tests/requirements/py3.txt"]),
    ("facebookresearch/hydra", &["requirements/dev.txt"]),
    ("HypothesisWorks/hypothesis", &["requirements/tools.txt"]),
    (
        "matplotlib/matplotlib",
        &["requirements/dev/dev-requirements.txt", "requirements/testing/travis_all.txt"],
    ),
    ("pallets/flask", &["requirements/dev.txt"]),
    ("Project-MONAI/MONAI", &["requirements-dev.txt"]),
    ("pylint-dev/pylint", &["requirements_test.txt"]),
    ("pyvista/pyvista", &["requirements_test.txt", "requirements.txt"]),
    ("sqlfluff/sqlfluff", &["requirements_dev.txt"]),
    ("sympy/sympy", &["requirements-dev.txt"]),
];

/// SWE-bench 4.1.0 tries one path more.
const SYMPY_SWEBENCH4: &[&str] = &["requirements-dev.txt", "requirements-test.txt"];

/// Longest text that is put together, in bytes: a line may name a long file again and again.
const MAX_TEXT: usize = 16 << 20;

/// Starts of lines that are left out: the repository itself, and comments.
const LEFT_OUT: [&str; 3] = ["-e .", "#", ".[test"];

#[expect(clippy::unwrap_used, reason = "the pattern is constant and covered by tests")]
static YANKED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)^types-pkg_resources([<>=!~]=?.*|$)").unwrap());

/// The requirements of a repository at a commit, whose files `read` gives: the first file that is there, behind the
/// files that its `-r` lines name. The commit is that of the column `environment_setup_commit`, if the instance has it,
/// else the base commit.
///
/// Kept from upstream, because image keys follow from the text: files are followed one level deep; those that are
/// missing are left out; the name after an indented `-r` is taken from the wrong column, so that it is not found.
///
/// # Errors
/// [`EnvironmentError::NoPackageFile`] when there is none, [`EnvironmentError::RequirementsPath`] when a line names an
/// absolute path, [`EnvironmentError::PackageListTooLong`].
pub fn requirements_text(
    repo: &RepoName,
    rules: ScriptRules,
    mut read: impl FnMut(&str) -> Option<String>,
) -> Result<String, EnvironmentError> {
    let (path, text) = first_file(repo, paths(repo, rules), &mut read)?;
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut own = Vec::new();
    let mut all = Vec::new();
    let mut size = text.len();
    for line in text.split('\n') {
        if !python::strip(line).starts_with("-r") {
            own.extend(is_kept(line).then_some(line));
        } else if let Some(other) = read(&beside(folder, line)?) {
            size = size.saturating_add(other.len());
            if size > MAX_TEXT {
                return Err(EnvironmentError::PackageListTooLong { repo: repo.to_string(), max: MAX_TEXT });
            }
            all.extend(other.split('\n').filter(|line| is_kept(line)).map(str::to_owned));
        }
    }
    all.push(own.join("\n"));
    Ok(all.join("\n"))
}

/// The form that the fork writes requirements in: lines without white space around them, and no empty ones.
pub fn fork_requirements_lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(python::strip).filter(|line| !line.is_empty()).collect();
    lines.join("\n") + "\n"
}

/// The first of the paths that `read` has something for.
pub(super) fn first_file<'p>(
    repo: &RepoName,
    paths: &[&'p str],
    read: &mut impl FnMut(&str) -> Option<String>,
) -> Result<(&'p str, String), EnvironmentError> {
    let found = paths.iter().find_map(|path| Some((*path, read(path)?)));
    found.ok_or_else(|| EnvironmentError::NoPackageFile {
        repo: repo.to_string(),
        tried: paths.iter().map(|path| (*path).to_owned()).collect(),
    })
}

/// Puts `types-setuptools` where SWE-bench 4.1.0 does: `types-pkg_resources` is no longer to be had.
pub(super) fn replace_yanked(text: &str) -> String {
    YANKED.replace_all(text, "types-setuptools").into_owned()
}

fn paths(repo: &RepoName, rules: ScriptRules) -> &'static [&'static str] {
    match (repo.as_str(), rules) {
        ("sympy/sympy", ScriptRules::Swebench4) => SYMPY_SWEBENCH4,
        (repo, _) => PATHS.iter().find(|(name, _)| *name == repo).map_or(&[], |(_, paths)| *paths),
    }
}

/// The path that follows the first two characters of a line, from the folder of the file.
fn beside(folder: &str, line: &str) -> Result<String, EnvironmentError> {
    let skipped = line.char_indices().nth(2).map_or(line.len(), |(at, _)| at);
    let name = python::strip(&line[skipped..]);
    if name.starts_with('/') {
        return Err(EnvironmentError::RequirementsPath { path: name.to_owned() });
    }
    Ok(if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") })
}

fn is_kept(line: &str) -> bool {
    let line = python::strip(line);
    !LEFT_OUT.iter().any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn repo(name: &str) -> RepoName {
        RepoName::new(name).unwrap()
    }

    fn text(name: &str, files: &[(&str, &str)]) -> Result<String, EnvironmentError> {
        let files: BTreeMap<_, _> = files.iter().copied().collect();
        requirements_text(&repo(name), ScriptRules::Swegym, |path| {
            files.get(path).map(|text| (*text).to_owned())
        })
    }

    #[test]
    fn named_files_come_first_and_are_not_followed() {
        let files = [
            ("requirements/dev.txt", "a\n-rb.txt\n  # c\n-e .[x]\n-e git+x\n  -r b.txt\n-r none.txt"),
            ("requirements/b.txt", "b\n-r dev.txt\n.[tests]\n"),
        ];
        assert_eq!(text("pallets/flask", &files).unwrap(), "b\n-r dev.txt\n\na\n-e git+x");
    }

    #[test]
    fn the_first_path_that_is_there_counts() {
        let files = [("requirements.txt", "second"), ("requirements_test.txt", "first")];
        assert_eq!(text("pyvista/pyvista", &files).unwrap(), "first");
        assert_eq!(text("pyvista/pyvista", &files[..1]).unwrap(), "second");
        let read = |path: &str| (path == "requirements-test.txt").then(|| "m".to_owned());
        assert_eq!(requirements_text(&repo("sympy/sympy"), ScriptRules::Swebench4, read).unwrap(), "m");
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = text("pallets/flask", &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "find the package list of `pallets/flask`: the commit has none of requirements/dev.txt"
        );
        let error = text("a/b", &[]).unwrap_err();
        assert_eq!(error.to_string(), "find the package list of `a/b`: no path is known for it");
        let error = text("pallets/flask", &[("requirements/dev.txt", "-r /etc/x")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "follow the requirements file `/etc/x`: it lies outside the repository"
        );
    }

    #[test]
    fn a_file_that_names_another_again_and_again_is_refused() {
        let (many, long) = ("-r b.txt\n".repeat(1_000), "x".repeat(MAX_TEXT / 900));
        let error = text("pallets/flask", &[("requirements/dev.txt", &many), ("requirements/b.txt", &long)]);
        assert_eq!(
            error.unwrap_err().to_string(),
            "put the package list of `pallets/flask` together: it is longer than 16777216 bytes"
        );
    }

    #[test]
    fn the_fork_tidies_lines() {
        assert_eq!(fork_requirements_lines("a \n\n\u{1c}\n b\r\n# c"), "a\nb\n# c\n");
        assert_eq!(fork_requirements_lines(""), "\n");
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "([ \t\r\n\u{1c}é]|-r|-e \\.|#|a|\\.\\[test){0,40}") {
            let _ = requirements_text(&repo("pallets/flask"), ScriptRules::Swegym, |_| Some(text.clone()));
            fork_requirements_lines(&text);
            replace_yanked(&text);
        }
    }
}
