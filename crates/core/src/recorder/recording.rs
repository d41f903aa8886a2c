//! The tree of conversations of one program.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::sent::{SentMessage, wholes};
use crate::{
    CallFailureKind, Completion, CompletionTokens, ExitStatus, FailedCall, Message, PartialAnswer, Step,
    ToolSpec, Trajectory, Usage,
};

/// Node of the tree before the first message.
const ROOT: usize = 0;

/// A call as it was made and answered.
#[derive(Debug)]
pub struct Call<'a> {
    /// The conversation that was sent.
    pub messages: &'a [Map<String, Value>],
    /// The tools that were sent.
    pub tools: &'a [Value],
    /// The model that was asked for.
    pub model: &'a str,
    /// The other fields of the request.
    pub fields: Map<String, Value>,
    /// The answers: one, unless more were asked for.
    pub answers: Vec<Answer>,
    /// Milliseconds until the answer was there.
    pub model_ms: u64,
}

/// One answer to a call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The message as it was received.
    pub message: Map<String, Value>,
    /// Tokens used.
    pub usage: Usage,
    /// Why the endpoint stopped.
    pub finish_reason: Option<String>,
    /// Token ids, where the endpoint gives them.
    pub tokens: Option<CompletionTokens>,
}

/// Why a call got no whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFailure {
    /// Who ended it.
    pub kind: CallFailureKind,
    /// What happened.
    pub message: String,
    /// HTTP status of the endpoint, where it gave one.
    pub status: Option<u16>,
}

/// What one call adds to a trajectory.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Addition {
    /// Messages that had not come up before.
    pub messages: Vec<Message>,
    /// One for each answer.
    pub steps: Vec<Step>,
    /// The call itself, where it got no whole answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedCall>,
    /// Tools on offer, told by the first call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolSpec>,
    /// The policy, told by the first call.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub policy: String,
}

/// Makes a trajectory of calls in whatever order conversations are held, go on and branch.
///
/// A call goes on from the conversation that has the longest beginning in common with it. Of the rest, what comes
/// after the last answer is new; what comes before it and is equal to a stored message is that message: programs
/// shorten their history by leaving out.
#[derive(Debug)]
pub struct Recorder {
    trajectory: Trajectory,
    hasher: RandomState,
    /// Messages by the hash of what they say: the first and the last that say it.
    known: HashMap<u64, Known>,
    /// For each message the first one that says the same.
    first: Vec<usize>,
    /// The whole of messages that say more than fits, by index.
    wholes: HashMap<usize, Map<String, Value>>,
    /// Message of each node of the tree; that of the root has no meaning.
    nodes: Vec<usize>,
    /// From a node by a message that says this to the next one.
    edges: HashMap<(usize, usize), usize>,
}

/// A call before its answer.
struct Begun {
    is_first: bool,
    messages_before: usize,
    ranges: Vec<(usize, usize)>,
    node: usize,
    request: Map<String, Value>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    first: usize,
    last: usize,
}

impl Recorder {
    /// Goes on with a trajectory, which may be empty.
    pub fn new(trajectory: Trajectory) -> Self {
        let mut recorder = Self {
            trajectory: Trajectory { messages: Vec::new(), ..trajectory.clone() },
            hasher: RandomState::new(),
            known: HashMap::new(),
            first: Vec::new(),
            wholes: wholes(&trajectory),
            nodes: vec![ROOT],
            edges: HashMap::new(),
        };
        for message in trajectory.messages {
            let whole = recorder.wholes.get(&recorder.trajectory.messages.len()).cloned();
            recorder.push(SentMessage { message, whole });
        }
        for step in &trajectory.steps {
            let node = recorder.follow(&step.prompt, step.message_index);
            if step.message_index < recorder.first.len() {
                recorder.link(node, step.message_index);
            }
        }
        for call in &trajectory.failed_calls {
            recorder.follow(&call.prompt, 0);
        }
        recorder
    }

    /// What there is so far.
    pub fn trajectory(&self) -> &Trajectory {
        &self.trajectory
    }

    /// Ends it.
    pub fn finish(mut self, exit_status: ExitStatus) -> Trajectory {
        self.trajectory.exit_status = exit_status;
        self.trajectory
    }

