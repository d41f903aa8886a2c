//! `int(text)`.

use std::sync::LazyLock;

use regex::Regex;

/// Longest number that Python reads, in digits.
pub(super) const DIGITS_LIMIT: usize = 4300;

/// A decimal digit of any script. Where the pattern could not be compiled nothing is one.
static DIGIT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\A\p{Nd}\z").ok());

/// Reads a number as `int` does, of any size and in the digits of any script, with single underscores between digits;
/// gives it in plain decimal.
pub fn parse_int(text: &str) -> Option<String> {
    let text = super::strip(text);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut plain = String::new();
    for group in digits.split('_') {
        if group.is_empty() {
            return None;
        }
        for character in group.chars() {
            plain.push(digit(character)?);
            if plain.len() > DIGITS_LIMIT {
                return None;
            }
        }
    }
    Some(canonical(negative, &plain))
}

/// Decimal digits without leading zeros, and zero without a sign.
pub(super) fn canonical(negative: bool, digits: &str) -> String {
    match digits.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits if negative => format!("-{digits}"),
        digits => digits.to_owned(),
    }
}

/// The ASCII form of a digit. Unicode has digits in unbroken runs of ten (mathematical ones in one of fifty), so the
/// value is how many stand before it.
fn digit(character: char) -> Option<char> {
    if character.is_ascii() || !is_digit(character) {
        return character.is_ascii_digit().then_some(character);
    }
    let code = u32::from(character);
    let before = (0..code).rev().take_while(|&code| char::from_u32(code).is_some_and(is_digit)).count();
    char::from_digit(u32::try_from(before % 10).ok()?, 10)
}

fn is_digit(character: char) -> bool {
    let mut buffer = [0; 4];
    DIGIT.as_ref().is_some_and(|digit| digit.is_match(character.encode_utf8(&mut buffer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_python_reads_them() {
        for (text, number) in [
            (" 12\n", Some("12")),
            ("+7", Some("7")),
            ("-0", Some("0")),
            ("-007", Some("-7")),
            ("1_000", Some("1000")),
            ("\u{661}\u{662}", Some("12")),
            ("\u{1d7d9}\u{1d7ce}\u{1d7ff}\u{ff15}", Some("1095")),
            ("123456789012345678901234567890", Some("123456789012345678901234567890")),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("+_1", None),
            ("- 1", None),
            ("1.5", None),
            ("0x1", None),
            ("\u{b2}", None),
            ("+-1", None),
            ("", None),
            ("+", None),
        ] {
            assert_eq!(parse_int(text).as_deref(), number, "{text}");
        }
        assert_eq!(parse_int(&"1".repeat(DIGITS_LIMIT + 1)), None);
    }
}
