//! Whole rollouts in tokens, for each notation of calls, with a tokenizer that can cut a text in more than one way: what
//! is sent is what was sent and received before, and new tokens.
#![cfg(feature = "tokenizer")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use swegym_core::{ChatRequest, CompletionTokens, Message, Role, ToolSpec};
use swegym_model::{ChatClient, ChatPolicy, ClientConfig, Policy, TokenModel, ToolParser};
use swegym_testkit::{RecordedRequest, Reply, ScriptedServer};

const SPECIAL: [&str; 3] = ["<s>", "<end>", "<other_end>"];
const FIRST_BYTE: u32 = 100;
/// Joined by the tokenizer, and never by the model.
const MERGES: [(&str, &str); 3] = [("l", "s"), ("t", "o"), ("c", "a")];

/// A notation, how a template of its models writes calls, what a model writes, and whether its words come with calls.
struct Notation {
    parser: ToolParser,
    calls: &'static str,
    written: fn(&str) -> String,
    words_beside_calls: bool,
}

fn notations() -> [Notation; 6] {
    let notation = |parser, calls, written| Notation { parser, calls, written, words_beside_calls: true };
    [
        notation(
            ToolParser::Hermes,
            "{{ message.content }}{% for call in message.tool_calls %}{{ '\n<tool_call>\n' + (call.function|tojson) + '\n</tool_call>' }}{% endfor %}",
            |command| {
                format!(
                    "Look.\n<tool_call>\n{}\n</tool_call>",
                    json!({"name": "bash", "arguments": {"command": command}})
                )
            },
        ),
        Notation {
            words_beside_calls: false,
            ..notation(
                ToolParser::Llama3Json,
                "{% set call = message.tool_calls[0].function %}{{ '{\"name\": \"' + call.name + '\", \"parameters\": ' + (call.arguments|tojson) + '}' }}",
                |command| json!({"name": "bash", "parameters": {"command": command}}).to_string(),
            )
        },
        Notation {
            words_beside_calls: false,
            ..notation(
                ToolParser::Mistral,
                "{{ '[TOOL_CALLS] [' }}{% for call in message.tool_calls %}{% if call.id|length != 9 %}{{ raise_exception('ids') }}{% endif %}{{ call.function|tojson }}{% endfor %}{{ ']' }}",
                |command| {
                    format!("[TOOL_CALLS] {}", json!([{"name": "bash", "arguments": {"command": command}}]))
                },
            )
        },
        notation(
            ToolParser::DeepSeekV3,
            "{{ message.content + '<｜tool▁calls▁begin｜>' }}{% for call in message.tool_calls %}{{ '<｜tool▁call▁begin｜>function<｜tool▁sep｜>' + call.function.name + '\n```json\n' + call.function.arguments + '\n```<｜tool▁call▁end｜>' }}{% endfor %}{{ '<｜tool▁calls▁end｜>' }}",
            |command| {
                format!(
                    "Look.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>bash\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
                    json!({"command": command})
                )
            },
        ),
        notation(
            ToolParser::Qwen3Coder,
            "{{ message.content }}{% for call in message.tool_calls %}{{ '\n<tool_call>\n<function=' + call.function.name + '>\n' }}{% for name, value in call.function.arguments.items() %}{{ '<parameter=' + name + '>\n' ~ value ~ '\n</parameter>\n' }}{% endfor %}{{ '</function>\n</tool_call>' }}{% endfor %}",
            |command| {
                format!(
                    "Look.\n<tool_call>\n<function=bash>\n<parameter=command>\n{command}\n</parameter>\n</function>\n</tool_call>"
                )
            },
        ),
        notation(
            ToolParser::Hermes,
            // Forgets what was thought.
            "{{ message.content.split('</think>')|last }}{% for call in message.tool_calls %}{{ '<tool_call>' + (call.function|tojson) + '</tool_call>' }}{% endfor %}",
            |command| {
                format!(
                    "<think>\nto ls or not\n</think>\n\nLook.<tool_call>{}</tool_call>",
                    json!({"name": "bash", "arguments": {"command": command}})
                )
            },
        ),
    ]
}

fn template(notation: &Notation) -> String {
    let calls = notation.calls;
    format!(
        "{{{{ '<s>' }}}}{{% for message in messages %}}{{{{ '<' + message.role + '>' }}}}{{% if message.tool_calls %}}{calls}{{% else %}}{{{{ message.content }}}}{{% endif %}}{{{{ '<end>' }}}}{{% endfor %}}{{% if add_generation_prompt %}}{{{{ '<assistant>' }}}}{{% endif %}}"
    )
}

/// Bytes as the tokenizers of these models write them.
fn byte_names() -> Vec<char> {
    let is_plain = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut shifted = 256..;
    let name = |byte: u32| if is_plain(byte) { byte } else { shifted.next().unwrap() };
    (0..256).map(name).map(|code| char::from_u32(code).unwrap()).collect()
}

