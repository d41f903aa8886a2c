//! Function calls as text, for models that make none themselves.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use swegym_core::fncall::{CallError, CallText, TextFormat, read_call, render_call};
use swegym_core::{ChatRequest, Completion, Message, ToolCall, ToolCallFunction, ToolSpec};

use crate::{ModelError, Policy};

/// Sends calls to a policy as text, and reads the first call of each of its answers. To a scaffold it looks like a
/// policy that makes calls itself; the answer as it was written is kept as [`Completion::raw`].
///
/// Requests without tools go through as they are.
pub struct TextTools {
    policy: Box<dyn Policy>,
    format: Arc<TextFormat>,
    /// Calls read so far.
    calls: usize,
    /// Id of a call -> the answer that makes it.
    answers: HashMap<String, Message>,
}

impl TextTools {
    /// Wraps a policy for one rollout.
    pub fn new(policy: Box<dyn Policy>, format: Arc<TextFormat>) -> Self {
        Self { policy, format, calls: 0, answers: HashMap::new() }
    }

    fn read(&mut self, completion: Completion, tools: &[ToolSpec]) -> Result<Completion, ModelError> {
        let CallText { content, name, arguments } = match call_of(&completion.message, tools) {
            Ok(Some(call)) => call,
            Ok(None) => return Ok(completion),
            Err(error) => {
                return Err(ModelError::InvalidCall {
                    message: told(error),
                    completion: Box::new(completion),
                });
            }
        };
        self.calls += 1;
        let id = format!("toolu_{:02}", self.calls);
        let answer = completion.message;
        if self.format.keep_answers && answer.tool_calls.is_empty() {
            self.answers.insert(id.clone(), answer.clone());
        }
        let function = ToolCallFunction { name, arguments };
        let message = Message {
            reasoning_content: answer.reasoning_content.clone(),
            ..Message::calling(content, vec![ToolCall { id, kind: "function".to_owned(), function }])
        };
        Ok(Completion { message, raw: Some(Box::new(answer)), ..completion })
    }
}

/// The call that an answer makes. Some servers and scripts make calls themselves: then the first one counts, too.
fn call_of(answer: &Message, tools: &[ToolSpec]) -> Result<Option<CallText>, CallError> {
    let Some(ToolCall { function: ToolCallFunction { name, arguments }, .. }) = answer.tool_calls.first()
    else {
        return read_call(&answer.content, tools);
    };
    // What cannot be written as text could not be sent again.
    render_call(name, arguments)?;
    let (content, name, arguments) = (answer.content.clone(), name.clone(), arguments.clone());
    Ok(Some(CallText { content, name, arguments }))
}

/// What the model is told. OpenHands dies of errors other than those of validation: a parameter for a tool that takes
/// none. Here the model learns of them.
fn told(error: CallError) -> String {
    match error {
        CallError::Validation(text) => text,
        other => format!("failed to {other}"),
    }
}

#[async_trait]
impl Policy for TextTools {
    fn name(&self) -> &str {
        self.policy.name()
    }

    fn tool_format(&self) -> Option<&TextFormat> {
        Some(&self.format)
    }

    fn merges_turns(&self) -> bool {
        self.policy.merges_turns()
    }

    async fn complete(&mut self, request: &ChatRequest<'_>) -> Result<Completion, ModelError> {
        if request.tools.is_empty() {
            return self.policy.complete(request).await;
        }
        let written = |id: &str| self.answers.get(id);
        let messages = self.format.prompt(request.messages, request.tools, written)?;
        let stop = request.stop.iter().copied().chain(self.format.stop.iter().map(String::as_str));
        let stop: Vec<&str> = stop.collect();
        let as_text = ChatRequest { messages: &messages, tools: &[], stop: &stop, ..*request };
        let completion = self.policy.complete(&as_text).await?;
        self.read(completion, request.tools)
    }
}

/// Reads the words around calls from a file, as [`TextFormat::from_pack`] describes it.
///
/// # Errors
/// [`ModelError::Setup`] when the file cannot be read or is no such pack.
pub fn read_text_format(path: &Path) -> Result<TextFormat, ModelError> {
    let setup = |reason: String| ModelError::Setup { message: format!("`{}`: {reason}", path.display()) };
    let text = std::fs::read_to_string(path).map_err(|error| setup(error.to_string()))?;
    TextFormat::from_pack(&text).map_err(|error| setup(format!("failed to {error}")))
}
