//! Requests and answers of chat completions as servers really write them. Lenient where servers differ, strict
//! where an answer would be made up: without a choice there is none.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use swegym_core::{ChatRequest, Completion, Message, Role, ToolCall, ToolSpec, Usage};

use crate::Sampling;
use crate::tokens::{AnsweredLogprobs, MetaInfo, TokenFields};

/// How an answer is asked for, apart from what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Manner {
    /// Piece by piece.
    pub(crate) stream: bool,
    /// With token ids and log probabilities.
    pub(crate) token_ids: bool,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Cow<'a, Message>>,
    // An empty list is refused by some servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<OfferedTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    #[serde(flatten)]
    manner: Map<String, Value>,
    #[serde(flatten)]
    sampling: &'a Sampling,
}

#[derive(Serialize)]
struct OfferedTool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: &'a ToolSpec,
}

/// The body of a request; `sampling` is that of [`sampling_of`].
pub(crate) fn request_body(
    model: &str,
    sampling: &Sampling,
    manner: Manner,
    request: &ChatRequest<'_>,
) -> serde_json::Result<Vec<u8>> {
    let offer = |function| OfferedTool { kind: "function", function };
    serde_json::to_vec(&Body {
        model,
        messages: request.messages.iter().map(sendable).collect(),
        tools: request.tools.iter().map(offer).collect(),
        response_format: request.json_object.then(|| json!({"type": "json_object"})),
        manner: manner.fields(),
        sampling,
    })
}

/// Tokens of an answer to a request in tokens, where nothing else is said: servers would stop after 16.
const DEFAULT_MAX_TOKENS: u64 = 4096;

/// The body of a request in tokens.
pub(crate) fn text_body(
    model: &str,
    sampling: &Sampling,
    manner: Manner,
    prompt: &[u32],
    json_object: bool,
) -> serde_json::Result<Vec<u8>> {
    let mut sampling = sampling.clone();
    let newer = sampling.extra.remove("max_completion_tokens").and_then(|limit| limit.as_u64());
    sampling.max_tokens = sampling.max_tokens.or(newer).or(Some(DEFAULT_MAX_TOKENS));
    let mut body = serde_json::to_value(&sampling)?;
    for (name, value) in (Manner { token_ids: false, ..manner }).fields() {
        body[name] = value;
    }
    body["model"] = model.into();
    body["prompt"] = prompt.into();
    body["return_token_ids"] = true.into();
    body["logprobs"] = 1.into();
    if json_object {
        body["response_format"] = json!({"type": "json_object"});
    }
    serde_json::to_vec(&body)
}

impl Manner {
    fn fields(self) -> Map<String, Value> {
        let mut fields = Map::new();
        if self.stream {
            fields.insert("stream".to_owned(), true.into());
            fields.insert("stream_options".to_owned(), json!({"include_usage": true}));
        }
        if self.token_ids {
            fields.insert("return_token_ids".to_owned(), true.into());
            fields.insert("logprobs".to_owned(), true.into());
        }
        fields
    }
}

/// How to sample, where a request asks for less or for further stop texts.
pub(crate) fn sampling_of<'a>(sampling: &'a Sampling, request: &ChatRequest<'_>) -> Cow<'a, Sampling> {
    if request.stop.is_empty() && request.max_tokens.is_none() {
        return Cow::Borrowed(sampling);
    }
    let mut sampling = sampling.clone();
    sampling.stop.extend(request.stop.iter().map(|&text| text.to_owned()));
    // Where the newer spelling is in use, servers refuse both together.
    match sampling.extra.get_mut("max_completion_tokens") {
        Some(limit) => {
            if let Some(less) =
                request.max_tokens.filter(|&less| limit.as_u64().is_none_or(|limit| less < limit))
            {
                *limit = less.into();
            }
        }
        None => sampling.max_tokens = [sampling.max_tokens, request.max_tokens].into_iter().flatten().min(),
    }
    Cow::Owned(sampling)
}

