//! `python -m unittest -v`, and what prints as it does. Ours: upstream has no parser for it.
//!
//! The id of a test is `module.Class.test`, which is what `unittest` calls it; versions of Python print it in different
//! ways. A failure stays one, whatever is printed after it.

use super::RawStatuses;
use super::python::strip;

/// Headlines of the report at the end.
const HEADLINES: [(&str, &str); 3] =
    [("FAIL: ", "FAILED"), ("ERROR: ", "ERROR"), ("UNEXPECTED SUCCESS: ", "FAILED")];

pub(super) fn parse(text: &str) -> RawStatuses {
    let mut log = Log::default();
    text.split('\n').for_each(|line| log.read(strip(line)));
    log.statuses
}

#[derive(Default)]
struct Log {
    statuses: RawStatuses,
    /// The test whose result is still to come: its description or its output may stand between.
    open: Option<String>,
}

impl Log {
    fn read(&mut self, line: &str) {
        for (headline, status) in HEADLINES {
            if let Some(id) = line.strip_prefix(headline).and_then(test_id) {
                self.set(id, status);
                return;
            }
        }
        let (name, result) = match line.split_once(" ...") {
            Some((name, result)) => (Some(name), strip(result)),
            None if line.contains('(') => (Some(line), ""),
            None => (None, line),
        };
        if let Some(id) = name.and_then(test_id) {
            self.open = Some(id);
        }
        if let Some(status) = status_of(result)
            && let Some(id) = self.open.take()
        {
            self.set(id, status);
        }
    }

    fn set(&mut self, id: String, status: &str) {
        if !matches!(self.statuses.get(&id), Some("FAILED" | "ERROR")) {
            self.statuses.set(id, status);
        }
    }
}

fn status_of(result: &str) -> Option<&'static str> {
    match result {
        "ok" => Some("PASSED"),
        "FAIL" | "unexpected success" => Some("FAILED"),
        "ERROR" => Some("ERROR"),
        "expected failure" => Some("XFAIL"),
        _ => result.starts_with("skipped").then_some("SKIPPED"),
    }
}

/// `test_x (module.Class)`, since Python 3.11 `test_x (module.Class.test_x)`; the parameters of a subtest may follow.
fn test_id(text: &str) -> Option<String> {
    let (test, rest) = text.split_once(" (")?;
    let (path, _) = rest.split_once(')')?;
    let is_name = |name: &str| !name.is_empty() && !name.contains(char::is_whitespace);
    if !is_name(test) || !is_name(path) {
        return None;
    }
    let is_whole = path.strip_suffix(test).is_some_and(|class| class.ends_with('.'));
    Some(if is_whole { path.to_owned() } else { format!("{path}.{test}") })
}
