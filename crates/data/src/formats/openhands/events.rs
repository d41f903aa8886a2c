//! Events of OpenHands' history before version 1: each is an action or an observation.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use swegym_core::{Message, Role, Step, ToolCall, Trajectory};

use crate::formats::chat;
use crate::formats::rollout::Times;

/// What stands after the output of a command, and before its exit code.
pub(super) const EXIT_CODE: &str = "\n[Command finished with exit code ";
/// What stands after the text of an error.
pub(super) const ERROR: &str = "\n[Error occurred in processing last action]";

/// Calls of one answer up to which each action holds the whole answer, as OpenHands has it; of more, the first does.
const MAX_REPEATED: usize = 16;

/// The events of a trajectory, but for system messages, which this history does not have.
pub(super) fn write(trajectory: &Trajectory, model: &str, times: Option<Times>) -> Vec<Value> {
    let mut history = History { events: Vec::new(), model, times, calls: HashMap::new() };
    let mut steps = trajectory.steps.iter().peekable();
    for (index, message) in trajectory.messages.iter().enumerate() {
        let step = steps.next_if(|step| step.message_index == index);
        history.pass(step.map_or(0, |step| step.model_ms));
        match message.role {
            Role::System => {}
            Role::User => history.say("user", message, false),
            Role::Assistant if message.tool_calls.is_empty() => history.say("agent", message, true),
            Role::Assistant => history.act(index, message, step),
            Role::Tool => history.observe(message),
        }
        history.pass(step.map_or(0, |step| step.tool_ms));
    }
    history.events
}

struct History<'a> {
    events: Vec<Value>,
    model: &'a str,
    times: Option<Times>,
    /// Index of the action of each call of the last answer, by the id of the call.
    calls: HashMap<&'a str, usize>,
}

impl<'a> History<'a> {
    fn pass(&mut self, ms: u64) {
        if let Some(times) = &mut self.times {
            times.pass(ms);
        }
    }

    fn push(&mut self, source: &str, fields: Value) {
        let mut event = Map::from_iter([("id".to_owned(), self.events.len().into())]);
        event.extend(self.times.map(|times| ("timestamp".to_owned(), times.now().into())));
        event.insert("source".to_owned(), source.into());
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
        self.events.push(event.into());
    }

    fn say(&mut self, source: &str, message: &Message, wait_for_response: bool) {
        let args = json!({"content": message.content, "wait_for_response": wait_for_response});
        self.push(source, json!({"message": message.content, "action": "message", "args": args}));
    }

    /// One action for each call; what the model said stands in the first.
    fn act(&mut self, index: usize, message: &'a Message, step: Option<&Step>) {
        let id = format!("swegym-{index}");
        let whole = json!({
            "id": id,
            "object": "chat.completion",
            "model": self.model,
            "choices": [{
                "index": 0,
                "finish_reason": step.and_then(|step| step.finish_reason.as_deref()),
                "message": message,
            }],
            "usage": chat::usage(step.map(|step| step.usage).unwrap_or_default()),
        });
        let total = message.tool_calls.len();
        self.calls.clear();
        for (number, call) in message.tool_calls.iter().enumerate() {
            let thought = if number == 0 { message.content.as_str() } else { "" };
            let mut action = action(call, thought);
            let repeated = number > 0 && total > MAX_REPEATED;
            let response = if repeated { json!({"id": id, "choices": []}) } else { whole.clone() };
            action["tool_call_metadata"] = metadata(call, response, total);
            self.calls.entry(&call.id).or_insert(self.events.len());
            self.push("agent", action);
        }
    }

    fn observe(&mut self, message: &Message) {
        let id = message.tool_call_id.as_deref().unwrap_or_default();
        let Some(action) = self.calls.get(id).and_then(|index| self.events.get(*index)) else {
            let observation = json!({"observation": "null", "content": message.content, "extras": {}});
            self.push("environment", observation);
            return;
        };
        let of_action = &action["tool_call_metadata"];
        let mut observation = observation(action, &message.content);
        observation["cause"] = action["id"].clone();
        observation["tool_call_metadata"] = json!({
            "function_name": of_action["function_name"],
            "tool_call_id": of_action["tool_call_id"],
            "model_response": {"id": of_action["model_response"]["id"], "choices": []},
            "total_calls_in_response": of_action["total_calls_in_response"],
        });
        self.push("agent", observation);
    }
}

fn metadata(call: &ToolCall, response: Value, total: usize) -> Value {
    json!({
        "function_name": call.function.name,
        "tool_call_id": call.id,
        "model_response": response,
        "total_calls_in_response": total,
    })
}

/// The action that OpenHands makes of a call, or the one that does nothing.
fn action(call: &ToolCall, thought: &str) -> Value {
    let arguments = serde_json::from_str::<Map<String, Value>>(&call.function.arguments).ok();
    let argument = |name: &str| arguments.as_ref()?.get(name)?.as_str();
    let (action, args, message) = match (call.function.name.as_str(), &arguments) {
        ("execute_bash", Some(_)) => {
            let command = argument("command").unwrap_or_default();
            let message = format!("Running command: {command}");
            ("run", json!({"command": command, "thought": thought}), message)
        }
        ("execute_ipython_cell", Some(_)) => {
            let code = argument("code").unwrap_or_default();
            ("run_ipython", json!({"code": code, "thought": thought}), format!("Running cell: {code}"))
        }
        ("str_replace_editor", Some(arguments)) => {
            let code = editor_call(arguments);
            ("run_ipython", json!({"code": code, "thought": thought}), format!("Running cell: {code}"))
        }
        ("think", Some(_)) => {
            let thought = argument("thought").unwrap_or_default();
            ("think", json!({"thought": thought}), thought.to_owned())
        }
        ("finish", _) => ("finish", json!({"outputs": {}, "thought": thought}), "Done".to_owned()),
        _ => ("null", json!({}), String::new()),
    };
    json!({"message": message, "action": action, "args": args})
}

/// The Python code that calls the editor. JSON is Python's syntax too, but for `null`, `true` and `false`, none of
/// which the editor takes.
fn editor_call(arguments: &Map<String, Value>) -> String {
    let given = arguments.iter().filter(|(_, value)| !value.is_null() && !value.is_boolean());
    let given: Map<String, Value> = given.map(|(name, value)| (name.clone(), value.clone())).collect();
    format!("print(file_editor(**{}))", Value::from(given))
}

/// The observation that is shown to the model as `text`.
fn observation(action: &Value, text: &str) -> Value {
    let args = &action["args"];
    let named = |observation: &str, content: &str, extras: Value| json!({"message": "", "observation": observation, "content": content, "extras": extras});
    if let Some(content) = text.strip_suffix(ERROR) {
        return named("error", content, json!({"error_id": ""}));
    }
    match action["action"].as_str() {
        Some("run") => match split_exit_code(text) {
            Some((content, code)) => named(
                "run",
                content,
                json!({"command": args["command"], "command_id": -1, "exit_code": code}),
            ),
            None => named("run", text, json!({"command": args["command"], "command_id": -1})),
        },
        Some("run_ipython") => named("run_ipython", text, json!({"code": args["code"]})),
        Some("think") => named("think", text, json!({})),
        _ => named("null", text, json!({})),
    }
}

/// The output of a command and its exit code, where the text tells the two apart as OpenHands does.
fn split_exit_code(text: &str) -> Option<(&str, i64)> {
    let (content, code) = text.strip_suffix(']')?.rsplit_once(EXIT_CODE)?;
    let code = code.parse().ok().filter(|number: &i64| number.to_string() == code)?;
    Some((content, code))
}
