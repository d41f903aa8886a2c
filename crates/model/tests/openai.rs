//! The client against a scripted endpoint: what it sends, what it survives, and what it says when it cannot.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use swegym_core::{ChatRequest, Completion, Message, Role, ToolCall, ToolSpec, Usage};
use swegym_model::{ChatClient, ChatPolicy, ClientConfig, ModelError, Policy, Sampling, Secret};
use swegym_testkit::{Reply, ScriptedServer};

const KEY: &str = "sk-very-secret-0123456789";

/// Waits of no length, and three tries.
fn config(base_url: &str) -> ClientConfig {
    ClientConfig {
        api_key: Some(Secret::new(KEY)),
        max_tries: 3,
        first_backoff: Duration::ZERO,
        max_backoff: Duration::ZERO,
        ..ClientConfig::new(base_url, "toy-model")
    }
}

async fn ask(config: ClientConfig) -> Result<Completion, ModelError> {
    let messages = [Message::text(Role::User, "hello")];
    let request = ChatRequest::new(&messages, &[]);
    ChatPolicy::new(Arc::new(ChatClient::new(config)?)).complete(&request).await
}

/// Plays `replies` to one request; gives the outcome and the number of tries.
async fn play(replies: Vec<Reply>) -> (Result<Completion, ModelError>, usize) {
    let server = ScriptedServer::start(replies).await;
    let outcome = ask(config(&server.base_url())).await;
    (outcome, server.requests().len())
}

fn answer(choice: &Value) -> Reply {
    Reply::Json(json!({"choices": [choice], "usage": null, "unknown": {"field": 1}}))
}

#[tokio::test]
async fn what_passes_by_itself_is_tried_again() {
    let throttled = |retry_after: &str| Reply::Status {
        code: 429,
        retry_after: Some(retry_after.to_owned()),
        body: String::new(),
    };
    let problems = [
        throttled("0"),
        throttled("86400"),
        throttled("Fri, 31 Dec 2999 23:59:59 GMT"),
        Reply::status(408, ""),
        Reply::status(500, "oops"),
        Reply::status(529, "overloaded"),
        Reply::CutConnection,
        Reply::CutInBody,
        Reply::MalformedJson,
        Reply::Raw(b"SSH-2.0-OpenSSH\r\n".to_vec()),
        Reply::Json(json!({"choices": []})),
        Reply::Json(json!(["not", "an", "object"])),
    ];
    for problem in problems {
        let (outcome, tries) = play(vec![problem.clone(), Reply::text("hi")]).await;
        assert_eq!(outcome.unwrap().message.content, "hi", "{problem:?}");
        assert_eq!(tries, 2, "{problem:?}");
    }
}

