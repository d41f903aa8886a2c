//! What the editor does to texts, apart from files: every character that an edit does not name stays as it is.

use std::borrow::Cow;
use std::ops::RangeInclusive;

/// Lines shown before and after an edit.
const CONTEXT: usize = 4;
/// Occurrences whose lines are listed where there ought to be one.
const LISTED: usize = 10;

/// A text after an edit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Edited {
    /// The whole of it.
    pub(super) text: String,
    /// Where the new part lies in it: byte offsets.
    start: usize,
    end: usize,
}

impl Edited {
    fn splice(text: &str, start: usize, removed: usize, new: &str) -> Self {
        Self { text: [&text[..start], new, &text[start + removed..]].concat(), start, end: start + new.len() }
    }

    /// The lines around the edit, numbered.
    pub(super) fn snippet(&self) -> String {
        let first = line_at(&self.text, self.start);
        let last = line_at(&self.text, self.end);
        numbered(&self.text, first.saturating_sub(CONTEXT).max(1)..=last + CONTEXT)
    }
}

/// Replaces the only occurrence of `old`.
pub(super) fn str_replace(text: &str, old: &str, new: &str) -> Result<Edited, String> {
    if old.is_empty() {
        return Err("`old_str` is empty".to_owned());
    }
    if old == new {
        return Err("`old_str` and `new_str` are equal: nothing would change".to_owned());
    }
    let plain = !old.contains('\r') && !new.contains('\r');
    let (old, new) =
        if plain { (line_ends_of(text, old), line_ends_of(text, new)) } else { (old.into(), new.into()) };
    let found: Vec<usize> = occurrences(text, &old).take(LISTED + 1).collect();
    match found[..] {
        [] => {
            Err("`old_str` does not occur in the file; it must match exactly, white space included"
                .to_owned())
        }
        [start] => Ok(Edited::splice(text, start, old.len(), &new)),
        _ => Err(format!(
            "`old_str` occurs more than once, at lines {}; add lines around it until it is unique",
            lines_list(text, &found)
        )),
    }
}

/// Inserts lines after line number `after`; 0 is the beginning. An inserted text without final newline gets
/// one, except behind a last line that has none itself.
pub(super) fn insert(text: &str, after: usize, new: &str) -> Result<Edited, String> {
    let lines = text.lines().count();
    if after > lines {
        return Err(format!("`insert_line` is {after}, but the file has {lines} lines"));
    }
    if new.is_empty() {
        return Err("`new_str` is empty".to_owned());
    }
    let mut new = if new.contains('\r') { new.into() } else { line_ends_of(text, new) };
    let start = text.split_inclusive('\n').take(after).map(str::len).sum();
    let line_end = line_ends_of(text, "\n");
    if start > 0 && !text[..start].ends_with('\n') {
        new.to_mut().insert_str(0, &line_end);
    } else if !new.ends_with('\n') {
        new.to_mut().push_str(&line_end);
    }
    Ok(Edited::splice(text, start, 0, &new))
}

/// The lines of a range, each behind its number, like `cat -n`. The range may reach over the end.
pub(super) fn numbered(text: &str, range: RangeInclusive<usize>) -> String {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines
        .skip_while(|(number, _)| number < range.start())
        .take_while(|(number, _)| number <= range.end())
        .map(|(number, line)| format!("{number:>6}\t{line}\n"))
        .collect()
}

/// A `view_range` as a range of line numbers; an end of -1, or beyond the last line, is the last line.
pub(super) fn line_range(text: &str, (start, end): (i64, i64)) -> Result<RangeInclusive<usize>, String> {
    let lines = text.lines().count();
    let first = usize::try_from(start).ok().filter(|first| (1..=lines).contains(first));
    let first = first.ok_or_else(|| {
        format!("`view_range` starts at line {start}, but the file has {lines} lines, counted from 1")
    })?;
    match usize::try_from(end) {
        Ok(last) if last >= first => Ok(first..=last.min(lines)),
        Err(_) if end == -1 => Ok(first..=lines),
        _ => Err(format!("`view_range` ends at line {end}, before it starts at line {start}")),
    }
}

/// Policies write line breaks as `\n`. In a file whose every line break is CRLF, CRLF is meant.
fn line_ends_of<'a>(file: &str, text: &'a str) -> Cow<'a, str> {
    let crlf = file.matches("\r\n").count();
    if crlf > 0 && crlf == file.matches('\n').count() {
        text.replace('\n', "\r\n").into()
    } else {
        text.into()
    }
}

/// Every place where `part` begins, overlapping ones too: none of several is the one that was meant.
fn occurrences<'a>(text: &'a str, part: &'a str) -> impl Iterator<Item = usize> + 'a {
    let step = part.chars().next().map_or(1, char::len_utf8);
    let mut from = 0;
    std::iter::from_fn(move || {
        let found = from + text.get(from..)?.find(part)?;
        from = found + step;
        Some(found)
    })
}

fn line_at(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

fn lines_list(text: &str, offsets: &[usize]) -> String {
    let mut lines: Vec<String> = offsets.iter().map(|offset| line_at(text, *offset).to_string()).collect();
    if lines.len() > LISTED {
        lines[LISTED] = "...".to_owned();
    }
    lines.join(", ")
}

#[cfg(test)]
mod tests;
