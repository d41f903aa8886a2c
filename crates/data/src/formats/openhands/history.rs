//! The history before version 1: what the model saw is told from actions and observations.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};
use swegym_core::{Message, Role, ToolCall, Trajectory};

use super::events::{ERROR, EXIT_CODE};
use super::view::{Condensation, View};
use crate::formats::chat;

/// Appends the messages of a history.
pub(super) fn read(events: &[&Value], metadata: &Value, trajectory: &mut Trajectory) -> Result<(), String> {
    let limit = metadata.pointer("/llm_config/max_message_chars").and_then(Value::as_u64);
    let mut reader = Reader {
        trajectory,
        limit: limit.and_then(|limit| usize::try_from(limit).ok()),
        last_response: None,
        calls: HashMap::new(),
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
    /// Characters of an observation that the model was shown.
    limit: Option<usize>,
    /// The response that the last answer is from; each of its actions holds it.
    last_response: Option<String>,
    /// Calls that were made up for actions that have none, by the id of the action.
    calls: HashMap<i64, ToolCall>,
    view: View,
    /// The answer that makes a call, by the id of the call.
    answers: HashMap<String, usize>,
}

impl Reader<'_> {
    fn event(&mut self, event: &Value) -> Result<(), String> {
        let before = self.trajectory.messages.len();
        match (chat::string(event, "action"), chat::string(event, "observation")) {
            (Some(action), _) if action == "condensation" => return self.condense(event),
            (Some(action), _) if action == "condensation_request" => return Ok(()),
            (Some(action), _) => self.action(&action, event)?,
            (None, Some(observation)) => self.observation(&observation, event),
            (None, None) => return Err("is neither an action nor an observation".to_owned()),
        }
        // A further action of an answer goes with it.
        let of_event = event.pointer("/tool_call_metadata/tool_call_id").and_then(Value::as_str);
        let new = self.trajectory.messages.get(before);
        let of_message = new.and_then(|message| message.tool_call_id.as_deref());
        let answer = of_message.or(of_event).and_then(|id| self.answers.get(id)).copied();
        self.view.add(id_of(event), new.map(|_| before), answer);
        Ok(())
    }

    /// Events are forgotten, and a message of the user tells of them.
    fn condense(&mut self, event: &Value) -> Result<(), String> {
        let argument = |name: &str| event.get("args")?.get(name).filter(|value| !value.is_null());
        let number = |name: &str| argument(name).and_then(Value::as_i64);
        let ids = argument("forgotten_event_ids").and_then(Value::as_array);
        let mut forgotten: HashSet<String> =
            ids.into_iter().flatten().filter_map(Value::as_i64).map(|id| id.to_string()).collect();
        let range = number("forgotten_events_start_id").zip(number("forgotten_events_end_id"));
        if let Some((first, last)) = range {
            forgotten.extend(self.view.ids_between(first, last));
        }
        let text = argument("summary").and_then(Value::as_str);
        let summary = text.zip(number("summary_offset")).map(|(text, offset)| {
            let text = clipped(text.to_owned(), self.limit);
            self.trajectory.messages.push(Message::text(Role::User, text));
            (usize::try_from(offset).unwrap_or_default(), self.trajectory.messages.len() - 1)
        });
        self.last_response = None;
        self.view.condense(Condensation { forgotten, summary, summary_id: String::new() })
    }

    fn action(&mut self, action: &str, event: &Value) -> Result<(), String> {
        let content = || chat::text(event.pointer("/args/content"));
        let from_agent = event.get("source").and_then(Value::as_str) == Some("agent");
        if action == "system" {
            self.trajectory.messages.push(Message::text(Role::System, content()));
            self.trajectory.tools = chat::tool_specs(event.pointer("/args/tools"));
        } else if let Some(response) =
            event.pointer("/tool_call_metadata/model_response").filter(|r| r.is_object())
        {
            self.respond(response)?;
        } else if action == "message" {
            let role = if from_agent { Role::Assistant } else { Role::User };
            self.push(Message::text(role, content()))?;
        } else if from_agent && let Some((name, given)) = tool_of(action) {
            self.make_up_call(name, given, event)?;
        }
        Ok(())
    }

    /// The answer that an action is from, once for all of its actions.
    fn respond(&mut self, response: &Value) -> Result<(), String> {
        let id = chat::string(response, "id");
        if id.is_some() && id == self.last_response {
            return Ok(());
        }
        let message =
            response.pointer("/choices/0/message").ok_or("field `model_response`: has no message")?;
        let message = Message { role: Role::Assistant, ..chat::message(message)? };
        let last =
            self.trajectory.steps.last().and_then(|step| self.trajectory.messages.get(step.message_index));
        if id.is_none() && last == Some(&message) {
            return Ok(());
        }
        self.last_response = id;
        self.answer(message, Some(response))
    }

    fn answer(&mut self, message: Message, response: Option<&Value>) -> Result<(), String> {
        let index = self.trajectory.messages.len();
        self.answers.extend(message.tool_calls.iter().map(|call| (call.id.clone(), index)));
        let completion = chat::completion(message, response, None);
        self.trajectory.push_answer(completion, self.view.prompt()?, 0);
        Ok(())
    }

    fn push(&mut self, message: Message) -> Result<(), String> {
        self.last_response = None;
        match message.role {
            Role::Assistant => self.answer(message, None),
            _ => {
                self.trajectory.messages.push(message);
                Ok(())
            }
        }
    }

    fn make_up_call(&mut self, name: &str, given: &[&str], event: &Value) -> Result<(), String> {
        let argument = |name: &&str| Some(((*name).to_owned(), event.get("args")?.get(name)?.clone()));
        let arguments: Map<String, Value> = given.iter().filter_map(argument).collect();
        let id = event.get("id").and_then(Value::as_i64);
        let call_id = format!("call_{}", id.unwrap_or(self.trajectory.messages.len() as i64));
        let call = ToolCall::new(call_id, name, &arguments.into());
        self.calls.extend(id.map(|id| (id, call.clone())));
        let thought = event.pointer("/args/thought").filter(|_| name != "think");
        self.push(Message::calling(chat::text(thought), vec![call]))
    }

    fn observation(&mut self, observation: &str, event: &Value) {
        let metadata = event.get("tool_call_metadata").filter(|metadata| metadata.is_object());
        let cause = event.get("cause").and_then(Value::as_i64).and_then(|cause| self.calls.get(&cause));
        let text = text(observation, event, self.limit);
        let message = match (metadata, cause) {
            (Some(metadata), _) => Message {
                tool_call_id: chat::string(metadata, "tool_call_id"),
                name: chat::string(metadata, "function_name"),
                ..Message::text(Role::Tool, text)
            },
            (None, Some(call)) => Message::tool_result(call, text),
            (None, None) if NOT_SHOWN.contains(&observation) || text.is_empty() => return,
            (None, None) => Message::text(Role::User, text),
        };
        self.trajectory.messages.push(message);
    }
}

