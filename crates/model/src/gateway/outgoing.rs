//! What a caller asks for, and what is asked of the endpoint in its place.

use serde_json::{Map, Value, json};

use super::http::Denial;

/// Most messages of one request.
const MAX_MESSAGES: usize = 10_000;
/// Most tools of one request.
const MAX_TOOLS: usize = 1000;

/// A request for a chat completion, taken apart.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) messages: Vec<Map<String, Value>>,
    pub(super) tools: Vec<Value>,
    /// The model that the endpoint is asked for.
    pub(super) model: String,
    /// Everything else, but for how the answer is to be transported.
    pub(super) fields: Map<String, Value>,
    /// What the caller asked to see.
    pub(super) wanted: Wanted,
    /// For the endpoint.
    pub(super) body: Vec<u8>,
}

/// Parts of an answer that are there only when they are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) stream: bool,
    /// Usage at the end of a stream.
    pub(super) stream_usage: bool,
    pub(super) token_ids: bool,
    pub(super) logprobs: bool,
}

impl Outgoing {
    /// Reads the body of a request. `model` takes the place of the one that it names, unless it is empty; `tokens`
    /// asks for token ids.
    pub(super) fn read(body: &[u8], model: &str, tokens: bool) -> Result<Self, Denial> {
        let mut request: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|error| Denial::bad_request(format!("the body is not a JSON object: {error}")))?;
        let messages = objects(request.get("messages"))?;
        let tools = list(request.get("tools"), "tools", MAX_TOOLS)?.to_vec();
        let is_true = |value: Option<&Value>| value.and_then(Value::as_bool).unwrap_or_default();
        let stream_options = request.get("stream_options");
        let wanted = Wanted {
            stream: is_true(request.get("stream")),
            stream_usage: is_true(stream_options.and_then(|options| options.get("include_usage"))),
            token_ids: is_true(request.get("return_token_ids")),
            logprobs: is_true(request.get("logprobs")),
        };
        if !model.is_empty() {
            request.insert("model".to_owned(), model.into());
        }
        let model = request.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut fields = request.clone();
        for name in ["messages", "tools", "model", "stream", "stream_options"] {
            fields.shift_remove(name);
        }
        if tokens {
            request.insert("return_token_ids".to_owned(), true.into());
            request.insert("logprobs".to_owned(), true.into());
        }
        if wanted.stream {
            let options = request.entry("stream_options").or_insert_with(|| json!({}));
            match options {
                Value::Object(options) => drop(options.insert("include_usage".to_owned(), true.into())),
                other => *other = json!({"include_usage": true}),
            }
        }
        let body = Value::Object(request).to_string().into_bytes();
        Ok(Self { messages, tools, model, fields, wanted, body })
    }
}

fn objects(messages: Option<&Value>) -> Result<Vec<Map<String, Value>>, Denial> {
    let messages = list(messages, "messages", MAX_MESSAGES)?;
    let object = |message: &Value| message.as_object().cloned();
    let objects: Option<Vec<_>> = messages.iter().map(object).collect();
    objects
        .filter(|objects| !objects.is_empty())
        .ok_or_else(|| Denial::bad_request("`messages` must be a list of objects, and not empty"))
}

fn list<'a>(value: Option<&'a Value>, name: &str, most: usize) -> Result<&'a [Value], Denial> {
    let list = match value {
        None | Some(Value::Null) => &[],
        Some(Value::Array(list)) => list.as_slice(),
        Some(_) => return Err(Denial::bad_request(format!("`{name}` must be a list"))),
    };
    if list.len() > most {
        return Err(Denial::bad_request(format!("`{name}` has {} entries, more than {most}", list.len())));
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &Value, model: &str, tokens: bool) -> Outgoing {
        Outgoing::read(body.to_string().as_bytes(), model, tokens).unwrap()
    }

    fn sent(outgoing: &Outgoing) -> Value {
        serde_json::from_slice(&outgoing.body).unwrap()
    }

    #[test]
    fn what_nobody_knows_is_passed_on_and_kept() {
        let body = json!({"model": "m", "messages": [{"role": "user"}], "top_k": 5, "x": {"y": [1.5]}});
        let outgoing = read(&body, "", false);
        assert_eq!(sent(&outgoing), body);
        assert_eq!(Value::Object(outgoing.fields), json!({"top_k": 5, "x": {"y": [1.5]}}));
        assert_eq!(outgoing.model, "m");
    }

    #[test]
    fn what_is_asked_for_besides_is_not_taken_for_the_callers_wish() {
        let body = json!({"model": "m", "messages": [{}], "stream": true, "stream_options": 1});
        let outgoing = read(&body, "real", true);
        let expected = json!({"model": "real", "messages": [{}], "stream": true,
            "stream_options": {"include_usage": true}, "return_token_ids": true, "logprobs": true});
        assert_eq!(sent(&outgoing), expected);
        let wanted = Wanted { stream: true, stream_usage: false, token_ids: false, logprobs: false };
        assert_eq!((outgoing.wanted, outgoing.fields), (wanted, Map::new()));
    }

    #[test]
    fn other_bodies_are_refused() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"messages": {}}"#,
            r#"{"messages": ["x"]}"#,
            r#"{"messages": []}"#,
            r#"{"messages": [{}], "tools": 1}"#,
            &"[".repeat(100_000),
        ] {
            assert!(Outgoing::read(body.as_bytes(), "", false).is_err(), "{body:.40}");
        }
    }
}
