//! A tiny repository with one task in it.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use swegym_core::{CommitId, Instance, Patch};
use tempfile::TempDir;

const FILES: [(&str, &str); 4] =
    [("toy/__init__.py", ""), ("toy/calc.py", CALC), ("tests/test_calc.py", TESTS), ("README.md", "# toy\n")];

const CALC: &str = "\"\"\"Arithmetic.\"\"\"


def add(a, b):
    \"\"\"Sum of both.\"\"\"
    return a + b


def mean(values):
    \"\"\"Arithmetic mean; 0 of nothing.\"\"\"
    return sum(values) / len(values)
";

const TESTS: &str = "from toy.calc import add, mean


def test_add():
    assert add(1, 2) == 3


def test_mean():
    assert mean([1, 2, 3]) == 2
";

const GOLD_PATCH: &str = "diff --git a/toy/calc.py b/toy/calc.py
--- a/toy/calc.py
+++ b/toy/calc.py
@@ -8,4 +8,4 @@ def add(a, b):
 
 def mean(values):
     \"\"\"Arithmetic mean; 0 of nothing.\"\"\"
-    return sum(values) / len(values)
+    return sum(values) / len(values) if values else 0
";

const TEST_PATCH: &str = "diff --git a/tests/test_calc.py b/tests/test_calc.py
--- a/tests/test_calc.py
+++ b/tests/test_calc.py
@@ -7,3 +7,7 @@ def test_add():
 
 def test_mean():
     assert mean([1, 2, 3]) == 2
+
+
+def test_mean_of_nothing():
+    assert mean([]) == 0
";

/// A git repository in a temporary directory, which goes when this is dropped. Its package `toy` fails on the mean
/// of an empty list; the test for that comes with the test patch.
#[derive(Debug)]
pub struct ToyRepo {
    dir: TempDir,
    /// Its only commit, the same on every machine.
    pub base_commit: CommitId,
    /// Makes the test of the test patch pass.
    pub gold_patch: Patch,
    /// Adds a test that fails without the gold patch.
    pub test_patch: Patch,
}

/// Makes the toy repository.
///
/// # Panics
/// When the `git` program is missing or fails.
pub fn toy_repo() -> ToyRepo {
    let dir = TempDir::new().expect("a temporary directory can be made");
    for (path, text) in FILES {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(dir.path())).expect("a directory can be made");
        std::fs::write(path, text).expect("a file can be written");
    }
    git(dir.path(), &["init", "--quiet", "--initial-branch=main", "--template="]);
    git(dir.path(), &["add", "--all"]);
    git(dir.path(), &["commit", "--quiet", "--message=Add the toy package"]);
    let head = git(dir.path(), &["rev-parse", "HEAD"]);
    ToyRepo {
        dir,
        base_commit: CommitId::new(head.trim()).expect("git prints a commit id"),
        gold_patch: Patch::from(GOLD_PATCH),
        test_patch: Patch::from(TEST_PATCH),
    }
}

impl ToyRepo {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The task as an instance of a data set, `toy__toy-1`.
    ///
    /// # Panics
    /// Never, while its row has the columns that an instance needs.
    pub fn instance(&self) -> Instance {
        let row = json!({
            "instance_id": "toy__toy-1",
            "repo": "toy/toy",
            "version": "1.0",
            "base_commit": self.base_commit,
            "problem_statement": "`toy.calc.mean([])` raises ZeroDivisionError, but should be 0.",
            "hints_text": "",
            "created_at": "2024-01-01T00:00:00Z",
            "patch": self.gold_patch,
            "test_patch": self.test_patch,
            "FAIL_TO_PASS": ["tests/test_calc.py::test_mean_of_nothing"],
            "PASS_TO_PASS": ["tests/test_calc.py::test_add", "tests/test_calc.py::test_mean"],
        });
        let Value::Object(row) = row else { unreachable!("an object is written above") };
        Instance::from_row(row).expect("the row has the columns of an instance")
    }
}

/// Git with nothing of the user's configuration, and with a fixed author and date.
fn git(dir: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(dir).args(["-c", "core.autocrlf=false", "-c", "core.fileMode=true"]).args(arguments);
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_DEFAULT_HASH"] {
        command.env_remove(variable);
    }
    command.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")]);
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Toy").env(format!("GIT_{who}_EMAIL"), "toy@example.com");
        command.env(format!("GIT_{who}_DATE"), "2024-01-01T00:00:00Z");
    }
    let output = command.output().expect("the git program can be run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_is_the_same_everywhere() {
        assert_eq!(toy_repo().base_commit.as_str(), "dc9bfa17fd17f570686236cfedf10ea8a463cbdb");
    }

    #[test]
    fn both_patches_apply() {
        let repo = toy_repo();
        for patch in [&repo.test_patch, &repo.gold_patch] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), patch.as_bytes()).unwrap();
            git(repo.path(), &["apply", &file.path().to_string_lossy()]);
        }
        let calc = std::fs::read_to_string(repo.path().join("toy/calc.py")).unwrap();
        assert!(calc.contains("if values else 0"), "{calc}");
    }

    #[test]
    fn the_instance_names_the_commit() {
        let repo = toy_repo();
        assert_eq!(repo.instance().problem.base_commit, repo.base_commit);
    }
}
