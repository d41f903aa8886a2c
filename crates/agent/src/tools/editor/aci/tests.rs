use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use proptest::prelude::*;
use serde_json::json;
use swegym_sandbox::SandboxError;

use super::*;
use crate::Printed;

const UPSTREAM: [EditorVersion; 4] =
    [EditorVersion::Aci010, EditorVersion::Aci011, EditorVersion::Aci012, EditorVersion::Aci033];

/// Files in memory, in the folder `/w`.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

impl Memory {
    fn holding(content: &[u8]) -> Self {
        Self(Mutex::new(BTreeMap::from([("/w/a".to_owned(), content.to_vec())])))
    }

    fn content(&self) -> Vec<u8> {
        self.0.lock().unwrap()["/w/a"].clone()
    }
}

#[async_trait]
impl EditorFiles for Memory {
    async fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, SandboxError> {
        let files = self.0.lock().unwrap();
        let errno = if path.trim_end_matches('/') == "/w" { 21 } else { 2 };
        let refused = || SandboxError::File {
            action: "read",
            path: path.to_owned(),
            message: "refused".to_owned(),
            errno: Some(errno),
        };
        let bytes = files.get(path).ok_or_else(refused)?;
        Ok(bytes[..bytes.len().min(usize::try_from(limit).unwrap())].to_vec())
    }

    async fn write(&self, path: &str, content: &[u8]) -> Result<(), SandboxError> {
        self.0.lock().unwrap().insert(path.to_owned(), content.to_vec());
        Ok(())
    }

    async fn shell(&self, script: &str) -> Result<Printed, SandboxError> {
        let stdout = if script.starts_with("wc") { "12582912\n" } else { script };
        Ok(Printed { stdout: stdout.to_owned(), stderr: String::new(), success: true })
    }
}

/// An editor and its files.
struct Desk {
    files: Memory,
    editor: AciEditor,
    runtime: tokio::runtime::Runtime,
}

impl Desk {
    fn new(version: EditorVersion, content: &[u8]) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { files: Memory::holding(content), editor: AciEditor::new(version).unwrap(), runtime }
    }

    fn call(&mut self, parameters: Value) -> String {
        let call = self.editor.call(&self.files, parameters.as_object().unwrap());
        self.runtime.block_on(call).unwrap_or_else(|error| error.observation())
    }

    fn replace(&mut self, old: &str, new: &str) -> String {
        self.call(json!({"command": "str_replace", "path": "/w/a", "old_str": old, "new_str": new}))
    }

    fn insert(&mut self, line: Value, new: &str) -> String {
        self.call(json!({"command": "insert", "path": "/w/a", "insert_line": line, "new_str": new}))
    }

    fn undo(&mut self) -> String {
        self.call(json!({"command": "undo_edit", "path": "/w/a"}))
    }

    fn view(&mut self, range: Value) -> String {
        self.call(json!({"command": "view", "path": "/w/a", "view_range": range}))
    }
}

#[test]
fn only_versions_of_upstream_are_editors_of_upstream() {
    assert!(AciEditor::new(EditorVersion::Sane).is_none());
}

#[test]
fn tabs_fare_as_in_each_version() {
    let edited = |version| {
        let mut desk = Desk::new(version, b"\ta\n\tb\r\n");
        let replaced = desk.replace("\ta", "\tc");
        let after_replacement = desk.files.content();
        desk.insert(json!(2), "\td");
        (replaced, after_replacement, desk.files.content())
    };
    for version in [EditorVersion::Aci010, EditorVersion::Aci011] {
        let (text, replaced, inserted) = edited(version);
        let absent =
            "ERROR:\nNo replacement was performed, old_str `        a` did not appear verbatim in /w/a.";
        assert_eq!(text, absent);
        assert_eq!(replaced, b"\ta\n\tb\r\n");
        assert_eq!(inserted, b"        a\n        b\n        d\n");
    }
    let (_, replaced, inserted) = edited(EditorVersion::Aci012);
    assert_eq!(replaced, b"        c\n        b\n");
    assert_eq!(inserted, b"        c\n        b\n        d\n");
    let (_, replaced, inserted) = edited(EditorVersion::Aci033);
    assert_eq!(replaced, b"\tc\n\tb\n");
    assert_eq!(inserted, b"\tc\n\tb\n\td\n");
}

#[test]
fn the_latest_version_writes_a_byte_order_mark_back() {
    let mut desk = Desk::new(EditorVersion::Aci033, "\u{feff}x\n".as_bytes());
    assert!(desk.replace("x", "y").contains("     1\ty\n"));
    assert_eq!(desk.files.content(), "\u{feff}y\n".as_bytes());
    assert!(desk.undo().contains("     1\tx\n"));
    assert_eq!(desk.files.content(), "\u{feff}x\n".as_bytes());
}

