//! What Python takes for white space, for a number and for JSON, and how it prints them: rules that came from Python
//! programs depend on it.

mod int;
mod json;
mod print;

pub use int::parse_int;
pub use json::{Json, JsonError};

/// Whether `str.isspace` holds. Beside Unicode's white space, Python counts the four information separators.
pub fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// `str.strip` without arguments.
pub fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_and_unicode_spaces_are_stripped() {
        assert_eq!(strip("\u{1c}\u{1f}\u{a0}\u{85}\u{2028} a b\u{b}\u{c}\r\n"), "a b");
        assert_eq!(strip("\u{200b}a\u{feff}"), "\u{200b}a\u{feff}");
    }
}
