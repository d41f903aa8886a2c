//! The rules of SWE-bench for the output of pytest: a line that starts with a status gives its second word that
//! status; in some parsers, a line that ends with one gives its first word the second.
//!
//! Ids are cut at the first white space, as they are in the test lists of the data sets; only the second form of
//! SWE-bench 5 keeps them whole.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use super::RawStatuses;
use super::python::{before, two_words, words};
use super::statuses::STATUSES;
use crate::{GradeError, Profile};

/// What is left of a colour without its escape character, of one code: upstream knows no other.
#[expect(clippy::unwrap_used, reason = "the pattern is constant and covered by tests")]
static COLOUR: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\[\d+m").unwrap());
#[expect(clippy::unwrap_used, reason = "the pattern is constant and covered by tests")]
static FAILED_PROGRESS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"FAILED\s*\[.*?\]").unwrap());
#[expect(clippy::unwrap_used, reason = "the pattern is constant and covered by tests")]
static COUNT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\[\d+\]$").unwrap());

/// `(id, word)`: what a line says about a test.
type Claim<'a> = (Cow<'a, str>, Cow<'a, str>);

pub(super) fn parse(profile: Profile, text: &str) -> RawStatuses {
    text.split('\n').filter_map(|line| status_first(profile, line)).collect()
}

pub(super) fn parse_options(profile: Profile, text: &str) -> RawStatuses {
    let claims = text.split('\n').filter_map(|line| status_first(profile, line));
    claims.map(|(id, word)| (short_option(&id), word)).collect()
}

pub(super) fn parse_matplotlib(profile: Profile, text: &str) -> RawStatuses {
    // Parameters that newer interpreters print by name, and the test lists by number.
    let numbered = |line: &str| line.replace("MouseButton.LEFT", "1").replace("MouseButton.RIGHT", "3");
    let mut statuses = RawStatuses::default();
    for line in text.split('\n') {
        let line = if line.contains("MouseButton.") { Cow::Owned(numbered(line)) } else { line.into() };
        if let Some((id, word)) = status_first(profile, &line) {
            statuses.set(id, &word);
        }
    }
    statuses
}

pub(super) fn parse_v2(profile: Profile, text: &str) -> Result<RawStatuses, GradeError> {
    either_end(profile, text, plain)
}

/// A progress such as `[ 3%]` may follow `FAILED`. SWE-bench has no such parser: there, the rules are those of its
/// second form otherwise.
pub(super) fn parse_pydantic(profile: Profile, text: &str) -> Result<RawStatuses, GradeError> {
    let without_progress = |line| match plain(line) {
        line if line.contains("FAILED") => {
            Cow::Owned(FAILED_PROGRESS.replace_all(&line, "FAILED").into_owned())
        }
        line => line,
    };
    either_end(profile, text, without_progress)
}

/// The claim of a line that starts with a status. A line of one word says nothing.
fn status_first(profile: Profile, line: &str) -> Option<Claim<'_>> {
    if !starts_with_status(line) {
        return None;
    }
    if line.starts_with("FAILED") && line.contains(" - ") {
        let line = line.replace(" - ", " ");
        return two_words(&line).map(|(word, id)| (id.to_owned().into(), word.to_owned().into()));
    }
    let (word, id) = two_words(line)?;
    (!is_count_of_skipped(profile, word, id)).then(|| (id.into(), word.into()))
}

fn either_end<'a>(
    profile: Profile,
    text: &'a str,
    prepare: impl Fn(&'a str) -> Cow<'a, str>,
) -> Result<RawStatuses, GradeError> {
    let mut statuses = RawStatuses::default();
    for (index, line) in text.split('\n').enumerate() {
        let line = prepare(line);
        let at_start = starts_with_status(&line);
        if !at_start && !STATUSES.iter().any(|(word, _)| line.ends_with(word)) {
            continue;
        }
        let claim = match (at_start, profile == Profile::Swebench5) {
            (true, false) => status_first(profile, &line),
            (true, true) => whole_id_after_status(&line),
            (false, false) => two_words(&line).map(|(id, word)| (id.into(), word.into())),
            (false, true) => whole_id_before_status(&line),
        };
        match claim {
            Some((id, word)) => statuses.set(id, &word),
            // The fork alone crashes on a line of one word.
            None if profile == Profile::Swegym => return Err(GradeError::MissingWord { line: index + 1 }),
            None => {}
        }
    }
    Ok(statuses)
}

fn whole_id_after_status(line: &str) -> Option<Claim<'_>> {
    let line = if line.starts_with("FAILED") { before(line, " - ") } else { line };
    let (word, first) = two_words(line)?;
    let id = || words(line).skip(1).collect::<Vec<_>>().join(" ");
    (!is_count_of_skipped(Profile::Swebench5, word, first)).then(|| (id().into(), word.into()))
}

fn whole_id_before_status(line: &str) -> Option<Claim<'_>> {
    let mut words: Vec<_> = words(line).collect();
    let word = words.pop()?;
    (!words.is_empty()).then(|| (words.join(" ").into(), word.into()))
}

fn starts_with_status(line: &str) -> bool {
    STATUSES.iter().any(|(word, _)| line.starts_with(word))
}

/// `SKIPPED [3] test_x.py:1: why` counts tests and names none. The profiles before SWE-bench 5 take the count for a
/// test. `PASSED [100%]` stays: test lists ask for it.
fn is_count_of_skipped(profile: Profile, word: &str, id: &str) -> bool {
    matches!(profile, Profile::Swebench5 | Profile::Strict) && word == "SKIPPED" && COUNT.is_match(id)
}

/// The line without colours and control characters, tabs included.
fn plain(line: &str) -> Cow<'_, str> {
    let is_control = |c: char| ('\u{1}'..='\u{1f}').contains(&c);
    if !line.contains(|c| c == '[' || is_control(c)) {
        return line.into();
    }
    let line = COLOUR.replace_all(line, "");
    if line.contains(is_control) { Cow::Owned(line.replace(is_control, "")) } else { line }
}

/// `t.py::a[/tmp/x/y]` -> `t.py::a[/y]`, since the folders differ from run to run. What follows the last bracket is
/// dropped.
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
