//! How Python shows, names and tests values: texts that upstream's tools give to a policy hold them.

use serde_json::{Number, Value};

/// `str()` of a value.
pub(crate) fn str_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

/// `repr()` of a value.
pub(crate) fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => repr_number(number),
        Value::String(text) => repr_text(text),
        Value::Array(items) => format!("[{}]", items.iter().map(repr).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| format!("{}: {}", repr_text(key), repr(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

/// `repr()` of a text: in single quotes, unless it has those and no double ones.
pub(crate) fn repr_text(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut shown = String::with_capacity(text.len() + 2);
    shown.push(quote);
    for c in text.chars() {
        match c {
            '\\' => shown.push_str("\\\\"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if c == quote => shown.extend(['\\', c]),
            c if is_printable(c) => shown.push(c),
            c if c < '\u{100}' => shown.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c < '\u{10000}' => shown.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => shown.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    shown.push(quote);
    shown
}

/// `type(value).__name__`.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// `bool(value)`.
pub(crate) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// `str.strip()`.
pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.rstrip()`.
pub(crate) fn rstrip(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

/// `str.isspace()` of one character: the separators of ASCII count, too.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// `str.isprintable()` of one character. What Rust escapes for debugging is just what Python does, apart from
/// quotes and backslashes, and from combining characters, which Rust escapes at the beginning of a text only.
fn is_printable(c: char) -> bool {
    matches!(c, '\'' | '"' | '\\') || ['a', c].iter().collect::<String>().escape_debug().nth(1) == Some(c)
}

fn repr_number(number: &Number) -> String {
    match number.as_f64() {
        Some(value) if number.is_f64() => repr_float(value),
        _ => number.to_string(),
    }
}

fn repr_float(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-4..1e16).contains(&magnitude) {
        return format!("{value:?}");
    }
    let shown = format!("{value:e}");
    match shown.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_shown_as_python_shows_them() {
        let value = json!([null, true, 3, -1.5, 2.0, "it's", "say \"it's\"", {"a\n": [1e16, 1e-5, 1e-4]}]);
        let shown = r#"[None, True, 3, -1.5, 2.0, "it's", 'say "it\'s"', {'a\n': [1e+16, 1e-05, 0.0001]}]"#;
        assert_eq!(repr(&value), shown);
        assert_eq!(str_of(&json!("it's")), "it's");
    }

    #[test]
    fn what_cannot_be_printed_is_escaped() {
        let text = "é中\u{301}\u{0}\u{7f}\u{a0}\u{ad}\u{200b}\u{2028}\u{1f600}\u{e0001}\\";
        let shown = "'é中\u{301}\\x00\\x7f\\xa0\\xad\\u200b\\u2028\u{1f600}\\U000e0001\\\\'";
        assert_eq!(repr_text(text), shown);
    }

    #[test]
    fn white_space_is_pythons() {
        assert_eq!(strip("\u{1c}\u{a0} a b\u{1f}\n"), "a b");
        assert_eq!(rstrip(" a\u{200b}\u{2028}"), " a\u{200b}");
    }

    #[test]
    fn empty_values_are_false() {
        for value in [json!(null), json!(false), json!(0), json!(0.0), json!(""), json!([]), json!({})] {
            assert!(!is_true(&value), "{value}");
        }
        for value in [json!(true), json!(-1), json!("0"), json!([0]), json!({"a": null})] {
            assert!(is_true(&value), "{value}");
        }
    }
}
