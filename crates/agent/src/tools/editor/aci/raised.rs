//! What upstream's editor raises.

use serde_json::Value;
use swegym_sandbox::SandboxError;

use crate::python::{str_of, type_name};

/// Why a call of the editor has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditorError {
    /// The editor says what is wrong.
    #[error("{0}")]
    Refused(String),
    /// Upstream's code ran into an exception of Python, which is what the policy sees there.
    #[error("{kind}: {message}")]
    Raised {
        /// Class of the exception.
        kind: &'static str,
        /// Its text.
        message: String,
    },
    /// The files could not be reached.
    #[error(transparent)]
    Files(SandboxError),
}

impl EditorError {
    /// What the policy reads.
    pub fn observation(&self) -> String {
        match self {
            Self::Refused(why) => format!("ERROR:\n{why}"),
            Self::Raised { .. } | Self::Files(_) => self.to_string(),
        }
    }

    pub(super) fn missing(command: &str, parameter: &str) -> Self {
        Self::Refused(format!("Parameter `{parameter}` is required for command: {command}."))
    }

    pub(super) fn invalid(parameter: &str, value: &str, hint: &str) -> Self {
        Self::Refused(format!("Invalid `{parameter}` parameter: {value}. {hint}"))
    }

    pub(super) fn type_error(message: impl Into<String>) -> Self {
        Self::Raised { kind: "TypeError", message: message.into() }
    }

    /// A method was called on a value that is no text.
    pub(super) fn no_method(value: &Value, method: &str) -> Self {
        let message = format!("'{}' object has no attribute '{method}'", type_name(value));
        Self::Raised { kind: "AttributeError", message }
    }

    /// Upstream passes on whatever happens while a file is read or written, with these words around it.
    pub(super) fn while_trying_to(self, action: &str, path: &str) -> Self {
        match self {
            Self::Refused(why) | Self::Raised { message: why, .. } => {
                Self::Refused(format!("Ran into {why} while trying to {action} {path}"))
            }
            Self::Files(error) => Self::Files(error),
        }
    }
}

/// The text that a parameter must hold before one of its methods is called.
pub(super) fn text_for<'a>(value: &'a Value, method: &str) -> Result<&'a str, EditorError> {
    value.as_str().ok_or_else(|| EditorError::no_method(value, method))
}

/// A number of a line, as Python compares and slices with it.
pub(super) fn line_number(value: &Value, lines: usize, hint: &str) -> Result<usize, EditorError> {
    let number = match value {
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Number(number) => number.as_f64().unwrap_or(f64::MAX),
        other => {
            let kind = type_name(other);
            let message = format!("'<' not supported between instances of '{kind}' and 'int'");
            return Err(EditorError::type_error(message));
        }
    };
    if number < 0.0 || number > lines as f64 {
        return Err(EditorError::invalid("insert_line", &str_of(value), &format!("{hint}: [0, {lines}]")));
    }
    match value {
        Value::Bool(value) => Ok(usize::from(*value)),
        value => value.as_u64().and_then(|number| usize::try_from(number).ok()).ok_or_else(|| {
            EditorError::type_error("slice indices must be integers or None or have an __index__ method")
        }),
    }
}
