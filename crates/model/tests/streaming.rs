//! Answers that come piece by piece: the same as whole ones, or an error.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use swegym_core::{ChatRequest, Completion, CompletionTokens, Message, ToolCall, Usage};
use swegym_model::{ChatClient, ChatPolicy, ClientConfig, ModelError, Notices, Policy};
use swegym_testkit::{Reply, ScriptedServer};

fn config(base_url: &str) -> ClientConfig {
    ClientConfig {
        stream: true,
        max_tries: 2,
        first_backoff: Duration::ZERO,
        max_backoff: Duration::ZERO,
        ..ClientConfig::new(base_url, "toy-model")
    }
}

async fn ask(config: ClientConfig) -> Result<Completion, ModelError> {
    let client = Arc::new(ChatClient::new(config)?);
    ChatPolicy::new(client).complete(&ChatRequest::new(&[], &[])).await
}

async fn play(replies: Vec<Reply>) -> Result<Completion, ModelError> {
    let server = ScriptedServer::start(replies).await;
    ask(config(&server.base_url())).await
}

fn data(chunk: &Value) -> Vec<u8> {
    format!("data: {chunk}\n\n").into_bytes()
}

fn delta(delta: &Value) -> Vec<u8> {
    data(&json!({"choices": [{"index": 0, "delta": delta}]}))
}

fn end(reason: &str) -> Vec<u8> {
    data(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
}

fn done() -> Vec<u8> {
    b"data: [DONE]\n\n".to_vec()
}

/// An answer with everything in it.
fn rich() -> Message {
    let call = |id, name, arguments| ToolCall::new(id, name, arguments);
    let calls = vec![
        call("call_a", "execute_bash", &json!({"command": "ls ü\u{1F600} \n"})),
        call("call_b", "finish", &json!({})),
    ];
    Message {
        reasoning_content: Some("häßlich".to_owned()),
        ..Message::calling("I löok.\r\n\r\ndata: x", calls)
    }
}

#[tokio::test]
async fn a_streamed_answer_is_the_same_as_a_whole_one() {
    let tokens = CompletionTokens {
        prompt_token_ids: (0..50).collect(),
        completion_token_ids: (100..140).collect(),
        logprobs: (0..40).map(|number| -0.5 * f64::from(number)).collect(),
    };
    for message in [rich(), Message::calling("", Vec::new()), Message::calling("only text", Vec::new())] {
        let server = ScriptedServer::start(vec![Reply::Tokens(message.clone(), tokens.clone()); 2]).await;
        let mut answers = Vec::new();
        for stream in [true, false] {
            let config = ClientConfig { stream, token_ids: true, ..config(&server.base_url()) };
            answers.push(ask(config).await.unwrap());
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0].message, message);
        assert_eq!(answers[0].tokens.as_ref(), Some(&tokens));
        let sent = &server.requests()[0].body;
        assert_eq!(sent["stream_options"], json!({"include_usage": true}));
        assert_eq!(sent["return_token_ids"], true);
        assert_eq!(server.requests()[1].body.get("stream"), None);
    }
}

#[tokio::test]
async fn a_server_that_answers_whole_all_the_same_is_understood() {
    let reply = json!({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]});
    assert_eq!(play(vec![Reply::Json(reply)]).await.unwrap().message.content, "hi");
}

