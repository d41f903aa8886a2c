//! Texts as Python's functions make them.

use std::borrow::Cow;

/// Columns between two tab stops.
const TAB: usize = 8;

/// `str.expandtabs()`.
pub(super) fn expand_tabs(text: &str) -> Cow<'_, str> {
    if !text.contains('\t') {
        return text.into();
    }
    let mut expanded = String::with_capacity(text.len());
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\t' => {
                let width = TAB - column % TAB;
                expanded.extend(std::iter::repeat_n(' ', width));
                column += width;
            }
            '\n' | '\r' => {
                expanded.push(c);
                column = 0;
            }
            _ => {
                expanded.push(c);
                column += 1;
            }
        }
    }
    expanded.into()
}

/// A text as it is read in text mode.
pub(super) fn universal_newlines(text: &str) -> Cow<'_, str> {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text.into() }
}

/// `'\n'.join(text.splitlines())`: Python knows more line breaks than `\n`.
pub(super) fn joined_lines(text: &str) -> String {
    let breaks =
        |c| matches!(c, '\n' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let text = text.replace("\r\n", "\n").replace('\r', "\n").replace(breaks, "\n");
    text.strip_suffix('\n').map(str::to_owned).unwrap_or(text)
}

/// Lines that reading a file line by line gives: a final line break ends a line and begins none.
pub(super) fn count_lines(text: &str) -> usize {
    text.split_inclusive('\n').count()
}

/// The lines from number `first` to number `last`, with their line breaks.
pub(super) fn lines_between(text: &str, first: usize, last: usize) -> String {
    let skipped = first.saturating_sub(1);
    text.split_inclusive('\n').skip(skipped).take(last.saturating_sub(skipped)).collect()
}

/// Numbers of the lines where these places lie, which ascend.
pub(super) fn line_numbers(text: &str, places: &[usize]) -> Vec<usize> {
    let mut line = 1;
    let mut from = 0;
    let number = |place: &usize| {
        line += text.as_bytes()[from..*place].iter().filter(|byte| **byte == b'\n').count();
        from = *place;
        line
    };
    places.iter().map(number).collect()
}

/// Every place where `part` begins, overlapping ones too, in linear time.
pub(super) fn overlapping(text: &str, part: &str) -> Vec<usize> {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    let borders = borders(part);
    let mut matched = 0;
    let mut found = Vec::new();
    for (index, byte) in text.iter().enumerate() {
        while matched > 0 && part.get(matched) != Some(byte) {
            matched = borders[matched - 1];
        }
        if part.get(matched) == Some(byte) {
            matched += 1;
        }
        if matched == part.len() && matched > 0 {
            found.push(index + 1 - matched);
        }
    }
    found
}

/// For each beginning of `part`, the length of its longest border, as Knuth, Morris and Pratt have it.
fn borders(part: &[u8]) -> Vec<usize> {
    let mut borders = vec![0; part.len()];
    let mut border = 0;
    for index in 1..part.len() {
        while border > 0 && part[border] != part[index] {
            border = borders[border - 1];
        }
        if part[border] == part[index] {
            border += 1;
        }
        borders[index] = border;
    }
    borders
}