fn id_of(event: &Value) -> String {
    event.get("id").and_then(Value::as_i64).map(|id| id.to_string()).unwrap_or_default()
}

/// Observations about the program, not about what the agent did.
const NOT_SHOWN: [&str; 4] = ["agent_state_changed", "recall", "condense", "loop_detection"];

/// The tool that an action without a call stands for, and which of its arguments the tool has.
fn tool_of(action: &str) -> Option<(&'static str, &'static [&'static str])> {
    Some(match action {
        "run" => ("execute_bash", &["command"]),
        "run_ipython" => ("execute_ipython_cell", &["code"]),
        "read" | "edit" => (
            "str_replace_editor",
            &["command", "path", "file_text", "old_str", "new_str", "insert_line", "view_range"],
        ),
        "browse" | "browse_interactive" => ("browser", &["url", "browser_actions"]),
        "think" => ("think", &["thought"]),
        "finish" => ("finish", &[]),
        _ => return None,
    })
}

/// What the model was shown of an observation.
fn text(observation: &str, event: &Value, limit: Option<usize>) -> String {
    let content = chat::text(event.get("content"));
    let extra = |pointer: &str| event.get("extras").and_then(|extras| extras.pointer(pointer));
    match observation {
        "run" => {
            let part = |pointer: &str| extra(pointer).and_then(Value::as_str).unwrap_or_default();
            let parts =
                [part("/metadata/prefix"), &content, part("/metadata/suffix"), part("/interpreter_details")];
            let mut text = clipped(parts.concat(), limit);
            for (name, pointer) in [
                ("Current working directory", "/metadata/working_dir"),
                ("Python interpreter", "/metadata/py_interpreter_path"),
            ] {
                let value = extra(pointer).and_then(Value::as_str).filter(|value| !value.is_empty());
                text.extend(value.map(|value| format!("\n[{name}: {value}]")));
            }
            let code = extra("/exit_code").and_then(Value::as_i64);
            let code = code.or_else(|| extra("/metadata/exit_code")?.as_i64().filter(|code| *code != -1));
            text.extend(code.map(|code| format!("{EXIT_CODE}{code}]")));
            text
        }
        "error" => clipped(content, limit) + ERROR,
        "user_rejected" => {
            let content = clipped(content, limit);
            format!("OBSERVATION:\n{content}\n[Last action has been rejected by the user]")
        }
        _ => clipped(content, limit),
    }
}

/// The first and the last half of a text that is longer than the limit.
fn clipped(text: String, limit: Option<usize>) -> String {
    let length = text.chars().count();
    let Some(half) = limit.filter(|limit| length > *limit && *limit > 1).map(|limit| limit / 2) else {
        return text;
    };
    let head: String = text.chars().take(half).collect();
    let tail: String = text.chars().skip(length - half).collect();
    format!("{head}\n[... Observation truncated due to length ...]\n{tail}")
}
