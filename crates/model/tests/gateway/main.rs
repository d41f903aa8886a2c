//! The gateway between callers and a scripted endpoint: what each of them sees, and what is recorded.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod failures;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use swegym_core::{Addition, ExitStatus, InstanceId, Message, Role, Trajectory, sent_prompt};
use swegym_model::Secret;
use swegym_model::gateway::{
    Archive, EndpointConfig, Gateway, GatewayConfig, GatewayLimits, Journal, Listener, Recording,
};
use swegym_testkit::{RecordedRequest, Reply, ScriptedServer};
use tokio::task::JoinHandle;

const REAL_KEY: &str = "sk-very-secret-0123456789";

fn name(text: &str) -> InstanceId {
    InstanceId::new(text).unwrap()
}

fn begun() -> Trajectory {
    let fields = r#"{"schema_version": 2, "instance_id": "a-1", "sample": 0, "scaffold": "outside", "policy": "m",
        "tools": [], "messages": [], "steps": [], "exit_status": "finished", "usage": {}}"#;
    serde_json::from_str(fields).unwrap()
}

/// A gateway in front of an endpoint.
struct Place {
    server: ScriptedServer,
    gateway: Gateway,
    url: String,
    task: JoinHandle<()>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Place {
    async fn new(server: ScriptedServer, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        Self::with_archive(server, change, None).await
    }

    async fn with_archive(
        server: ScriptedServer,
        change: impl FnOnce(&mut GatewayConfig),
        archive: Option<Arc<dyn Archive>>,
    ) -> Self {
        let mut endpoint = EndpointConfig::new(server.base_url());
        endpoint.api_key = Some(Secret::new(REAL_KEY));
        let mut config = GatewayConfig::new(endpoint, Secret::new("manager"));
        change(&mut config);
        let gateway = Gateway::new(config, archive).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn({
            let gateway = gateway.clone();
            async move { gateway.serve(Listener::Tcp(listener)).await }
        });
        Self { server, gateway, url, task }
    }

    async fn scripted(replies: Vec<Reply>) -> Self {
        Self::new(ScriptedServer::start(replies).await, |_| {}).await
    }

    fn open(&self, rollout: &str) -> String {
        self.gateway.open(&name(rollout), begun(), GatewayLimits::default())
    }

    async fn post(&self, path: &str, key: &str, body: String) -> Response {
        let request = Client::new().post(format!("{}{path}", self.url)).bearer_auth(key).body(body);
        request.send().await.unwrap()
    }

    async fn ask(&self, key: &str, body: &Value) -> (StatusCode, Value) {
        let response = self.post("/v1/chat/completions", key, body.to_string()).await;
        (response.status(), response.json().await.unwrap())
    }

    async fn close(&self, rollout: &str) -> Recording {
        self.gateway.close(&name(rollout)).await.unwrap().unwrap()
    }
}

fn asking(text: &str) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": text}]})
}

fn code(answer: &(StatusCode, Value)) -> (u16, &str) {
    (answer.0.as_u16(), answer.1["error"]["code"].as_str().unwrap_or_default())
}

fn answer_with_tokens() -> Value {
    let content = json!([{"token": "a", "logprob": -0.5}]);
    json!({"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"},
        "finish_reason": "stop", "logprobs": {"content": content}, "token_ids": [7]}],
        "prompt_token_ids": [1, 2], "usage": {"prompt_tokens": 2, "completion_tokens": 1}})
}

#[tokio::test]
async fn a_call_is_passed_on_and_recorded() {
    let server = ScriptedServer::start(vec![Reply::Json(answer_with_tokens())]).await;
    let place = Place::new(server, |config| config.tokens = true).await;
    let key = place.open("r-1");
    let mut body = asking("hello");
    body["top_k"] = 5.into();
    let (status, answer) = place.ask(&key, &body).await;
    assert_eq!((status.as_u16(), &answer["choices"][0]["message"]["content"]), (200, &json!("a")));
    let seen = answer.to_string();
    assert!(!seen.contains("token_ids") && !seen.contains("logprob\""), "{seen}");
    let sent = &place.server.requests()[0];
    assert_eq!(sent.header("authorization"), Some(format!("Bearer {REAL_KEY}").as_str()));
    assert_eq!((&sent.body["top_k"], &sent.body["return_token_ids"]), (&json!(5), &json!(true)));

    let Recording { trajectory, limit, last_failure } = place.close("r-1").await;
    assert_eq!((limit, last_failure, trajectory.exit_status), (None, None, ExitStatus::Finished));
    let step = &trajectory.steps[0];
    assert_eq!(sent_prompt(&trajectory, step)[0]["content"], "hello");
    assert_eq!(Value::Object(step.request.clone()), json!({"top_k": 5}));
    let tokens = trajectory.token_ids().next().unwrap().unwrap();
    assert_eq!((tokens.prompt_token_ids, tokens.completion_token_ids), (vec![1, 2], vec![7]));
    assert_eq!((trajectory.usage.total(), tokens.logprobs), (3, vec![-0.5]));
}

