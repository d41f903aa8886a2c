//! Calls as text in front of a scripted endpoint: what is sent, and what is read.

#![expect(clippy::unwrap_used, reason = "helpers of tests: an error is a failed test")]

use std::sync::Arc;

use serde_json::{Value, json};
use swegym_core::fncall::TextFormat;
use swegym_core::{ChatRequest, Completion, Message, Role, ToolCall, ToolSpec};
use swegym_model::{ChatClient, ChatPolicy, ClientConfig, ModelError, Policy, TextTools, read_text_format};
use swegym_testkit::{Reply, ScriptedServer};

fn tools() -> Vec<ToolSpec> {
    let tool = |name: &str, parameters| ToolSpec {
        name: name.into(),
        description: format!("Does {name}."),
        parameters,
    };
    let command = json!({"properties": {"command": {"type": "string"}}, "required": ["command"]});
    vec![tool("execute_bash", command), tool("finish", Value::Null)]
}

fn policy(server: &ScriptedServer, format: TextFormat) -> TextTools {
    let client = ChatClient::new(ClientConfig::new(server.base_url(), "toy-model")).unwrap();
    TextTools::new(Box::new(ChatPolicy::new(Arc::new(client))), Arc::new(format))
}

fn task() -> Vec<Message> {
    vec![Message::text(Role::System, "You work."), Message::text(Role::User, "Fix it.")]
}

/// Asks once, with the tools.
async fn ask(reply: Reply) -> Result<Completion, ModelError> {
    let server = ScriptedServer::start(vec![reply]).await;
    policy(&server, TextFormat::default()).complete(&ChatRequest::new(&task(), &tools())).await
}

const CALL: &str = "I look.\n\n<function=execute_bash>\n<parameter=command>\nls\npwd\n</parameter>\n";

#[tokio::test]
async fn a_request_has_its_tools_in_the_prompt_and_the_answer_has_a_call() {
    let server = ScriptedServer::start(vec![Reply::text(CALL)]).await;
    let (messages, tools) = (task(), tools());
    let request = ChatRequest { stop: &["STOP"], ..ChatRequest::new(&messages, &tools) };
    let completion = policy(&server, TextFormat::default()).complete(&request).await.unwrap();

    let body = &server.requests()[0].body;
    assert!(body.get("tools").is_none());
    assert_eq!(body["stop"], json!(["STOP", "</function"]));
    let system = body["messages"][0]["content"].as_str().unwrap();
    assert!(system.starts_with("You work.") && system.contains("---- BEGIN FUNCTION #2: finish ----"));
    assert_eq!(
        body["messages"][1]["content"], "Fix it.",
        "the example is about an editor that is not on offer"
    );

    let message = &completion.message;
    assert_eq!(message.content, "I look.");
    let call = &message.tool_calls[0];
    assert_eq!((call.id.as_str(), call.function.name.as_str()), ("toolu_01", "execute_bash"));
    assert_eq!(call.function.arguments, r#"{"command": "ls\npwd"}"#);
    assert_eq!(completion.raw.unwrap().content, CALL);
    assert_eq!(completion.usage.total(), 110);
}

#[tokio::test]
async fn earlier_answers_are_sent_as_written_or_anew() {
    let untidy = "Look:<function=execute_bash>\n  <parameter=command> ls </parameter>";
    let anew = "Look:\n\n<function=execute_bash>\n<parameter=command>ls</parameter>\n</function>";
    for (keep_answers, sent) in [(true, format!("{untidy}</function>")), (false, anew.to_owned())] {
        let server = ScriptedServer::start(vec![Reply::text(untidy), Reply::text("done")]).await;
        let mut policy = policy(&server, TextFormat { keep_answers, ..TextFormat::default() });
        let (mut messages, tools) = (task(), tools());
        let first = policy.complete(&ChatRequest::new(&messages, &tools)).await.unwrap().message;
        messages.push(first.clone());
        messages.push(Message::tool_result(&first.tool_calls[0], "a.py"));
        let second = policy.complete(&ChatRequest::new(&messages, &tools)).await.unwrap();
        assert_eq!((second.message.content.as_str(), second.raw), ("done", None));
        let body = &server.requests()[1].body["messages"];
        assert_eq!(body[2], json!({"role": "assistant", "content": sent}));
        assert_eq!(body[3], json!({"role": "user", "content": "EXECUTION RESULT of [execute_bash]:\na.py"}));
    }
}

#[tokio::test]
async fn a_call_that_does_not_fit_is_told_and_kept() {
    for (answer, told) in [
        (
            "<function=execute_bash>\n<parameter=command>ls",
            "Missing required parameters for function 'execute_bash': {'command'}",
        ),
        ("<function=rm>\n", "Function 'rm' not found in available tools: ['execute_bash', 'finish']"),
        (
            "<function=finish>\n<parameter=x>y</parameter>\n",
            "failed to convert the conversation: KeyError: 'parameters'",
        ),
    ] {
        let Err(ModelError::InvalidCall { message, completion }) = ask(Reply::text(answer)).await else {
            panic!("{answer}")
        };
        assert_eq!((message.as_str(), completion.message.content.as_str()), (told, answer));
    }
}

#[tokio::test]
async fn an_endpoint_that_makes_calls_itself_is_understood() {
    let calls = ["one", "two"].map(|id| ToolCall::new(id, "execute_bash", &json!({"command": id})));
    let native = Message::calling("Both.", calls.to_vec());
    let completion = ask(Reply::Message(native.clone())).await.unwrap();
    assert_eq!(completion.message.tool_calls.len(), 1);
    assert_eq!(completion.message.tool_calls[0].function.arguments, r#"{"command":"one"}"#);
    assert_eq!(completion.raw.as_deref(), Some(&native));
    let broken = ask(Reply::call_with_text("execute_bash", "{")).await;
    assert!(matches!(broken, Err(ModelError::InvalidCall { .. })), "{broken:?}");
}

#[tokio::test]
async fn without_tools_nothing_changes() {
    let server = ScriptedServer::start(vec![Reply::text(CALL)]).await;
    let messages = task();
    let completion =
        policy(&server, TextFormat::default()).complete(&ChatRequest::new(&messages, &[])).await.unwrap();
    assert_eq!((completion.message.content.as_str(), completion.raw), (CALL, None));
    assert_eq!(server.requests()[0].messages(), messages);
}

#[test]
fn words_are_read_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text_calls.json");
    let refused = || read_text_format(&path).unwrap_err().to_string();
    assert!(refused().contains("text_calls.json"));
    std::fs::write(&path, "{\"stop_words\": 1}").unwrap();
    assert!(refused().contains("`system_prompt_suffix`"), "{}", refused());
    std::fs::write(&path, r#"{"system_prompt_suffix": "Tools: {description}"}"#).unwrap();
    assert_eq!(read_text_format(&path).unwrap().tools_prefix, "Tools: ");
}
