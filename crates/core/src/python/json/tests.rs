use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn printed(text: &str) -> Result<String, JsonError> {
    Json::parse(text).map(|value| value.to_json())
}

#[test]
fn what_python_reads_is_read() {
    for (text, json) in [
        (" {\"b\" : [1 ,2.50, -0, -0.0],\n\"a\":null} ", r#"{"b": [1, 2.5, 0, -0.0], "a": null}"#),
        (r#"{"a": 1, "b": 2, "a": 3}"#, r#"{"a": 3, "b": 2}"#),
        ("[NaN, Infinity, -Infinity, 1e400]", "[NaN, Infinity, -Infinity, Infinity]"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("[1e16, 1E15, 1e-4, 0.00001, 5e-324]", "[1e+16, 1000000000000000.0, 0.0001, 1e-05, 5e-324]"),
        (r#""\ud83d\ude00\u00e9\/\b\f\u007f""#, r#""\ud83d\ude00\u00e9/\b\f\u007f""#),
        ("[]", "[]"),
        ("{}", "{}"),
    ] {
        assert_eq!(printed(text).as_deref(), Ok(json), "{text}");
    }
}

#[test]
fn what_python_refuses_is_refused() {
    let texts = [
        "",
        "{not json}",
        "01",
        "1.",
        ".5",
        "-",
        "+1",
        "1e",
        "[1,]",
        "{\"a\": 1,}",
        "{a: 1}",
        "{1: 2}",
        "1 2",
        "nul",
        "\"\n\"",
        "\"\\x\"",
        "\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\u12\"",
        "\"\\u+123\"",
        "\u{feff}1",
        "\u{a0}1",
    ];
    for text in texts {
        assert!(matches!(printed(text), Err(JsonError::Syntax(_))), "{text}");
    }
    assert_eq!(printed(&"1".repeat(4301)), Err(JsonError::TooManyDigits));
    assert_eq!(printed(&"[".repeat(1_000_000)), Err(JsonError::TooDeep));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in r#"[\[\]{},:"\\eu0-9+. a-f\-]{0,40}|\PC*"#) {
        let ours = printed(&text);
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            let again = ours.as_deref().map(serde_json::from_str::<Value>);
            prop_assert!(matches!(again, Ok(Ok(again)) if again == value), "{ours:?}");
        }
    }
}
