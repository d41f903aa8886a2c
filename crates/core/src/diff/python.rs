//! What Python means by white space, words and lines, over bytes that need not be UTF-8.

use regex::bytes::Regex;

use crate::python::is_space;

/// `\s` of Python, for a character class: it has four control characters more than `\s` here.
pub(super) const SPACE: &str = r"\s\x1c-\x1f";

/// Compiles a pattern that is part of the program.
#[expect(clippy::unwrap_used, reason = "every pattern is constant and compiled by a test")]
pub(super) fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

/// `str.rstrip()`.
pub(super) fn trim_end(mut text: &[u8]) -> &[u8] {
    while let Some(start) = text.iter().rposition(|byte| byte & 0xc0 != 0x80) {
        match std::str::from_utf8(&text[start..]) {
            Ok(last) if last.chars().all(is_space) => text = &text[..start],
            _ => break,
        }
    }
    text
}

/// `str.splitlines()`.
pub(super) fn split_lines(mut text: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut end = 0;
    while end < text.len() {
        match line_end(&text[end..]) {
            0 => end += 1,
            length => {
                lines.push(&text[..end]);
                text = &text[end + length..];
                end = 0;
            }
        }
    }
    if !text.is_empty() {
        lines.push(text);
    }
    lines
}

/// Length of the line end with which the text begins, 0 where it begins with none.
fn line_end(text: &[u8]) -> usize {
    match text {
        [b'\r', b'\n', ..] | [0xc2, 0x85, ..] => 2,
        [b'\n' | b'\r' | 0x0b | 0x0c | 0x1c..=0x1e, ..] => 1,
        [0xe2, 0x80, 0xa8 | 0xa9, ..] => 3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_python_ends_them() {
        let text = "a\r\nb\rc\n\nd\u{0b}e\u{1c}f\u{85}g\u{2028}h\u{2029}i j\t";
        let lines: Vec<_> = split_lines(text.as_bytes());
        assert_eq!(
            lines.iter().map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>(),
            ["a", "b", "c", "", "d", "e", "f", "g", "h", "i j\t"]
        );
        assert_eq!(split_lines(b"a\n"), [b"a"]);
        assert!(split_lines(b"").is_empty());
    }

    #[test]
    fn white_space_at_the_end_goes_and_broken_text_stays() {
        assert_eq!(trim_end("é \u{a0}\u{1f}\u{3000}\n".as_bytes()), "é".as_bytes());
        assert_eq!(trim_end(b"a \xff \n"), b"a \xff");
        assert_eq!(trim_end(b"\x80\x80"), b"\x80\x80");
        assert_eq!(trim_end(b" \n"), b"");
    }
}
