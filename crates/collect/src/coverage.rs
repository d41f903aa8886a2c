//! Which functions the tests cover: our pytest plugin, and its record read as hostile input.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::FunctionSite;

/// The plugin, of which a copy is written into the sandbox.
pub(crate) const PLUGIN: &str = include_str!("../python/swegym_coverage.py");
/// Where the plugin is put and writes its record.
pub(crate) const FOLDER: &str = "/tmp/swegym-coverage";
/// Most bytes of a record that are read.
pub(crate) const MAX_RECORD: u64 = 16 << 20;

/// Functions that ran while tests were called.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    /// File -> first line -> number of tests that called it.
    files: BTreeMap<String, BTreeMap<usize, u64>>,
}

#[derive(Deserialize)]
struct Record {
    functions: Vec<Function>,
}

#[derive(Deserialize)]
struct Function {
    file: String,
    line: usize,
    tests: u64,
}

impl Coverage {
    /// Reads what the plugin wrote, or what a repository wrote in its place.
    pub(crate) fn parse(record: &[u8]) -> Result<Self, serde_json::Error> {
        let record: Record = serde_json::from_slice(record)?;
        let mut coverage = Self::default();
        for function in record.functions.into_iter().filter(|function| function.tests > 0) {
            coverage.files.entry(function.file).or_default().insert(function.line, function.tests);
        }
        Ok(coverage)
    }

    /// Whether a test called this function.
    pub(crate) fn covers(&self, function: &FunctionSite) -> bool {
        self.files.get(&function.file).is_some_and(|lines| lines.contains_key(&function.first_line))
    }

    /// Shell lines that make every pytest after them load the plugin.
    pub(crate) fn setup(root: &str) -> Vec<String> {
        vec![
            format!("export SWEGYM_COVERAGE_ROOT={root} SWEGYM_COVERAGE_OUT={FOLDER}/record.json"),
            format!("export PYTHONPATH={FOLDER}${{PYTHONPATH:+:$PYTHONPATH}}"),
            "export PYTEST_ADDOPTS=\"-p swegym_coverage ${PYTEST_ADDOPTS:-}\"".to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::mutations;

    const MODULE: &str = "\
def at_import():
    return 1

ONE = at_import()

def decorate(function):
    return function

class Box:
    @decorate
    @decorate
    def get(self, key=1):
        return [inner for inner in (key,)]

    def put(self):
        return 0
";

    const TESTS: &str = "\
import threading
import pytest
import box

@pytest.fixture
def made():
    return box.Box().put()

def test_get():
    assert box.Box().get(2) == [2]

def test_in_a_thread(made):
    thread = threading.Thread(target=box.Box().get)
    thread.start()
    thread.join()
";

    #[test]
    fn a_record_that_is_none_is_refused() {
        for bad in [
            &b""[..],
            b"[]",
            b"{\"functions\": [{\"file\": 1}]}",
            b"\xff",
            b"{\"functions\": [{\"line\": -1}]}",
        ] {
            assert!(Coverage::parse(bad).is_err(), "{bad:?}");
        }
        let good = br#"{"functions": [{"file": "a.py", "line": 3, "tests": 2}, {"file": "a.py", "line": 9, "tests": 0}]}"#;
        let lines: Vec<_> = Coverage::parse(good).unwrap().files["a.py"].keys().copied().collect();
        assert_eq!(lines, [3]);
    }

    #[test]
    fn the_plugin_sees_what_runs_in_test_calls() {
        let pytest = Command::new("python3").args(["-c", "import pytest"]).output();
        if !pytest.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: this machine has no python3 with pytest");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("swegym_coverage.py", PLUGIN);
        write("box.py", MODULE);
        write("test_box.py", TESTS);
        let script = format!("{}\npytest -q -p no:cacheprovider", Coverage::setup(".").join("\n"));
        let script = script.replace(FOLDER, &folder.path().to_string_lossy());
        let run = Command::new("bash").args(["-c", &script]).current_dir(folder.path()).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
        let coverage = Coverage::parse(&std::fs::read(folder.path().join("record.json")).unwrap()).unwrap();
        let functions: Vec<_> =
            mutations("box.py", MODULE.as_bytes()).into_iter().map(|it| it.function).collect();
        let covered = |name: &str| {
            functions.iter().find(|it| it.qualified_name == name).map(|function| coverage.covers(function))
        };
        assert_eq!(covered("Box.get"), Some(true));
        assert_eq!(covered("Box.put"), Some(false), "only a fixture called it");
        assert_eq!(covered("at_import"), Some(false));
        assert_eq!(coverage.files["box.py"], BTreeMap::from([(10, 2)]));
    }
}
