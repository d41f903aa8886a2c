//! Arguments of a call: text that a policy wrote, which ought to be a JSON object with known members.

use serde_json::{Map, Value};
use swegym_core::ToolSpec;

use super::toolbox::ToolError;
use crate::clip::first;

/// Bytes of arguments that are looked at.
const SIZE_LIMIT: usize = 1 << 20;

/// The members of an arguments object; all of them are named in the tool's specification.
#[derive(Debug)]
pub(crate) struct Arguments(Map<String, Value>);

impl Arguments {
    /// Reads the text; no text at all counts as no arguments.
    pub(crate) fn parse(spec: &ToolSpec, text: &str) -> Result<Self, ToolError> {
        if text.len() > SIZE_LIMIT {
            return Err(ToolError::refused(format!(
                "the arguments have {} bytes, more than the limit of {SIZE_LIMIT}",
                text.len()
            )));
        }
        if text.trim().is_empty() {
            return Ok(Self(Map::new()));
        }
        let members = match serde_json::from_str(text) {
            Ok(Value::Object(members)) => members,
            Ok(other) => {
                return Err(ToolError::refused(format!(
                    "the arguments must be a JSON object, not {}",
                    kind_of(&other)
                )));
            }
            Err(error) => return Err(ToolError::refused(format!("the arguments are not JSON: {error}"))),
        };
        let known = |name: &String| spec.parameters["properties"].get(name.as_str()).is_some();
        match members.keys().find(|name| !known(name)) {
            Some(name) => {
                Err(ToolError::refused(format!("`{}` has no parameter `{}`", spec.name, first(name, 100))))
            }
            None => Ok(Self(members)),
        }
    }

    /// All of them, as the policy gave them.
    pub(super) fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    /// A text that must be there.
    pub(crate) fn text(&self, name: &str) -> Result<&str, ToolError> {
        self.optional_text(name)?.ok_or_else(|| missing(name))
    }

    /// A text that may be missing or null.
    pub(super) fn optional_text(&self, name: &str) -> Result<Option<&str>, ToolError> {
        self.get(name, "a string", Value::as_str)
    }

    /// A whole number that must be there, and not be negative.
    pub(super) fn count(&self, name: &str) -> Result<usize, ToolError> {
        let number = self.get(name, "a whole number from 0", as_count)?;
        number.ok_or_else(|| missing(name))
    }

    /// A number above 0 that may be missing or null. Calls in text form have it as a text.
    pub(super) fn optional_positive(&self, name: &str) -> Result<Option<f64>, ToolError> {
        let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
        self.get(name, "a number above 0", |value| number(value).filter(|number| *number > 0.0))
    }

    /// True or false; false where it is missing or null. Calls in text form have it as a text.
    pub(super) fn optional_flag(&self, name: &str) -> Result<bool, ToolError> {
        let flag =
            |value: &Value| value.as_bool().or_else(|| value.as_str()?.trim().to_lowercase().parse().ok());
        Ok(self.get(name, "true or false", flag)?.unwrap_or(false))
    }

    /// A list of two whole numbers that may be missing or null.
    pub(super) fn optional_pair(&self, name: &str) -> Result<Option<(i64, i64)>, ToolError> {
        let pair = |value: &Value| match value.as_array()?.as_slice() {
            [first, second] => Some((first.as_i64()?, second.as_i64()?)),
            _ => None,
        };
        self.get(name, "a list of two whole numbers", pair)
    }

    fn get<'a, T>(
        &'a self,
        name: &str,
        kind: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ToolError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(value) {
                None => Err(ToolError::refused(format!("`{name}` must be {kind}, not {}", kind_of(value)))),
                read => Ok(read),
            },
        }
    }
}

fn missing(name: &str) -> ToolError {
    ToolError::refused(format!("`{name}` is missing"))
}

fn as_count(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|number| usize::try_from(number).ok())
}

fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(text: &str) -> Result<Arguments, String> {
        let spec = ToolSpec {
            name: "tool".into(),
            description: String::new(),
            parameters: json!({"properties": {"a": {}, "b": {}}}),
        };
        Arguments::parse(&spec, text).map_err(why)
    }

    fn why(error: ToolError) -> String {
        match error {
            ToolError::Refused(why) => why,
            ToolError::Sandbox(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_no_arguments_object_is_explained() {
        let deep = "[".repeat(100_000);
        let long = format!("{{\"a\": \"{}\"}}", "x".repeat(SIZE_LIMIT));
        let cases = [
            ("{\"a\": ", "not JSON: EOF"),
            (&deep, "recursion limit"),
            (&long, "more than the limit"),
            ("[1, 2]", "not a list of 2"),
            ("\"ls\"", "not a string"),
            ("{\"a\": 1, \"c\": 2}", "`tool` has no parameter `c`"),
        ];
        for (text, message) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn members_have_types() {
        let arguments = parse(r#"{"a": "x", "b": [1, -1]}"#).unwrap();
        assert_eq!(arguments.text("a").ok(), Some("x"));
        assert_eq!(arguments.optional_pair("b").ok(), Some(Some((1, -1))));
        assert_eq!(
            arguments.count("a").map_err(why),
            Err("`a` must be a whole number from 0, not a string".into())
        );
        assert_eq!(arguments.text("b").map_err(why), Err("`b` must be a string, not a list of 2".into()));
    }

    #[test]
    fn null_and_nothing_are_missing() {
        for text in ["", "{}", r#"{"a": null}"#] {
            let arguments = parse(text).unwrap();
            assert_eq!(arguments.optional_positive("a").ok(), Some(None));
            assert_eq!(arguments.text("a").map_err(why), Err("`a` is missing".to_owned()));
        }
        let zero = parse(r#"{"a": 0}"#).unwrap();
        assert_eq!(
            zero.optional_positive("a").map_err(why),
            Err("`a` must be a number above 0, not the number 0".into())
        );
    }
}