    /// Nodes of the tree: beyond what the trajectory holds, memory grows with these.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Adds a call; gives back what it added.
    pub fn record(&mut self, call: Call<'_>) -> Addition {
        let steps_before = self.trajectory.steps.len();
        let Begun { is_first, messages_before, ranges, node, mut request } = self.begin(&call);
        for answer in call.answers {
            self.answer(answer, &ranges, node, call.model_ms);
        }
        self.tell_wholes(messages_before, &mut request);
        if let Some(step) = self.trajectory.steps.get_mut(steps_before) {
            step.request = request;
        }
        let steps = self.trajectory.steps[steps_before..].to_vec();
        self.addition(is_first, messages_before, steps, None)
    }

    /// Adds a call that got no whole answer: its answers are what had come of them. Gives back what it added.
    pub fn record_failed(&mut self, call: Call<'_>, failure: CallFailure) -> Addition {
        let Begun { is_first, messages_before, ranges, mut request, .. } = self.begin(&call);
        self.tell_wholes(messages_before, &mut request);
        let usage = call.answers.first().map(|answer| answer.usage).unwrap_or_default();
        let received = call.answers.into_iter();
        let failed = FailedCall {
            steps_before: self.trajectory.steps.len(),
            prompt: ranges,
            request,
            kind: failure.kind,
            message: failure.message,
            status: failure.status,
            received: received
                .map(|Answer { message, tokens, .. }| PartialAnswer { message, tokens })
                .collect(),
            usage,
            model_ms: call.model_ms,
        };
        self.trajectory.failed_calls.push(failed.clone());
        self.addition(is_first, messages_before, Vec::new(), Some(failed))
    }

    /// Places what a call sends.
    fn begin(&mut self, call: &Call<'_>) -> Begun {
        let messages_before = self.trajectory.messages.len();
        let is_first = self.trajectory.has_no_call();
        let mut request = call.fields.clone();
        self.offer(call.tools, is_first, &mut request);
        if is_first && self.trajectory.policy.is_empty() {
            call.model.clone_into(&mut self.trajectory.policy);
        } else if call.model != self.trajectory.policy {
            request.insert("model".to_owned(), call.model.into());
        }
        let (indices, node) = self.place(call.messages);
        Begun { is_first, messages_before, ranges: ranges(&indices), node, request }
    }

    fn addition(
        &self,
        is_first: bool,
        messages_before: usize,
        steps: Vec<Step>,
        failed: Option<FailedCall>,
    ) -> Addition {
        Addition {
            messages: self.trajectory.messages[messages_before..].to_vec(),
            steps,
            failed,
            tools: if is_first { self.trajectory.tools.clone() } else { Vec::new() },
            policy: if is_first { self.trajectory.policy.clone() } else { String::new() },
        }
    }

    /// Tools are the trajectory's, or stay with the request.
    fn offer(&mut self, tools: &[Value], is_first: bool, request: &mut Map<String, Value>) {
        if is_first {
            let specs = tools.iter().map(|tool| ToolSpec::deserialize(tool.get("function")?).ok());
            self.trajectory.tools = specs.collect::<Option<_>>().unwrap_or_default();
        }
        let offer = |spec: &ToolSpec| json!({"type": "function", "function": spec});
        if !self.trajectory.tools.iter().map(offer).eq(tools.iter().cloned()) {
            request.insert("tools".to_owned(), tools.into());
        }
    }

    /// Indices of the messages, of which new ones are added, and the node that they lead to.
    fn place(&mut self, messages: &[Map<String, Value>]) -> (Vec<usize>, usize) {
        let (mut indices, mut node) = (Vec::with_capacity(messages.len()), ROOT);
        let is_answer =
            |fields: &Map<String, Value>| fields.get("role").is_some_and(|role| role == "assistant");
        let history = messages.iter().rposition(is_answer).map_or(0, |last| last + 1);
        for (number, fields) in messages.iter().enumerate() {
            let sent = SentMessage::read(fields);
            let known = self.find(&sent);
            let next = known.and_then(|known| self.edges.get(&(node, known.first)).copied());
            let index = match (next, known) {
                (Some(next), _) => self.nodes[next],
                (None, Some(known)) if number < history => self.choose(known, indices.last().copied()),
                (None, _) => self.push(sent),
            };
            node = next.unwrap_or_else(|| self.link(node, index));
            indices.push(index);
        }
        (indices, node)
    }

    /// One of several messages that say the same: that which follows on the one before, else the last.
    fn choose(&self, known: Known, before: Option<usize>) -> usize {
        let following = before.map(|before| before + 1);
        let fits = |index: &usize| self.first.get(*index) == Some(&known.first);
        following.filter(fits).unwrap_or(known.last)
    }

