//! The side channel of a pytest run: our plugin inside, and what it says read as hostile input.
//!
//! The plugin shares its process with the code under test, so a line that is authentic may still be a lie; whether
//! everything fits together is judged in `agreement.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use swegym_core::TestStatus;
use swegym_sandbox::{Captured, SideChannel};

/// The plugin, of which a copy is written into the sandbox.
pub(crate) const PLUGIN: &str = include_str!("../python/swegym_channel.py");
/// Where it lies there, alone in its folder.
pub(crate) const PLUGIN_PATH: &str = "/tmp/swegym-channel/swegym_channel.py";
/// Bytes of a channel that are read: about 100,000 tests.
const MAX_BYTES: usize = 64 << 20;
/// Length of the block of SHA-256, and of a key.
const BLOCK: usize = 64;
/// Hexadecimal digits of a code, and the space after it.
const CODE: usize = 64;

/// Whether a test command is one of pytest, by its words. What runs it in an environment of its own (tox, nox) hides
/// the plugin from it.
pub(crate) fn is_pytest(test_cmd: &str) -> bool {
    let programs: Vec<&str> =
        test_cmd.split_whitespace().filter_map(|word| word.rsplit('/').next()).collect();
    let has = |names: [&str; 2]| programs.iter().any(|program| names.contains(program));
    has(["pytest", "py.test"]) && !has(["tox", "nox"])
}

/// Shell lines before the test command that make its pytest load the plugin.
pub(crate) fn setup() -> Vec<String> {
    let folder = PLUGIN_PATH.rsplit_once('/').map_or("", |(folder, _)| folder);
    vec![
        format!("export SWEGYM_CHANNEL={}", SideChannel::DESCRIPTOR),
        format!("export PYTHONPATH={folder}${{PYTHONPATH:+:$PYTHONPATH}}"),
        "export PYTEST_ADDOPTS=\"-p swegym_channel ${PYTEST_ADDOPTS:-}\"".to_owned(),
    ]
}

/// Shell lines that run without the channel, so that nothing of theirs can take the key.
pub(crate) fn without(commands: &[String]) -> Vec<String> {
    if commands.is_empty() {
        return Vec::new();
    }
    let mut lines = vec!["{".to_owned()];
    lines.extend_from_slice(commands);
    lines.push(format!("}} {}>&-", SideChannel::DESCRIPTOR));
    lines
}

/// What the codes of one run are made with.
pub struct Key(String);

impl Key {
    /// A new one, from the random numbers of the kernel.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn new() -> io::Result<Self> {
        let mut bytes = [0; BLOCK / 2];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self(hexadecimal(&bytes)))
    }

    /// The channel to give to the test command.
    pub(crate) fn channel(&self) -> SideChannel {
        SideChannel { input: format!("{}\n", self.0).into_bytes(), limit: MAX_BYTES }
    }

    /// A line that is authentic, without its end.
    pub fn line(&self, text: &str) -> String {
        format!("{} {text}", self.code(text.as_bytes()))
    }

    /// HMAC-SHA256 (RFC 2104), in hexadecimal digits. The key is as long as a block.
    fn code(&self, message: &[u8]) -> String {
        let begun = |with: u8| {
            let pad: Vec<u8> = self.0.bytes().map(|byte| byte ^ with).collect();
            Sha256::new().chain_update(pad)
        };
        let inner = begun(0x36).chain_update(message).finalize();
        let outer = begun(0x5c).chain_update(inner).finalize();
        hexadecimal(&outer)
    }
}

/// There may be a million lines, so each digit is looked up and nothing is formatted.
fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// One line.
#[derive(Debug, Deserialize)]
struct Line {
    n: u64,
    /// Files of the project on the stack.
    from: Vec<String>,
    #[serde(flatten)]
    said: Said,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Said {
    Hello { early: Vec<String> },
    Collected { ids: Vec<String> },
    Deselected { ids: Vec<String> },
    CollectError {},
    Result(Report),
    Tampered { what: String, by: String },
    Probe { what: String },
    End { exit: Option<i32> },
}

/// What pytest reported of one phase of a test.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    id: String,
    phase: String,
    outcome: String,
    xfail: bool,
    /// The exception that left the phase, seen apart from the report.
    raised: String,
    /// The file that raised it.
    at: String,
}

/// A test, by its reports.
#[derive(Debug, Default)]
pub(crate) struct Test {
    /// What a log may call it; empty when it passed though it was expected to fail, which logs tell otherwise.
    pub(crate) shown: BTreeSet<TestStatus>,
    /// Whether its last phase was reported.
    pub(crate) ended: bool,
    /// An exception left its call, and yet it is said to have passed.
    pub(crate) rewritten: Option<String>,
    /// The file that skipped it or declared it an expected failure while it ran.
    pub(crate) excused_by: Option<String>,
}

