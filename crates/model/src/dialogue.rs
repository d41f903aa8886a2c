//! A conversation in tokens. What is sent for a step is what was sent before, what came back, and the tokens of the new
//! messages alone: nothing that the model saw or wrote is ever cut into tokens anew, because it might be cut
//! differently, and then training would be on tokens that were never sampled.
//!
//! The tokens of new messages are found by rendering the conversation with a mark in place of the model's last answer;
//! what follows the end of the marked turn is new. Where a template rewrites the past, as those do that leave out what a
//! model thought in earlier turns, the past stays as it was sent, and that is said once. A conversation that does not
//! go on from the last answer (it was shortened, or another one) is rendered and cut afresh.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};
use swegym_core::{ChatRequest, Message, Role, ToolSpec};

use crate::template::template_message;
use crate::{ModelError, Notices, TokenModel};

/// Where a conversation stands.
#[derive(Debug, Default)]
pub(crate) struct Dialogue {
    /// Digests of the messages that were sent last.
    past: Vec<u64>,
    /// Length and digest of their rendering.
    text: (usize, u64),
    prompt: Vec<u32>,
    answer: Vec<u32>,
    /// The token by which the model ended its turn, if it did, as text.
    end: Option<String>,
}

impl Dialogue {
    /// The tokens to send for a request.
    pub(crate) fn prompt(
        &mut self,
        model: &TokenModel,
        request: &ChatRequest<'_>,
        notices: &Notices,
    ) -> Result<Vec<u32>, ModelError> {
        let digests: Vec<u64> =
            request.messages.iter().map(|message| digest(&json!(message).to_string())).collect();
        if digests == self.past && !self.past.is_empty() {
            return Ok(self.prompt.clone());
        }
        let messages: Vec<Value> = request.messages.iter().map(template_message).collect();
        let text = model.template.render(&messages, request.tools, true)?;
        if self.goes_on(&digests, request.messages) {
            let (length, before) = self.text;
            if text.get(..length).map(digest) != Some(before) {
                notices.say(
                    "past",
                    "the model's chat template rewrites earlier turns, for instance without their reasoning: they \
                     stay as they were sent",
                );
            }
            let new = self.continuation(model, messages, request.tools)?;
            self.prompt.append(&mut self.answer);
            self.prompt.extend(encode(model, &new)?);
        } else {
            if !self.past.is_empty() {
                notices.say("afresh", "a conversation was changed: it is cut into tokens afresh from there");
            }
            self.prompt = encode(model, &text)?;
        }
        self.answer.clear();
        self.past = digests;
        self.text = (text.len(), digest(&text));
        Ok(self.prompt.clone())
    }

    /// Takes the tokens of the answer, of which `end` ended the turn.
    pub(crate) fn answered(&mut self, tokens: &[u32], end: Option<String>) {
        self.answer = tokens.to_vec();
        self.end = end;
    }

    /// Whether these are the messages of the last request, the answer to it and others that are no answers.
    fn goes_on(&self, digests: &[u64], messages: &[Message]) -> bool {
        let known = self.past.len();
        let is_answer = |message: &Message| message.role == Role::Assistant;
        known > 0
            && digests.starts_with(&self.past)
            && messages.get(known).is_some_and(is_answer)
            && !messages[known + 1..].iter().any(is_answer)
    }

    /// What is written after the answer: the rest of its turn, as far as the model did not end it itself, and the
    /// messages that follow.
    fn continuation(
        &self,
        model: &TokenModel,
        mut messages: Vec<Value>,
        tools: &[ToolSpec],
    ) -> Result<String, ModelError> {
        let answer = self.past.len();
        let mark = mark(&messages);
        messages[answer] = marked(&messages[answer], &mark);
        let text = model.template.render(&messages, tools, true)?;
        let missing = || ModelError::Setup {
            message: "chat template: it leaves out the last answer, so tokens cannot be continued".to_owned(),
        };
        // A template may write the calls of an answer and leave out its words, so the mark is in both.
        let at = text.rfind(&mark).ok_or_else(missing)? + mark.len();
        let rest = &text[at..];
        let eos = model.template.eos_token();
        let ends = [eos, self.end.as_deref().unwrap_or_default()].into_iter().filter(|end| !end.is_empty());
        let found = ends.filter_map(|end| Some((rest.find(end)?, end.len()))).min();
        let has_calls = messages[answer].get("tool_calls").is_some();
        match found {
            Some((end, length)) => Ok(rest[if self.end.is_some() { end + length } else { end }..].to_owned()),
            None if has_calls => Err(ModelError::Setup {
                message: "chat template: it does not say where a turn with calls ends".to_owned(),
            }),
            None => Ok(rest.to_owned()),
        }
    }
}

/// The text of the token that ended an answer: the template's, or another one that the model has for it.
pub(crate) fn turn_end(model: &TokenModel, answer: &[u32]) -> Result<Option<String>, ModelError> {
    let Some(&last) = answer.last() else { return Ok(None) };
    let eos = model.template.eos_token();
    if !eos.is_empty() && encode(model, eos)? == [last] {
        return Ok(Some(eos.to_owned()));
    }
    match model.tokenizer.is_special(last) {
        true => decode(model, &[last]).map(Some),
        false => Ok(None),
    }
}

/// The answer with nothing of the model's in it but the shape: neither its text nor its arguments may be taken for a part
/// of the template.
fn marked(answer: &Value, mark: &str) -> Value {
    let mut marked = json!({"role": "assistant", "content": mark});
    let arguments = json!({ mark: "" });
    let calls = answer["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    let calls: Vec<Value> = calls
        .iter()
        .map(|call| {
            let name = call["function"]["name"].as_str().unwrap_or_default();
            let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
            let name = if is_plain { name } else { "tool" };
            json!({"id": call["id"], "type": "function", "function": {"name": name, "arguments": arguments}})
        })
        .collect();
    if !calls.is_empty() {
        marked["tool_calls"] = calls.into();
    }
    marked
}

/// A text that is in none of the messages.
fn mark(messages: &[Value]) -> String {
    let text = json!(messages).to_string();
    let mut number = 0;
    loop {
        let mark = format!("answer-{number}-goes-here");
        if !text.contains(&mark) {
            return mark;
        }
        number += 1;
    }
}

fn encode(model: &TokenModel, text: &str) -> Result<Vec<u32>, ModelError> {
    model.tokenizer.encode(text).map_err(|error| ModelError::Setup { message: format!("tokenizer: {error}") })
}

pub(crate) fn decode(model: &TokenModel, ids: &[u32]) -> Result<String, ModelError> {
    model.tokenizer.decode(ids).map_err(|error| ModelError::Setup { message: format!("tokenizer: {error}") })
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
