//! From calls to text.

use serde_json::{Value, json};

use super::content::{Edit, Part, text_part};
use super::error::field;
use super::scan::{CALL_END, CALL_START, result_prefix, with_end};
use super::{CallError, Exception, TextExample, TextFormat, describe_tools, example_fits};
use crate::python::{Json, is_space};
use crate::{Message, ToolSpec};

/// A call as text; the arguments are JSON, as models write them.
///
/// # Errors
/// [`CallError::Conversion`] where the arguments are no JSON, [`CallError::Unexpected`] where they are no object.
pub fn render_call(name: &str, arguments: &str) -> Result<String, CallError> {
    let arguments = Json::parse(arguments).map_err(|error| {
        let other = CallError::from_json(error);
        other.unwrap_or_else(|| CallError::conversion(format!("arguments of `{name}`: failed to {error}")))
    })?;
    let Json::Object(arguments) = arguments else {
        return Err(CallError::unexpected(Exception::AttributeError, "the arguments are no object"));
    };
    let mut text = format!("{CALL_START}{name}>\n");
    for (name, value) in arguments {
        let lines = matches!(&value, Json::Text(text) if text.contains('\n'));
        let line_end = if lines { "\n" } else { "" };
        text.push_str(&format!("<parameter={name}>{line_end}{}{line_end}</parameter>\n", value.to_str()));
    }
    text.push_str(CALL_END);
    Ok(text)
}

/// A call as text, from its form in a message.
///
/// # Errors
/// As [`render_call`], and where the call lacks a field or is of another type.
pub fn render_tool_call(call: &Value) -> Result<String, CallError> {
    for key in ["function", "id", "type"] {
        if call.get(key).is_none() {
            return Err(CallError::conversion(format!("a call has no `{key}`")));
        }
    }
    if call["type"] != "function" {
        return Err(CallError::conversion("the type of a call is not `function`"));
    }
    let name = Json::from(field(&call["function"], "name")?).to_str();
    let arguments = field(&call["function"], "arguments")?;
    let arguments = arguments.as_str().ok_or_else(|| CallError::type_error("the arguments of a call"))?;
    render_call(&name, arguments)
}

/// A conversation without calls, in which what they say is text.
///
/// # Errors
/// [`CallError::Conversion`] where a message makes several calls (see [`single_calls`](super::single_calls)), where a
/// call cannot be written, and where there is an example whose tools are not on offer;
/// [`CallError::Unexpected`] where a field is missing.
pub fn to_text(messages: &[Value], tools: &[ToolSpec], format: &TextFormat) -> Result<Vec<Value>, CallError> {
    let suffix = format.system_suffix(tools);
    let mut writer = Writer { suffix: &suffix, example: format.example.as_ref(), tools };
    messages.iter().map(|message| writer.message(message)).collect()
}

impl TextFormat {
    /// What is added to the system prompt.
    pub(super) fn system_suffix(&self, tools: &[ToolSpec]) -> String {
        format!("{}{}{}", self.tools_prefix, describe_tools(tools), self.tools_suffix)
    }

    /// What a model is sent. The example is left out where its tools are not on offer. With `keep_answers`, messages
    /// that make a call are sent as the model wrote them, where `written` has that by the id of the call.
    ///
    /// # Errors
    /// As [`to_text`].
    pub fn prompt<'a>(
        &self,
        messages: &[Message],
        tools: &[ToolSpec],
        written: impl Fn(&str) -> Option<&'a Message>,
    ) -> Result<Vec<Message>, CallError> {
        let mut text = match example_fits(tools) {
            Ok(true) => self.to_text(messages, tools)?,
            _ => self.without_example().to_text(messages, tools)?,
        };
        if self.keep_answers {
            for (message, sent) in messages.iter().zip(&mut text) {
                if let Some(answer) = message.tool_calls.first().and_then(|call| written(&call.id)) {
                    sent.content = with_end(&answer.content).into_owned();
                    sent.reasoning_content.clone_from(&answer.reasoning_content);
                }
            }
        }
        Ok(text)
    }

    /// As [`to_text`], for messages of ours.
    ///
    /// # Errors
    /// As [`to_text`].
    pub fn to_text(&self, messages: &[Message], tools: &[ToolSpec]) -> Result<Vec<Message>, CallError> {
        typed(to_text(&untyped(messages)?, tools, self)?)
    }
}

