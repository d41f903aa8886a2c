//! A patch: bytes in unified-diff form, never repaired on the way.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A unified diff as bytes: line endings, encoding and a missing final newline stay as they are.
///
/// In JSON it is a string. A patch that is not UTF-8 cannot be a JSON string; it is written there with
/// replacement characters, and the exact bytes live in `patch.diff` of the run directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patch(Vec<u8>);

impl Patch {
    /// Takes the bytes as they are.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes as they are.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is nothing but white space in it: an empty prediction.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(u8::is_ascii_whitespace)
    }

    /// The text, with replacement characters where it is not UTF-8: for reading, not for applying.
    pub fn to_text_lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl From<&str> for Patch {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl Serialize for Patch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text_lossy())
    }
}

impl<'de> Deserialize<'de> for Patch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into_bytes()))
    }
}