/// Everything that came through the channel.
#[derive(Debug, Default)]
pub struct Session {
    /// Whether the plugin said anything.
    pub(crate) begun: bool,
    /// Lines that are not the plugin's, are out of order or make no sense; and whether some were too many to keep.
    pub(crate) bad_lines: u64,
    pub(crate) flooded: bool,
    /// Files of the project that were imported before the plugin.
    pub(crate) early: Vec<String>,
    pub(crate) collected: Option<BTreeSet<String>>,
    pub(crate) deselected: BTreeSet<String>,
    /// Files or classes that could not be collected.
    pub(crate) collect_errors: u64,
    pub(crate) tests: BTreeMap<String, Test>,
    /// Part of pytest -> the file of what stands in its place.
    pub(crate) tampered: BTreeMap<String, String>,
    /// What looked into the process -> files on the stack.
    pub(crate) probes: BTreeMap<String, Vec<String>>,
    /// Files of the project on the stack of anything else that was said.
    pub(crate) speakers: BTreeSet<String>,
    /// The exit status that pytest ended with, if it said so.
    pub(crate) exit: Option<Option<i32>>,
}

impl Session {
    /// Reads what was written, in time linear in its length.
    pub fn read(key: &Key, written: &Captured) -> Self {
        let mut session = Self { flooded: written.dropped > 0, ..Self::default() };
        let mut number = 0;
        for line in written.head.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match authentic(key, line, number) {
                Some(line) if session.exit.is_none() => {
                    number += 1;
                    session.hear(line);
                }
                _ => session.bad_lines += 1,
            }
        }
        session
    }

    fn hear(&mut self, line: Line) {
        match &line.said {
            Said::Probe { what } => self.probes.entry(what.clone()).or_default().extend(line.from),
            _ => self.speakers.extend(line.from),
        }
        match line.said {
            Said::Hello { early } => {
                self.begun = true;
                self.early = early;
            }
            Said::Collected { ids } => self.collected.get_or_insert_default().extend(ids),
            Said::Deselected { ids } => self.deselected.extend(ids),
            Said::CollectError {} => self.collect_errors += 1,
            Said::Result(report) => self.tests.entry(report.id.clone()).or_default().hear(report),
            Said::Tampered { what, by } => {
                self.tampered.insert(what, by);
            }
            Said::Probe { .. } => {}
            Said::End { exit } => self.exit = Some(exit),
        }
    }
}

/// What a line says, if the plugin wrote it as the one with this number.
fn authentic(key: &Key, line: &[u8], number: u64) -> Option<Line> {
    let (code, rest) = line.split_at_checked(CODE)?;
    let text = rest.strip_prefix(b" ")?;
    if code != key.code(text).as_bytes() {
        return None;
    }
    let line: Line = serde_json::from_slice(text).ok()?;
    (line.n == number).then_some(line)
}

impl Test {
    fn hear(&mut self, report: Report) {
        let Report { phase, outcome, xfail, raised, at, id: _ } = report;
        let in_call = phase == "call";
        self.ended |= phase == "teardown";
        if outcome == "skipped" && matches!(raised.as_str(), "XFailed" | "Skipped") {
            self.excused_by = Some(at);
        }
        match (outcome.as_str(), xfail) {
            ("failed", _) if in_call => self.shown.insert(TestStatus::Failed),
            ("failed", _) => self.shown.insert(TestStatus::Error),
            ("skipped", true) => self.shown.insert(TestStatus::Xfail),
            ("skipped", false) => self.shown.insert(TestStatus::Skipped),
            ("passed", false) if in_call => {
                self.rewritten = self.rewritten.take().or(Some(raised).filter(|raised| !raised.is_empty()));
                self.shown.insert(TestStatus::Passed)
            }
            _ => false, // other phases that passed, unexpected passes, and attempts that were repeated
        };
    }

    /// Whether it ran to its end and has no status, as one that was expected to fail and did not.
    pub(crate) fn passed_unexpectedly(&self) -> bool {
        self.ended && self.shown.is_empty()
    }

    /// What it comes to: the worst of what it shows. None for a test that did not run to its end.
    pub(crate) fn status(&self) -> Option<TestStatus> {
        const WORST_FIRST: [TestStatus; 5] = [
            TestStatus::Failed,
            TestStatus::Error,
            TestStatus::Skipped,
            TestStatus::Xfail,
            TestStatus::Passed,
        ];
        let worst = WORST_FIRST.into_iter().find(|status| self.shown.contains(status));
        worst.filter(|status| self.ended || matches!(status, TestStatus::Failed | TestStatus::Error))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        Key("k".repeat(BLOCK))
    }