/// A model's folder.
fn write_model(folder: &Path, template: &str) {
    let mut vocab: BTreeMap<String, u32> = BTreeMap::new();
    let special = SPECIAL.iter().zip(0..).map(|(content, id)| {
        vocab.insert((*content).to_owned(), id);
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    });
    let special: Vec<Value> = special.collect();
    vocab.extend(byte_names().iter().zip(FIRST_BYTE..).map(|(name, id)| (name.to_string(), id)));
    vocab.extend(MERGES.iter().zip(1000..).map(|((one, other), id)| (format!("{one}{other}"), id)));
    let merges: Vec<String> = MERGES.iter().map(|(one, other)| format!("{one} {other}")).collect();
    let level =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": special, "pre_tokenizer": level, "decoder": level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": merges},
    });
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let config = json!({"chat_template": template, "eos_token": "<end>"});
    std::fs::write(folder.join("tokenizer_config.json"), config.to_string()).unwrap();
}

/// A text as a model may write it: byte by byte, and the end of its turn.
fn sampled(text: &str, end: &[u32]) -> Vec<u32> {
    text.bytes().map(|byte| FIRST_BYTE + u32::from(byte)).chain(end.iter().copied()).collect()
}

async fn server(answers: Vec<Vec<u32>>) -> ScriptedServer {
    let answers = Mutex::new(answers.into_iter());
    ScriptedServer::start_with(move |request: &RecordedRequest| {
        let completion_token_ids = answers.lock().unwrap().next().unwrap();
        let logprobs = completion_token_ids.iter().map(|_| -0.5).collect();
        Reply::Text(
            String::new(),
            CompletionTokens { prompt_token_ids: sent(request), completion_token_ids, logprobs },
        )
    })
    .await
}

fn sent(request: &RecordedRequest) -> Vec<u32> {
    serde_json::from_value(request.body["prompt"].clone()).unwrap()
}

fn tools() -> [ToolSpec; 1] {
    let parameters = json!({"type": "object", "properties": {"command": {"type": "string"}}});
    [ToolSpec { name: "bash".into(), description: String::new(), parameters }]
}

async fn rollout(notation: &Notation, stream: bool) {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path(), &template(notation));
    let model = Arc::new(TokenModel::read(folder.path()).unwrap());
    assert_eq!(model.template.tool_parser(), notation.parser, "what the template writes is read");
    let commands = ["ls", "cat to \"x\" <end>", "ls ü | to", "42", "ls"];
    // The first answer ends by another token, the last one by none.
    let ends: [&[u32]; 5] = [&[2], &[1], &[1], &[1], &[]];
    let answers: Vec<Vec<u32>> = std::iter::zip(commands, ends)
        .map(|(command, end)| sampled(&(notation.written)(command), end))
        .chain([sampled("done", &[1])])
        .collect();
    let server = server(answers.clone()).await;
    let config = ClientConfig {
        token_mode: Some(Arc::clone(&model)),
        stream,
        ..ClientConfig::new(server.base_url(), "m")
    };
    let mut policy = ChatPolicy::new(Arc::new(ChatClient::new(config).unwrap()));
    let mut messages =
        vec![Message::text(Role::System, "Fix it to ls."), Message::text(Role::User, "ls fails")];
    for (answer, command) in answers.iter().zip(commands) {
        let completion = policy.complete(&ChatRequest::new(&messages, &tools())).await.unwrap();
        assert_eq!(&completion.tokens.unwrap().completion_token_ids, answer);
        let message = completion.message;
        let arguments: Value = serde_json::from_str(&message.tool_calls[0].function.arguments).unwrap();
        assert_eq!(arguments, json!({ "command": command }), "{:?}", notation.parser);
        assert_eq!(message.content, if notation.words_beside_calls { "Look." } else { "" });
        let thought = (notation.written)("").starts_with("<think>").then_some("to ls or not");
        assert_eq!(message.reasoning_content.as_deref(), thought);
        let result = Message::tool_result(&message.tool_calls[0], "to README <end> ls\n");
        messages.extend([message, result]);
    }
    policy.complete(&ChatRequest::new(&messages, &tools())).await.unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), answers.len());
    for (step, pair) in requests.windows(2).enumerate() {
        let known = [sent(&pair[0]), answers[step].clone()].concat();
        let next = sent(&pair[1]);
        assert!(next.starts_with(&known), "{:?}, step {step}", notation.parser);
        let new = model.tokenizer.decode(&next[known.len()..]).unwrap();
        let turn = "<tool>to README <end> ls\n<end><assistant>";
        let end = if ends[step].is_empty() { "<end>" } else { "" };
        assert_eq!(new, format!("{end}{turn}"), "{:?}, step {step}", notation.parser);
    }
}

#[tokio::test]
async fn over_a_whole_rollout_no_token_is_cut_anew_in_any_notation() {
    for notation in notations() {
        for stream in [false, true] {
            rollout(&notation, stream).await;
        }
    }
}
