//! The words of other programs, read from a file.

use serde_json::Value;

use super::{CALL_END, TextExample, TextFormat};

/// What stands for the descriptions of the tools in `system_prompt_suffix`.
const PLACEHOLDER: &str = "{description}";

/// Why a pack of words cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// It is no JSON.
    #[error("read the words of text calls: {0}")]
    Json(#[from] serde_json::Error),
    /// A field is missing or of another form.
    #[error("read the words of text calls: `{field}` must be {expected}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

impl TextFormat {
    /// Reads a JSON object: `system_prompt_suffix`, a text with `{description}` where the tools are described;
    /// `in_context_prefix` and `in_context_suffix`, texts around the first message of the user, both or none;
    /// `stop_words`, a list of texts, by default the beginning of what ends a call.
    ///
    /// `system_prompt_suffix` may also be an object of finished suffixes by the name of a set of tools, when
    /// `description` is one of the descriptions in them.
    ///
    /// Answers are sent again as OpenHands sends them: written anew.
    ///
    /// # Errors
    /// [`PackError`] says which field is wrong.
    pub fn from_pack(text: &str) -> Result<Self, PackError> {
        let pack: Value = serde_json::from_str(text)?;
        let (tools_prefix, tools_suffix) = around_description(&pack)?;
        Ok(Self {
            tools_prefix: tools_prefix.to_owned(),
            tools_suffix: tools_suffix.to_owned(),
            example: example(&pack)?,
            stop: stop(&pack)?,
            keep_answers: false,
        })
    }
}

fn around_description(pack: &Value) -> Result<(&str, &str), PackError> {
    let expected = "a text with `{description}`, or an object of texts beside one in `description`";
    let wrong = PackError::Field { field: "system_prompt_suffix", expected };
    let parts = match &pack["system_prompt_suffix"] {
        Value::String(template) => template.split_once(PLACEHOLDER),
        Value::Object(finished) => finished.iter().find_map(|(name, suffix)| {
            let description = pack["description"][name].as_str().filter(|text| !text.is_empty())?;
            suffix.as_str()?.split_once(description)
        }),
        _ => None,
    };
    parts.ok_or(wrong)
}

fn example(pack: &Value) -> Result<Option<TextExample>, PackError> {
    match (&pack["in_context_prefix"], &pack["in_context_suffix"]) {
        (Value::Null, Value::Null) => Ok(None),
        (Value::String(prefix), Value::String(suffix)) => {
            Ok(Some(TextExample { prefix: prefix.clone(), suffix: suffix.clone() }))
        }
        (Value::String(_), _) => Err(PackError::Field { field: "in_context_suffix", expected: "a text" }),
        _ => Err(PackError::Field { field: "in_context_prefix", expected: "a text" }),
    }
}

fn stop(pack: &Value) -> Result<Vec<String>, PackError> {
    let wrong = || PackError::Field { field: "stop_words", expected: "a list of texts" };
    match &pack["stop_words"] {
        Value::Null => Ok(vec![CALL_END.trim_end_matches('>').to_owned()]),
        Value::Array(words) => {
            words.iter().map(|word| word.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        _ => Err(wrong()),
    }
}
