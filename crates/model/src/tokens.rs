//! Token ids and log probabilities in answers, as the model servers spell them.
//!
//! vLLM (`return_token_ids`, since 0.10.2) puts `prompt_token_ids` beside the choices of a chat completion and into each
//! choice of a text completion, `token_ids` into each choice; when streaming, the prompt into the first chunk and the ids
//! of each chunk into it. SGLang has both in each choice. Older versions of vLLM write a token as `token_id:7` in the log
//! probabilities (`return_tokens_as_token_ids`). SGLang also has lists of probability, id and text in
//! `meta_info.output_token_logprobs`.

use serde::Deserialize;
use serde_json::Value;
use swegym_core::{CompletionTokens, Usage};

/// Log probabilities of one choice: of a chat completion (`content`) or a text completion (the others).
#[derive(Debug, Default, Deserialize)]
pub(crate) struct AnsweredLogprobs {
    content: Option<Vec<TokenLogprob>>,
    tokens: Option<Vec<String>>,
    token_logprobs: Option<Vec<Option<f64>>>,
}

#[derive(Debug, Deserialize)]
struct TokenLogprob {
    token: Option<String>,
    logprob: Option<f64>,
}

/// SGLang's account of one choice.
#[derive(Debug, Deserialize)]
pub(crate) struct MetaInfo {
    output_token_logprobs: Option<Vec<(Option<f64>, u32, Value)>>,
}

/// What one answer, or one chunk of it, says about its tokens.
#[derive(Debug, Default)]
pub(crate) struct TokenFields {
    pub(crate) prompt: Option<Vec<u32>>,
    pub(crate) completion: Option<Vec<u32>>,
    /// Those of tokens without one are `None`.
    pub(crate) logprobs: Option<Vec<Option<f64>>>,
}

impl TokenFields {
    /// Reads the fields of a choice; `prompt` is that beside the choices.
    pub(crate) fn read(
        prompt: Option<Vec<u32>>,
        completion: Option<Vec<u32>>,
        logprobs: Option<AnsweredLogprobs>,
        meta_info: Option<MetaInfo>,
    ) -> Self {
        let mut fields = Self { prompt, completion, logprobs: None };
        let mut named = None;
        if let Some(list) = logprobs {
            (fields.logprobs, named) = list.unzip();
        }
        if let Some(list) = meta_info.and_then(|info| info.output_token_logprobs) {
            named = named.or_else(|| Some(list.iter().map(|(_, id, _)| *id).collect()));
            fields.logprobs =
                fields.logprobs.or_else(|| Some(list.into_iter().map(|(logprob, ..)| logprob).collect()));
        }
        fields.completion = fields.completion.or(named);
        fields
    }

    /// Appends what a later chunk says.
    pub(crate) fn append(&mut self, chunk: Self) {
        self.prompt = self.prompt.take().or(chunk.prompt);
        append(&mut self.completion, chunk.completion);
        append(&mut self.logprobs, chunk.logprobs);
    }

    /// How much memory it takes, about.
    pub(crate) fn size(&self) -> usize {
        let ids = |ids: &Option<Vec<u32>>| ids.as_ref().map_or(0, |ids| 4 * ids.len());
        ids(&self.prompt) + ids(&self.completion) + self.logprobs.as_ref().map_or(0, |list| 16 * list.len())
    }

    /// The tokens, checked against each other and against the counts of the endpoint: a server whose parser of calls
    /// swallows some ids must not lead to training on the rest.
    pub(crate) fn checked(self, usage: &Usage) -> Result<CompletionTokens, String> {
        let prompt_token_ids = self.prompt.ok_or("it has no ids of the prompt")?;
        let completion_token_ids = self.completion.ok_or("it has no ids of the answer")?;
        let agree = |counted: u64, ids: &[u32], what: &str| match counted {
            0 => Ok(()),
            counted if counted == ids.len() as u64 => Ok(()),
            counted => Err(format!("it has {} ids of the {what} and counts {counted} tokens", ids.len())),
        };
        agree(usage.prompt_tokens, &prompt_token_ids, "prompt")?;
        agree(usage.completion_tokens, &completion_token_ids, "answer")?;
        let logprobs: Option<Vec<f64>> = self.logprobs.unwrap_or_default().into_iter().collect();
        let logprobs = logprobs.unwrap_or_default();
        if !logprobs.is_empty() && logprobs.len() != completion_token_ids.len() {
            return Err(format!(
                "it has {} ids of the answer and {} log probabilities",
                completion_token_ids.len(),
                logprobs.len()
            ));
        }
        Ok(CompletionTokens { prompt_token_ids, completion_token_ids, logprobs })
    }
}

/// The tokens of an answer in tokens: the prompt is known, and must be the one that the endpoint speaks of.
pub(crate) fn checked_answer(
    mut fields: TokenFields,
    usage: &Usage,
    prompt: &[u32],
) -> Result<CompletionTokens, String> {
    if fields.prompt.get_or_insert_with(|| prompt.to_vec()) != prompt {
        return Err("the endpoint was sent other tokens than it speaks of".to_owned());
    }
    fields.checked(usage)
}

fn append<T>(list: &mut Option<Vec<T>>, chunk: Option<Vec<T>>) {
    if let Some(chunk) = chunk {
        list.get_or_insert_default().extend(chunk);
    }
}

impl AnsweredLogprobs {
    /// The probabilities, and the ids where each token is written as one.
    fn unzip(self) -> (Option<Vec<Option<f64>>>, Option<Vec<u32>>) {
        let id = |token: &str| token.strip_prefix("token_id:")?.parse().ok();
        match self.content {
            Some(content) => {
                let ids = content.iter().map(|token| id(token.token.as_deref()?)).collect();
                (Some(content.into_iter().map(|token| token.logprob).collect()), ids)
            }
            None => {
                let ids = self.tokens.and_then(|tokens| tokens.iter().map(|token| id(token)).collect());
                (self.token_logprobs, ids)
            }
        }
    }
}
