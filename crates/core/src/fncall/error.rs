//! What keeps calls from being converted.

use serde_json::Value;

use crate::python::{Json, JsonError};

/// What keeps calls from being converted. Where OpenHands raises an exception, there is an error of the same kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// A conversation that has no other form (`FunctionCallConversionError`).
    #[error("convert the conversation: {0}")]
    Conversion(String),
    /// A call that does not fit the tools (`FunctionCallValidationError`). The text is for the model, and in the words
    /// that models were trained with.
    #[error("fit the call to the tools: {0}")]
    Validation(String),
    /// What OpenHands did not expect, and dies of.
    #[error("convert the conversation: {kind}: {message}")]
    Unexpected {
        /// Type of the exception in Python.
        kind: Exception,
        /// Its text.
        message: String,
    },
}

/// A type of exception in Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exception {
    /// A field is missing.
    KeyError,
    /// A value is of another type.
    TypeError,
    /// Arguments are no object.
    AttributeError,
    /// Results are missing, or belong to no call.
    AssertionError,
    /// A number is too large.
    ValueError,
    /// A value is nested too deeply.
    RecursionError,
}

impl std::fmt::Display for Exception {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl CallError {
    /// Type of the exception that OpenHands raises.
    pub fn exception(&self) -> String {
        match self {
            Self::Conversion(_) => "FunctionCallConversionError".to_owned(),
            Self::Validation(_) => "FunctionCallValidationError".to_owned(),
            Self::Unexpected { kind, .. } => kind.to_string(),
        }
    }

    pub(super) fn conversion(message: impl Into<String>) -> Self {
        Self::Conversion(message.into())
    }

    pub(super) fn unexpected(kind: Exception, message: impl Into<String>) -> Self {
        Self::Unexpected { kind, message: message.into() }
    }

    pub(super) fn type_error(what: &str) -> Self {
        Self::unexpected(Exception::TypeError, format!("{what} is of another type"))
    }

    /// For JSON that Python reads with an exception other than that for texts which are none.
    pub(super) fn from_json(error: JsonError) -> Option<Self> {
        let kind = match error {
            JsonError::Syntax(_) => return None,
            JsonError::TooManyDigits => Exception::ValueError,
            JsonError::TooDeep => Exception::RecursionError,
        };
        Some(Self::unexpected(kind, error.to_string()))
    }
}

/// `object[key]`.
pub(super) fn field<'a>(object: &'a Value, key: &str) -> Result<&'a Value, CallError> {
    let fields = object.as_object().ok_or_else(|| CallError::type_error("what should be an object"))?;
    fields.get(key).ok_or_else(|| missing(key))
}

pub(super) fn missing(key: &str) -> CallError {
    CallError::unexpected(Exception::KeyError, Json::Text(key.to_owned()).to_repr())
}
