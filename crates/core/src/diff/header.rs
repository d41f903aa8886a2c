//! Lines of a patch that name files or places. The patterns are regular expressions of unidiff, matched by hand: each
//! line is gone over once, whatever it holds, where a general engine takes seconds for one line of some megabytes.

use super::DiffError;

/// Two names: of the old file and the new one.
type Names<'a> = (&'a [u8], &'a [u8]);

/// The names of a line `diff --git`: with prefixes, as addresses, or whatever has a blank between them.
pub(super) fn git_names(line: &[u8]) -> Option<Names<'_>> {
    let names = line.strip_prefix(b"diff --git ")?;
    prefixed(names).or_else(|| addresses(names)).or_else(|| apart(names))
}

/// `(a/[^\t\n]+) (b/[^\t\n]+)`
fn prefixed(names: &[u8]) -> Option<Names<'_>> {
    let names = up_to_tab(names);
    let inner = names.strip_prefix(b"a/")?;
    // What follows ` b/` is one byte at least, and so is what stands before it.
    let starts = inner.get(1..inner.len().checked_sub(1)?)?;
    let at = starts.windows(3).rposition(|part| part == b" b/")? + 3;
    Some((&names[..at], &names[at + 1..]))
}

/// `(.*://[^\t\n]+) (.*://[^\t\n]+)`, in which a name takes as much as it can: from right to left, the last address is
/// the second one, and the first address before it that a blank follows is the other.
fn addresses(names: &[u8]) -> Option<Names<'_>> {
    const SIGN: &[u8] = b"://";
    let names = names.split(|byte| *byte == b'\n').next()?;
    let is_address = |at: usize| names[at..].starts_with(SIGN);
    let has_name = |at: &usize| names.get(at + SIGN.len()).is_some_and(|byte| *byte != b'\t');
    let last = (0..names.len()).rev().find(|at| is_address(*at) && has_name(at))?;
    let end = last + SIGN.len() + up_to_tab(&names[last + SIGN.len()..]).len();
    let mut blank = None;
    for at in (0..last).rev() {
        match names[at] {
            b'\t' => blank = None,
            b' ' => blank = blank.or(Some(at)),
            b':' if is_address(at) => {
                if let Some(blank) = blank.filter(|blank| *blank > at + SIGN.len()) {
                    return Some((&names[..blank], &names[blank + 1..end]));
                }
            }
            _ => {}
        }
    }
    None
}

/// `([^\t\n]+) ([^\t\n]+)`
fn apart(names: &[u8]) -> Option<Names<'_>> {
    let names = up_to_tab(names);
    let inner = names.get(1..names.len().checked_sub(1)?)?;
    let at = inner.iter().rposition(|byte| *byte == b' ')? + 1;
    Some((&names[..at], &names[at + 1..]))
}

/// The name behind `--- ` or `+++ `, and what stands behind a tab: `([^\t\n]+)(?:\t([^\n]+))?`.
pub(super) fn name<'a>(line: &'a [u8], sign: &[u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let text = line.strip_prefix(sign)?;
    let name = up_to_tab(text);
    let timestamp = text[name.len()..].strip_prefix(b"\t").map(without_end);
    (!name.is_empty()).then(|| (name, timestamp.filter(|timestamp| !timestamp.is_empty())))
}

/// What the header of a hunk says.
pub(super) struct Ranges<'a> {
    /// Start and length in the old file, then those in the new one. A length that is left out is 1.
    pub(super) numbers: [&'a [u8]; 4],
    pub(super) heading: &'a [u8],
}

/// `@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)`
pub(super) fn ranges(line: &[u8]) -> Option<Ranges<'_>> {
    let rest = line.strip_prefix(b"@@ -")?;
    let (old, old_length, rest) = range(rest)?;
    let (new, new_length, rest) = range(rest.strip_prefix(b" +")?)?;
    let rest = rest.strip_prefix(b" @@")?;
    let heading = without_end(rest.strip_prefix(b" ").unwrap_or(rest));
    Some(Ranges { numbers: [old, old_length, new, new_length], heading })
}

/// Start, length and the rest.
fn range(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (start, rest) = digits(text)?;
    let length = rest.strip_prefix(b",").and_then(digits);
    let (length, rest) = length.unwrap_or((b"1", rest));
    Some((start, length, rest))
}

fn digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A number in the header of a hunk.
pub(super) fn line_number(digits: &[u8]) -> Result<u64, DiffError> {
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.ok_or(DiffError::NumberTooLarge { digits: digits.len() })
}

fn up_to_tab(text: &[u8]) -> &[u8] {
    text.split(|byte| matches!(byte, b'\t' | b'\n')).next().unwrap_or_default()
}

fn without_end(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == b'\n').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::bytes::{Captures, Regex};

    use super::*;

    fn found<'a>(pattern: &str, line: &'a [u8]) -> Option<Vec<Option<&'a [u8]>>> {
        let groups = |found: Captures<'a>| {
            found.iter().skip(1).map(|group| group.map(|group| group.as_bytes())).collect()
        };
        Regex::new(pattern).unwrap().captures(line).map(groups)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn names_are_those_that_the_expressions_of_unidiff_find(names in "(a/|b/|://| |\t|x|\u{e9}){0,14}\n?") {
            let line = format!("diff --git {names}");
            let expected = [
                r"(?-u)^diff --git (a/[^\t\n]+) (b/[^\t\n]+)",
                r"(?-u)^diff --git (.*://[^\t\n]+) (.*://[^\t\n]+)",
                r"(?-u)^diff --git ([^\t\n]+) ([^\t\n]+)",
            ]
            .iter()
            .find_map(|pattern| found(pattern, line.as_bytes()));
            let names = git_names(line.as_bytes()).map(|(old, new)| vec![Some(old), Some(new)]);
            prop_assert_eq!(names, expected);
        }

        #[test]
        fn so_are_single_names(text in "(\t|x| ){0,6}\n?") {
            let line = format!("--- {text}");
            let expected = found(r"(?-u)^--- ([^\t\n]+)(?:\t([^\n]+))?", line.as_bytes());
            let name = name(line.as_bytes(), b"--- ").map(|(name, timestamp)| vec![Some(name), timestamp]);
            prop_assert_eq!(name, expected);
        }

        #[test]
        fn so_are_ranges(text in "-?[0-9]{0,2},?[0-9]{0,2} ?\\+?[0-9]{0,2},?[0-9]{0,2} ?@{0,3}[ x]{0,3}\n?") {
            let line = format!("@@ {text}");
            let expected =
                found(r"(?-u)^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)", line.as_bytes());
            let expected = expected.map(|groups| {
                groups.into_iter().map(|group| group.unwrap_or(b"1")).collect::<Vec<_>>()
            });
            let ranges = ranges(line.as_bytes()).map(|ranges| [&ranges.numbers[..], &[ranges.heading]].concat());
            prop_assert_eq!(ranges, expected);
        }
    }
}
