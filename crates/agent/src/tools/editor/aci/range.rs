//! `view_range`.

use serde_json::Value;

use super::output::numbered;
use super::raised::EditorError;
use super::text::{count_lines, joined_lines, lines_between};
use crate::EditorVersion;
use crate::python::{repr, str_of, type_name};

/// A member of `view_range`: its value, and how Python shows it, since `True` is a number there.
type Member = (i64, String);

fn pair(range: &Value) -> Result<[Member; 2], EditorError> {
    let whole = |value: &Value| {
        let number = match value {
            Value::Bool(value) => i64::from(*value),
            Value::Number(number) if number.is_u64() => number.as_i64().unwrap_or(i64::MAX),
            value => value.as_i64()?,
        };
        Some((number, repr(value)))
    };
    let members = match range {
        Value::Array(members) => members.as_slice(),
        Value::String(_) | Value::Object(_) => &[],
        other => {
            let message = format!("object of type '{}' has no len()", type_name(other));
            return Err(EditorError::type_error(message));
        }
    };
    match members {
        [first, last] => whole(first).zip(whole(last)).map(|(first, last)| [first, last]),
        _ => None,
    }
    .ok_or_else(|| invalid_range(range, "It should be a list of two integers."))
}

pub(super) fn invalid_range(range: &Value, hint: &str) -> EditorError {
    EditorError::invalid("view_range", &str_of(range), hint)
}

/// The number of the first line, when the file has it.
fn first_line(lines: usize, range: &Value, (first, shown): &Member) -> Result<usize, EditorError> {
    let first = usize::try_from(*first).ok().filter(|first| (1..=lines).contains(first));
    first.ok_or_else(|| {
        let hint = format!(
            "Its first element `{shown}` should be within the range of lines of the file: [1, {lines}]."
        );
        invalid_range(range, &hint)
    })
}

fn before_first(range: &Value, last: &str, first: &str) -> EditorError {
    let hint = format!(
        "Its second element `{last}` should be greater than or equal to the first element `{first}`."
    );
    invalid_range(range, &hint)
}

/// 0.1.x: the lines of a range, which must not reach over the end.
pub(super) fn range_010(content: &str, range: &Value) -> Result<(usize, String), EditorError> {
    let [start, (end, shown_end)] = pair(range)?;
    let lines = content.split('\n').count();
    let first = first_line(lines, range, &start)?;
    let last = match usize::try_from(end) {
        Ok(last) if last > lines => {
            let hint = format!(
                "Its second element `{shown_end}` should be smaller than the number of lines in the file: `{lines}`."
            );
            return Err(invalid_range(range, &hint));
        }
        Ok(last) if last >= first => last,
        Err(_) if end == -1 => lines,
        _ => return Err(before_first(range, &shown_end, &start.1)),
    };
    let shown: Vec<&str> = content.split('\n').skip(first - 1).take(last + 1 - first).collect();
    Ok((first, shown.join("\n")))
}

/// 0.3.3: the lines of a range, cut at the end of the file with a note.
pub(super) fn view_range_033(content: &str, path: &str, range: &Value) -> Result<String, EditorError> {
    let [start, (end, shown_end)] = pair(range)?;
    let lines = count_lines(content);
    let first = first_line(lines, range, &start)?;
    let (last, note) = match usize::try_from(end) {
        Ok(last) if last > lines => {
            let note =
                format!("NOTE: We only show up to {lines} since there're only {lines} lines in this file.\n");
            (lines, note)
        }
        Ok(last) if last >= first => (last, String::new()),
        Err(_) if end == -1 => (lines, String::new()),
        _ => return Err(before_first(range, &shown_end, &start.1)),
    };
    let shown = joined_lines(&lines_between(content, first, last));
    Ok(format!("{note}{}", numbered(EditorVersion::Aci033, &shown, path, first)))
}
