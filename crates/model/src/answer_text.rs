//! Reads an answer that is plain text: reasoning between `<think>` and `</think>`, calls as Hermes and Qwen write them,
//! a JSON object between `<tool_call>` and `</tool_call>`.

use serde_json::Value;
use swegym_core::{Message, ToolCall};

const CALL: &str = "<tool_call>";
const CALL_END: &str = "</tool_call>";
const THINK: &str = "<think>";
const THINK_END: &str = "</think>";

/// The message that a text is. Calls are looked for where tools are on offer; where one of them cannot be read, all of
/// it is text, as vLLM has it.
pub(crate) fn message(text: &str, has_tools: bool, made_ids: &mut u64) -> Message {
    let (reasoning, rest) = split_reasoning(text);
    let calls = if has_tools { calls(rest, made_ids) } else { None };
    let message = match calls {
        Some(calls) => {
            let content = rest.find(CALL).map_or(rest, |at| &rest[..at]);
            Message::calling(content.trim_end(), calls)
        }
        None => Message::calling(rest, Vec::new()),
    };
    Message { reasoning_content: reasoning.map(str::to_owned), ..message }
}

/// The beginning may be missing, where the template has written it already.
fn split_reasoning(text: &str) -> (Option<&str>, &str) {
    let Some((before, after)) = text.split_once(THINK_END) else { return (None, text) };
    if before.contains(CALL) {
        return (None, text);
    }
    let reasoning = before.trim_start();
    let reasoning = reasoning.strip_prefix(THINK).unwrap_or(reasoning).trim();
    (Some(reasoning).filter(|text| !text.is_empty()), after.trim_start_matches('\n'))
}

fn calls(text: &str, made_ids: &mut u64) -> Option<Vec<ToolCall>> {
    let bodies =
        text.split(CALL).skip(1).map(|part| part.split_once(CALL_END).map_or(part, |(body, _)| body));
    let calls: Option<Vec<(String, String)>> = bodies.map(call).collect();
    let calls = calls.filter(|calls| !calls.is_empty())?;
    Some(
        calls
            .into_iter()
            .map(|(name, arguments)| {
                *made_ids += 1;
                let mut call = ToolCall::new(format!("call_{made_ids}"), name, &Value::Null);
                call.function.arguments = arguments;
                call
            })
            .collect(),
    )
}

fn call(body: &str) -> Option<(String, String)> {
    let value: Value = serde_json::from_str(body.trim()).ok()?;
    let name = value["name"].as_str()?.to_owned();
    let arguments = match value.get("arguments").or(value.get("parameters")) {
        None => "{}".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(arguments) => arguments.to_string(),
    };
    Some((name, arguments))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (Option<String>, String, Vec<(String, String)>) {
        let message = message(text, true, &mut 0);
        let calls = message.tool_calls.into_iter().map(|call| (call.function.name, call.function.arguments));
        (message.reasoning_content, message.content, calls.collect())
    }

    #[test]
    fn reasoning_text_and_calls_are_told_apart() {
        let pair = |name: &str, arguments: &str| (name.to_owned(), arguments.to_owned());
        let call = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"b\": 1, \"a\": \"</x>\"}}\n</tool_call>";
        let f = pair("f", r#"{"b":1,"a":"</x>"}"#);
        assert_eq!(read("plain"), (None, "plain".into(), vec![]));
        assert_eq!(read(&format!("I look.\n{call}")), (None, "I look.".into(), vec![f.clone()]));
        let thought = format!("<think>\nhm\n</think>\n\nyes{call}{call}");
        assert_eq!(read(&thought), (Some("hm".into()), "yes".into(), vec![f.clone(), f.clone()]));
        assert_eq!(read("hm</think>yes"), (Some("hm".into()), "yes".into(), vec![]));
        assert_eq!(read("<tool_call>{\"name\": \"g\"}"), (None, String::new(), vec![pair("g", "{}")]));
        for broken in ["<tool_call>", "<tool_call>{\"name\": 1}</tool_call>", "<tool_call>[]</tool_call>x"] {
            assert_eq!(read(broken), (None, broken.into(), vec![]));
        }
        assert!(message(call, false, &mut 0).tool_calls.is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_a_message(text in "(<tool_call>|</tool_call>|<think>|</think>|\\{\"name\": \"f\"\\}|[ a\n]){0,12}") {
            message(&text, true, &mut 0);
        }
    }
}
