//! The policy `replay`: gives the answers of a recorded trajectory again, and says where what it is shown is not what
//! was recorded.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use swegym_core::{ChatRequest, Completion, Message, Role, Trajectory};

use crate::{ModelError, Policy};

/// Characters of a message that are shown of where it differs.
const SHOWN: usize = 120;
/// Of these, so many come before the difference.
const SHOWN_BEFORE: usize = 30;

/// A message that is not what was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The step that was to be answered, from 0.
    pub step: usize,
    /// Place of the message in the conversation, from 0.
    pub position: usize,
    /// Who spoke, as recorded; of a message too many, as shown.
    pub role: Role,
    /// What was recorded, around the first character that differs; nothing for a message too many.
    pub expected: Option<String>,
    /// The same of what was shown; nothing for a message that is missing.
    pub got: Option<String>,
}

/// Hears of differences when they come up.
pub type DifferenceSink = Arc<dyn Fn(&Difference) + Send + Sync>;

/// Plays a trajectory.
pub struct ReplayPolicy {
    trajectory: Arc<Trajectory>,
    step: usize,
    /// Places that differ: as long as they stand in the conversation they do so in every step.
    told: HashSet<usize>,
    sink: DifferenceSink,
}

impl ReplayPolicy {
    /// A policy for one rollout.
    pub fn new(trajectory: Arc<Trajectory>, sink: DifferenceSink) -> Self {
        Self { trajectory, step: 0, told: HashSet::new(), sink }
    }

    fn compare<'a>(&mut self, recorded: impl Iterator<Item = &'a Message>, shown: &[Message]) {
        let mut recorded = recorded.fuse();
        let mut shown = shown.iter();
        for position in 0.. {
            let (expected, got) = (recorded.next(), shown.next());
            let Some(first) = expected.or(got) else { return };
            if expected.map(said) == got.map(said) || !self.told.insert(position) {
                continue;
            }
            let [expected, got] = around_difference(expected.map(text), got.map(text));
            (self.sink)(&Difference { step: self.step, position, role: first.role, expected, got });
        }
    }
}

#[async_trait]
impl Policy for ReplayPolicy {
    fn name(&self) -> &str {
        "replay"
    }

    async fn complete(&mut self, request: &ChatRequest<'_>) -> Result<Completion, ModelError> {
        let trajectory = Arc::clone(&self.trajectory);
        let answer = trajectory
            .steps
            .get(self.step)
            .and_then(|step| Some((step, trajectory.messages.get(step.message_index)?.clone())));
        let Some((step, message)) = answer else {
            return Err(ModelError::ScriptEnded { answers: self.step });
        };
        self.compare(trajectory.prompt_of(step), request.messages);
        self.step += 1;
        Ok(Completion {
            message,
            usage: step.usage,
            finish_reason: step.finish_reason.clone(),
            raw: step.raw.clone(),
            tokens: None,
            cost: None,
        })
    }
}

/// What counts of a message. Thoughts are not always sent again.
fn said(message: &Message) -> (Role, &str, Vec<(&str, &str)>, Option<&str>) {
    let calls =
        message.tool_calls.iter().map(|call| (call.function.name.as_str(), call.function.arguments.as_str()));
    (message.role, &message.content, calls.collect(), message.tool_call_id.as_deref())
}

fn text(message: &Message) -> String {
    let calls =
        message.tool_calls.iter().map(|call| format!("{}({})", call.function.name, call.function.arguments));
    std::iter::once(message.content.clone()).chain(calls).collect::<Vec<_>>().join("\n")
}