/// A stream as endpoints write it, in chunks of the transfer encoding.
fn stream(parts: &[&str]) -> Reply {
    let chunks: String = parts.iter().map(|part| format!("{:x}\r\n{part}\r\n", part.len())).collect();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    Reply::Raw(format!("{head}{chunks}0\r\n\r\n").into_bytes())
}

fn event(delta: &Value, finish_reason: Option<&str>) -> String {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish_reason});
    format!("data: {}\n\n", json!({"id": "x", "choices": [choice]}))
}

#[tokio::test]
async fn a_stream_is_passed_on_and_recorded_whole() {
    let parts = [
        event(&json!({"role": "assistant", "content": "he"}), None),
        event(&json!({"content": "llo"}), Some("stop")),
    ];
    let usage = format!(
        "data: {}\n\n",
        json!({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
    );
    let whole = stream(&[&parts[0], &parts[1], &usage, "data: [DO", "NE]\n\n"]);
    let place = Place::scripted(vec![whole, stream(&[&parts[0]])]).await;
    let key = place.open("r-1");
    let mut body = asking("hi");
    body["stream"] = true.into();
    let response = place.post("/v1/chat/completions", &key, body.to_string()).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.text().await.unwrap(), format!("{}{}data: [DONE]\n\n", parts[0], parts[1]));
    assert_eq!(place.server.requests()[0].body["stream_options"]["include_usage"], true);
    let cut = place.post("/v1/chat/completions", &key, body.to_string()).await;
    assert!(cut.text().await.is_err(), "what ended early does not look complete");
    let Recording { trajectory, last_failure, .. } = place.close("r-1").await;
    assert_eq!((trajectory.steps.len(), trajectory.usage.total()), (1, 3));
    assert_eq!(trajectory.messages[1].content, "hello");
    assert_eq!(last_failure.as_deref(), Some("the endpoint's answer ended early"));
}

#[tokio::test]
async fn errors_pass_with_what_a_client_needs_and_without_the_key() {
    let body = format!(r#"{{"error": {{"message": "slow down, {REAL_KEY}", "code": "rate"}}}}"#);
    let throttled = Reply::Status { code: 429, retry_after: Some("7".to_owned()), body };
    let place =
        Place::scripted(vec![throttled, Reply::CutConnection, Reply::MalformedJson, Reply::text("ok")]).await;
    let key = place.open("r-1");
    let response = place.post("/v1/chat/completions", &key, asking("x").to_string()).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (429, &"7".parse().unwrap())
    );
    let said = response.text().await.unwrap();
    assert_eq!(said, r#"{"error": {"message": "slow down, [redacted]", "code": "rate"}}"#);
    assert_eq!(code(&place.ask(&key, &asking("x")).await), (502, "bad_gateway"));
    assert_eq!(code(&place.ask(&key, &asking("x")).await), (502, "bad_gateway"));
    assert_eq!(place.ask(&key, &asking("x")).await.0, 200);
    assert_eq!(place.server.requests().len(), 4, "trying again is for the caller to do");
    let Recording { trajectory, last_failure, .. } = place.close("r-1").await;
    assert_eq!((trajectory.steps.len(), last_failure), (1, None));
}

#[tokio::test]
async fn a_guarded_gateway_lets_nobody_at_other_rollouts() {
    let place = Place::new(ScriptedServer::start_with(|_| Reply::text("ok")).await, |_| {}).await;
    let (mine, _theirs) = (place.open("r-1"), place.open("r-2"));
    let ask = async |path: &str, key: &str| {
        let response = place.post(path, key, asking("x").to_string()).await;
        let status = response.status();
        code(&(status, response.json().await.unwrap())).0
    };
    assert_eq!(ask("/v1/chat/completions", &mine).await, 200);
    assert_eq!(ask("/r/r-1/v1/chat/completions", &mine).await, 200);
    for (path, key, expected) in [
        ("/v1/chat/completions", "sk-guess", 401),
        ("/r/r-2/v1/chat/completions", "r-2", 401),
        ("/r/r-2/v1/chat/completions", &mine, 403),
        ("/r/..%2f..%2fetc/v1/chat/completions", &mine, 400),
        ("/r/r-1/../r-2/v1/chat/completions", &mine, 403),
        ("/r//v1/chat/completions", &mine, 400),
        ("/r/r-2", &mine, 404),
        ("/v1/completions", &mine, 404),
        ("/", &mine, 404),
    ] {
        assert_eq!(ask(path, key).await, expected, "{path}");
    }
    let delete = |key: &str| Client::new().delete(format!("{}/r/r-2", place.url)).bearer_auth(key).send();
    assert_eq!(delete(&mine).await.unwrap().status(), 404);
    assert_eq!(place.close("r-1").await.trajectory.steps.len(), 2);
    assert_eq!(ask("/v1/chat/completions", &mine).await, 410, "what is over is over");
    assert_eq!(delete("manager").await.unwrap().status(), 404, "no call came");
    assert_eq!(place.server.requests().len(), 2);
}

#[tokio::test]
async fn a_rollout_has_a_budget() {
    let place = Place::new(ScriptedServer::start_with(|_| Reply::text("ok")).await, |_| {}).await;
    let limits = GatewayLimits { max_steps: 2, ..GatewayLimits::default() };
    let steps = place.gateway.open(&name("steps"), begun(), limits);
    let limits = GatewayLimits { max_tokens: Some(150), ..GatewayLimits::default() };
    let tokens = place.gateway.open(&name("tokens"), begun(), limits);
    let limits = GatewayLimits { max_recorded_bytes: 15_000, ..GatewayLimits::default() };
    let bytes = place.gateway.open(&name("bytes"), begun(), limits);
    for (rollout, key, text, limit) in [
        ("steps", steps, "x".to_owned(), ExitStatus::StepLimit),
        ("tokens", tokens, "x".to_owned(), ExitStatus::TokenLimit),
        ("bytes", bytes, "x".repeat(10_000), ExitStatus::TokenLimit),
    ] {
        for number in 0..2 {
            assert_eq!(place.ask(&key, &asking(&format!("{text}{number}"))).await.0, 200, "{rollout}");
        }
        assert_eq!(code(&place.ask(&key, &asking(&text)).await), (403, "budget_exceeded"), "{rollout}");
        let recording = place.close(rollout).await;
        assert_eq!((recording.limit, recording.trajectory.exit_status), (Some(limit), limit));
        assert_eq!(recording.trajectory.steps.len(), 2);
    }
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() {
    let server = ScriptedServer::start(Vec::new()).await;
    let place = Place::new(server, |config| config.limits.max_request_bytes = 1000).await;
    let key = place.open("r-1");
    for (body, expected) in [
        ("{", 400),
        ("{}", 400),
        (r#"{"messages": "x"}"#, 400),
        (&"x".repeat(1001), 413),
        (&"[".repeat(900), 400),
    ] {
        let response = place.post("/v1/chat/completions", &key, body.to_owned()).await;
        assert_eq!(response.status().as_u16(), expected, "{body:.20}");
    }
    assert!(place.server.requests().is_empty());
}

#[tokio::test]
async fn conversations_at_the_same_time_are_told_apart() {
    fn echo(request: &RecordedRequest) -> Reply {
        let messages = request.messages();
        Reply::text(&format!("{} {}", messages[0].content, request.turn()))
    }
    let place = Place::new(ScriptedServer::start_with(echo).await, |_| {}).await;
    let key = place.open("r-1");
    let converse = async |number: usize| {
        let mut messages = vec![Message::text(Role::User, format!("task {number}"))];
        for _ in 0..5 {
            let (status, answer) = place.ask(&key, &json!({"model": "m", "messages": messages})).await;
            assert_eq!(status, 200);
            messages.push(serde_json::from_value(answer["choices"][0]["message"].clone()).unwrap());
            messages.push(Message::text(Role::User, "go on"));
        }
        messages
    };
    let conversations = tokio::join!(converse(0), converse(1), converse(2));
    let trajectory = place.close("r-1").await.trajectory;
    assert_eq!((trajectory.steps.len(), trajectory.messages.len()), (15, 3 * 10));
    for conversation in [&conversations.0, &conversations.1, &conversations.2] {
        let last =
            trajectory.steps.iter().rfind(|step| trajectory.prompt_of(step).next() == conversation.first());
        let prompt: Vec<Message> = trajectory.prompt_of(last.unwrap()).cloned().collect();
        assert_eq!(prompt, conversation[..9]);
    }
}

#[tokio::test]
async fn an_open_gateway_takes_the_name_that_callers_give() {
    let server = ScriptedServer::start_with(|_| Reply::text("ok")).await;
    let place = Place::new(server, |config| {
        config.guarded = false;
        config.endpoint.model = "real".to_owned();
    })
    .await;
    let by_path = place.post("/r/by-path/v1/chat/completions", "any", asking("x").to_string()).await;
    assert_eq!(by_path.status(), 200);
    let request = Client::new().post(format!("{}/v1/chat/completions", place.url));
    let by_header = request.header("x-swegym-rollout", "by-header").body(asking("x").to_string());
    assert_eq!(by_header.send().await.unwrap().status(), 200);
    assert_eq!(code(&place.ask("any", &asking("x")).await), (400, "bad_request"));
    let given: Value = place.post("/r/by-key", "any", String::new()).await.json().await.unwrap();
    assert_eq!(place.ask(given["api_key"].as_str().unwrap(), &asking("x")).await.0, 200);
    let models: Value = reqwest::get(format!("{}/v1/models", place.url)).await.unwrap().json().await.unwrap();
    assert_eq!(models["data"][0]["id"], "real");
    let closed: Vec<_> = place
        .gateway
        .close_all()
        .await
        .into_iter()
        .map(|(name, recording)| (name.to_string(), recording.unwrap().unwrap().trajectory))
        .collect();
    assert_eq!(
        closed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["by-header", "by-key", "by-path"]
    );
    assert!(closed.iter().all(|(_, trajectory)| trajectory.policy == "real"));
}

/// Keeps nothing, and fails on demand.
#[derive(Default)]
struct Fragile {
    broken: Arc<AtomicBool>,
    kept: Arc<Mutex<Vec<Addition>>>,
}

impl Archive for Fragile {
    fn open(&self, mut begun: Trajectory) -> io::Result<(Trajectory, Box<dyn Journal>)> {
        self.kept.lock().unwrap().iter().cloned().for_each(|addition| begun.add(addition));
        Ok((begun, Box::new(Self { broken: Arc::clone(&self.broken), kept: Arc::clone(&self.kept) })))
    }
}

impl Journal for Fragile {
    fn append(&mut self, addition: &Addition) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.kept.lock().unwrap().push(addition.clone());
        Ok(())
    }

    fn close(&mut self, _: &Trajectory) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_answered() {
    let archive = Fragile::default();
    let broken = Arc::clone(&archive.broken);
    let server = ScriptedServer::start_with(|_| Reply::text("ok")).await;
    let place = Place::with_archive(server, |_| {}, Some(Arc::new(archive))).await;
    let key = place.open("r-1");
    assert_eq!(place.ask(&key, &asking("one")).await.0, 200);
    broken.store(true, Ordering::SeqCst);
    assert_eq!(code(&place.ask(&key, &asking("two")).await), (500, "not_recorded"));
    broken.store(false, Ordering::SeqCst);
    assert_eq!(place.ask(&key, &asking("three")).await.0, 200);
    let trajectory = place.close("r-1").await.trajectory;
    let prompts: Vec<_> =
        trajectory.steps.iter().map(|step| sent_prompt(&trajectory, step)[0]["content"].clone()).collect();
    assert_eq!(prompts, ["one", "three"]);
}

#[tokio::test]
async fn a_socket_is_served_too() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let place = Place::scripted(vec![Reply::text("by socket")]).await;
    let key = place.open("r-1");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let gateway = place.gateway.clone();
    let task = tokio::spawn(async move { gateway.serve(Listener::Unix(listener)).await });
    let body = asking("x").to_string();
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("by socket"), "{answer}");
    task.abort();
}
