//! The policy that plays a script: for tests, demonstrations and bug reports.

use std::collections::BTreeMap;
use std::path::Path;
use std::vec::IntoIter;

use async_trait::async_trait;
use serde_json::Value;
use swegym_core::{ChatRequest, Completion, InstanceId, Message};

use crate::{ModelError, Policy, wire};

/// Answers for the rollouts of a run: the same for every instance, or for each its own.
#[derive(Debug, Clone, PartialEq)]
pub enum Script {
    /// One list of assistant messages for every instance.
    Same(Vec<Message>),
    /// Instance id -> its list.
    PerInstance(BTreeMap<String, Vec<Message>>),
}

impl Script {
    /// Reads a script: a JSON list of assistant messages, or an object `instance_id -> list`. Calls may lack
    /// their id, and may have their arguments as an object.
    ///
    /// # Errors
    /// [`ModelError::Setup`] says which message is wrong and why.
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        let setup = |message: String| ModelError::Setup { message };
        let value = serde_json::from_str(text).map_err(|error| setup(format!("script: {error}")))?;
        match value {
            Value::Array(list) => messages(list, "script").map(Self::Same).map_err(setup),
            Value::Object(lists) => {
                let lists = lists.into_iter().map(|(instance, list)| match list {
                    Value::Array(list) => Ok((messages(list, &format!("script of `{instance}`"))?, instance)),
                    _ => Err(format!("script of `{instance}`: must be a list of messages")),
                });
                let lists: Result<BTreeMap<_, _>, _> =
                    lists.map(|entry| entry.map(|(list, id)| (id, list))).collect();
                lists.map(Self::PerInstance).map_err(setup)
            }
            _ => Err(setup("script: must be a list of messages, or an object of such lists".to_owned())),
        }
    }

    /// Reads a script from a file.
    ///
    /// # Errors
    /// [`ModelError::Setup`] when the file cannot be read or is no script.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ModelError::Setup { message: format!("`{}`: {error}", path.display()) })?;
        Self::from_json(&text)
    }

    /// The policy for a rollout of `instance`.
    ///
    /// # Errors
    /// [`ModelError::Setup`] when the script has nothing for this instance.
    pub fn policy(&self, instance: &InstanceId) -> Result<ScriptedPolicy, ModelError> {
        let messages = match self {
            Self::Same(messages) => Some(messages),
            Self::PerInstance(lists) => lists.get(instance.as_str()),
        };
        let messages = messages.ok_or_else(|| ModelError::Setup {
            message: format!("the script has nothing for `{instance}`"),
        })?;
        Ok(ScriptedPolicy::new(messages.clone()))
    }
}

fn messages(list: Vec<Value>, what: &str) -> Result<Vec<Message>, String> {
    let mut made_ids = 0;
    let read = |(index, value)| {
        wire::scripted_message(value, &mut made_ids)
            .map_err(|error| format!("{what}: message {index}: {error}"))
    };
    list.into_iter().enumerate().map(read).collect()
}

/// Plays a list of assistant messages, whatever the observations.
#[derive(Debug)]
pub struct ScriptedPolicy {
    answers: usize,
    left: IntoIter<Message>,
}

impl ScriptedPolicy {
    /// Plays `messages` in order.
    pub fn new(messages: Vec<Message>) -> Self {
        Self { answers: messages.len(), left: messages.into_iter() }
    }
}

#[async_trait]
impl Policy for ScriptedPolicy {
    fn name(&self) -> &str {
        "scripted"
    }

    async fn complete(&mut self, _: &ChatRequest<'_>) -> Result<Completion, ModelError> {
        let message = self.left.next().ok_or(ModelError::ScriptEnded { answers: self.answers })?;
        let reason = if message.tool_calls.is_empty() { "stop" } else { "tool_calls" };
        Ok(Completion::new(message, reason))
    }
}
