//! The rules of SWE-bench for the test runner of Django, `unittest` with its own reporter: `NAME ... RESULT`, where
//! other output may stand before the result.

use super::RawStatuses;
use super::python::{before, is_space, strip, words};
use crate::{GradeError, Profile};

/// A test whose own name and result cannot be told from what it prints.
const VERSION_TEST: &str = "--version is equivalent to version";
const PASSED: [&str; 3] = [" ... ok", " ... OK", " ...  OK"];
/// A migration that does not end its line, so that the next test follows on it (django__django-7188).
const GLUED_MIGRATION: &str = "Applying sites.0002_alter_domain_unique...test_no_migrations";

pub(super) fn parse(profile: Profile, text: &str) -> Result<RawStatuses, GradeError> {
    let mut log = Log { strict: profile == Profile::Strict, ..Log::default() };
    for (index, line) in text.split('\n').enumerate() {
        log.read(strip(line)).ok_or(GradeError::MissingWord { line: index + 1 })?;
    }
    let interrupted = [
        names_before(text, "Testing against Django installed in ", silenced(text)),
        names_before(text, "Internal Server Error: /", ends_with_slash(text)),
        names_before(text, "System check identified no issues (0 silenced)", |at| ends_with_ok(text, at)),
    ];
    for name in interrupted.into_iter().flatten() {
        if !(log.strict && log.statuses.get(name).is_some()) {
            log.statuses.set(name, "PASSED");
        }
    }
    Ok(log.statuses)
}

#[derive(Default)]
struct Log<'a> {
    strict: bool,
    statuses: RawStatuses,
    /// The last test that was named before `...`. Under the strict rules, only until it has a result.
    open: Option<&'a str>,
}

impl<'a> Log<'a> {
    /// None where upstream crashes.
    fn read(&mut self, mut line: &'a str) -> Option<()> {
        if line.contains(VERSION_TEST) {
            self.statuses.set(VERSION_TEST, "PASSED");
        }
        if line.contains(" ... ") {
            self.open = Some(before(line, " ... "));
        }
        if let Some(suffix) = PASSED.iter().find(|suffix| line.ends_with(*suffix)) {
            if line.starts_with(GLUED_MIGRATION) {
                line = line.split_once("...").map_or(line, |(_, test)| strip(test));
            }
            self.close(line.strip_suffix(suffix).unwrap_or(line), "PASSED");
        }
        if line.contains(" ... skipped") {
            self.close(before(line, " ... skipped"), "SKIPPED");
        }
        for (word, status) in [("FAIL", "FAILED"), ("ERROR", "ERROR")] {
            if line.strip_suffix(word).is_some_and(|rest| rest.ends_with(" ... ")) {
                let test = line.find(&format!(" ... {word}")).map_or(line, |at| &line[..at]);
                self.close(test, status);
            }
            if line.strip_prefix(word).is_some_and(|rest| rest.starts_with(':')) {
                match words(line).nth(1) {
                    Some(test) => self.statuses.set(test, status),
                    None if self.strict => {}
                    None => return None,
                }
            }
        }
        // Upstream takes any line that starts so for the result of the last test it saw, had that one failed or not.
        let passes = if self.strict { line == "ok" } else { line.starts_with("ok") };
        if let Some(test) = self.open.filter(|_| passes) {
            self.close(test, "PASSED");
        }
        Some(())
    }

    fn close(&mut self, test: &str, status: &str) {
        self.statuses.set(test, status);
        if self.strict {
            self.open = None;
        }
    }
}

/// The tests in whose results another text is caught: `NAME ... TEXT`, and somewhere behind it `ok` on a line of its
/// own. `end` gives the end of that, for the end of a text. Each blank around the dots may be any white space, the
/// end of a line too. Finds what a search for upstream's regular expressions finds, in one pass.
fn names_before<'a>(log: &'a str, text: &str, mut end: impl FnMut(usize) -> Option<usize>) -> Vec<&'a str> {
    let mut names = Vec::new();
    let (mut found_to, mut seen_to, mut line_start) = (0, 0, 0);
    for (at, _) in log.match_indices(text) {
        let head = &log[..at];
        let Some(name_end) = head.strip_suffix(is_space).and_then(|head| head.strip_suffix("...")) else {
            continue;
        };
        let Some(name_end) = name_end.strip_suffix(is_space).map(str::len) else {
            continue;
        };
        line_start = log[seen_to..name_end].rfind('\n').map_or(line_start, |newline| seen_to + newline + 1);
        seen_to = name_end;
        if line_start < found_to {
            continue;
        }
        if let Some(end) = end(at + text.len()) {
            names.push(&log[line_start..name_end]);
            found_to = end;
        }
    }
    names
}

/// The end of `\nok`, where that stands here and ends its line.
fn ends_with_ok(log: &str, at: usize) -> Option<usize> {
    let rest = log[at..].strip_prefix("\nok")?;
    (rest.is_empty() || rest.starts_with('\n')).then(|| log.len() - rest.len())
}

/// Ends with the next ` silenced).` before an `ok`, on whatever line.
fn silenced(log: &str) -> impl FnMut(usize) -> Option<usize> {
    const LAST: &str = " silenced).";
    let ends: Vec<(usize, usize)> = log
        .match_indices(LAST)
        .filter_map(|(at, _)| Some((at, ends_with_ok(log, at + LAST.len())?)))
        .collect();
    move |from| ends.get(ends.partition_point(|(at, _)| *at < from)).map(|(_, end)| *end)
}

/// Ends with the line, when that ends with a slash and an `ok` follows.
fn ends_with_slash(log: &str) -> impl FnMut(usize) -> Option<usize> {
    let mut line_end = 0;
    move |from| {
        if line_end < from {
            line_end = log[from..].find('\n').map_or(log.len(), |newline| from + newline);
        }
        log[from..line_end].ends_with('/').then(|| ends_with_ok(log, line_end))?
    }
}