/// Model servers parse the arguments of earlier calls for the chat template, and refuse the whole conversation
/// where they are no JSON object. A model that once wrote such a call must get on, and see what it wrote.
fn sendable(message: &Message) -> Cow<'_, Message> {
    let parses =
        |call: &ToolCall| serde_json::from_str::<Map<String, Value>>(&call.function.arguments).is_ok();
    if message.tool_calls.iter().all(parses) {
        return Cow::Borrowed(message);
    }
    let mut message = message.clone();
    for call in message.tool_calls.iter_mut().filter(|call| !parses(call)) {
        let written = &call.function.arguments;
        let object =
            if written.trim().is_empty() { json!({}) } else { json!({"unparsed_arguments": written}) };
        call.function.arguments = object.to_string();
    }
    Cow::Owned(message)
}

/// An answer, before its gaps are filled.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Answer {
    pub(crate) choices: Option<Vec<Choice>>,
    pub(crate) usage: Option<AnsweredUsage>,
    pub(crate) error: Option<Value>,
    pub(crate) prompt_token_ids: Option<Vec<u32>>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Choice {
    pub(crate) message: Option<AnsweredMessage>,
    /// What a text completion has in place of a message.
    pub(crate) text: Option<String>,
    pub(crate) finish_reason: Option<Value>,
    pub(crate) prompt_token_ids: Option<Vec<u32>>,
    pub(crate) token_ids: Option<Vec<u32>>,
    pub(crate) logprobs: Option<AnsweredLogprobs>,
    pub(crate) meta_info: Option<MetaInfo>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct AnsweredUsage {
    prompt_tokens: Option<Value>,
    completion_tokens: Option<Value>,
    prompt_tokens_details: Option<Value>,
}

/// An assistant message as servers and scripts write it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct AnsweredMessage {
    pub(crate) content: Option<Value>,
    pub(crate) reasoning_content: Option<Value>,
    /// The same in newer versions of vLLM.
    pub(crate) reasoning: Option<Value>,
    pub(crate) tool_calls: Option<Vec<AnsweredCall>>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct AnsweredCall {
    /// Which call a delta belongs to.
    pub(crate) index: Option<Value>,
    pub(crate) id: Option<Value>,
    #[serde(default)]
    pub(crate) function: AnsweredFunction,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct AnsweredFunction {
    pub(crate) name: Option<String>,
    pub(crate) arguments: Option<Value>,
}

/// An answer as it was read: the completion, and what it says about its tokens.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) completion: Completion,
    pub(crate) tokens: TokenFields,
}

/// Reads the body of an answer.
pub(crate) fn answer(body: &[u8]) -> Result<Answer, String> {
    serde_json::from_slice(body).map_err(|error| format!("it is not a completion: {error}"))
}

impl Choice {
    /// Takes what it says about its tokens; `prompt` is what stands beside the choices.
    pub(crate) fn take_tokens(&mut self, prompt: Option<Vec<u32>>) -> TokenFields {
        let prompt = prompt.or(self.prompt_token_ids.take());
        TokenFields::read(prompt, self.token_ids.take(), self.logprobs.take(), self.meta_info.take())
    }
}

impl Answer {
    /// Fills the gaps; `made_ids` counts the ids made for calls that came without.
    pub(crate) fn read(self, made_ids: &mut u64) -> Result<Read, String> {
        let Some(mut choice) = self.choices.unwrap_or_default().into_iter().next() else {
            let reason = self.error.map(|error| format!(": {error}")).unwrap_or_default();
            return Err(format!("it has no choices{reason}"));
        };
        let finish_reason = choice.finish_reason.as_ref().and_then(Value::as_str).map(str::to_owned);
        if choice.message.is_none() && choice.text.is_none() && finish_reason.is_none() {
            return Err("its choice has neither a message nor a reason to stop".to_owned());
        }
        let tokens = choice.take_tokens(self.prompt_token_ids);
        let completion = Completion {
            message: choice.message.unwrap_or_default().into_message(made_ids),
            usage: self.usage.map(AnsweredUsage::into_usage).unwrap_or_default(),
            finish_reason,
            raw: None,
            tokens: None,
            cost: None,
        };
        Ok(Read { completion, tokens })
    }
}

impl AnsweredUsage {
    fn into_usage(self) -> Usage {
        let count = |tokens: Option<Value>| tokens.and_then(|tokens| tokens.as_u64()).unwrap_or_default();
        let cached = self.prompt_tokens_details.and_then(|details| details.get("cached_tokens").cloned());
        Usage {
            prompt_tokens: count(self.prompt_tokens),
            completion_tokens: count(self.completion_tokens),
            cached_tokens: count(cached),
        }
    }
}

impl AnsweredMessage {
    /// Fills the gaps.
    pub(crate) fn into_message(self, made_ids: &mut u64) -> Message {
        let calls = self.tool_calls.unwrap_or_default();
        let calls = calls.into_iter().map(|call| call.into_call(made_ids)).collect();
        let reasoning = self.reasoning_content.or(self.reasoning);
        let reasoning_content = reasoning.map(plain_text).filter(|text| !text.is_empty());
        let message = Message::calling(self.content.map(plain_text).unwrap_or_default(), calls);
        Message { reasoning_content, ..message }
    }
}

impl AnsweredCall {
    fn into_call(self, made_ids: &mut u64) -> ToolCall {
        let id = match self.id {
            Some(Value::String(id)) if !id.is_empty() => id,
            _ => {
                *made_ids += 1;
                format!("call_{made_ids}")
            }
        };
        let mut call = ToolCall::new(id, self.function.name.unwrap_or_default(), &Value::Null);
        call.function.arguments = match self.function.arguments {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(arguments)) => arguments,
            Some(arguments) => arguments.to_string(),
        };
        call
    }
}

