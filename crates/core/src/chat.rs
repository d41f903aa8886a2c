//! Chat messages and tool calls, in the wire form of OpenAI-compatible chat completions.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The scaffold's standing instructions.
    System,
    /// The task, and anything said in the user's name.
    User,
    /// The policy.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// Text; endpoints send `null` beside tool calls, which reads as empty.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub content: String,
    /// What the model thought before it answered, where the endpoint tells it apart from the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// Calls that the assistant makes.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub tool_calls: Vec<ToolCall>,
    /// For role `tool`: the call that this is the result of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// For role `tool`: the tool's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Message {
    /// A message of plain text.
    pub fn text(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            reasoning_content: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            name: None,
        }
    }

    /// The result of a tool call.
    pub fn tool_result(call: &ToolCall, content: impl Into<String>) -> Self {
        Self {
            tool_call_id: Some(call.id.clone()),
            name: Some(call.function.name.clone()),
            ..Self::text(Role::Tool, content)
        }
    }

    /// An assistant message that makes calls.
    pub fn calling(content: impl Into<String>, tool_calls: Vec<ToolCall>) -> Self {
        Self { tool_calls, ..Self::text(Role::Assistant, content) }
    }
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Id that the result refers to.
    #[serde(default)]
    pub id: String,
    /// Always `function`.
    #[serde(rename = "type", default = "function_type")]
    pub kind: String,
    /// What is called.
    pub function: ToolCallFunction,
}

/// Name and arguments of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCallFunction {
    /// Name of the tool.
    #[serde(default)]
    pub name: String,
    /// Arguments as JSON text, exactly as the model wrote them: it may not parse.
    #[serde(default)]
    pub arguments: String,
}

impl ToolCall {
    /// A call with arguments given as a JSON value.
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: &Value) -> Self {
        let function = ToolCallFunction { name: name.into(), arguments: arguments.to_string() };
        Self { id: id.into(), kind: function_type(), function }
    }
}

/// A tool as it is offered to the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Name by which it is called.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON schema of the arguments object.
    pub parameters: Value,
}

/// What is sent to a policy for one step.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest<'a> {
    /// The whole conversation so far.
    pub messages: &'a [Message],
    /// Tools on offer.
    pub tools: &'a [ToolSpec],
    /// Texts that end the answer, besides those that the policy is set up with.
    pub stop: &'a [&'a str],
    /// Whether the answer must be one JSON object, for servers that can see to it.
    pub json_object: bool,
    /// Most tokens of the answer, where it is to be less than the policy is set up with.
    pub max_tokens: Option<u64>,
}

impl<'a> ChatRequest<'a> {
    /// A conversation and the tools on offer.
    pub fn new(messages: &'a [Message], tools: &'a [ToolSpec]) -> Self {
        Self { messages, tools, stop: &[], json_object: false, max_tokens: None }
    }
}

/// What a policy answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The assistant's message.
    pub message: Message,
    /// Tokens used, where the endpoint says.
    pub usage: Usage,
    /// Why the endpoint stopped: `stop`, `length`, `tool_calls` ...
    pub finish_reason: Option<String>,
    /// The message as the model wrote it, where `message` was read from it: calls in text form.
    pub raw: Option<Box<Message>>,
    /// Token ids, where the endpoint gives them.
    pub tokens: Option<CompletionTokens>,
    /// Price of this answer in US dollars, where prices are known.
    pub cost: Option<f64>,
}

impl Completion {
    /// An answer of which nothing more is known.
    pub fn new(message: Message, finish_reason: &str) -> Self {
        Self {
            message,
            usage: Usage::default(),
            finish_reason: Some(finish_reason.to_owned()),
            raw: None,
            tokens: None,
            cost: None,
        }
    }
}

/// Token ids of one answer and of the prompt that led to it, as the model server counts them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CompletionTokens {
    /// The whole prompt.
    pub prompt_token_ids: Vec<u32>,
    /// The answer, with the token that ended it where the server gives that.
    pub completion_token_ids: Vec<u32>,
    /// Natural logarithm of the probability with which each token of the answer was sampled; empty when unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<f64>,
}

/// Token counts as reported by the endpoint; 0 where it reports none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    #[serde(default)]
    pub completion_tokens: u64,
    /// Those of the prompt that the server had in its cache.
    #[serde(default)]
    pub cached_tokens: u64,
}

impl Usage {
    /// Prompt and answer together.
    pub fn total(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
        self.cached_tokens = self.cached_tokens.saturating_add(other.cached_tokens);
    }
}

fn function_type() -> String {
    "function".to_owned()
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

fn null_is_default<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<ToolCall>, D::Error> {
    Ok(Option::<Vec<ToolCall>>::deserialize(deserializer)?.unwrap_or_default())
}
