//! Answers piece by piece.

use serde_json::{Value, json};

/// Characters of a text that come together.
const CHARS: usize = 3;

/// The events by which a server gives this chat completion to who asks for a stream with usage.
pub(crate) fn events(completion: &Value) -> Vec<u8> {
    let choice = &completion["choices"][0];
    let message = &choice["message"];
    let mut deltas = vec![json!({"role": "assistant", "content": ""})];
    for field in ["reasoning_content", "content"] {
        deltas.extend(pieces(&message[field]).map(|piece| json!({field: piece})));
    }
    for (index, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
        let mut begin = call.clone();
        begin["index"] = json!(index);
        begin["function"]["arguments"] = json!("");
        deltas.push(json!({"tool_calls": [begin]}));
        let arguments = pieces(&call["function"]["arguments"]);
        deltas.extend(
            arguments
                .map(|piece| json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})),
        );
    }
    let mut chunks: Vec<Value> =
        deltas.into_iter().map(|delta| chunk(&json!({"index": 0, "delta": delta}))).collect();
    add_tokens(&mut chunks, completion);
    chunks.push(chunk(&json!({"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]})));
    chunks.push(json!({"choices": [], "usage": completion["usage"]}));
    encode(&chunks)
}

/// The same for a text completion: an event for each token, of which the first has the ids of the prompt and the text.
pub(crate) fn text_events(completion: &Value) -> Vec<u8> {
    let choice = &completion["choices"][0];
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let logprobs = list(&choice["logprobs"]["token_logprobs"]);
    let event = |(number, id): (usize, &Value)| {
        let logprobs = json!({"token_logprobs": logprobs.get(number..=number).unwrap_or_default()});
        let mut part = json!({"index": 0, "text": "", "token_ids": [id], "logprobs": logprobs});
        if number == 0 {
            part["prompt_token_ids"] = choice["prompt_token_ids"].clone();
            part["text"] = choice["text"].clone();
        }
        json!({"object": "text_completion", "choices": [part]})
    };
    let mut chunks: Vec<Value> = list(&choice["token_ids"]).iter().enumerate().map(event).collect();
    let end = json!({"index": 0, "text": "", "finish_reason": choice["finish_reason"]});
    chunks.push(json!({"object": "text_completion", "choices": [end]}));
    chunks.push(json!({"choices": [], "usage": completion["usage"]}));
    encode(&chunks)
}

fn encode(chunks: &[Value]) -> Vec<u8> {
    let data = chunks.iter().map(Value::to_string).chain(["[DONE]".to_owned()]);
    data.map(|data| format!("data: {data}\n\n")).collect::<String>().into_bytes()
}

fn chunk(choice: &Value) -> Value {
    json!({"object": "chat.completion.chunk", "choices": [choice]})
}

/// The first chunk has the ids of the prompt, each chunk some of the answer, and the last what is left.
fn add_tokens(chunks: &mut [Value], completion: &Value) {
    let choice = &completion["choices"][0];
    let (Some(ids), Some(logprobs)) =
        (choice["token_ids"].as_array(), choice["logprobs"]["content"].as_array())
    else {
        return;
    };
    let last = chunks.len() - 1;
    chunks[0]["prompt_token_ids"] = completion["prompt_token_ids"].clone();
    for (number, chunk) in chunks.iter_mut().enumerate() {
        let part = |list: &[Value]| match number {
            _ if number == last => list.get(number..).unwrap_or_default().to_vec(),
            _ => list.get(number..=number).unwrap_or_default().to_vec(),
        };
        chunk["choices"][0]["token_ids"] = json!(part(ids));
        chunk["choices"][0]["logprobs"] = json!({"content": part(logprobs)});
    }
}

fn pieces(text: &Value) -> impl Iterator<Item = String> {
    let chars: Vec<char> = text.as_str().unwrap_or_default().chars().collect();
    let pieces: Vec<String> = chars.chunks(CHARS).map(|piece| piece.iter().collect()).collect();
    pieces.into_iter()
}
