//! Sets of task instances in the columns of SWE-bench and SWE-Gym.

use std::path::Path;

use swegym_core::Instance;

use crate::DataError;
use crate::rows::{self, Place, SeenIds};

/// Reads a set of instances: `.jsonl` with one row a line, or `.json` with a list of rows.
///
/// # Errors
/// [`DataError::Row`] names the line (or item) and the field that is wrong; an id that is there twice is an error
/// with both places.
pub fn load_instances(path: &Path) -> Result<Vec<Instance>, DataError> {
    let mut seen = SeenIds::default();
    rows::read(path, |place, row| {
        if matches!(place, Place::Key(_)) {
            return Err("instances must be a list, not an object".to_owned());
        }
        let instance = Instance::from_row(row).map_err(|error| error.to_string())?;
        seen.claim(instance.id().as_str(), place)?;
        Ok(instance)
    })
}

/// Writes a set of instances atomically, each row as it was read: every column, in order.
///
/// # Errors
/// [`DataError`] when the name ends in neither `.jsonl` nor `.json`, or the file cannot be written.
pub fn write_instances(path: &Path, instances: &[Instance]) -> Result<(), DataError> {
    rows::write(path, instances.iter().map(Instance::to_row))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn row(id: &str) -> String {
        format!(
            r#"{{"z_unknown":{{"b":[1,31.245270191439438],"a":null}},"instance_id":"{id}","repo":"o/n","base_commit":"{}","patch":"p\r\n","test_patch":"","problem_statement":"ü","version":"1.0","FAIL_TO_PASS":"[\"t::a\"]","PASS_TO_PASS":["t::b","t::b"]}}"#,
            "a".repeat(40)
        )
    }

    fn error_of(name: &str, content: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        load_instances(&path).unwrap_err().to_string()
    }

    #[test]
    fn rows_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| -> PathBuf { folder.path().join(name) };
        let lines = format!("{}\n{}\n", row("a-1"), row("b-2"));
        fs::write(path("in.jsonl"), &lines).unwrap();
        let instances = load_instances(&path("in.jsonl")).unwrap();
        write_instances(&path("list.json"), &instances).unwrap();
        let again = load_instances(&path("list.json")).unwrap();
        assert_eq!(again, instances);
        write_instances(&path("out.jsonl"), &again).unwrap();
        assert_eq!(fs::read_to_string(path("out.jsonl")).unwrap(), lines);
    }

    #[test]
    fn an_empty_set_is_a_set() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["x.json", "x.jsonl"] {
            let path = folder.path().join(name);
            write_instances(&path, &[]).unwrap();
            assert_eq!(load_instances(&path).unwrap(), []);
        }
    }

    #[test]
    fn blank_lines_carriage_returns_and_a_byte_order_mark_are_no_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        fs::write(&path, format!("\u{feff}{}\r\n\r\n  \n{}", row("a-1"), row("b-2"))).unwrap();
        assert_eq!(load_instances(&path).unwrap().len(), 2);
        let path = folder.path().join("x.json");
        fs::write(&path, format!("\u{feff}[{}]", row("a-1"))).unwrap();
        assert_eq!(load_instances(&path).unwrap().len(), 1);
    }

    #[test]
    fn odd_characters_and_numbers_stay_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        let odd = row("a-1")
            .replace('ü', "\\u0000\\ud83d\\ude00\u{feff}\\r\u{2028}")
            .replace("31.2", "123456789012345678901234567890.2");
        fs::write(&path, &odd).unwrap();
        let instances = load_instances(&path).unwrap();
        assert_eq!(instances[0].problem.problem_statement, "\0\u{1f600}\u{feff}\r\u{2028}");
        assert_eq!(instances[0].grading.patch.as_bytes(), b"p\r\n");
        write_instances(&path, &instances).unwrap();
        assert_eq!(load_instances(&path).unwrap(), instances);
    }

    #[test]
    fn errors_name_file_line_and_field() {
        let good = row("a-1");
        let cases = [
            (format!("{good}\n\n{}", row("b-2").replace("o/n", "o")), "x.jsonl`: line 3: field `repo`:"),
            (format!("\n{good}\n{good}"), "line 3: field `instance_id`: `a-1` is on line 2 already"),
            (format!("{good}\n{{\"repo\": }}"), "line 2: not valid JSON: expected value, column 10"),
            (format!("{good}\n[]"), "line 2: must be an object"),
            (format!("{good}\n{}", &good[..50]), "line 2: not valid JSON: EOF"),
        ];
        for (content, expected) in cases {
            let error = error_of("x.jsonl", content.as_bytes());
            assert!(error.contains(expected), "{error}");
        }
        let list = error_of("x.json", format!("[{good}, {}]", row("../x")).as_bytes());
        assert!(list.contains("item 2: field `instance_id`"), "{list}");
        let keyed = error_of("x.json", format!("{{\"a-1\": {good}}}").as_bytes());
        assert!(keyed.contains("key `a-1`: instances must be a list"), "{keyed}");
    }

    #[test]
    fn hostile_bytes_are_errors() {
        assert!(error_of("x.jsonl", b"{\"a\": \"\xff\"}").contains("line 1: not UTF-8"));
        assert!(error_of("x.json", b"[\xff]").contains("not UTF-8"));
        assert!(error_of("x.jsonl", "[".repeat(100_000).as_bytes()).contains("recursion limit"));
        for (bad, expected) in [
            ("\\ud800", "line 2: not valid JSON: half of a surrogate pair, which is no character, column "),
            ("\\udcff", "line 2: not valid JSON: half of a surrogate pair, which is no character, column "),
            (
                "\\ud800\\u0041",
                "line 2: not valid JSON: half of a surrogate pair, which is no character, column ",
            ),
            (
                "\0",
                "line 2: not valid JSON: control character (\\u0000-\\u001F) found while parsing a string, column ",
            ),
            ("\",\"x\":1e999,\"y\":\"", "line 2: not valid JSON: number out of range, column "),
        ] {
            let error =
                error_of("x.jsonl", format!("{}\n{}", row("a-1"), row("b-2").replace('ü', bad)).as_bytes());
            assert!(error.contains("x.jsonl`: ") && error.contains(expected), "{bad:?}: {error}");
        }
        assert!(error_of("x.json", b"3").contains("a list of rows, or an object of rows by id"));
        assert!(error_of("x.csv", b"").contains("must end in `.jsonl` or `.json`"));
        assert!(error_of("x.jsonl", &vec![b' '; (64 << 20) + 1]).contains("line 1: is longer than 64 MiB"));
    }

    #[test]
    fn the_real_instances_come_back_as_they_were() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/tasks/instances.jsonl");
        if !path.exists() {
            eprintln!("skipped: {} is absent", path.display());
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let instances = load_instances(&path).unwrap();
        assert!(!instances.is_empty());
        write_instances(&folder.path().join("x.jsonl"), &instances).unwrap();
        assert_eq!(load_instances(&folder.path().join("x.jsonl")).unwrap(), instances);
    }
}
