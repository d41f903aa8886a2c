//! The history of version 1: events with a `kind`.

use std::collections::HashMap;

use serde_json::Value;
use swegym_core::{CompletionTokens, Message, Role, Trajectory};

use super::view::{Condensation, View};
use crate::formats::chat;
use crate::formats::rollout::TokenChain;

/// What stands before the text of an observation that is an error.
const ERROR_HEADER: &str = "[An error occurred during execution.]\n";

/// Appends the messages of a history.
pub(super) fn read(events: &[&Value], trajectory: &mut Trajectory) -> Result<(), String> {
    let mut reader = Reader {
        trajectory,
        last_response: None,
        tokens: TokenChain::default(),
        view: View::default(),
        answers: HashMap::new(),
    };
    for (number, event) in events.iter().enumerate() {
        reader.event(event).map_err(|error| format!("event {number}: {error}"))?;
    }
    Ok(())
}

struct Reader<'a> {
    trajectory: &'a mut Trajectory,
    /// The response that the last answer is from, and its index: each of its calls is an event.
    last_response: Option<(String, usize)>,
    tokens: TokenChain,
    view: View,
    /// The answer that makes a call, by the id of the call.
    answers: HashMap<String, usize>,
}

impl Reader<'_> {
    fn event(&mut self, event: &Value) -> Result<(), String> {
        match event.get("kind").and_then(Value::as_str) {
            Some("SystemPromptEvent") => {
                let text = joined(event, &["system_prompt", "dynamic_context"]);
                self.push(event, Message::text(Role::System, text), None);
                self.trajectory.tools = chat::tool_specs(event.get("tools"));
            }
            Some("MessageEvent") => self.message(event)?,
            Some("ActionEvent") => self.action(event)?,
            Some("ObservationEvent") => self.result(event, observation(event)),
            Some("AgentErrorEvent") => self.result(event, chat::text(event.get("error"))),
            Some("UserRejectObservation") => self.result(event, chat::text(event.get("rejection_reason"))),
            Some("TokenEvent") => self.tokens(event),
            Some("Condensation") => self.condense(event)?,
            Some(_) => {}
            None => return Err("field `kind`: is missing".to_owned()),
        }
        Ok(())
    }

    fn message(&mut self, event: &Value) -> Result<(), String> {
        let message = event.get("llm_message").ok_or("field `llm_message`: is missing")?;
        let mut message = chat::message(message)?;
        let extended = joined(event, &["extended_content"]);
        if !extended.is_empty() {
            message.content = [message.content, extended].join("\n");
        }
        self.last_response = None;
        match message.role {
            Role::Assistant => self.answer(event, message),
            _ => {
                self.push(event, message, None);
                Ok(())
            }
        }
    }

    /// Adds a message that an event became; of a result also the answer that it belongs to.
    fn push(&mut self, event: &Value, message: Message, answer: Option<usize>) {
        self.view.add(id_of(event), Some(self.trajectory.messages.len()), answer);
        self.trajectory.messages.push(message);
    }

    fn answer(&mut self, event: &Value, message: Message) -> Result<(), String> {
        let prompt = self.view.prompt()?;
        let index = self.trajectory.messages.len();
        self.answers.extend(message.tool_calls.iter().map(|call| (call.id.clone(), index)));
        self.view.add(id_of(event), Some(index), None);
        self.trajectory.push_answer(chat::completion(message, None, None), prompt, 0);
        Ok(())
    }

    /// Events are forgotten, and a message of the user tells of them.
    fn condense(&mut self, event: &Value) -> Result<(), String> {
        let forgotten = event.get("forgotten_event_ids").and_then(Value::as_array);
        let forgotten =
            forgotten.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let offset = event.get("summary_offset").and_then(Value::as_u64);
        let summary = chat::string(event, "summary").zip(offset).map(|(text, offset)| {
            self.trajectory.messages.push(Message::text(Role::User, text));
            (usize::try_from(offset).unwrap_or(usize::MAX), self.trajectory.messages.len() - 1)
        });
        self.last_response = None;
        let summary_id = format!("{}-summary", id_of(event));
        self.view.condense(Condensation { forgotten, summary, summary_id })
    }

    /// One call; the first of a response comes with what the model said.
    fn action(&mut self, event: &Value) -> Result<(), String> {
        let call = event.get("tool_call").ok_or("field `tool_call`: is missing")?;
        let mut call = chat::tool_call(call)?;
        if let Some(id) = chat::string(event, "tool_call_id") {
            call.id = id;
        }
        let response = chat::string(event, "llm_response_id").filter(|id| !id.is_empty());
        if let (Some((last, index)), Some(id)) = (&self.last_response, &response)
            && last == id
            && let Some(message) = self.trajectory.messages.get_mut(*index)
        {
            self.answers.insert(call.id.clone(), *index);
            self.view.add(id_of(event), Some(*index), None);
            message.tool_calls.push(call);
            return Ok(());
        }
        self.last_response = response.map(|id| (id, self.trajectory.messages.len()));
        let message = Message {
            reasoning_content: chat::string(event, "reasoning_content").filter(|text| !text.is_empty()),
            ..Message::calling(chat::text(event.get("thought")), vec![call])
        };
        self.answer(event, message)
    }

    fn result(&mut self, event: &Value, text: String) {
        let message = Message {
            tool_call_id: chat::string(event, "tool_call_id"),
            name: chat::string(event, "tool_name"),
            ..Message::text(Role::Tool, text)
        };
        let answer = message.tool_call_id.as_ref().and_then(|id| self.answers.get(id)).copied();
        self.push(event, message, answer);
    }

    /// Token ids of the last answer, which come after it.
    fn tokens(&mut self, event: &Value) {
        let Some(step) = self.trajectory.steps.last_mut().filter(|step| step.tokens.is_none()) else {
            return;
        };
        let (Some(prompt), Some(completion)) =
            (token_ids(event.get("prompt_token_ids")), token_ids(event.get("response_token_ids")))
        else {
            return;
        };
        let tokens = CompletionTokens {
            prompt_token_ids: prompt,
            completion_token_ids: completion,
            logprobs: Vec::new(),
        };
        step.tokens = Some(self.tokens.pack(tokens));
    }
}

fn id_of(event: &Value) -> String {
    chat::string(event, "id").unwrap_or_default()
}

fn token_ids(list: Option<&Value>) -> Option<Vec<u32>> {
    list?.as_array()?.iter().map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok())).collect()
}

/// What the model was shown of an observation: its content (in earlier versions, a field that depends on the tool), and
/// what the agent's context adds.
fn observation(event: &Value) -> String {
    let of_tool = event.get("observation").unwrap_or(&Value::Null);
    let texts = ["content", "output", "error"].map(|name| joined(of_tool, &[name]));
    let content = texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    let is_error = of_tool.get("is_error").and_then(Value::as_bool).unwrap_or_default();
    let header = if is_error { ERROR_HEADER } else { "" };
    let parts = [header.to_owned(), content, joined(event, &["extended_content"])];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Texts of fields, one below the other; each is a string, a part of a content or a list of parts.
fn joined(value: &Value, fields: &[&str]) -> String {
    let texts = fields.iter().filter_map(|field| value.get(field)).map(|field| match field {
        Value::Object(part) => chat::text(part.get("text")),
        content => chat::text(Some(content)),
    });
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
}