#[tokio::test]
async fn when_no_try_succeeds_the_error_says_what_happened_and_how_often() {
    let thrice = |reply: Reply| play(vec![reply; 3]);
    let (outcome, _) = thrice(Reply::status(503, r#"{"error": {"message": "no capacity"}}"#)).await;
    assert!(
        matches!(&outcome, Err(ModelError::Status { tries: 3, status: 503, message }) if message == "no capacity"),
        "{outcome:?}"
    );
    let (outcome, _) = thrice(Reply::CutConnection).await;
    assert!(matches!(outcome, Err(ModelError::Connection { tries: 3, .. })), "{outcome:?}");
    let (outcome, _) = thrice(Reply::MalformedJson).await;
    assert!(matches!(outcome, Err(ModelError::Malformed { tries: 3, .. })), "{outcome:?}");
    let (outcome, _) = thrice(Reply::Json(json!({"error": {"message": "engine dead"}}))).await;
    assert!(outcome.unwrap_err().to_string().contains("engine dead"));
}

#[tokio::test]
async fn a_refusal_is_final() {
    for code in [301, 400, 401, 404, 422] {
        let (outcome, tries) = play(vec![Reply::status(code, "no"), Reply::text("hi")]).await;
        assert!(
            matches!(&outcome, Err(ModelError::Status { tries: 1, status, .. }) if *status == code),
            "{outcome:?}"
        );
        assert_eq!(tries, 1);
    }
}

#[tokio::test]
async fn a_full_context_window_is_recognised() {
    let bodies = [
        json!({"error": {"message": "Too long.", "type": "invalid_request_error", "code": "context_length_exceeded"}}),
        json!({"object": "error", "message": "This model's maximum context length is 32768 tokens. However, you requested 40000 tokens", "code": 400}),
        json!({"error": {"message": "The decoder prompt (length 9) is longer than the maximum model length of 8.", "code": 400}}),
        json!({"object": "error", "message": "The input (40000 tokens) is longer than the model's context length (32768 tokens).", "code": 400}),
        json!({"error": {"type": "exceed_context_size_error", "message": "the request exceeds the available context size"}}),
    ];
    for body in bodies {
        let (outcome, tries) = play(vec![Reply::status(400, &body.to_string())]).await;
        assert!(matches!(outcome, Err(ModelError::ContextWindow { .. })), "{body}: {outcome:?}");
        assert_eq!(tries, 1);
    }
    let echo = json!({"detail": format!("{} maximum context length", "x".repeat(5000))});
    let (outcome, _) = play(vec![Reply::status(400, &echo.to_string())]).await;
    assert!(
        matches!(outcome, Err(ModelError::Status { .. })),
        "an echoed conversation says nothing: {outcome:?}"
    );
}

#[tokio::test]
async fn an_endpoint_that_hangs_runs_into_the_time_limit() {
    let server = ScriptedServer::start(vec![Reply::Hang, Reply::Hang]).await;
    let error = ask(ClientConfig {
        request_time_limit: Duration::from_millis(50),
        max_tries: 2,
        ..config(&server.base_url())
    })
    .await
    .unwrap_err();
    assert!(matches!(error, ModelError::Connection { tries: 2, .. }), "{error:?}");
    assert!(error.to_string().contains("no complete answer within 50ms"), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_named() {
    let free_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = ask(config(&format!("http://user:hunter2@127.0.0.1:{free_port}/v1"))).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ModelError::Connection { tries: 3, .. }), "{text}");
    assert!(text.contains(&format!("`http://127.0.0.1:{free_port}/v1/chat/completions`")), "{text}");
    assert!(text.contains("refused"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn the_key_is_sent_and_never_shown() {
    let echo = format!("you sent {}{KEY}", "x".repeat(995));
    let echoes = [
        Reply::status(401, &json!({"error": {"message": format!("bad key {KEY}")}}).to_string()),
        Reply::status(500, &echo),
        Reply::status(400, &format!("maximum context length for {KEY}")),
        Reply::Json(json!({"choices": KEY})),
        Reply::Json(json!({"error": KEY})),
        Reply::Raw(format!("HTTP/1.1 {KEY}\r\n\r\n").into_bytes()),
    ];
    for reply in echoes {
        let server = ScriptedServer::start(vec![reply; 3]).await;
        let error = ask(config(&server.base_url())).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("sk-"), "{shown}");
        let sent = server.requests()[0].header("authorization").map(str::to_owned);
        assert_eq!(sent, Some(format!("Bearer {KEY}")));
    }
    let client = ChatClient::new(config("http://user:hunter2@host/v1")).unwrap();
    let shown = format!("{client:?}");
    assert!(!shown.contains("sk-") && !shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn what_cannot_be_set_up_is_said_without_the_secret() {
    for base_url in
        ["host:8000/v1", "ftp://host/v1", "", "http://user:hunter2@/v1", "http://u:hun/ter2@host:x/"]
    {
        let error = ChatClient::new(config(base_url)).unwrap_err();
        assert!(matches!(error, ModelError::Setup { .. }), "{error:?}");
        assert!(!error.to_string().contains("hun"), "{error}");
    }
    let broken_key =
        ClientConfig { api_key: Some(Secret::new(format!("{KEY}\n"))), ..config("http://host/v1") };
    let error = ChatClient::new(broken_key).unwrap_err().to_string();
    assert!(error.contains("line break") && !error.contains(KEY), "{error}");
}

#[tokio::test]
async fn a_user_in_the_address_is_sent_as_basic_authorization() {
    let server = ScriptedServer::start(vec![Reply::text("hi")]).await;
    let base_url = server.base_url().replace("http://", "http://user:hunter2@");
    let without_key = ClientConfig { api_key: None, ..config(&base_url) };
    ask(without_key).await.unwrap();
    assert_eq!(server.requests()[0].header("authorization"), Some("Basic dXNlcjpodW50ZXIy"));
}

#[tokio::test]
async fn model_messages_tools_and_sampling_are_sent_as_configured() {
    let server = ScriptedServer::start(vec![Reply::text("hi")]).await;
    let client = ChatClient::new(ClientConfig {
        sampling: Sampling {
            temperature: Some(0.5),
            max_tokens: Some(64),
            stop: vec!["</function".to_owned()],
            extra: json!({"top_k": 20}).as_object().unwrap().clone(),
            ..Sampling::default()
        },
        ..config(&format!("{}/", server.base_url()))
    });
    let good = ToolCall::new("call_1", "execute_bash", &json!({"command": "ls"}));
    let mut cut_off = ToolCall::new("call_2", "execute_bash", &Value::Null);
    cut_off.function.arguments = r#"{"command": "l"#.to_owned();
    let messages = [
        Message::text(Role::User, "fix it"),
        Message::calling("", vec![good.clone(), cut_off]),
        Message::tool_result(&good, "README.md"),
    ];
    let tools = [ToolSpec {
        name: "execute_bash".to_owned(),
        description: "Runs a command.".to_owned(),
        parameters: json!({"type": "object"}),
    }];
    let request = ChatRequest::new(&messages, &tools);
    ChatPolicy::new(Arc::new(client.unwrap())).complete(&request).await.unwrap();
    let sent = &server.requests()[0];
    assert_eq!(sent.target, "POST /v1/chat/completions");
    let unparsed = json!({"unparsed_arguments": r#"{"command": "l"#}).to_string();
    let expected = json!({
        "model": "toy-model",
        "messages": [
            {"role": "user", "content": "fix it"},
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "execute_bash", "arguments": r#"{"command":"ls"}"#}},
                {"id": "call_2", "type": "function", "function": {"name": "execute_bash", "arguments": unparsed}},
            ]},
            {"role": "tool", "content": "README.md", "tool_call_id": "call_1", "name": "execute_bash"},
        ],
        "tools": [{"type": "function", "function": {
            "name": "execute_bash", "description": "Runs a command.", "parameters": {"type": "object"},
        }}],
        "temperature": 0.5, "max_tokens": 64, "stop": ["</function"], "top_k": 20,
    });
    assert_eq!(sent.body, expected);
}

#[tokio::test]
async fn arguments_pass_through_verbatim() {
    for arguments in ["{\"command\": \"ls\" ", "", "[1, 2]", "{\"a\":\t1.50}", "ü\u{0}"] {
        let (outcome, _) = play(vec![Reply::call_with_text("execute_bash", arguments)]).await;
        assert_eq!(outcome.unwrap().message.tool_calls[0].function.arguments, arguments);
    }
}

#[tokio::test]
async fn gaps_in_an_answer_are_filled() {
    let call = |id: Value, arguments: Value| json!({"id": id, "function": {"name": "f", "arguments": arguments}, "index": 0});
    let calls = [
        call(json!(null), json!({"b": 1, "a": [2]})),
        call(json!(""), json!(null)),
        call(json!("x"), json!("{}")),
    ];
    let message =
        json!({"role": "assistant", "content": null, "tool_calls": calls, "reasoning_content": "hm"});
    let (outcome, _) = play(vec![answer(&json!({"message": message, "finish_reason": "tool_calls"}))]).await;
    let completion = outcome.unwrap();
    let read: Vec<_> = completion
        .message
        .tool_calls
        .iter()
        .map(|call| (call.id.as_str(), call.function.arguments.as_str()))
        .collect();
    assert_eq!(read, [("call_1", r#"{"b":1,"a":[2]}"#), ("call_2", ""), ("x", "{}")]);
    assert_eq!(completion.message.content, "");
    assert_eq!(completion.usage, Usage::default());
    assert_eq!(completion.finish_reason.as_deref(), Some("tool_calls"));
}

#[tokio::test]
async fn an_answer_of_nothing_but_a_reason_is_an_answer() {
    for choice in [
        json!({"finish_reason": "length"}),
        json!({"message": null, "finish_reason": "length"}),
        json!({"message": {"role": "assistant", "content": null, "tool_calls": null}, "finish_reason": "length"}),
    ] {
        let (outcome, _) = play(vec![answer(&choice)]).await;
        let completion = outcome.unwrap();
        assert_eq!(completion.message, Message::text(Role::Assistant, ""));
        assert_eq!(completion.finish_reason.as_deref(), Some("length"));
    }
}

#[tokio::test]
async fn made_ids_differ_within_a_rollout() {
    let reply = answer(&json!({"message": {"tool_calls": [{"function": {"name": "f"}}]}}));
    let server = ScriptedServer::start(vec![reply; 2]).await;
    let mut policy = ChatPolicy::new(Arc::new(ChatClient::new(config(&server.base_url())).unwrap()));
    let request = ChatRequest::new(&[], &[]);
    for id in ["call_1", "call_2"] {
        let completion = policy.complete(&request).await.unwrap();
        assert_eq!(completion.message.tool_calls[0].id, id);
    }
}

#[tokio::test]
async fn many_rollouts_share_one_client() {
    let server = ScriptedServer::start_with(|request| Reply::text(&request.messages()[0].content)).await;
    let client = Arc::new(ChatClient::new(config(&server.base_url())).unwrap());
    let rollouts: Vec<_> = (0..32)
        .map(|number| {
            let mut policy = ChatPolicy::new(Arc::clone(&client));
            tokio::spawn(async move {
                let messages = [Message::text(Role::User, format!("{number}"))];
                let request = ChatRequest::new(&messages, &[]);
                policy.complete(&request).await.unwrap().message.content
            })
        })
        .collect();
    for (number, rollout) in rollouts.into_iter().enumerate() {
        assert_eq!(rollout.await.unwrap(), number.to_string());
    }
}

#[tokio::test]
async fn an_endless_answer_is_given_up() {
    let mut endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"choices\": \"".to_vec();
    endless.resize(33 << 20, b'x');
    let (outcome, _) = play(vec![Reply::Raw(endless); 3]).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, ModelError::Malformed { tries: 3, .. }), "{error:?}");
    assert!(error.to_string().contains("more than"), "{error}");
}

#[tokio::test]
async fn a_request_can_ask_for_less_and_for_json() {
    let server = ScriptedServer::start(vec![Reply::text("{}")]).await;
    let sampling = Sampling { max_tokens: Some(100), stop: vec!["A".into()], ..Sampling::default() };
    let config = ClientConfig { sampling, ..config(&server.base_url()) };
    let messages = [Message::text(Role::User, "hello")];
    let request = ChatRequest {
        stop: &["B"],
        json_object: true,
        max_tokens: Some(10),
        ..ChatRequest::new(&messages, &[])
    };
    ChatPolicy::new(Arc::new(ChatClient::new(config).unwrap())).complete(&request).await.unwrap();
    let body = &server.requests()[0].body;
    assert_eq!(body["stop"], json!(["A", "B"]));
    assert_eq!(body["max_tokens"], 10);
    assert_eq!(body["response_format"], json!({"type": "json_object"}));
}
