//! An answer that comes piece by piece, put together to the one that would have come whole.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::problem::Problem;
use crate::tokens::TokenFields;
use crate::wire::{
    Answer, AnsweredCall, AnsweredFunction, AnsweredMessage, AnsweredUsage, Choice, Read, error_message,
    plain_text, says_context_window,
};

/// Most memory that an answer takes.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// What a piece takes beyond its text.
const OVERHEAD_BYTES: usize = 256;

/// One chunk of a stream.
#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<ChunkChoice>>,
    usage: Option<AnsweredUsage>,
    error: Option<Value>,
    prompt_token_ids: Option<Vec<u32>>,
}

#[derive(Deserialize)]
struct ChunkChoice {
    #[serde(default)]
    index: u64,
    delta: Option<AnsweredMessage>,
    #[serde(flatten)]
    rest: Choice,
}

/// The answer so far.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    content: Option<String>,
    reasoning: Option<String>,
    calls: Vec<PartialCall>,
    /// Where in `calls` the call of an index lies.
    places: BTreeMap<u64, usize>,
    finish_reason: Option<Value>,
    usage: Option<AnsweredUsage>,
    tokens: TokenFields,
    begun: bool,
    size: usize,
    done: bool,
}

#[derive(Debug, Default)]
struct PartialCall {
    id: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
}

impl Assembler {
    /// Takes the data of the next event.
    pub(crate) fn take(&mut self, data: &[u8]) -> Result<(), Problem> {
        if data.trim_ascii() == b"[DONE]" {
            self.done = true;
            return Ok(());
        }
        let chunk: Chunk = serde_json::from_slice(data)
            .map_err(|error| Problem::Malformed(format!("an event of the stream is no chunk: {error}")))?;
        if let Some(error) = chunk.error {
            return Err(reported(&error, data));
        }
        self.usage = chunk.usage.or(self.usage.take());
        let prompt = TokenFields { prompt: chunk.prompt_token_ids, ..TokenFields::default() };
        self.size += prompt.size();
        self.tokens.append(prompt);
        // Only one answer is asked for.
        for choice in chunk.choices.into_iter().flatten().filter(|choice| choice.index == 0) {
            self.take_choice(choice);
        }
        if self.size > MAX_ANSWER_BYTES {
            return Err(Problem::Malformed(format!("it takes more than {MAX_ANSWER_BYTES} bytes")));
        }
        Ok(())
    }

    /// Whether the server has said that this is all.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// The answer, when the stream has ended.
    pub(crate) fn finish(self, made_ids: &mut u64) -> Result<Read, Problem> {
        // Some servers leave out the last event; but then the reason to stop tells a whole answer from half of one.
        if self.finish_reason.is_none() && !(self.done && self.begun) {
            return Err(Problem::Connection("the stream ended before the answer did".to_owned()));
        }
        let calls = self.calls.into_iter().map(PartialCall::into_answered).collect();
        let message = AnsweredMessage {
            content: self.content.map(Value::String),
            reasoning_content: self.reasoning.map(Value::String),
            reasoning: None,
            tool_calls: Some(calls),
        };
        let choice =
            Choice { message: Some(message), finish_reason: self.finish_reason, ..Choice::default() };
        let answer = Answer { choices: Some(vec![choice]), usage: self.usage, ..Answer::default() };
        let read = answer.read(made_ids).map_err(Problem::Malformed)?;
        Ok(Read { tokens: self.tokens, ..read })
    }

    fn take_choice(&mut self, mut choice: ChunkChoice) {
        self.begun = true;
        let tokens = choice.rest.take_tokens(None);
        self.size += tokens.size();
        self.tokens.append(tokens);
        self.finish_reason =
            choice.rest.finish_reason.filter(|reason| !reason.is_null()).or(self.finish_reason.take());
        // Some servers end with a whole message in place of a delta.
        let Some(delta) = choice.delta.or(choice.rest.message) else { return };
        self.append_text(delta.content, |answer| &mut answer.content);
        self.append_text(delta.reasoning_content.or(delta.reasoning), |answer| &mut answer.reasoning);
        for call in delta.tool_calls.into_iter().flatten() {
            self.take_call(call);
        }
    }

    fn append_text(&mut self, piece: Option<Value>, to: fn(&mut Self) -> &mut Option<String>) {
        if let Some(piece) = piece.filter(|piece| !piece.is_null()).map(plain_text) {
            self.size += piece.len();
            to(self).get_or_insert_default().push_str(&piece);
        }
    }

    fn take_call(&mut self, delta: AnsweredCall) {
        let id = delta.id.as_ref().and_then(Value::as_str).filter(|id| !id.is_empty());
        let place = self.place(delta.index.as_ref().and_then(Value::as_u64), id);
        let call = &mut self.calls[place];
        if call.id.is_none() {
            call.id = id.map(str::to_owned);
        }
        let AnsweredFunction { name, arguments } = delta.function;
        if call.name.is_none() {
            call.name = name.filter(|name| !name.is_empty());
        }
        let arguments = match arguments {
            None | Some(Value::Null) => return,
            Some(Value::String(arguments)) => arguments,
            Some(arguments) => arguments.to_string(),
        };
        self.size += arguments.len();
        call.arguments.get_or_insert_default().push_str(&arguments);
    }

    /// Where the call of a delta lies. Some servers number all calls 0 and some none: then an id of its own begins
    /// a call.
    fn place(&mut self, index: Option<u64>, id: Option<&str>) -> usize {
        let known = match index {
            Some(index) => self.places.get(&index).copied(),
            None => self.calls.len().checked_sub(1),
        };
        let known = known.filter(|&place| match (id, &self.calls[place].id) {
            (Some(id), Some(other)) => id == other,
            _ => true,
        });
        known.unwrap_or_else(|| {
            self.size += OVERHEAD_BYTES;
            self.calls.push(PartialCall::default());
            let place = self.calls.len() - 1;
            self.places.extend(index.map(|index| (index, place)));
            place
        })
    }
}

impl PartialCall {
    fn into_answered(self) -> AnsweredCall {
        let function = AnsweredFunction { name: self.name, arguments: self.arguments.map(Value::String) };
        AnsweredCall { index: None, id: self.id.map(Value::String), function }
    }
}

/// What a server says when it has to give up after the status was sent.
fn reported(error: &Value, event: &[u8]) -> Problem {
    let message = error_message(event);
    let code = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    match code {
        _ if says_context_window(event) => Problem::ContextWindow(message),
        Some(status @ 400..600) => Problem::Status { status, message, retry_after: None },
        _ => Problem::Malformed(format!("the stream ended with an error: {message}")),
    }
}
