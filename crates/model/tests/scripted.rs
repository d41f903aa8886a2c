//! The policies without a model.

#![expect(clippy::unwrap_used, reason = "helpers of tests: an error is a failed test")]

use serde_json::json;
use swegym_core::{ChatRequest, InstanceId};
use swegym_model::{ModelError, NoopPolicy, Policy, Script};

const NOTHING: ChatRequest<'static> =
    ChatRequest { messages: &[], tools: &[], stop: &[], json_object: false, max_tokens: None };

fn instance(id: &str) -> InstanceId {
    InstanceId::new(id).unwrap()
}

#[tokio::test]
async fn noop_finishes_at_once() {
    let completion = NoopPolicy.complete(&NOTHING).await.unwrap();
    assert_eq!(completion.message.tool_calls[0].function.name, "finish");
}

#[tokio::test]
async fn a_script_is_played_to_its_end() {
    let script = json!([
        {"role": "assistant", "content": "look", "tool_calls": [{"function": {"name": "execute_bash", "arguments": {"command": "ls"}}}]},
        {"content": "done"},
    ]);
    let mut policy = Script::from_json(&script.to_string()).unwrap().policy(&instance("a__b-1")).unwrap();
    let first = policy.complete(&NOTHING).await.unwrap();
    let call = &first.message.tool_calls[0];
    assert_eq!((call.id.as_str(), call.function.arguments.as_str()), ("call_1", r#"{"command":"ls"}"#));
    assert_eq!(policy.complete(&NOTHING).await.unwrap().message.content, "done");
    let end = policy.complete(&NOTHING).await.unwrap_err();
    assert!(matches!(end, ModelError::ScriptEnded { answers: 2 }), "{end:?}");
}

#[tokio::test]
async fn a_script_may_differ_by_instance() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("script.json");
    std::fs::write(&path, r#"{"a__b-1": [{"content": "one"}], "a__b-2": [{"content": "two"}]}"#).unwrap();
    let script = Script::read(&path).unwrap();
    let mut policy = script.policy(&instance("a__b-2")).unwrap();
    assert_eq!(policy.complete(&NOTHING).await.unwrap().message.content, "two");
    let error = script.policy(&instance("a__b-3")).unwrap_err().to_string();
    assert!(error.contains("a__b-3"), "{error}");
}

#[test]
fn what_is_no_script_is_named() {
    for (text, said) in [
        ("[", "script: "),
        ("3", "must be a list"),
        (r#"{"a__b-1": 3}"#, "`a__b-1`: must be a list"),
        (r#"[{"content": "x"}, {"role": "user", "content": "y"}]"#, "message 1: its role"),
        (r#"[3]"#, "message 0: "),
    ] {
        let error = Script::from_json(text).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