/// Both texts from shortly before they part.
fn around_difference(expected: Option<String>, got: Option<String>) -> [Option<String>; 2] {
    let (one, other) = (expected.as_deref().unwrap_or_default(), got.as_deref().unwrap_or_default());
    let common = one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
    let cut = |text: &str| text.chars().skip(common.saturating_sub(SHOWN_BEFORE)).take(SHOWN).collect();
    [expected.as_deref().map(cut), got.as_deref().map(cut)]
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;
    use swegym_core::ToolCall;

    use super::*;

    fn recorded() -> Trajectory {
        let fields = json!({"schema_version": 2, "instance_id": "a-1", "sample": 0, "scaffold": "codeact",
            "policy": "m", "tools": [], "messages": [], "steps": [], "exit_status": "finished", "usage": {}});
        let mut trajectory: Trajectory = serde_json::from_value(fields).unwrap();
        trajectory.messages.push(Message::text(Role::User, "task"));
        for turn in 0..3 {
            let call = ToolCall::new(format!("c{turn}"), "execute_bash", &json!({"command": "ls"}));
            let answer =
                Completion::new(Message::calling(format!("answer {turn}"), vec![call.clone()]), "stop");
            trajectory.push_answer(answer, Vec::new(), 0);
            trajectory.messages.push(Message::tool_result(&call, format!("observation {turn}")));
        }
        trajectory
    }

    /// Plays it to a scaffold whose observation of one turn is another one.
    async fn play(observation: Option<(usize, &str)>) -> (Vec<Message>, Vec<Difference>) {
        let told: Arc<Mutex<Vec<Difference>>> = Arc::default();
        let sink = Arc::clone(&told);
        let mut policy = ReplayPolicy::new(
            Arc::new(recorded()),
            Arc::new(move |difference: &Difference| sink.lock().unwrap().push(difference.clone())),
        );
        let mut messages = vec![Message::text(Role::User, "task")];
        for turn in 0..3 {
            let answer = policy.complete(&ChatRequest::new(&messages, &[])).await.unwrap().message;
            let text = observation.filter(|(differs, _)| *differs == turn).map(|(_, text)| text.to_owned());
            let result =
                Message::tool_result(&answer.tool_calls[0], text.unwrap_or(format!("observation {turn}")));
            messages.extend([answer, result]);
        }
        let end = policy.complete(&ChatRequest::new(&messages, &[])).await;
        assert!(matches!(end, Err(ModelError::ScriptEnded { answers: 3 })));
        let told = told.lock().unwrap().clone();
        (messages, told)
    }

    #[tokio::test]
    async fn the_answers_come_again_and_nothing_differs() {
        let (messages, told) = play(None).await;
        assert_eq!((messages, told), (recorded().messages, Vec::new()));
    }

    #[tokio::test]
    async fn a_difference_is_told_once_with_its_place() {
        let told = play(Some((0, "observation X"))).await.1;
        let expected = Difference {
            step: 1,
            position: 2,
            role: Role::Tool,
            expected: Some("observation 0".to_owned()),
            got: Some("observation X".to_owned()),
        };
        assert_eq!(told, [expected]);
        let long = format!("{}{}", "observation 1".repeat(100), "x".repeat(1000));
        let told = play(Some((1, &long))).await.1;
        assert_eq!((told.len(), told[0].got.as_ref().unwrap().chars().count()), (1, SHOWN));
    }

    #[tokio::test]
    async fn messages_too_many_and_too_few_are_told() {
        let told: Arc<Mutex<Vec<Difference>>> = Arc::default();
        for (count, expected, got) in [(0, Some("task"), None), (2, None, Some("task"))] {
            let sink = Arc::clone(&told);
            let sink: DifferenceSink =
                Arc::new(move |difference| sink.lock().unwrap().push(difference.clone()));
            let mut policy = ReplayPolicy::new(Arc::new(recorded()), sink);
            let messages = vec![Message::text(Role::User, "task"); count];
            policy.complete(&ChatRequest::new(&messages, &[])).await.unwrap();
            let difference = told.lock().unwrap().pop().unwrap();
            assert_eq!((difference.expected.as_deref(), difference.got.as_deref()), (expected, got));
        }
    }
}
