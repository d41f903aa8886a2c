//! A text as a message.

use serde_json::Value;
use swegym_core::{Message, ToolCall, ToolSpec};

use super::ToolParser;

/// What begins and ends reasoning: most models, and those of Mistral.
const REASONING: [(&str, &str); 2] = [("<think>", "</think>"), ("[THINK]", "[/THINK]")];

/// The words before the first call, and the calls.
#[derive(Debug, PartialEq)]
pub(super) struct Parsed<'a> {
    pub(super) content: &'a str,
    pub(super) calls: Vec<ParsedCall>,
}

/// A call as it was written.
#[derive(Debug, PartialEq)]
pub(super) struct ParsedCall {
    /// Where the notation has one.
    pub(super) id: Option<String>,
    pub(super) name: String,
    /// JSON, or what the model took for it.
    pub(super) arguments: String,
}

impl ParsedCall {
    pub(super) fn new(name: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self { id: None, name: name.into(), arguments: arguments.into() }
    }
}

/// The message that a text is. Calls are looked for where tools are on offer; where one of them cannot be read, all of
/// it is text, as vLLM has it. `made_ids` counts the ids made for calls.
pub(crate) fn message(parser: ToolParser, text: &str, tools: &[ToolSpec], made_ids: &mut u64) -> Message {
    let (reasoning, rest) = split_reasoning(text, parser.mark());
    let parsed = if tools.is_empty() { None } else { parser.parse(rest, tools) };
    let message = match parsed {
        Some(Parsed { content, calls }) => {
            let mut call = |call: ParsedCall| {
                *made_ids += 1;
                let id = call.id.unwrap_or_else(|| parser.call_id(*made_ids));
                let mut made = ToolCall::new(id, call.name, &Value::Null);
                made.function.arguments = call.arguments;
                made
            };
            let calls = calls.into_iter().map(&mut call).collect();
            Message::calling(content.trim_end(), calls)
        }
        None => Message::calling(rest, Vec::new()),
    };
    Message { reasoning_content: reasoning.map(str::to_owned), ..message }
}