#[test]
fn the_latest_version_tries_again_without_white_space_around() {
    let mut desk = Desk::new(EditorVersion::Aci033, b"if a:\n    b\n");
    desk.replace("  if a:  ", "  if c:  ");
    assert_eq!(desk.files.content(), b"if c:\n    b\n");
    assert!(desk.replace(" \t ", "x").contains("old_str `` in lines [1, 2, 3]."));
}

#[test]
fn the_latest_version_finds_out_that_it_wrote_a_binary_file() {
    let mut desk = Desk::new(EditorVersion::Aci033, b"x\n");
    assert_eq!(desk.replace("x", "\0"), "NameError: name 'unicode' is not defined");
    assert_eq!(desk.files.content(), b"\0\n");
    let mut desk = Desk::new(EditorVersion::Aci033, "x".repeat(99).as_bytes());
    assert!(desk.insert(json!(1), "\0").contains("File appears to be binary"));
}

#[test]
fn an_insertion_behind_an_unfinished_line_continues_it_in_the_latest_version() {
    let mut desk = Desk::new(EditorVersion::Aci033, b"a\nb");
    desk.insert(json!(2), "c");
    assert_eq!(desk.files.content(), b"a\nbc\n");
}

#[test]
fn ambiguous_texts_are_listed_by_line() {
    let lines = |version, old: &str| {
        let text = Desk::new(version, b"aaaa\nb\naaaa\nb\n").replace(old, "x");
        text.split_once(" in lines ").unwrap().1.split_once('.').unwrap().0.to_owned()
    };
    assert_eq!(lines(EditorVersion::Aci010, "aa"), "[1, 3]");
    assert_eq!(lines(EditorVersion::Aci012, "aa"), "[1, 1, 1, 3, 3, 3]");
    assert_eq!(lines(EditorVersion::Aci033, "aa"), "[1, 3]");
    assert_eq!(lines(EditorVersion::Aci010, "a\nb"), "[]");
    assert_eq!(lines(EditorVersion::Aci012, "a\nb"), "[1, 3]");
}

#[test]
fn periodic_texts_take_no_quadratic_time() {
    let content = "a".repeat(1 << 20);
    for version in UPSTREAM {
        let mut desk = Desk::new(version, content.as_bytes());
        assert!(desk.replace(&content[..1 << 18], "b").contains("Multiple occurrences"));
    }
}

#[test]
fn the_latest_version_remembers_ten_edits_of_a_file() {
    let undone = |version| {
        let mut desk = Desk::new(version, b"0\n");
        for number in 0..12 {
            desk.replace(&number.to_string(), &(number + 1).to_string());
        }
        (0..12).filter(|_| desk.undo().starts_with("Last edit to /w/a undone")).count()
    };
    assert_eq!(undone(EditorVersion::Aci012), 12);
    assert_eq!(undone(EditorVersion::Aci033), 10);
}

#[test]
fn wrong_types_raise_what_python_raises() {
    let cases = [
        (json!({"command": "view", "path": "/w/a", "x": 1}), "TypeError: file_editor() got an unexpected"),
        (
            json!({"path": "/w/a"}),
            "TypeError: file_editor() missing 1 required positional argument: 'command'",
        ),
        (json!({"command": "view", "path": 3}), "TypeError: argument should be a str or an os.PathLike"),
        (json!({"command": ["a"], "path": "/w/a"}), "ERROR:\nUnrecognized command ['a']. The"),
        (json!({"command": "view", "path": "/w/a", "view_range": 3}), "TypeError: object of type 'int' has"),
        (
            json!({"command": "view", "path": "/w/a", "view_range": {"a": 1, "b": 2}}),
            "ERROR:\nInvalid `view_range` parameter: {'a': 1, 'b': 2}. It should be a list of two integers.",
        ),
        (
            json!({"command": "insert", "path": "/w/a", "insert_line": "1", "new_str": "x"}),
            "TypeError: '<' not supported between instances of 'str' and 'int'",
        ),
        (
            json!({"command": "insert", "path": "/w/a", "insert_line": 1.0, "new_str": "x"}),
            "TypeError: slice indices must be integers",
        ),
        (
            json!({"command": "insert", "path": "/w/a", "insert_line": 9.5, "new_str": "x"}),
            "ERROR:\nInvalid `insert_line` parameter: 9.5. It should be within the range of lines of the file: [0, 3]",
        ),
        (
            json!({"command": "str_replace", "path": "/w/a", "old_str": 1, "new_str": "x"}),
            "AttributeError: 'int' object has no attribute 'expandtabs'",
        ),
        (
            json!({"command": "create", "path": "/w/b", "file_text": 1}),
            "ERROR:\nRan into data must be str, not int while trying to write to /w/b",
        ),
        (json!({"command": "create", "path": "/w/b"}), "RuntimeError: No active exception to reraise"),
        (
            json!({"command": "create", "path": "/w/c/d", "file_text": "x"}),
            "ERROR:\nRan into [Errno 2] No such file or directory: '/w/c/d' while trying to write to /w/c/d",
        ),
        (
            json!({"command": "create", "path": "/w/\0", "file_text": "x"}),
            "ERROR:\nRan into embedded null byte while trying to write to /w/\0",
        ),
    ];
    let mut desk = Desk::new(EditorVersion::Aci010, b"a\nb\n");
    for (call, expected) in cases {
        let text = desk.call(call.clone());
        assert!(text.starts_with(expected), "{call}: {text}");
    }
    assert_eq!(desk.files.content(), b"a\nb\n");
}

