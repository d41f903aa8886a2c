//! A model that knows the fixes of instances, and speaks the protocol of each scaffold.
//!
//! It reads what it is shown as a real model would: it answers with a refusal, which fails the rollout, where an
//! observation or a prompt is not what its last answer had to lead to.

mod fix;
mod steps;
mod workflow;

use serde_json::Value;
use swegym_core::{Instance, Message, ToolCall};

use crate::{RecordedRequest, Reply};
use fix::Fix;
use steps::Step;

/// What a scaffold expects of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Calls of a shell and an editor.
    CodeAct,
    /// The same as text between tags, which ends at a stop word.
    CodeActText,
    /// Calls of a shell.
    Mini,
    /// The same as blocks in the text.
    MiniText,
    /// JSON objects, and new code between tags.
    Workflow,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::CodeAct, Self::CodeActText, Self::Mini, Self::MiniText, Self::Workflow];
}

/// The model.
#[derive(Debug)]
pub struct Solver {
    fixes: Vec<Fix>,
}

impl Solver {
    /// A model that knows these instances.
    ///
    /// # Panics
    /// When a gold patch is not one changed place of one file, or two problems read the same.
    pub fn new(instances: &[Instance]) -> Self {
        let fixes: Vec<Fix> = instances.iter().map(Fix::of).collect();
        for (index, fix) in fixes.iter().enumerate() {
            let same = fixes[..index].iter().any(|other| other.problem == fix.problem);
            assert!(!same, "two instances have the problem: {}", fix.problem);
        }
        Self { fixes }
    }

    /// The answer to a request.
    pub fn reply(&self, dialect: Dialect, request: &RecordedRequest) -> Reply {
        let messages = request.messages();
        let about = |fix: &&Fix| messages.iter().any(|message| message.content.contains(&fix.problem));
        let answer = match self.fixes.iter().find(about) {
            None => Err("no message has a problem that is known".to_owned()),
            Some(fix) if dialect == Dialect::Workflow => workflow::answer(fix, request, &messages),
            Some(fix) => follow(&steps::plan(fix, dialect, &messages), dialect, request, &messages),
        };
        answer.unwrap_or_else(|why| Reply::status(400, &format!("the model did not expect this: {why}")))
    }
}

/// The next of these steps, when the one before it came out as it had to.
fn follow(
    steps: &[Step],
    dialect: Dialect,
    request: &RecordedRequest,
    messages: &[Message],
) -> Result<Reply, String> {
    let turn = request.turn();
    let seen = messages.last().map(|message| message.content.as_str()).unwrap_or_default();
    if let Some(before) = turn.checked_sub(1).and_then(|before| steps.get(before)) {
        before.check(seen)?;
    }
    let step = steps.get(turn).ok_or_else(|| format!("all is done, but there is more: {seen}"))?;
    let offers_tools = request.body["tools"].is_array();
    match dialect {
        Dialect::CodeAct | Dialect::Mini if offers_tools => {
            let call =
                ToolCall::new(format!("call_{turn}"), step.tool, &Value::Object(step.arguments.clone()));
            Ok(Reply::Message(Message::calling(step.says, vec![call])))
        }
        Dialect::CodeActText if !offers_tools => Ok(Reply::text(&step.as_text())),
        Dialect::MiniText if !offers_tools => Ok(Reply::text(&step.as_block())),
        _ => Err("tools are on offer where calls are text, or the other way round".to_owned()),
    }
}
