//! Requests and answers of chat completions as servers really write them. Lenient where servers differ, strict
//! where an answer would be made up: without a choice there is none.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use swegym_core::{ChatRequest, Completion, Message, Role, ToolCall, ToolSpec, Usage};

use crate::Sampling;

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
    sampling: Cow<'a, Sampling>,
}

#[derive(Serialize)]
struct OfferedTool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: &'a ToolSpec,
}

/// The body of a request.
pub(crate) fn request_body(
    model: &str,
    sampling: &Sampling,
    request: &ChatRequest<'_>,
) -> serde_json::Result<Vec<u8>> {
    let offer = |function| OfferedTool { kind: "function", function };
    serde_json::to_vec(&Body {
        model,
        messages: request.messages.iter().map(sendable).collect(),
        tools: request.tools.iter().map(offer).collect(),
        response_format: request.json_object.then(|| json!({"type": "json_object"})),
        sampling: sampling_of(sampling, request),
    })
}

fn sampling_of<'a>(sampling: &'a Sampling, request: &ChatRequest<'_>) -> Cow<'a, Sampling> {
    if request.stop.is_empty() && request.max_tokens.is_none() {
        return Cow::Borrowed(sampling);
    }
    let mut sampling = sampling.clone();
    sampling.stop.extend(request.stop.iter().map(|&text| text.to_owned()));
    sampling.max_tokens = [sampling.max_tokens, request.max_tokens].into_iter().flatten().min();
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
#[derive(Debug, Deserialize)]
struct Answer {
    choices: Option<Vec<Choice>>,
    usage: Option<AnsweredUsage>,
    error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    message: Option<AnsweredMessage>,
    finish_reason: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct AnsweredUsage {
    prompt_tokens: Option<Value>,
    completion_tokens: Option<Value>,
    prompt_tokens_details: Option<Value>,
}

/// An assistant message as servers and scripts write it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct AnsweredMessage {
    content: Option<Value>,
    reasoning_content: Option<Value>,
    /// The same in newer versions of vLLM.
    reasoning: Option<Value>,
    tool_calls: Option<Vec<AnsweredCall>>,
}

#[derive(Debug, Deserialize)]
struct AnsweredCall {
    id: Option<Value>,
    #[serde(default)]
    function: AnsweredFunction,
}

#[derive(Debug, Default, Deserialize)]
struct AnsweredFunction {
    name: Option<String>,
    arguments: Option<Value>,
}

/// Reads the body of an answer; `made_ids` counts the ids made for calls that came without.
pub(crate) fn completion(body: &[u8], made_ids: &mut u64) -> Result<Completion, String> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|error| format!("it is not a chat completion: {error}"))?;
    let Some(choice) = answer.choices.unwrap_or_default().into_iter().next() else {
        let reason = answer.error.map(|error| format!(": {error}")).unwrap_or_default();
        return Err(format!("it has no choices{reason}"));
    };
    let finish_reason = choice.finish_reason.as_ref().and_then(Value::as_str).map(str::to_owned);
    if choice.message.is_none() && finish_reason.is_none() {
        return Err("its choice has neither a message nor a reason to stop".to_owned());
    }
    Ok(Completion {
        message: choice.message.unwrap_or_default().into_message(made_ids),
        usage: answer.usage.map(AnsweredUsage::into_usage).unwrap_or_default(),
        finish_reason,
        raw: None,
        tokens: None,
        cost: None,
    })
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
fn plain_text(content: Value) -> String {
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
