//! What of the tests is run: the files that the test patch names, by the rules of SWE-bench.

use std::sync::LazyLock;

use regex::Regex;
use swegym_core::diff::{self, DiffError};
use swegym_core::{Patch, RepoName};

use crate::Profile;

/// Ends of names that are no tests; `csv` has no dot upstream either.
const NO_TESTS: [&str; 11] =
    [".json", ".png", "csv", ".txt", ".md", ".jpg", ".jpeg", ".pkl", ".yml", ".yaml", ".toml"];

#[expect(clippy::unwrap_used, reason = "the pattern is constant and covered by tests")]
static MYPY_CASE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\[case ([^\]]+)\]").unwrap());

/// The files (for Django, the modules) that the test patch touches, in its order, repetitions included.
pub fn directives(repo: &RepoName, test_patch: &Patch) -> Vec<String> {
    if repo.as_str() == "swe-bench/humaneval" {
        return vec!["test.py".to_owned()];
    }
    let text = test_patch.to_text_lossy();
    let files =
        text.split('\n').filter_map(new_name).filter(|file| !NO_TESTS.iter().any(|end| file.ends_with(end)));
    if repo.as_str() == "django/django" {
        return files.map(django_module).collect();
    }
    files.map(str::to_owned).collect()
}

/// `test_cmd` with what is to be run: the directives, or for mypy the names of the test cases.
pub fn test_command(repo: &RepoName, test_cmd: &str, test_patch: &Patch) -> String {
    if repo.as_str() == "python/mypy" {
        let text = test_patch.to_text_lossy();
        let cases: Vec<_> = captures(&MYPY_CASE, &text).collect();
        return format!("{test_cmd} \"{}\"", cases.join(" or "));
    }
    let mut words = vec![test_cmd.to_owned()];
    words.extend(directives(repo, test_patch));
    words.join(" ")
}

/// The files that a profile's evaluation script brings back to the base commit before the tests run.
///
/// The fork takes whatever follows `--- a/`, inside of hunks too; SWE-bench 4 and later parse the test patch. Neither
/// names a file that the test patch adds. The strict profile restores far more, by what is in the tree: to a script it
/// gives the files of SWE-bench 5.
///
/// # Errors
/// [`DiffError`] where the parser of SWE-bench raises an exception.
pub fn reset_files(profile: Profile, test_patch: &Patch) -> Result<Vec<Vec<u8>>, DiffError> {
    let files = match profile {
        Profile::Swegym => diff::reset_files(test_patch.as_bytes()),
        Profile::Swebench4 | Profile::Swebench5 | Profile::Strict => {
            diff::modified_files(test_patch.as_bytes())?
        }
    };
    Ok(files.into_iter().map(<[u8]>::to_vec).collect())
}

/// What `diff --git a/.* b/(.*)` finds in a line, gone over once however long it is.
fn new_name(line: &str) -> Option<&str> {
    let (_, names) = line.split_once("diff --git a/")?;
    Some(names.rsplit_once(" b/")?.1)
}

fn captures<'t>(pattern: &'static Regex, text: &'t str) -> impl Iterator<Item = &'t str> {
    pattern.captures_iter(text).filter_map(|captures| captures.get(1)).map(|capture| capture.as_str())
}

fn django_module(file: &str) -> String {
    let file = file.strip_suffix(".py").unwrap_or(file);
    file.strip_prefix("tests/").unwrap_or(file).replace('/', ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo(name: &str) -> RepoName {
        RepoName::new(name).unwrap()
    }

    #[test]
    fn files_are_run_but_for_data() {
        let patch = Patch::from(
            "diff --git a/t/a.py b/t/a.py\ndiff --git a/d.json b/d.json\ndiff --git a/x b/t/b.py\n",
        );
        assert_eq!(directives(&repo("o/n"), &patch), ["t/a.py", "t/b.py"]);
        assert_eq!(test_command(&repo("o/n"), "pytest -rA", &patch), "pytest -rA t/a.py t/b.py");
        assert_eq!(test_command(&repo("o/n"), "pytest -rA", &Patch::default()), "pytest -rA");
    }

    #[test]
    fn django_runs_modules_and_mypy_cases() {
        let patch =
            Patch::from("diff --git a/tests/a/b.py b/tests/a/b.py\n+[case testX]\n [case testY-xfail]\n");
        assert_eq!(directives(&repo("django/django"), &patch), ["a.b"]);
        assert_eq!(
            test_command(&repo("python/mypy"), "pytest -k", &patch),
            "pytest -k \"testX or testY-xfail\""
        );
    }

    #[test]
    fn each_profile_resets_the_files_that_it_finds() {
        let patch = Patch::from(
            "--- a/t.py\n+++ b/t.py\n@@ -1 +1 @@\n--- a/no\n+x\n--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+x\n",
        );
        assert_eq!(reset_files(Profile::Swegym, &patch).unwrap(), [&b"t.py"[..], b"no"]);
        assert_eq!(reset_files(Profile::Swebench4, &patch).unwrap(), [b"t.py"]);
        let truncated = Patch::from("--- a/t.py\n+++ b/t.py\n@@ -1 +1 @@\n-x\n");
        assert_eq!(reset_files(Profile::Swegym, &truncated).unwrap(), [b"t.py"]);
        assert!(reset_files(Profile::Swebench5, &truncated).is_err());
    }
}
