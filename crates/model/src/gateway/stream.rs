//! Answers that come in parts, as server-sent events: put together for the record, and passed on part by part.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use swegym_core::{Answer, Usage};

use super::answer::{logprobs, strip, token_ids, tokens, usage};
use super::outgoing::Wanted;

/// Most choices and most calls of one that are put together.
const MOST: usize = 1024;

/// What is to be done after some bytes of a stream.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Passed {
    /// For the caller.
    pub(super) bytes: Vec<u8>,
    /// Whether the endpoint said that this was all. It was not passed on yet.
    pub(super) done: bool,
}

/// The last event of a stream.
pub(super) const DONE: &[u8] = b"data: [DONE]\n\n";

/// A stream as far as it has come.
#[derive(Debug)]
pub(super) struct Stream {
    wanted: Wanted,
    /// Of the line that has not ended yet.
    line: Vec<u8>,
    prompt: Vec<u32>,
    usage: Usage,
    choices: BTreeMap<u64, Choice>,
    finished: bool,
}

#[derive(Debug, Default)]
struct Choice {
    fields: Map<String, Value>,
    calls: BTreeMap<u64, PartialCall>,
    finish_reason: Option<String>,
    token_ids: Vec<u32>,
    logprobs: Vec<f64>,
}

#[derive(Debug, Default)]
struct PartialCall {
    id: String,
    name: String,
    arguments: String,
}

impl Stream {
    pub(super) fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            line: Vec::new(),
            prompt: Vec::new(),
            usage: Usage::default(),
            choices: BTreeMap::new(),
            finished: false,
        }
    }

    /// Takes bytes in. Events of OpenAI-compatible endpoints have one line of data, so a line is an event.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Passed {
        let mut passed = Passed::default();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if !part.ends_with(b"\n") || passed.done {
                continue;
            }
            let line = std::mem::take(&mut self.line);
            match data_of(&line) {
                Some(b"[DONE]") => passed.done = true,
                Some(data) => passed.bytes.extend(self.event(data)),
                // Comments keep connections open; other fields are passed on too, empty lines stand after events.
                None if line.trim_ascii().is_empty() => {}
                None => passed.bytes.extend([&line[..], b"\n"].concat()),
            }
        }
        passed
    }

    /// Whether every choice has come to its end.
    pub(super) fn is_complete(&self) -> bool {
        self.finished && self.choices.values().all(|choice| choice.finish_reason.is_some())
    }

    /// What came of it.
    pub(super) fn into_answers(self) -> Vec<Answer> {
        let Self { prompt, mut usage, choices, .. } = self;
        let answer = |choice: Choice| choice.into_answer(&prompt, std::mem::take(&mut usage));
        choices.into_values().map(answer).collect()
    }

    /// Reads an event; gives back what the caller sees of it.
    fn event(&mut self, data: &[u8]) -> Vec<u8> {
        let Ok(mut event) = serde_json::from_slice::<Value>(data) else {
            return [b"data: ", data, b"\n\n"].concat();
        };
        if let Some(told) = event.get("usage").filter(|told| told.is_object()) {
            self.usage = usage(told);
        }
        let prompt = token_ids(event.get("prompt_token_ids"));
        if !prompt.is_empty() {
            self.prompt = prompt;
        }
        let choices = event.get("choices").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for part in choices {
            self.part(part);
        }
        let only_usage = choices.is_empty() && event.get("usage").is_some_and(Value::is_object);
        if !self.wanted.stream_usage {
            if only_usage {
                return Vec::new();
            }
            event.as_object_mut().and_then(|event| event.shift_remove("usage"));
        }
        strip(&mut event, self.wanted);
        format!("data: {event}\n\n").into_bytes()
    }

    fn part(&mut self, part: &Value) {
        let index = part.get("index").and_then(Value::as_u64).unwrap_or_default();
        if self.choices.len() >= MOST && !self.choices.contains_key(&index) {
            return;
        }
        let choice = self.choices.entry(index).or_default();
        if let Some(delta) = part.get("delta").and_then(Value::as_object) {
            choice.add(delta);
        }
        if let Some(reason) = part.get("finish_reason").and_then(Value::as_str) {
            choice.finish_reason = Some(reason.to_owned());
            self.finished = true;
        }
        choice.token_ids.extend(token_ids(part.get("token_ids")));
        choice.logprobs.extend(logprobs(part));
    }
}

impl Choice {
    /// Texts grow; what else there is stands as it came last.
    fn add(&mut self, delta: &Map<String, Value>) {
        for (name, value) in delta {
            match (name.as_str(), value) {
                ("tool_calls", Value::Array(calls)) => calls.iter().for_each(|call| self.add_call(call)),
                (_, Value::Null) => {}
                ("role", role) => drop(self.fields.insert("role".to_owned(), role.clone())),
                (name, Value::String(more)) => match self.fields.get_mut(name) {
                    Some(Value::String(text)) => text.push_str(more),
                    _ => drop(self.fields.insert(name.to_owned(), more.as_str().into())),
                },
                (name, value) => drop(self.fields.insert(name.to_owned(), value.clone())),
            }
        }
    }

