//! The words around calls in text form.

use serde::{Deserialize, Serialize};

use super::CALL_END;

/// The words around calls in text form. Models must be asked in those that they were trained with, so these are data:
/// those of other programs are read with [`TextFormat::from_pack`], the default ones are ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextFormat {
    /// What stands between the system prompt and the descriptions of the tools.
    pub tools_prefix: String,
    /// What follows the descriptions: how to write a call.
    pub tools_suffix: String,
    /// What stands around the first message of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<TextExample>,
    /// Texts that end an answer.
    pub stop: Vec<String>,
    /// Whether earlier answers are sent as the model wrote them, so that the tokens of a conversation only grow.
    /// OpenHands writes them anew from the call that it read, which is not always the same.
    #[serde(default)]
    pub keep_answers: bool,
}

/// A conversation that shows how calls are made, around the first message of the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextExample {
    /// What stands before the message.
    pub prefix: String,
    /// What follows it.
    pub suffix: String,
}

impl Default for TextFormat {
    /// Our own words, and answers sent as they were written.
    fn default() -> Self {
        Self {
            tools_prefix: include_str!("words/tools_prefix.txt").to_owned(),
            tools_suffix: include_str!("words/tools_suffix.txt").to_owned(),
            example: Some(TextExample {
                prefix: include_str!("words/example_prefix.txt").to_owned(),
                suffix: include_str!("words/example_suffix.txt").to_owned(),
            }),
            stop: vec![CALL_END.trim_end_matches('>').to_owned()],
            keep_answers: true,
        }
    }
}

impl TextFormat {
    /// The same without the example, as training data has it.
    pub fn without_example(&self) -> Self {
        Self { example: None, ..self.clone() }
    }
}
