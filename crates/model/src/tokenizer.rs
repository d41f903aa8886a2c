//! Texts to tokens and back.

use crate::ChatTemplate;

/// A model's tokenizer.
pub trait Tokenizer: Send + Sync {
    /// The tokens of a text. Names of special tokens in it are these tokens; none are added.
    ///
    /// # Errors
    /// What is wrong with the text.
    fn encode(&self, text: &str) -> Result<Vec<u32>, String>;

    /// The text of tokens, special ones by name. What is no UTF-8 reads as the replacement character.
    ///
    /// # Errors
    /// What is wrong with the tokens.
    fn decode(&self, ids: &[u32]) -> Result<String, String>;

    /// Whether a token is a mark of the model's own, such as one that ends a turn.
    fn is_special(&self, _id: u32) -> bool {
        false
    }
}

/// What it takes to speak with a model in tokens.
pub struct TokenModel {
    /// How a conversation is written.
    pub template: ChatTemplate,
    /// How that is cut into tokens.
    pub tokenizer: Box<dyn Tokenizer>,
}

impl std::fmt::Debug for TokenModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenModel").field("template", &self.template).finish_non_exhaustive()
    }
}

#[cfg(feature = "tokenizer")]
pub use hugging_face::read_tokenizer;

#[cfg(feature = "tokenizer")]
mod hugging_face {
    use std::path::Path;

    use tokenizers::Tokenizer as Inner;

    use super::{TokenModel, Tokenizer};
    use crate::{ChatTemplate, ModelError};

    struct HuggingFace(Inner);

    impl Tokenizer for HuggingFace {
        fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
            let encoding = self.0.encode_fast(text, false).map_err(|error| error.to_string())?;
            Ok(encoding.get_ids().to_vec())
        }

        fn decode(&self, ids: &[u32]) -> Result<String, String> {
            self.0.decode(ids, false).map_err(|error| error.to_string())
        }

        fn is_special(&self, id: u32) -> bool {
            let name = self.0.id_to_token(id);
            name.is_some_and(|name| self.0.get_added_vocabulary().is_special_token(&name))
        }
    }

    /// Reads `tokenizer.json` from a model's folder.
    ///
    /// # Errors
    /// [`ModelError::Setup`] when it cannot be read.
    pub fn read_tokenizer(folder: &Path) -> Result<Box<dyn Tokenizer>, ModelError> {
        let path = folder.join("tokenizer.json");
        let inner = Inner::from_file(&path)
            .map_err(|error| ModelError::Setup { message: format!("`{}`: {error}", path.display()) })?;
        Ok(Box::new(HuggingFace(inner)))
    }

    impl TokenModel {
        /// Reads `tokenizer.json` and the chat template from a model's folder.
        ///
        /// # Errors
        /// [`ModelError::Setup`] when one of them cannot be read.
        pub fn read(folder: &Path) -> Result<Self, ModelError> {
            let tokenizer = read_tokenizer(folder)?;
            Ok(Self { template: ChatTemplate::read(folder)?, tokenizer })
        }
    }

    #[cfg(test)]
    mod tests {
        use serde_json::json;

        use super::*;

        #[test]
        fn the_files_of_a_model_are_read() {
            let folder = tempfile::tempdir().unwrap();
            assert!(TokenModel::read(folder.path()).is_err());
            let special = |id: u32, content: &str| {
                json!({
                    "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true,
                })
            };
            let tokenizer = json!({
                "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
                "added_tokens": [special(3, "</s>")],
                "pre_tokenizer": {"type": "Split", "pattern": {"Regex": " ?[a-z]"}, "behavior": "Isolated", "invert": false},
                "decoder": {"type": "Fuse"},
                "model": {"type": "WordLevel", "vocab": {"a": 0, " a": 1, "?": 2}, "unk_token": "?"},
            });
            std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
            let config = json!({"chat_template": "{{ eos_token }}", "eos_token": "</s>"});
            std::fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
            let model = TokenModel::read(folder.path()).unwrap();
            assert_eq!(model.tokenizer.encode("a a</s>b").unwrap(), [0, 1, 3, 2]);
            assert_eq!(model.tokenizer.decode(&[0, 1, 3]).unwrap(), "a a</s>");
            assert_eq!([0, 3, 9].map(|id| model.tokenizer.is_special(id)), [false, true, false]);
        }
    }
}