    fn add_call(&mut self, part: &Value) {
        let index = part.get("index").and_then(Value::as_u64).unwrap_or_default();
        if self.calls.len() >= MOST && !self.calls.contains_key(&index) {
            return;
        }
        let call = self.calls.entry(index).or_default();
        let text = |place: &str| part.pointer(place).and_then(Value::as_str).unwrap_or_default();
        // Some servers repeat the id and the name with every part.
        if call.id.is_empty() {
            text("/id").clone_into(&mut call.id);
        }
        if call.name.is_empty() {
            text("/function/name").clone_into(&mut call.name);
        }
        call.arguments.push_str(text("/function/arguments"));
    }

    fn into_answer(self, prompt: &[u32], usage: Usage) -> Answer {
        let Self { fields: mut message, calls, finish_reason, token_ids, logprobs } = self;
        let call = |call: PartialCall| {
            let function = json!({"name": call.name, "arguments": call.arguments});
            json!({"id": call.id, "type": "function", "function": function})
        };
        if !calls.is_empty() {
            message.insert("tool_calls".to_owned(), calls.into_values().map(call).collect());
        }
        Answer { message, usage, finish_reason, tokens: tokens(prompt, token_ids, logprobs) }
    }
}

fn data_of(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b"data:").map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WANTED: Wanted = Wanted { stream: true, stream_usage: false, token_ids: false, logprobs: false };

    fn events() -> Vec<Value> {
        let part = |delta: Value| json!({"choices": [{"index": 0, "delta": delta}]});
        let call = |call: Value| part(json!({"tool_calls": [call]}));
        let mut first = part(json!({"role": "assistant", "content": "h"}));
        first["prompt_token_ids"] = json!([1, 2]);
        let mut second = part(json!({"content": "é", "reasoning_content": null}));
        second["choices"][0]["token_ids"] = json!([3, 4]);
        second["choices"][0]["logprobs"] = json!({"content": [{"logprob": -1.0}, {"logprob": -2.0}]});
        vec![
            first,
            second,
            call(
                json!({"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}),
            ),
            call(json!({"index": 0, "id": "c", "function": {"name": "f", "arguments": "{\"a\""}})),
            call(json!({"index": 1, "id": "d", "function": {"name": "g", "arguments": "{}"}})),
            call(json!({"index": 0, "function": {"arguments": ":1}"}})),
            json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
            json!({"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 2}}),
        ]
    }

    fn text() -> Vec<u8> {
        let events = events().into_iter().map(|event| format!("data: {event}\n\n"));
        format!(": hello\n\n{}data: [DONE]\n\n", events.collect::<String>()).into_bytes()
    }

    #[test]
    fn the_parts_make_the_whole() {
        let mut stream = Stream::new(WANTED);
        let passed = stream.feed(&text());
        assert!(passed.done && stream.is_complete());
        let seen = String::from_utf8(passed.bytes).unwrap();
        assert!(
            seen.starts_with(": hello\n") && !seen.contains("token_ids") && !seen.contains("usage"),
            "{seen}"
        );
        assert!(!seen.contains("-1.0") && seen.contains("é"));
        let answer = &stream.into_answers()[0];
        let calls = json!([
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
            {"id": "d", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ]);
        let message = json!({"role": "assistant", "content": "hé", "tool_calls": calls});
        assert_eq!(Value::Object(answer.message.clone()), message);
        assert_eq!((answer.usage.total(), answer.finish_reason.as_deref()), (4, Some("tool_calls")));
        assert_eq!(answer.tokens.clone().unwrap().logprobs, [-1.0, -2.0]);
    }

    #[test]
    fn usage_is_passed_on_to_those_who_asked() {
        let mut stream = Stream::new(Wanted { stream_usage: true, ..WANTED });
        assert!(String::from_utf8(stream.feed(&text()).bytes).unwrap().contains("usage"));
    }

    proptest! {
        #[test]
        fn where_it_is_cut_makes_no_difference(cuts in proptest::collection::vec(0..text().len(), 0..8)) {
            let text = text();
            let mut cuts = [vec![0, text.len()], cuts].concat();
            cuts.sort_unstable();
            let (mut stream, mut whole) = (Stream::new(WANTED), Stream::new(WANTED));
            let seen: Vec<u8> = cuts.windows(2).flat_map(|cut| stream.feed(&text[cut[0]..cut[1]]).bytes).collect();
            prop_assert_eq!(seen, whole.feed(&text).bytes);
            prop_assert_eq!(stream.into_answers(), whole.into_answers());
        }

        #[test]
        fn nothing_makes_it_panic(lines in proptest::collection::vec("(data: ?)?[\\[\\]{}a-z:\",0-9\n]{0,60}", 0..5)) {
            let mut stream = Stream::new(WANTED);
            stream.feed(lines.join("\n").as_bytes());
            stream.into_answers();
        }
    }
}
