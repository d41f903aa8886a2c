//! How Python prints values: `str`, `repr` and `json.dumps`.

use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;

use super::Json;

/// What `repr` escapes in a text: what cannot be printed, the backslash, and a quote (which it may leave).
static ESCAPED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[[\p{C}\p{Z}\\']--\x20]").ok());

impl Json {
    /// `str(value)`: a text as it is, everything else as a Python program would have it.
    pub fn to_str(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            value => value.to_repr(),
        }
    }

    /// `repr(value)`.
    pub fn to_repr(&self) -> String {
        let mut out = String::new();
        self.write_repr(&mut out);
        out
    }

    fn write_repr(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("None"),
            Self::Bool(true) => out.push_str("True"),
            Self::Bool(false) => out.push_str("False"),
            Self::Int(digits) => out.push_str(digits),
            Self::Float(number) if number.is_nan() => out.push_str("nan"),
            Self::Float(number) if number.is_infinite() => {
                out.push_str(if *number > 0.0 { "inf" } else { "-inf" });
            }
            Self::Float(number) => write_float(*number, out),
            Self::Text(text) => write_text_repr(text, out),
            Self::List(values) => {
                write_joined(values, out, ('[', ']'), |value, out| value.write_repr(out));
            }
            Self::Object(fields) => write_joined(fields, out, ('{', '}'), |(key, value), out| {
                write_text_repr(key, out);
                out.push_str(": ");
                value.write_repr(out);
            }),
        }
    }

    /// `json.dumps(value)`: on one line, in ASCII.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(digits) => out.push_str(digits),
            Self::Float(number) if number.is_nan() => out.push_str("NaN"),
            Self::Float(number) if number.is_infinite() => {
                out.push_str(if *number > 0.0 { "Infinity" } else { "-Infinity" });
            }
            Self::Float(number) => write_float(*number, out),
            Self::Text(text) => write_json_text(text, out),
            Self::List(values) => {
                write_joined(values, out, ('[', ']'), |value, out| value.write_json(out));
            }
            Self::Object(fields) => write_joined(fields, out, ('{', '}'), |(key, value), out| {
                write_json_text(key, out);
                out.push_str(": ");
                value.write_json(out);
            }),
        }
    }
}

fn write_joined<T>(values: &[T], out: &mut String, ends: (char, char), write: impl Fn(&T, &mut String)) {
    out.push(ends.0);
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write(value, out);
    }
    out.push(ends.1);
}

/// The shortest digits that give the number back, with an exponent below 1e-4 and from 1e16 on.
fn write_float(number: f64, out: &mut String) {
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    // Writing into a string cannot fail.
    let _ = if (-4..16).contains(&exponent) {
        write!(out, "{number:?}")
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "{digits}e{sign}{:02}", exponent.unsigned_abs())
    };
}

fn write_text_repr(text: &str, out: &mut String) {
    let double = text.contains('\'') && !text.contains('"');
    let quote = if double { '"' } else { '\'' };
    out.push(quote);
    let mut written = 0;
    for found in ESCAPED.iter().flat_map(|escaped| escaped.find_iter(text)) {
        out.push_str(&text[written..found.start()]);
        written = found.end();
        for character in found.as_str().chars() {
            write_escaped(character, double, out);
        }
    }
    out.push_str(&text[written..]);
    out.push(quote);
}

fn write_escaped(character: char, in_double_quotes: bool, out: &mut String) {
    let code = u32::from(character);
    // Writing into a string cannot fail.
    let _ = match character {
        '\'' if in_double_quotes => write!(out, "'"),
        '\'' | '\\' => write!(out, "\\{character}"),
        '\n' => write!(out, "\\n"),
        '\r' => write!(out, "\\r"),
        '\t' => write!(out, "\\t"),
        _ if code < 0x100 => write!(out, "\\x{code:02x}"),
        _ if code < 0x1_0000 => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

fn write_json_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing into a string cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_shown_as_python_shows_them() {
        for (text, shown) in [
            ("a b", "'a b'"),
            ("it's", "\"it's\""),
            ("it's \"it\"", "'it\\'s \"it\"'"),
            ("\\\n\r\t\0\u{7f}\u{a0}\u{ad}", r"'\\\n\r\t\x00\x7f\xa0\xad'"),
            ("é中😀", "'é中😀'"),
            ("\u{200b}\u{2028}\u{e000}\u{e0001}", r"'\u200b\u2028\ue000\U000e0001'"),
        ] {
            assert_eq!(Json::Text(text.to_owned()).to_repr(), shown);
        }
    }

    #[test]
    fn values_are_shown_as_python_shows_them() {
        let value = Json::parse(r#"{"a": [1, "b", null, true, -1.5, 1e22, 1e-7, NaN], "c": {}}"#).unwrap();
        assert_eq!(value.to_str(), "{'a': [1, 'b', None, True, -1.5, 1e+22, 1e-07, nan], 'c': {}}");
        assert_eq!(Json::Text("a\nb".to_owned()).to_str(), "a\nb");
        assert_eq!(Json::Float(123_456_789_012_345_680.0).to_str(), "1.2345678901234568e+17");
        assert_eq!(Json::Float(100.0).to_str(), "100.0");
    }
}