/// Messages of ours as JSON.
pub(super) fn untyped(messages: &[Message]) -> Result<Vec<Value>, CallError> {
    let value =
        |message| serde_json::to_value(message).map_err(|error| CallError::conversion(error.to_string()));
    messages.iter().map(value).collect()
}

/// Messages of ours from JSON.
pub(super) fn typed(messages: Vec<Value>) -> Result<Vec<Message>, CallError> {
    serde_json::from_value(Value::Array(messages)).map_err(|error| CallError::conversion(error.to_string()))
}

struct Writer<'a> {
    suffix: &'a str,
    /// The example, until it is written.
    example: Option<&'a TextExample>,
    tools: &'a [ToolSpec],
}

impl Writer<'_> {
    fn message(&mut self, message: &Value) -> Result<Value, CallError> {
        let role = field(message, "role")?;
        let content = match message.get("content") {
            None | Some(Value::Null) => Value::String(String::new()),
            Some(content) => content.clone(),
        };
        let (role, content) = match role.as_str() {
            Some("system") => ("system", append("system", content, self.suffix)?),
            Some("user") => ("user", self.user(content)?),
            Some("assistant") => ("assistant", assistant(message, content)?),
            Some("tool") => ("user", result(message, content)?),
            _ => return Err(CallError::conversion(format!("there is no role {role}"))),
        };
        Ok(json!({"role": role, "content": content}))
    }

    fn user(&mut self, content: Value) -> Result<Value, CallError> {
        let Some(TextExample { prefix, suffix }) = self.example.take() else { return Ok(content) };
        if !example_fits(self.tools)? {
            return Err(CallError::conversion("the example calls tools that are not on offer"));
        }
        let edit = Edit {
            part: Part::First,
            text: |text: &mut String| *text = format!("{prefix}{text}{suffix}"),
            list: |parts: &mut Vec<Value>| {
                parts.insert(0, text_part(prefix));
                parts.push(text_part(suffix));
            },
        };
        edit.apply("user", content)
    }
}

fn append(role: &str, content: Value, suffix: &str) -> Result<Value, CallError> {
    let edit = Edit {
        part: Part::Last,
        text: |text: &mut String| text.push_str(suffix),
        list: |parts: &mut Vec<Value>| parts.push(text_part(suffix)),
    };
    edit.apply(role, content)
}

fn assistant(message: &Value, content: Value) -> Result<Value, CallError> {
    let calls = match message.get("tool_calls") {
        None | Some(Value::Null) => return Ok(content),
        Some(calls) => calls.as_array().ok_or_else(|| CallError::type_error("the calls of a message"))?,
    };
    let [call] = calls.as_slice() else {
        return Err(CallError::conversion(format!("a message makes {} calls, not one", calls.len())));
    };
    let call = render_tool_call(call)?;
    let edit = Edit {
        part: Part::Last,
        text: |text: &mut String| {
            text.push_str("\n\n");
            text.push_str(&call);
            let space = text.len() - text.trim_start_matches(is_space).len();
            text.drain(..space);
        },
        list: |parts: &mut Vec<Value>| parts.push(text_part(call.as_str())),
    };
    edit.apply("assistant", content)
}

fn result(message: &Value, content: Value) -> Result<Value, CallError> {
    let prefix = result_prefix(&Json::from(field(message, "name")?).to_str());
    let edit = Edit {
        part: Part::Last,
        text: |text: &mut String| text.insert_str(0, &prefix),
        list: |parts: &mut Vec<Value>| parts.insert(0, text_part(prefix.as_str())),
    };
    edit.apply("tool", content)
}