/// Content is a text, or a list of parts of which some are text.
pub(crate) fn plain_text(content: Value) -> String {
    match content {
        Value::String(text) => text,
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

/// Reads one message of a script, which must be the assistant's.
pub(crate) fn scripted_message(value: Value, made_ids: &mut u64) -> Result<Message, String> {
    let role = value.get("role").map(Role::deserialize).transpose();
    match role.map_err(|error| error.to_string())? {
        Some(Role::Assistant) | None => {}
        Some(other) => return Err(format!("its role must be `assistant`, not {}", json!(other))),
    }
    let message = AnsweredMessage::deserialize(value).map_err(|error| error.to_string())?;
    Ok(message.into_message(made_ids))
}

/// What an error answer says: the `message` that the servers put at different places, else the body itself.
pub(crate) fn error_message(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let Ok(value) = serde_json::from_str::<Value>(&text) else {
        return text.trim().to_owned();
    };
    let places = ["/error/message", "/error", "/message", "/detail"];
    let message = places.iter().find_map(|place| value.pointer(place)?.as_str());
    message.map_or_else(|| text.trim().to_owned(), str::to_owned)
}

/// Whether an error answer says that the conversation is too long, in the words of OpenAI, vLLM, SGLang,
/// llama.cpp and Anthropic.
pub(crate) fn says_context_window(body: &[u8]) -> bool {
    const CODES: [&str; 2] = ["context_length_exceeded", "exceed_context_size_error"];
    const PHRASES: [&str; 9] = [
        "context_length_exceeded",
        "maximum context length",
        "longer than the model's context length",
        "longer than the maximum model length",
        "exceeds the model's context length",
        "exceeds the available context size",
        "exceed the context window",
        "exceeds the context window",
        "prompt is too long",
    ];
    let value = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let code_at =
        |place: &&str| value.pointer(place).and_then(Value::as_str).is_some_and(|code| CODES.contains(&code));
    // Only the beginning: servers also echo the conversation, which may be about context windows.
    let message: String = error_message(body).chars().take(400).collect();
    let message = message.to_lowercase();
    ["/error/code", "/error/type", "/code"].iter().any(code_at)
        || PHRASES.iter().any(|phrase| message.contains(phrase))
}