/// The beginning may be missing, where the template has written it already. What follows a call is none.
fn split_reasoning<'a>(text: &'a str, call: &str) -> (Option<&'a str>, &'a str) {
    let split = |(begin, end): &(&str, &str)| {
        let (before, after) = text.split_once(end)?;
        let before = before.trim_start();
        Some((before.strip_prefix(begin).unwrap_or(before).trim(), after))
    };
    match REASONING.iter().find_map(split) {
        Some((reasoning, after)) if !reasoning.contains(call) => {
            (Some(reasoning).filter(|text| !text.is_empty()), after.trim_start_matches('\n'))
        }
        _ => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn tools() -> [ToolSpec; 1] {
        let types =
            json!({"b": {"type": "integer"}, "a": {"type": "string"}, "c": {"type": ["object", "null"]}});
        let parameters = json!({"type": "object", "properties": types});
        [ToolSpec { name: "f".into(), description: String::new(), parameters }]
    }

    type Read = (Option<String>, String, Vec<(String, String)>);

    fn read(parser: ToolParser, text: &str) -> Read {
        let message = message(parser, text, &tools(), &mut 0);
        let calls = message.tool_calls.into_iter().map(|call| (call.function.name, call.function.arguments));
        (message.reasoning_content, message.content, calls.collect())
    }

    fn calls(content: &str, calls: &[(&str, &str)]) -> Read {
        let calls = calls.iter().map(|(name, arguments)| ((*name).to_owned(), (*arguments).to_owned()));
        (None, content.to_owned(), calls.collect())
    }

    /// Name and arguments.
    type Pair<'a> = (&'a str, &'a str);

    /// Texts with the content and the calls that are in them.
    fn check(parser: ToolParser, texts: &[(&str, &str, &[Pair<'_>])]) {
        for (text, content, expected) in texts {
            assert_eq!(read(parser, text), calls(content, expected), "{text}");
            let thought = format!("<think>\nhm\n</think>\n\n{text}");
            let (reasoning, rest, read) = read(parser, &thought);
            assert_eq!(
                (reasoning.as_deref(), (None, rest, read)),
                (Some("hm"), calls(content, expected)),
                "{text}"
            );
        }
    }

    /// What is no call is text, to the letter.
    fn check_text(parser: ToolParser, texts: &[&str]) {
        for text in texts {
            assert_eq!(read(parser, text), calls(text, &[]), "{text}");
        }
    }

    #[test]
    fn hermes() {
        let call = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"b\": 1, \"a\": \"</x>\"}}\n</tool_call>";
        let f = ("f", r#"{"b":1,"a":"</x>"}"#);
        check(
            ToolParser::Hermes,
            &[
                ("plain", "plain", &[]),
                (&format!("I look.\n{call}"), "I look.", &[f]),
                (&format!("yes{call}{call}"), "yes", &[f, f]),
                ("<tool_call>{\"name\": \"g\"}", "", &[("g", "{}")]),
            ],
        );
        let broken = ["<tool_call>", "<tool_call>{\"name\": 1}</tool_call>", "<tool_call>[]</tool_call>x"];
        check_text(ToolParser::Hermes, &broken);
        assert!(message(ToolParser::Hermes, call, &[], &mut 0).tool_calls.is_empty(), "none is on offer");
    }

    #[test]
    fn llama() {
        let f = ("f", r#"{"a":"x; {"}"#);
        let call = r#"{"name": "f", "parameters": {"a": "x; {"}}"#;
        check(
            ToolParser::Llama3Json,
            &[
                (call, "", &[f]),
                (&format!("\n<|python_tag|>{call}"), "", &[f]),
                (&format!("I look.<|python_tag|>{call}; {call}"), "I look.", &[f, f]),
            ],
        );
        check_text(
            ToolParser::Llama3Json,
            &[
                "plain",
                "{\"a\": 1}",
                "<|python_tag|>print(1)",
                &format!("{call} and more"),
                "{",
                "<|python_tag|>",
            ],
        );
    }

    #[test]
    fn mistral() {
        let f = ("f", r#"{"a":"[TOOL"}"#);
        check(
            ToolParser::Mistral,
            &[
                (r#"[TOOL_CALLS] [{"name": "f", "arguments": {"a": "[TOOL"}}]"#, "", &[f]),
                (r#"I look.[TOOL_CALLS]f{"a":"[TOOL"}[TOOL_CALLS]g{}"#, "I look.", &[f, ("g", "{}")]),
                (r#"[TOOL_CALLS]f[CALL_ID]123456789[ARGS]{"a":"[TOOL"}"#, "", &[f]),
            ],
        );
        check_text(
            ToolParser::Mistral,
            &[
                "plain",
                "[TOOL_CALLS]",
                "[TOOL_CALLS][]",
                "[TOOL_CALLS][1]",
                "[TOOL_CALLS]f",
                "[TOOL_CALLS]{}",
                "x[TOOL_CALLS]f{",
            ],
        );
        let ids = |text: &str| {
            let calls = message(ToolParser::Mistral, text, &tools(), &mut 0).tool_calls;
            calls.into_iter().map(|call| call.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(r#"[TOOL_CALLS]f[CALL_ID]abcDEF123[ARGS]{}"#), ["abcDEF123"]);
        assert_eq!(
            ids(r#"[TOOL_CALLS][{"name": "f", "id": "x"}, {"name": "f"}]"#),
            ["call00001", "call00002"]
        );
        let thought = read(ToolParser::Mistral, "[THINK]hm[/THINK]\nyes");
        assert_eq!(thought, (Some("hm".into()), "yes".into(), vec![]));
    }

    #[test]
    fn deepseek() {
        let f = ("f", r#"{"a": "`"}"#);
        let third =
            "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": \"`\"}\n```<｜tool▁call▁end｜>";
        let newer = "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": \"`\"}<｜tool▁call▁end｜>";
        check(
            ToolParser::DeepSeekV3,
            &[
                (
                    &format!("I look.<｜tool▁calls▁begin｜>{third}\n{third}<｜tool▁calls▁end｜>"),
                    "I look.",
                    &[f, f],
                ),
                (&format!("<｜tool▁calls▁begin｜>{newer}{newer}<｜tool▁calls▁end｜>"), "", &[f, f]),
                (newer, "", &[f]),
            ],
        );
        check_text(
            ToolParser::DeepSeekV3,
            &[
                "plain",
                "<｜tool▁calls▁begin｜>",
                "<｜tool▁call▁begin｜>f<｜tool▁call▁end｜>",
                "<｜tool▁call▁begin｜><｜tool▁sep｜>{}",
            ],
        );
    }

    #[test]
    fn qwen3_coder() {
        let typed = "<tool_call>\n<function=f>\n<parameter=b>\n7\n</parameter>\n<parameter=a>\n  x = 1\n\n</parameter>\n\
                     <parameter=c>\nnull\n</parameter>\n<parameter=d>\n1\n</parameter>\n</function>\n</tool_call>";
        let f = ("f", r#"{"b":7,"a":"  x = 1\n","c":null,"d":"1"}"#);
        check(
            ToolParser::Qwen3Coder,
            &[
                (&format!("I look.\n{typed}"), "I look.", &[f]),
                (&format!("{typed}\n{typed}"), "", &[f, f]),
                ("<function=g>\n</function>", "", &[("g", "{}")]),
                (
                    "<function=f><parameter=a>null</parameter><parameter=b>x",
                    "",
                    &[("f", r#"{"a":"null","b":"x"}"#)],
                ),
            ],
        );
        check_text(
            ToolParser::Qwen3Coder,
            &["plain", "<tool_call>", "<function=", "<function=>", "<function=f><parameter="],
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_message(
            text in "(<tool_call>|</tool_call>|<think>|</think>|\\{\"name\": \"f\"\\}|\\[TOOL_CALLS\\]|\\[ARGS\\]|\
                     <function=|<parameter=|</parameter>|</function>|<｜tool▁call▁begin｜>|<｜tool▁sep｜>|```json|\
                     <\\|python_tag\\|>|[ a{}>;\n]){0,12}"
        ) {
            for parser in ToolParser::ALL {
                message(parser, &text, &tools(), &mut 0);
            }
        }
    }
}