    fn written(lines: &[&str]) -> Captured {
        let line = |text: &&str| key().line(text) + "\n";
        Captured { head: lines.iter().map(line).collect::<String>().into_bytes(), ..Captured::default() }
    }

    fn read(lines: &[&str]) -> Session {
        Session::read(&key(), &written(lines))
    }

    const HELLO: &str = r#"{"n":0,"kind":"hello","python":"3.12.1","pytest":"8.3.4","early":[],"from":[]}"#;

    fn result(n: u64, phase: &str, outcome: &str, xfail: bool, raised: &str) -> String {
        format!(
            r#"{{"n":{n},"kind":"result","id":"t","phase":"{phase}","outcome":"{outcome}","xfail":{xfail},"raised":"{raised}","at":"/x.py","from":[]}}"#
        )
    }

    fn status(call: (&str, bool), teardown: &str) -> Option<TestStatus> {
        let lines = [
            HELLO.to_owned(),
            result(1, "setup", "passed", false, ""),
            result(2, "call", call.0, call.1, ""),
            result(3, "teardown", teardown, false, ""),
        ];
        read(&lines.each_ref().map(String::as_str)).tests["t"].status()
    }

    #[test]
    fn codes_are_those_of_hmac() {
        // From Python: hmac.new(b"k" * 64, b"message", "sha256").hexdigest()
        let expected = "890f3a16e0ca0aaa3bf180f70fa8e3970b3fd6505e98fde157988dcc19d1685c";
        assert_eq!(key().code(b"message"), expected);
    }

    #[test]
    fn phases_make_a_status() {
        assert_eq!(status(("passed", false), "passed"), Some(TestStatus::Passed));
        assert_eq!(status(("passed", false), "failed"), Some(TestStatus::Error));
        assert_eq!(status(("failed", false), "failed"), Some(TestStatus::Failed));
        assert_eq!(status(("skipped", false), "passed"), Some(TestStatus::Skipped));
        assert_eq!(status(("skipped", true), "passed"), Some(TestStatus::Xfail));
        assert_eq!(status(("passed", true), "passed"), None, "an unexpected pass is no status");
        assert_eq!(status(("rerun", false), "passed"), None);
    }

    #[test]
    fn a_test_without_an_end_has_not_passed() {
        let call = result(1, "call", "passed", false, "");
        assert_eq!(read(&[HELLO, &call]).tests["t"].status(), None);
        let call = result(1, "call", "passed", false, "AssertionError");
        assert_eq!(read(&[HELLO, &call]).tests["t"].rewritten.as_deref(), Some("AssertionError"));
    }

    #[test]
    fn lines_of_others_are_counted_and_not_believed() {
        let result = result(1, "call", "failed", false, "");
        let mut forged = written(&[HELLO, &result, r#"{"n":2,"kind":"end","exit":0,"from":[]}"#]);
        assert_eq!(Session::read(&key(), &forged).exit, Some(Some(0)));
        assert_eq!(Session::read(&Key("l".repeat(BLOCK)), &forged).bad_lines, 3);
        let flipped = forged.head.iter().position(|byte| *byte == b'8').unwrap();
        forged.head[flipped] = b'9';
        let session = Session::read(&key(), &forged);
        assert!(!session.begun && session.exit.is_none() && session.bad_lines == 3, "{session:?}");
    }

    #[test]
    fn lines_cannot_be_repeated_left_out_or_follow_the_end() {
        let end = r#"{"n":1,"kind":"end","exit":0,"from":[]}"#;
        assert_eq!(read(&[HELLO, HELLO]).bad_lines, 1);
        assert_eq!(read(&[HELLO, r#"{"n":2,"kind":"end","exit":0,"from":[]}"#]).exit, None);
        assert_eq!(read(&[HELLO, end, &result(2, "call", "passed", false, "")]).bad_lines, 1);
    }

    #[test]
    fn commands_of_pytest_are_known() {
        for command in ["pytest -rA", "python -m pytest", "FOO=1 /opt/venv/bin/py.test -q"] {
            assert!(is_pytest(command), "{command}");
        }
        for command in
            ["./tests/runtests.py --verbosity 2", "bin/test -C", "tox -e pytest-cov", "tox -- pytest -rA"]
        {
            assert!(!is_pytest(command), "{command}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_channel(head: Vec<u8>, dropped: u64) {
            Session::read(&key(), &Captured { head, tail: Vec::new(), dropped });
        }

        #[test]
        fn any_json_is_a_line(text in "[{}\\[\\]\",:a-z0-9]{0,40}") {
            read(&[HELLO, &text]);
        }
    }
}