#[test]
fn what_is_not_utf8_is_refused_at_its_place() {
    let cases: [(&[u8], &str); 4] = [
        (b"ab\xe9'", "byte 0xe9 in position 2: invalid continuation byte"),
        (b"\x80", "byte 0x80 in position 0: invalid start byte"),
        (b"a\xe4\xb8", "bytes in position 1-2: unexpected end of data"),
        (b"\xf0\x9f\x98a", "bytes in position 0-2: invalid continuation byte"),
    ];
    for (content, place) in cases {
        let mut desk = Desk::new(EditorVersion::Aci010, content);
        let ran = format!("Ran into 'utf-8' codec can't decode {place} while trying to read /w/a");
        assert_eq!(desk.view(json!(null)), format!("ERROR:\n{ran}"));
        let twice = format!("ERROR:\nRan into {ran} while trying to read /w/a");
        assert_eq!(desk.insert(json!(0), "x"), twice);
    }
}

#[test]
fn large_files_are_refused() {
    for version in UPSTREAM {
        let text = Desk::new(version, &vec![b'a'; (10 << 20) + 1]).view(json!(null));
        let why = "File is too large (12.0MB). Maximum allowed size is 10MB.";
        assert_eq!(text, format!("ERROR:\nFile validation failed for /w/a: {why}"));
    }
}

#[test]
fn paths_are_normalised() {
    for (path, expected) in
        [("/a//b/./c/", "/a/b/c"), ("//a", "//a"), ("///a", "/a"), ("", "."), ("./a/../b", "a/../b")]
    {
        assert_eq!(normalized(path), expected);
    }
}

#[test]
fn only_the_latest_version_knows_binary_formats() {
    let suffix = |path| converted_suffix(EditorVersion::Aci033, path);
    assert_eq!(suffix("/a/b.PDF"), Some(".PDF"));
    assert_eq!(suffix("/a/.pdf"), None);
    assert_eq!(suffix("/a.pdf/b"), None);
    assert_eq!(converted_suffix(EditorVersion::Aci012, "/a/b.pdf"), None);
}

/// Arguments as hostile as JSON allows.
fn arguments() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2_i64..9).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ab\t\r\n\u{85}é]{0,6}".prop_map(Value::from),
        proptest::collection::vec(-2_i64..6, 0..4).prop_map(Value::from),
        Just(json!({"a": [1.5, "b"]})),
    ]
}

proptest! {
    #[test]
    fn no_call_panics(
        content in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'\n'), Just(b'\r'), any::<u8>()], 0..40),
        calls in proptest::collection::vec((0_usize..6, arguments(), arguments(), arguments(), arguments()), 1..5),
    ) {
        for version in UPSTREAM {
            let mut desk = Desk::new(version, &content);
            for (command, a, b, c, d) in &calls {
                let command = ["view", "create", "str_replace", "insert", "undo_edit", "x"][*command];
                let path = if command == "create" { "/w/b" } else { "/w/a" };
                desk.call(json!({
                    "command": command, "path": path, "old_str": a, "new_str": b, "insert_line": c,
                    "view_range": d, "file_text": a,
                }));
            }
        }
    }

    #[test]
    fn a_failed_call_changes_nothing(content in "[ab\t\r\n]{0,30}", old in "[ab\t\n]{1,3}", line in -1_i64..40) {
        for version in UPSTREAM {
            let mut desk = Desk::new(version, content.as_bytes());
            if desk.replace(&old, "c").starts_with("ERROR") {
                prop_assert_eq!(desk.files.content(), content.as_bytes());
            }
            let before = desk.files.content();
            if desk.insert(json!(line), "c").starts_with("ERROR") {
                prop_assert_eq!(desk.files.content(), before);
            }
        }
    }
}
