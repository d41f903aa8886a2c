//! What of the tests is run: the files that the test patch names, by the rules of SWE-bench.

use std::sync::LazyLock;

use regex::Regex;
use swegym_core::{Patch, RepoName};

/// Ends of names that are no tests; `csv` has no dot upstream either.
const NO_TESTS: [&str; 11] =
    [".json", ".png", "csv", ".txt", ".md", ".jpg", ".jpeg", ".pkl", ".yml", ".yaml", ".toml"];

#[expect(clippy::unwrap_used, reason = "the pattern is constant and covered by tests")]
static FILE: LazyLock<Regex> = LazyLock::new(|| Regex::new("diff --git a/.* b/(.*)").unwrap());
#[expect(clippy::unwrap_used, reason = "the pattern is constant and covered by tests")]
static MYPY_CASE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\[case ([^\]]+)\]").unwrap());

/// The files (for Django, the modules) that the test patch touches, in its order, repetitions included.
pub fn directives(repo: &RepoName, test_patch: &Patch) -> Vec<String> {
    if repo.as_str() == "swe-bench/humaneval" {
        return vec!["test.py".to_owned()];
    }
    let text = test_patch.to_text_lossy();
    let files = captures(&FILE, &text).filter(|file| !NO_TESTS.iter().any(|end| file.ends_with(end)));
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

fn captures<'t>(pattern: &'static Regex, text: &'t str) -> impl Iterator<Item = &'t str> {
    pattern.captures_iter(text).filter_map(|captures| captures.get(1)).map(|capture| capture.as_str())
}

fn django_module(file: &str) -> String {
    let file = file.strip_suffix(".py").unwrap_or(file);
    file.strip_prefix("tests/").unwrap_or(file).replace('/', ".")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

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
    fn agrees_with_upstream() {
        let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
        let read = |name: &str| std::fs::read_to_string(shared.join(name));
        let (Ok(vectors), Ok(specs)) = (read("vectors/directives.jsonl"), read("env_specs.json")) else {
            eprintln!("skipped: {} is absent", shared.display());
            return;
        };
        let specs: Value = serde_json::from_str(&specs).unwrap();
        let mut count = 0;
        for line in vectors.lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            let text = |field: &str| record[field].as_str().unwrap();
            let (repo, patch) = (repo(text("repo")), Patch::from(text("test_patch")));
            let test_cmd = &specs["repos"][text("repo")]["versions"][text("version")]["test_cmd"];
            let expected = &record["expected"];
            assert_eq!(Value::from(directives(&repo, &patch)), expected["directives"], "{}", record["id"]);
            let command = test_command(&repo, test_cmd.as_str().unwrap(), &patch);
            assert_eq!(Value::from(command), expected["test_command"], "{}", record["id"]);
            count += 1;
        }
        println!("{count} patches agree");
        assert!(count > 0);
    }
}