#[tokio::test]
async fn servers_number_calls_in_their_own_ways() {
    let call = |index: Value, id: Value, arguments: &str| {
        let mut call = json!({"id": id, "function": {"name": "f", "arguments": arguments}});
        if !index.is_null() {
            call["index"] = index;
        }
        delta(&json!({"tool_calls": [call]}))
    };
    let (none, zero) = (Value::Null, json!(0));
    let streams = [
        vec![
            call(json!(0), json!("a"), "{1"),
            call(json!(1), json!("b"), "{2"),
            call(json!(0), none.clone(), "1}"),
            call(json!(1), json!(""), "2}"),
        ],
        vec![
            call(none.clone(), json!("a"), "{1"),
            call(none.clone(), none.clone(), "1}"),
            call(none.clone(), json!("b"), "{22}"),
        ],
        vec![
            call(zero.clone(), json!("a"), "{11}"),
            call(zero.clone(), json!("b"), "{2"),
            call(zero, json!("b"), "2}"),
        ],
        vec![call(json!(7), json!("a"), "{11}"), call(json!(u64::MAX), json!("b"), "{22}")],
    ];
    for mut stream in streams {
        stream.extend([end("tool_calls"), done()]);
        let shown = String::from_utf8(stream.concat()).unwrap();
        let completion = play(vec![Reply::Stream(stream)]).await.unwrap();
        let calls = completion.message.tool_calls;
        let read: Vec<_> =
            calls.iter().map(|call| (call.id.as_str(), call.function.arguments.as_str())).collect();
        assert_eq!(read, [("a", "{11}"), ("b", "{22}")], "{shown}");
        assert_eq!(calls[0].function.name, "f");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_is_tried_again() {
    let hello = delta(&json!({"content": "hel"}));
    let broken = [
        vec![],
        vec![hello.clone()],
        vec![hello.clone(), b"data: {\"choi".to_vec()],
        vec![hello.clone(), b"data: {\"choices\": [}\n\n".to_vec(), done()],
        vec![hello.clone(), b"data: \xff\n\n".to_vec(), done()],
        vec![done()],
        vec![hello.clone(), data(&json!({"error": {"message": "engine dead"}})), done()],
        vec![hello, data(&json!({"error": {"message": "busy", "code": 503}})), done()],
    ];
    for stream in broken {
        let shown = String::from_utf8_lossy(&stream.concat()).into_owned();
        let completion = play(vec![Reply::Stream(stream), Reply::text("hello")]).await;
        assert_eq!(completion.unwrap().message.content, "hello", "{shown}");
    }
}

#[tokio::test]
async fn errors_within_a_stream_are_those_of_a_status() {
    let stream =
        |error: Value| Reply::Stream(vec![delta(&json!({"content": "x"})), data(&json!({"error": error}))]);
    let outcome = play(vec![stream(json!({"message": "maximum context length is 10", "code": 400}))]).await;
    assert!(matches!(outcome, Err(ModelError::ContextWindow { .. })), "{outcome:?}");
    let outcome = play(vec![stream(json!({"message": "no", "code": 400}))]).await;
    assert!(matches!(outcome, Err(ModelError::Status { tries: 1, status: 400, .. })), "{outcome:?}");
    let outcome = play(vec![stream(json!("engine dead")); 2]).await.unwrap_err();
    assert!(outcome.to_string().contains("engine dead"), "{outcome}");
}

#[tokio::test]
async fn an_answer_with_its_reason_needs_no_further_end() {
    let stream = vec![delta(&json!({"content": "hi", "role": "assistant"})), end("length")];
    let completion = play(vec![Reply::Stream(stream)]).await.unwrap();
    assert_eq!(
        (completion.message.content.as_str(), completion.finish_reason.as_deref()),
        ("hi", Some("length"))
    );
    assert_eq!(completion.usage, Usage::default());
}

#[tokio::test]
async fn what_follows_the_end_is_not_waited_for() {
    let stream = vec![delta(&json!({"content": "hi"})), end("stop"), done()];
    for reply in [Reply::SilentStream(stream.clone()), Reply::EndlessStream(stream)] {
        assert_eq!(play(vec![reply]).await.unwrap().message.content, "hi");
    }
}

#[tokio::test]
async fn silence_and_dawdling_within_an_answer_are_given_up() {
    let hello = vec![delta(&json!({"content": "hel"}))];
    let server = ScriptedServer::start(vec![Reply::SilentStream(hello.clone()); 2]).await;
    let idle = ClientConfig { idle_time_limit: Duration::from_millis(30), ..config(&server.base_url()) };
    let error = ask(idle).await.unwrap_err();
    assert!(error.to_string().contains("stood still for 30ms"), "{error}");
    let server = ScriptedServer::start(vec![Reply::EndlessStream(hello); 2]).await;
    let slow = ClientConfig { request_time_limit: Duration::from_millis(100), ..config(&server.base_url()) };
    let error = ask(slow).await.unwrap_err();
    assert!(error.to_string().contains("no complete answer within 100ms"), "{error}");
}

#[tokio::test]
async fn an_endless_stream_is_given_up() {
    let piece = delta(&json!({"content": "x".repeat(1 << 20)}));
    let error = play(vec![Reply::Stream(vec![piece; 70]); 2]).await.unwrap_err();
    assert!(error.to_string().contains("more than"), "{error}");
}

/// Asks for token ids; gives the answer and what was said about it.
async fn tokens_of(answer: Value) -> (Option<CompletionTokens>, Vec<String>) {
    let server = ScriptedServer::start(vec![Reply::Json(answer)]).await;
    let said = Arc::new(std::sync::Mutex::new(Vec::new()));
    let listener = Arc::clone(&said);
    let notices =
        Notices::new(move |message| listener.lock().expect("no listener panics").push(message.to_owned()));
    let config = ClientConfig { token_ids: true, notices, ..config(&server.base_url()) };
    let tokens = ask(config).await.expect("the answer is good").tokens;
    let said = said.lock().expect("no listener panics").clone();
    (tokens, said)
}

#[tokio::test]
async fn token_ids_are_read_as_each_server_spells_them() {
    let message = json!({"content": "hi"});
    let logprobs = json!({"content": [{"token": "h", "logprob": -0.5}, {"token": "i", "logprob": -1}]});
    let named = json!({"content": [{"token": "token_id:5", "logprob": -0.5}, {"token": "token_id:6", "logprob": -1}]});
    let meta = json!({"output_token_logprobs": [[-0.5, 5, null], [-1, 6, "i"]]});
    let answers = [
        json!({"prompt_token_ids": [1, 2], "choices": [{"message": message, "token_ids": [5, 6], "logprobs": logprobs}]}),
        json!({"choices": [{"message": message, "prompt_token_ids": [1, 2], "token_ids": [5, 6], "logprobs": logprobs}]}),
        json!({"prompt_token_ids": [1, 2], "choices": [{"message": message, "logprobs": named}]}),
        json!({"choices": [{"message": message, "prompt_token_ids": [1, 2], "meta_info": meta}]}),
    ];
    let expected = CompletionTokens {
        prompt_token_ids: vec![1, 2],
        completion_token_ids: vec![5, 6],
        logprobs: vec![-0.5, -1.0],
    };
    for answer in answers {
        assert_eq!(tokens_of(answer.clone()).await, (Some(expected.clone()), vec![]), "{answer}");
    }
}

#[tokio::test]
async fn token_ids_that_cannot_be_right_are_left_out_and_that_is_said() {
    let answer = |tokens: Value, usage: Value| {
        let mut choice = json!({"message": {"content": "hi"}});
        choice.as_object_mut().unwrap().extend(tokens.as_object().unwrap().clone());
        json!({"choices": [choice], "usage": usage})
    };
    let both = json!({"prompt_token_ids": [1, 2], "token_ids": [5, 6]});
    let one_logprob =
        json!({"prompt_token_ids": [1], "token_ids": [5, 6], "logprobs": {"content": [{"logprob": -1}]}});
    for (tokens, usage, why) in [
        (json!({}), json!(null), "no ids of the prompt"),
        (json!({"prompt_token_ids": [1]}), json!(null), "no ids of the answer"),
        (
            both.clone(),
            json!({"prompt_tokens": 2, "completion_tokens": 7}),
            "2 ids of the answer and counts 7 tokens",
        ),
        (
            both.clone(),
            json!({"prompt_tokens": 3, "completion_tokens": 2}),
            "2 ids of the prompt and counts 3 tokens",
        ),
        (one_logprob, json!(null), "2 ids of the answer and 1 log probabilities"),
    ] {
        let (tokens, said) = tokens_of(answer(tokens, usage)).await;
        assert_eq!((tokens, said.len()), (None, 1));
        assert!(said[0].contains(why), "{said:?}");
    }
    let (tokens, said) = tokens_of(answer(both, json!({"prompt_tokens": 2, "completion_tokens": 2}))).await;
    assert!(tokens.is_some_and(|tokens| tokens.logprobs.is_empty()));
    assert!(said[0].contains("no log probabilities"), "{said:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn where_a_stream_is_cut_does_not_matter(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let message = rich();
        let calls = message.tool_calls.iter().enumerate().map(|(index, call)| {
            delta(&json!({"tool_calls": [{"index": index, "id": call.id, "function": call.function}]}))
        });
        let reasoning = delta(&json!({"reasoning": message.reasoning_content}));
        let mut stream = vec![b": hi\r\n".to_vec(), reasoning, delta(&json!({"content": message.content}))];
        stream.extend(calls);
        stream.extend([end("tool_calls"), done()]);
        let bytes = stream.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| bytes[cut[0]..cut[1]].to_vec()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let completion = runtime.block_on(play(vec![Reply::Stream(pieces)])).unwrap();
        prop_assert_eq!(completion.message, message);
    }

    #[test]
    fn any_stream_is_an_answer_or_an_error(
        lines in prop::collection::vec(prop_oneof![
            Just("data: [DONE]\n\n".to_owned()),
            "data: [ -~]{0,20}\n\n",
            any::<u8>().prop_map(|byte| format!("{}\r", byte as char)),
            (0..6_usize).prop_map(|kind| [
                r#"data: {"choices": [{"delta": {"tool_calls": [{"index": -1, "function": null}]}}]}"#,
                r#"data: {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": {"a": 1}}}]}}]}"#,
                r#"data: {"choices": [{"index": 3, "delta": null, "finish_reason": 7}]}"#,
                r#"data: {"choices": null, "usage": {"prompt_tokens": "many"}}"#,
                r#"data: {"choices": [{"delta": {"content": [{"text": "x"}]}, "finish_reason": "stop"}]}"#,
                r#"data: {"error": null, "prompt_token_ids": []}"#,
            ][kind].to_owned() + "\n\n"),
        ], 0..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = runtime.block_on(play(vec![Reply::Stream(vec![lines.concat().into_bytes()]); 2]));
        let is_known = matches!(
            outcome,
            Ok(_) | Err(ModelError::Connection { .. } | ModelError::Malformed { .. } | ModelError::Status { .. })
        );
        prop_assert!(is_known, "{:?}", outcome);
    }
}
