//! Shortens model-written patches to what they change.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::DiffError;
use super::header::line_number;
use super::python::{SPACE, pattern, trim_end};

static OLD_NAME: LazyLock<Regex> = LazyLock::new(|| pattern(&format!("---[{SPACE}]+a/")));
static NEW_NAME: LazyLock<Regex> = LazyLock::new(|| pattern(&format!("\n\\+\\+\\+[{SPACE}]+b/")));
static NAMES: LazyLock<Regex> = LazyLock::new(|| {
    let any = "(?-u:.)+";
    pattern(&format!("---[{SPACE}]+a/{any}\n\\+\\+\\+[{SPACE}]+b/{any}"))
});
static HUNK: LazyLock<Regex> = LazyLock::new(|| {
    let range = "([0-9]+),([0-9]+)";
    pattern(&format!("@@[{SPACE}]+-{range}[{SPACE}]+\\+{range}[{SPACE}]+@@"))
});
static PART_END: LazyLock<Regex> = LazyLock::new(|| pattern("diff |--- a/"));
static HUNK_END: LazyLock<Regex> = LazyLock::new(|| pattern("diff |--- a/|@@ -"));

/// Takes from each hunk the context around its changes, recounts its lines and moves it by what the hunks before it
/// add; drops headers, new files and what is no diff. White space at the ends of lines goes too.
///
/// The rules are SWE-bench's: one more line than the last changed one stays, a file that is removed is cut off or
/// taken for part of the next one, and so is code that reads like the beginning of a diff.
///
/// # Errors
/// [`DiffError::NoNames`] where the lines `---` and `+++` of a part do not follow each other, and
/// [`DiffError::NumberTooLarge`].
pub fn minimal_patch(patch: &[u8]) -> Result<Vec<u8>, DiffError> {
    let mut short = Vec::new();
    let mut position = 0;
    while let Some(part) = next_part(patch, &mut position) {
        let names = NAMES.find(part).ok_or(DiffError::NoNames)?;
        short.extend_from_slice(names.as_bytes());
        short.push(b'\n');
        shorten_hunks(part, &mut short)?;
    }
    Ok(short)
}

/// From `--- a/` over `+++ b/`, wherever that follows, to what begins another file.
fn next_part<'a>(patch: &'a [u8], position: &mut usize) -> Option<&'a [u8]> {
    let old = OLD_NAME.find_at(patch, *position)?;
    let new = NEW_NAME.find_at(patch, old.end())?;
    *position = PART_END.find_at(patch, new.end()).map_or(patch.len(), |end| end.start());
    Some(&patch[old.start()..*position])
}

fn shorten_hunks(part: &[u8], short: &mut Vec<u8>) -> Result<(), DiffError> {
    let mut shift = 0;
    let mut position = 0;
    while let Some(ranges) = HUNK.captures_at(part, position) {
        // A hunk has at least one character, so what ends it does not stand at its beginning.
        let start = ranges.get(0).map_or(part.len(), |header| header.end());
        if start == part.len() {
            break;
        }
        position = HUNK_END.find_at(part, start + 1).map_or(part.len(), |end| end.start());
        for index in 2..=4 {
            line_number(&ranges[index])?;
        }
        shorten_hunk(i128::from(line_number(&ranges[1])?), &mut shift, &part[start..position], short);
    }
    Ok(())
}

/// `content` begins right behind the second `@@`.
fn shorten_hunk(start: i128, shift: &mut i128, content: &[u8], short: &mut Vec<u8>) {
    let lines: Vec<&[u8]> = content.split(|byte| *byte == b'\n').collect();
    let is_change = |line: &&[u8]| matches!(line.first(), Some(b'-' | b'+'));
    let first = lines.iter().position(is_change).unwrap_or(lines.len());
    let end = lines.iter().rposition(is_change).map_or(1, |last| last + 2).min(lines.len());
    let kept: Vec<&[u8]> =
        lines.get(first..end).unwrap_or_default().iter().map(|line| trim_end(line)).collect();

    let (old, new) = lengths(&kept);
    // Upstream counts from the line behind the header, which is the second of `content`.
    let source = start + signed(first) - 1;
    let header = format!("@@ -{source},{old} +{},{new} @@\n", source + *shift);
    *shift += new - old;
    short.extend_from_slice(header.as_bytes());
    short.extend_from_slice(&kept.join(&b'\n'));
    short.push(b'\n');
}

/// Lines in the old and in the new file; empty ones at both ends do not count, but where nothing is left one does.
fn lengths(lines: &[&[u8]]) -> (i128, i128) {
    let is_text = |line: &&[u8]| !line.is_empty();
    let first = lines.iter().position(is_text).unwrap_or(0);
    let end = lines.iter().rposition(is_text).map_or(0, |last| last + 1);
    let counted = &lines[first..end];
    let begins_with = |sign: u8| signed(counted.iter().filter(|line| line.first() == Some(&sign)).count());
    let (removed, added) = (begins_with(b'-'), begins_with(b'+'));
    let context = signed(counted.len().max(1)) - removed - added;
    (context + removed, context + added)
}

fn signed(count: usize) -> i128 {
    i128::try_from(count).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimal(patch: &str) -> String {
        String::from_utf8(minimal_patch(patch.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn context_goes_and_lines_are_counted_again() {
        let patch = "diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n\
                     @@ -3,4 +3,5 @@ def f():\n a\n-b  \n+c\n+d\n e\n f\n@@ -20,2 +21,1 @@\n-g\n h\n";
        let short = "--- a/x\n+++ b/x\n@@ -4,2 +4,3 @@\n-b\n+c\n+d\n e\n@@ -20,2 +21,1 @@\n-g\n h\n";
        assert_eq!(minimal(patch), short);
    }

    #[test]
    fn new_files_hunks_without_lengths_and_text_are_dropped() {
        assert_eq!(minimal("diff --git a/x b/x\n--- /dev/null\n+++ b/x\n@@ -0,0 +1,1 @@\n+a\n"), "");
        assert_eq!(minimal("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"), "--- a/x\n+++ b/x\n");
        assert_eq!(minimal("I have fixed it.\n"), "");
    }

    #[test]
    fn a_removed_file_is_taken_for_part_of_the_next_one() {
        let removed = "--- a/x\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-a\n";
        assert_eq!(minimal(removed), "");
        let next = "diff --git a/y b/y\n--- /dev/null\n+++ b/y\n@@ -0,0 +1,1 @@\n+b\n";
        assert_eq!(minimal_patch([removed, next].concat().as_bytes()), Err(DiffError::NoNames));
    }
}
