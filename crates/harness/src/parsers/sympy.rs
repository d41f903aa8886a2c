//! The rules of SWE-bench for the test runner of SymPy.

use super::RawStatuses;
use super::python::{strip, words};
use crate::Profile;

/// Endings of a line about a test, and what they mean.
const ENDINGS: [(&str, &str); 3] = [(" E", "ERROR"), (" F", "FAILED"), (" ok", "PASSED")];

pub(super) fn parse(profile: Profile, text: &str) -> RawStatuses {
    let mut statuses = RawStatuses::default();
    for test in text.split('\n').filter_map(headline) {
        statuses.set(test, "FAILED");
    }
    // SWE-bench lost this cut: there, the last test of a file, which shares its line with the result of the file,
    // has no status.
    let cuts = matches!(profile, Profile::Swegym | Profile::Strict);
    for line in text.split('\n').map(strip).filter(|line| line.starts_with("test_")) {
        let line = if cuts { without_file_result(line) } else { line };
        if let Some((_, word)) = ENDINGS.iter().find(|(ending, _)| line.ends_with(ending)) {
            statuses.set(words(line).next().unwrap_or_default(), word);
        }
    }
    statuses
}

/// `____ sympy/core/tests/test_x.py:test_y ____` names a test that failed. What upstream's regular expression takes is
/// all between the first and the last blank of a line, where that has a `.py:`.
fn headline(line: &str) -> Option<&str> {
    let (first, last) = (line.find(' ')?, line.rfind(' ')?);
    line.get(first + 1..last).filter(|test| test.contains(".py:"))
}

fn without_file_result(line: &str) -> &str {
    let ends = line.ends_with("[FAIL]") || line.ends_with("[OK]");
    line.rfind('[').filter(|_| ends).map_or(line, |bracket| strip(&line[..bracket]))
}
