//! Widening a range of lines, and small rules about texts.

/// Lines that a range is widened by at most.
const MAX_LINES: i64 = 4;

/// The kind of exception that upstream raises.
pub type Raised = &'static str;

/// A line before `line` (from 1) to begin a range with: the farthest one that is not blank, of those that are near,
/// or `min` where that is nearer still.
///
/// # Errors
/// `ValueError` when the line does not exist, or all lines in question are blank.
pub fn line_before(line: i64, min: i64, lines: &[&str]) -> Result<i64, Raised> {
    if line > length(lines) {
        return Err("ValueError");
    }
    if line - min < MAX_LINES {
        return Ok(min);
    }
    let index = line - 1;
    // Upstream takes the line number `min` for an index here.
    let near = (min.max(index - MAX_LINES)..=0.max(index - 1)).find(|index| is_filled(lines, *index));
    near.or(Some(index).filter(|index| is_filled(lines, *index))).map(|index| index + 1).ok_or("ValueError")
}

/// A line after `line` to end a range with, as [`line_before`].
///
/// # Errors
/// `IndexError` when a line does not exist, `ValueError` when all lines in question are blank.
pub fn line_after(line: i64, max: i64, lines: &[&str]) -> Result<i64, Raised> {
    if line < 1 || line > length(lines) {
        return Err("IndexError");
    }
    if max - line < MAX_LINES {
        return Ok(max);
    }
    let index = line - 1;
    let last = (max - 1).min(index + MAX_LINES);
    let first = (length(lines) - 1).min(index + 1);
    if last >= length(lines) && first <= last {
        return Err("IndexError");
    }
    let near = (first..=last).rev().find(|index| is_filled(lines, *index));
    near.or(Some(index).filter(|index| is_filled(lines, *index))).map(|index| index + 1).ok_or("ValueError")
}

fn length(lines: &[&str]) -> i64 {
    i64::try_from(lines.len()).unwrap_or(i64::MAX)
}

fn is_filled(lines: &[&str], index: i64) -> bool {
    let line = usize::try_from(index).ok().and_then(|index| lines.get(index));
    line.is_some_and(|line| !swegym_core::python::strip(line).is_empty())
}

/// Whether a pattern asks for test files.
pub fn is_test_pattern(pattern: &str) -> bool {
    pattern.contains("test_*.py") || pattern.contains("/tests/") || pattern.starts_with("test")
}

/// Whether `text` has `part`, spaces, tabs and line ends aside.
pub fn is_string_in(part: &str, text: &str) -> bool {
    let bare = |text: &str| text.replace([' ', '\t', '\n'], "");
    bare(text).contains(&bare(part))
}