    fn answer(&mut self, answer: Answer, ranges: &[(usize, usize)], node: usize, model_ms: u64) {
        let Answer { message: mut fields, usage, finish_reason, tokens } = answer;
        fields.entry("role").or_insert_with(|| "assistant".into());
        let sent = SentMessage::read(&fields);
        let completion =
            Completion { message: sent.message.clone(), usage, finish_reason, raw: None, tokens, cost: None };
        let index = self.trajectory.messages.len();
        let is_all = matches!(ranges, [(0, end)] if *end == index && index > 0);
        let prompt = if is_all { Vec::new() } else { ranges.to_vec() };
        self.trajectory.push_answer(completion, prompt, model_ms);
        self.remember(index, sent.whole);
        self.link(node, index);
    }

    /// Goes the way of a prompt that is already stored; where it does not say, that is everything up to `end`.
    fn follow(&mut self, prompt: &[(usize, usize)], end: usize) -> usize {
        let all = prompt.is_empty().then_some((0, end));
        let mut node = ROOT;
        for (start, end) in prompt.iter().copied().chain(all) {
            for index in start..end.min(self.first.len()) {
                let edge = (node, self.first[index]);
                node = self.edges.get(&edge).copied().unwrap_or_else(|| self.link(node, index));
            }
        }
        node
    }

    fn link(&mut self, node: usize, index: usize) -> usize {
        let next = self.nodes.len();
        self.nodes.push(index);
        self.edges.insert((node, self.first[index]), next);
        next
    }

    fn push(&mut self, sent: SentMessage) -> usize {
        let index = self.trajectory.messages.len();
        self.trajectory.messages.push(sent.message);
        self.remember(index, sent.whole);
        index
    }

    /// Makes the message at `index`, the last one, known.
    fn remember(&mut self, index: usize, whole: Option<Map<String, Value>>) {
        let hash = self.hash(&self.trajectory.messages[index], whole.as_ref());
        if let Some(whole) = whole {
            self.wholes.insert(index, whole);
        }
        let same = self.known.get(&hash).map(|known| known.first).filter(|first| self.same(*first, index));
        let first = same.unwrap_or(index);
        self.first.push(first);
        self.known.insert(hash, Known { first, last: index });
    }

    fn find(&self, sent: &SentMessage) -> Option<Known> {
        let known = *self.known.get(&self.hash(&sent.message, sent.whole.as_ref()))?;
        let is_same = self.trajectory.messages[known.first] == sent.message
            && self.wholes.get(&known.first) == sent.whole.as_ref();
        is_same.then_some(known)
    }

    fn same(&self, one: usize, other: usize) -> bool {
        self.trajectory.messages[one] == self.trajectory.messages[other]
            && self.wholes.get(&one) == self.wholes.get(&other)
    }

    fn hash(&self, message: &Message, whole: Option<&Map<String, Value>>) -> u64 {
        let text = serde_json::to_string(&(message, whole)).unwrap_or_default();
        self.hasher.hash_one(text)
    }

    fn tell_wholes(&self, messages_before: usize, request: &mut Map<String, Value>) {
        let new = messages_before..self.trajectory.messages.len();
        let told: Map<String, Value> = new
            .filter_map(|index| Some((index.to_string(), Value::Object(self.wholes.get(&index)?.clone()))))
            .collect();
        if !told.is_empty() {
            request.insert("messages".to_owned(), told.into());
        }
    }
}

impl Trajectory {
    /// Appends what a [`Recorder`] added elsewhere.
    pub fn add(&mut self, addition: Addition) {
        let Addition { messages, steps, failed, tools, policy } = addition;
        if self.has_no_call() {
            (self.tools, self.policy) = (tools, policy);
        }
        self.messages.extend(messages);
        steps.iter().for_each(|step| self.usage += step.usage);
        self.steps.extend(steps);
        self.failed_calls.extend(failed);
    }

    fn has_no_call(&self) -> bool {
        self.steps.is_empty() && self.failed_calls.is_empty()
    }
}

/// Half-open ranges of indices in order. Nothing at all is an empty range: no range would mean everything.
fn ranges(indices: &[usize]) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &index in indices {
        match ranges.last_mut() {
            Some((_, end)) if *end == index => *end += 1,
            _ => ranges.push((index, index + 1)),
        }
    }
    if ranges.is_empty() { vec![(0, 0)] } else { ranges }
}

#[cfg(test)]
mod tests;
