//! The rules of SWE-bench for the output of pytest: a line that starts with a status gives its second word that
//! status; in some parsers, a line that ends with one gives its first word the second.
//!
//! Ids are cut at the first white space, as they are in the test lists of the data sets. Lines of one word, on which
//! some parsers of upstream crash, say nothing.

use std::sync::LazyLock;

use regex::Regex;
use swegym_core::{TestStatus, TestStatuses};

const STATUSES: [(&str, TestStatus); 5] = [
    ("PASSED", TestStatus::Passed),
    ("FAILED", TestStatus::Failed),
    ("ERROR", TestStatus::Error),
    ("SKIPPED", TestStatus::Skipped),
    ("XFAIL", TestStatus::Xfail),
];

/// What is left of a colour without its escape character, of one code: upstream knows no other.
#[expect(clippy::unwrap_used, reason = "the pattern is constant and covered by tests")]
static COLOUR: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\[\d+m").unwrap());
#[expect(clippy::unwrap_used, reason = "the pattern is constant and covered by tests")]
static FAILED_PROGRESS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"FAILED\s*\[.*?\]").unwrap());

/// What a line says about a test.
struct Claim {
    id: String,
    /// None where upstream stores a word that is no status (`ERRORS`, `PASSED:`) and then knows no such status.
    status: Option<TestStatus>,
}

pub(super) fn parse(log: &str) -> TestStatuses {
    collect(log, status_first)
}

pub(super) fn parse_options(log: &str) -> TestStatuses {
    let claim = |line: &str| status_first(line).map(|claim| Claim { id: short_option(&claim.id), ..claim });
    collect(log, claim)
}

pub(super) fn parse_v2(log: &str) -> TestStatuses {
    collect(log, |line| status_at_either_end(&plain(line)))
}

pub(super) fn parse_pydantic(log: &str) -> TestStatuses {
    collect(log, |line| status_at_either_end(&FAILED_PROGRESS.replace_all(&plain(line), "FAILED")))
}

/// The claims of all lines. The last one about a test counts; one without a status takes away what was said before.
fn collect(log: &str, claim: impl Fn(&str) -> Option<Claim>) -> TestStatuses {
    let mut statuses = TestStatuses::new();
    // Upstream reads the log in text mode, where a lone carriage return ends a line too.
    for Claim { id, status } in log.split(['\n', '\r']).filter_map(claim) {
        match status {
            Some(status) => statuses.insert(id, status),
            None => statuses.remove(&id),
        };
    }
    statuses
}

fn status_at_either_end(line: &str) -> Option<Claim> {
    status_first(line).or_else(|| status_last(line))
}

fn status_first(line: &str) -> Option<Claim> {
    if !STATUSES.iter().any(|(word, _)| line.starts_with(word)) {
        return None;
    }
    let line = if line.starts_with("FAILED") { line.replace(" - ", " ") } else { line.to_owned() };
    let (status, id) = first_two_words(&line)?;
    Some(Claim { id: id.to_owned(), status: status_of(status) })
}

fn status_last(line: &str) -> Option<Claim> {
    if !STATUSES.iter().any(|(word, _)| line.ends_with(word)) {
        return None;
    }
    let (id, status) = first_two_words(line)?;
    Some(Claim { id: id.to_owned(), status: status_of(status) })
}

fn status_of(word: &str) -> Option<TestStatus> {
    STATUSES.iter().find(|(known, _)| *known == word).map(|(_, status)| *status)
}

fn first_two_words(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split(is_python_space).filter(|word| !word.is_empty());
    Some((words.next()?, words.next()?))
}

/// White space as Python's `str.split` sees it.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The line without colours and control characters, tabs included.
fn plain(line: &str) -> String {
    let is_control = |c: &char| ('\u{1}'..='\u{1f}').contains(c);
    COLOUR.replace_all(line, "").chars().filter(|c| !is_control(c)).collect()
}

/// `t.py::a[/tmp/x/y]` -> `t.py::a[/y]`. What follows the last bracket is dropped.
fn short_option(id: &str) -> String {
    let parts = id.split_once('[').and_then(|(main, rest)| Some((main, rest.rsplit_once(']')?.0)));
    let Some((main, option)) = parts else {
        return id.to_owned();
    };
    let is_path = option.starts_with('/') && !option.starts_with("//") && !option.contains('*');
    match option.rsplit_once('/') {
        Some((_, last)) if is_path => format!("{main}[/{last}]"),
        _ => format!("{main}[{option}]"),
    }
}

#[cfg(test)]
mod tests;
