//! What the commands do to a text, apart from files.

use std::borrow::Cow;

use serde_json::Value;

use super::output::{WINDOW, absent, ambiguous};
use super::raised::{EditorError, line_number, text_for};
use super::text::{count_lines, expand_tabs, line_numbers, lines_between, overlapping, universal_newlines};
use crate::EditorVersion;
use crate::python::{is_true, strip, type_name};

/// An edit, ready to be written.
#[derive(Debug)]
pub(super) struct Edit {
    /// What undoing it brings back.
    pub(super) before: String,
    pub(super) after: String,
    /// The part of it that is shown.
    pub(super) snippet: String,
    /// For a replacement the number of the first line of the snippet, for an insertion that of the line before it.
    pub(super) line: usize,
}

/// `str_replace` of 0.1.x: tabs of both texts become spaces, those of the file only from 0.1.2 on, so that before
/// nothing with a tab can be found in it.
pub(super) fn replace_010(
    version: EditorVersion,
    path: &str,
    content: &str,
    old: &Value,
    new: Option<&Value>,
) -> Result<Edit, EditorError> {
    let content = if version >= EditorVersion::Aci012 { expand_tabs(content) } else { content.into() };
    let old = expand_tabs(text_for(old, "expandtabs")?);
    let new = match new {
        Some(new) => expand_tabs(text_for(new, "expandtabs")?),
        None => "".into(),
    };
    let found: Vec<usize> = content.match_indices(&*old).map(|(place, _)| place).take(2).collect();
    match found[..] {
        [] => Err(EditorError::Refused(absent(&old, path))),
        [place] => Ok(replaced_010(&content, place, old.len(), &new)),
        _ => Err(EditorError::Refused(ambiguous(&old, &ambiguous_lines_010(version, &content, &old)))),
    }
}

/// Until 0.1.1 the lines that hold the text, and so none when it spans several; from then on where it begins.
fn ambiguous_lines_010(version: EditorVersion, content: &str, old: &str) -> Vec<usize> {
    if version >= EditorVersion::Aci012 {
        return line_numbers(content, &overlapping(content, old));
    }
    let lines = content.split('\n').enumerate().filter(|(_, line)| line.contains(old));
    lines.map(|(index, _)| index + 1).collect()
}

fn replaced_010(content: &str, place: usize, removed: usize, new: &str) -> Edit {
    let after = [&content[..place], new, &content[place + removed..]].concat();
    let line = content[..place].matches('\n').count();
    let first = line.saturating_sub(WINDOW);
    let shown = line + WINDOW + new.matches('\n').count() + 1 - first;
    let snippet = joined(after.split('\n').skip(first).take(shown));
    Edit { before: content.to_owned(), after, snippet, line: first + 1 }
}

/// `insert` of 0.1.x: tabs of the whole file become spaces.
pub(super) fn insert_010(content: &str, line: &Value, new: &Value) -> Result<Edit, EditorError> {
    let content = expand_tabs(content);
    let new = expand_tabs(text_for(new, "expandtabs")?);
    let lines: Vec<&str> = content.split('\n').collect();
    let after = line_number(line, lines.len(), "It should be within the range of lines of the file")?;
    let (head, tail) = lines.split_at(after);
    let inserted = || new.split('\n');
    let text = joined(head.iter().copied().chain(inserted()).chain(tail.iter().copied()));
    let near = head.iter().copied().skip(after.saturating_sub(WINDOW));
    let snippet = joined(near.chain(inserted()).chain(tail.iter().copied().take(WINDOW)));
    Ok(Edit { before: content.into_owned(), after: text, snippet, line: after })
}

/// `str_replace` of 0.3.3: what does not occur is looked for again without white space around it, and the new text
/// loses its own, too.
pub(super) fn replace_033(
    path: &str,
    content: &str,
    old: &Value,
    new: Option<&Value>,
) -> Result<Edit, EditorError> {
    let Value::String(given) = old else {
        let message = format!("decoding to str: need a bytes-like object, {} found", type_name(old));
        return Err(EditorError::type_error(message));
    };
    let empty = Value::from("");
    let new = new.filter(|new| is_true(new)).unwrap_or(&empty);
    let mut old = given.as_str();
    let mut places = places_033(content, old);
    let again = places.is_empty();
    if again {
        text_for(new, "strip")?;
        old = strip(old);
        places = places_033(content, old);
    }
    let place = match places[..] {
        [] => return Err(EditorError::Refused(absent(old, path))),
        [place] => place,
        _ => {
            let mut lines = line_numbers(content, &places);
            lines.dedup();
            return Err(EditorError::Refused(ambiguous(old, &lines)));
        }
    };
    let Value::String(new) = new else {
        let kind = type_name(new);
        return Err(EditorError::type_error(format!("can only concatenate str (not \"{kind}\") to str")));
    };
    let new = if again { strip(new) } else { new };
    Ok(replaced_033(content, place, old.len(), new))
}

/// Where the text occurs, without overlaps; an empty one does everywhere.
fn places_033(content: &str, old: &str) -> Vec<usize> {
    content.match_indices(old).map(|(place, _)| place).collect()
}

fn replaced_033(content: &str, place: usize, removed: usize, new: &str) -> Edit {
    let after = [&content[..place], new, &content[place + removed..]].concat();
    let line = content[..place].matches('\n').count() + 1;
    let first = line.saturating_sub(WINDOW) + 1;
    let last = line + WINDOW + new.matches('\n').count();
    let snippet = lines_between(&universal_newlines(&after), first, last);
    Edit { before: content.to_owned(), after, snippet, line: first }
}

/// `insert` of 0.3.3: every inserted line gets a line break, the last line before them does not, even where it
/// lacks one.
pub(super) fn insert_033(content: &str, line: &Value, new: &Value) -> Result<Edit, EditorError> {
    let lines = count_lines(content);
    let after = line_number(line, lines, "It should be within the range of allowed values")?;
    let new = text_for(new, "split")?;
    let place = content.split_inclusive('\n').take(after).map(str::len).sum();
    let text = [&content[..place], new, "\n", &content[place..]].concat();
    let inserted = new.split('\n').count();
    let last = (lines + inserted).min(after + WINDOW + inserted);
    let read: Cow<'_, str> = universal_newlines(&text);
    let snippet = lines_between(&read, after.saturating_sub(WINDOW) + 1, last);
    Ok(Edit { before: content.to_owned(), after: text, snippet, line: after })
}

fn joined<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}
