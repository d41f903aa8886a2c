//! JSON in the form in which upstream writes its reports.

use std::fmt::Write;

use serde_json::Value;

/// `json.dumps(value, indent=4)` of Python: four blanks a level, and only ASCII. Reports hold no fractions, which Python
/// may write differently.
pub fn json_text(value: &Value) -> String {
    let plain = indented(value);
    let mut text = String::with_capacity(plain.len());
    // Outside of strings, JSON is ASCII already.
    for c in plain.chars() {
        if c <= '~' {
            text.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    text
}

fn indented(value: &Value) -> String {
    // With two blanks, and then twice as many: a line break never stands inside of a string.
    let text = format!("{value:#}");
    let lines = text.split('\n').map(|line| {
        let blanks = line.len() - line.trim_start_matches(' ').len();
        format!("{:blanks$}{line}", "")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_text_is_that_of_python() {
        let value = json!({ "b": [], "é😀": ["\u{7f}\n", {}], "a": { "x": null } });
        let expected = "{\n    \"b\": [],\n    \"\\u00e9\\ud83d\\ude00\": [\n        \"\\u007f\\n\",\n        {}\n    ],\n    \
                        \"a\": {\n        \"x\": null\n    }\n}";
        assert_eq!(json_text(&value), expected);
    }
}
