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
pub(super) fn lines(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let end = (0..text.len()).find(|at| line_end(&text[*at..]) > 0).unwrap_or(text.len());
        let line = &text[..end];
        text = &text[end + line_end(&text[end..])..];
        Some(line)
    })
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
        assert_eq!(
            lines(text.as_bytes()).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>(),
            ["a", "b", "c", "", "d", "e", "f", "g", "h", "i j\t"]
        );
        assert_eq!(lines(b"a\n").collect::<Vec<_>>(), [b"a"]);
        assert_eq!(lines(b"").count(), 0);
    }

    #[test]
    fn white_space_at_the_end_goes_and_broken_text_stays() {
        assert_eq!(trim_end("é \u{a0}\u{1f}\u{3000}\n".as_bytes()), "é".as_bytes());
        assert_eq!(trim_end(b"a \xff \n"), b"a \xff");
        assert_eq!(trim_end(b"\x80\x80"), b"\x80\x80");
        assert_eq!(trim_end(b" \n"), b"");
    }
}
