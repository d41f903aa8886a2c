//! An OpenAI-compatible endpoint, of chat and of text completions, that plays a script.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use swegym_core::{CompletionTokens, Message, ToolCall};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::WriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::RecordedRequest;
use crate::http::{answer, event_stream, read_request};
use crate::stream::{events, text_events};

/// What the server does with one request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Answers with this message of the assistant, and usage of 100 + 10 tokens: piece by piece, where that is asked
    /// for.
    Message(Message),
    /// The same with token ids, if they are asked for, and usage to match.
    Tokens(Message, CompletionTokens),
    /// Answers a text completion with this text, and the tokens as above; token by token, where that is asked for.
    Text(String, CompletionTokens),
    /// Answers with a stream of server-sent events, in these pieces, then closes the connection.
    Stream(Vec<Vec<u8>>),
    /// The same, but goes on to send comments, and never ends.
    EndlessStream(Vec<Vec<u8>>),
    /// The same, but falls silent, and never ends.
    SilentStream(Vec<Vec<u8>>),
    /// Answers with this body and status 200.
    Json(Value),
    /// Answers with a status.
    Status {
        /// The status code.
        code: u16,
        /// Value of the header `Retry-After`.
        retry_after: Option<String>,
        /// The body.
        body: String,
    },
    /// Closes the connection without a word.
    CutConnection,
    /// Closes the connection in the middle of the body.
    CutInBody,
    /// Answers with half a JSON object, and says it is all.
    MalformedJson,
    /// Writes these bytes instead of an HTTP answer, and closes.
    Raw(Vec<u8>),
    /// Writes bytes instead of an HTTP answer, then a piece again and again, with a pause after each, without an end.
    Endless {
        /// What it begins with.
        head: Vec<u8>,
        /// What is repeated.
        piece: Vec<u8>,
        /// Time between two pieces.
        pause: Duration,
    },
    /// Never answers.
    Hang,
}

impl Reply {
    /// A message of plain text.
    pub fn text(text: &str) -> Self {
        Self::Message(Message::calling(text, Vec::new()))
    }

    /// A message with one call.
    pub fn call(tool: &str, arguments: &Value) -> Self {
        Self::Message(Message::calling("", vec![ToolCall::new("call_a", tool, arguments)]))
    }

    /// A message with one call whose arguments are this text, whatever it is.
    pub fn call_with_text(tool: &str, arguments: &str) -> Self {
        let mut call = ToolCall::new("call_a", tool, &Value::Null);
        arguments.clone_into(&mut call.function.arguments);
        Self::Message(Message::calling("", vec![call]))
    }

    /// A status without `Retry-After`.
    pub fn status(code: u16, body: &str) -> Self {
        Self::Status { code, retry_after: None, body: body.to_owned() }
    }

    /// What to write.
    fn script(self, request: &RecordedRequest) -> Script {
        let stream = request.body["stream"] == true;
        let pieces = match self {
            Self::Message(message) if stream => vec![event_stream(), events(&completion(&message))],
            Self::Message(message) => vec![answer(200, "", &completion(&message).to_string())],
            Self::Tokens(message, tokens) => {
                let completion = with_tokens(completion(&message), &tokens, request);
                match stream {
                    true => vec![event_stream(), events(&completion)],
                    false => vec![answer(200, "", &completion.to_string())],
                }
            }
            Self::Text(text, tokens) => {
                let completion = with_tokens(text_completion(&text), &tokens, request);
                match stream {
                    true => vec![event_stream(), text_events(&completion)],
                    false => vec![answer(200, "", &completion.to_string())],
                }
            }
            Self::Stream(pieces) => [vec![event_stream()], pieces].concat(),
            Self::EndlessStream(pieces) => {
                let end = End::Repeat(b":\n".to_vec(), Duration::from_millis(1));
                return Script::new([vec![event_stream()], pieces].concat(), end);
            }
            Self::SilentStream(pieces) => {
                return Script::new([vec![event_stream()], pieces].concat(), End::Silence);
            }
            Self::Json(body) => vec![answer(200, "", &body.to_string())],
            Self::Status { code, retry_after, body } => {
                let header = retry_after.map(|wait| format!("Retry-After: {wait}\r\n"));
                vec![answer(code, &header.unwrap_or_default(), &body)]
            }
            Self::CutConnection => Vec::new(),
            Self::CutInBody => {
                let mut bytes =
                    answer(200, "", &completion(&Message::calling("cut", Vec::new())).to_string());
                bytes.truncate(bytes.len() - 20);
                vec![bytes]
            }
            Self::MalformedJson => vec![answer(200, "", r#"{"choices": [{"message""#)],
            Self::Raw(bytes) => vec![bytes],
            Self::Endless { head, piece, pause } => {
                return Script::new(vec![head], End::Repeat(piece, pause));
            }
            Self::Hang => return Script::new(Vec::new(), End::Silence),
        };
        Script::new(pieces, End::Close)
    }
}

/// What is written in answer to a request, and what follows.
struct Script {
    pieces: Vec<Vec<u8>>,
    end: End,
}

enum End {
    Close,
    Repeat(Vec<u8>, Duration),
    Silence,
}

impl Script {
    fn new(pieces: Vec<Vec<u8>>, end: End) -> Self {
        Self { pieces, end }
    }

    async fn play(self, mut to: WriteHalf<'_>) -> io::Result<()> {
        for piece in self.pieces {
            to.write_all(&piece).await?;
            to.flush().await?;
        }
        match self.end {
            End::Close => to.shutdown().await,
            End::Silence => gone(to.as_ref()).await,
            End::Repeat(piece, pause) => loop {
                to.write_all(&piece).await?;
                tokio::time::sleep(pause).await;
            },
        }
    }
}

/// Waits until the other end has closed the connection.
async fn gone(stream: &TcpStream) -> io::Result<()> {
    loop {
        stream.readable().await?;
        match stream.try_read(&mut [0; 64]) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
}

fn completion(message: &Message) -> Value {
    let finish_reason = if message.tool_calls.is_empty() { "stop" } else { "tool_calls" };
    json!({
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    })
}

fn text_completion(text: &str) -> Value {
    json!({
        "id": "cmpl-scripted",
        "object": "text_completion",
        "choices": [{"index": 0, "text": text, "finish_reason": "stop"}],
        "usage": {},
    })
}

/// Adds tokens as vLLM does: the ids of the prompt stand beside the choices of a chat completion, and in the choice of
/// a text completion.
fn with_tokens(mut answer: Value, tokens: &CompletionTokens, request: &RecordedRequest) -> Value {
    let (prompt, completion) = (&tokens.prompt_token_ids, &tokens.completion_token_ids);
    answer["usage"] = json!({"prompt_tokens": prompt.len(), "completion_tokens": completion.len()});
    if request.body["return_token_ids"] != true {
        return answer;
    }
    let is_chat = answer["object"] == "chat.completion";
    let choice = &mut answer["choices"][0];
    choice["token_ids"] = json!(completion);
    let logprobs = &tokens.logprobs;
    if is_chat {
        let content: Vec<Value> =
            logprobs.iter().map(|logprob| json!({"token": "?", "logprob": logprob, "bytes": null})).collect();
        choice["logprobs"] = json!({"content": content});
        answer["prompt_token_ids"] = json!(prompt);
    } else {
        choice["logprobs"] = json!({"token_logprobs": logprobs});
        choice["prompt_token_ids"] = json!(prompt);
    }
    answer
}

type Handler = Box<dyn Fn(&RecordedRequest) -> Reply + Send + Sync>;

struct State {
    handler: Handler,
    requests: Mutex<Vec<RecordedRequest>>,
    keeps: AtomicBool,
    healthy: AtomicBool,
    checks: AtomicUsize,
    at_once: watch::Sender<usize>,
    most_at_once: AtomicUsize,
}

/// The server, on a free port of the loopback address. It stops when it is dropped.
pub struct ScriptedServer {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl ScriptedServer {
    /// Plays `replies` in the order in which requests arrive, then refuses with status 400.
    pub async fn start(replies: Vec<Reply>) -> Self {
        let replies = Mutex::new(VecDeque::from(replies));
        Self::start_with(move |_| {
            let next = replies.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            next.unwrap_or_else(|| Reply::status(400, "the script has ended"))
        })
        .await
    }

    /// Asks `handler` for every reply. With [`RecordedRequest::turn`] each of many conversations gets its own turn.
    pub async fn start_with(handler: impl Fn(&RecordedRequest) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("the loopback address has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(State {
            handler: Box::new(handler),
            requests: Mutex::default(),
            keeps: AtomicBool::new(true),
            healthy: AtomicBool::new(true),
            checks: AtomicUsize::new(0),
            at_once: watch::Sender::new(0),
            most_at_once: AtomicUsize::new(0),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, task }
    }

    /// Address for clients, such as `http://127.0.0.1:1234/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What has arrived so far, in order.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        let requests = self.state.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps no request from now on: for so many of them that they would fill the memory.
    pub fn forget_requests(&self) {
        self.state.keeps.store(false, Ordering::SeqCst);
    }

    /// What `GET /health` says from now on; at first it says that all is well. These requests are not recorded.
    pub fn set_healthy(&self, healthy: bool) {
        self.state.healthy.store(healthy, Ordering::SeqCst);
    }

    /// How often it was asked for its health.
    pub fn checks(&self) -> usize {
        self.state.checks.load(Ordering::SeqCst)
    }

    /// Waits until no request is under way: all are answered, or were given up by whoever sent them.
    pub async fn idle(&self) {
        let mut at_once = self.state.at_once.subscribe();
        at_once.wait_for(|requests| *requests == 0).await.expect("the server outlives this");
    }

    /// Most requests that were under way at the same time.
    pub fn most_at_once(&self) -> usize {
        self.state.most_at_once.load(Ordering::SeqCst)
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Aborting this task drops the set, which aborts the connections.
async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&state)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) -> io::Result<()> {
    let (read, write) = stream.split();
    let request = read_request(read).await?;
    if request.target == "GET /health" {
        state.checks.fetch_add(1, Ordering::SeqCst);
        let code = if state.healthy.load(Ordering::SeqCst) { 200 } else { 503 };
        return Script::new(vec![answer(code, "", "")], End::Close).play(write).await;
    }
    let under_way = UnderWay::new(&state);
    let script = {
        // The order of the record and of the replies is the same.
        let mut requests = state.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let script = (state.handler)(&request).script(&request);
        if state.keeps.load(Ordering::SeqCst) {
            requests.push(request);
        }
        script
    };
    let played = script.play(write).await;
    drop(under_way);
    played
}

/// Counts a request as long as it lives.
struct UnderWay<'a>(&'a State);

impl<'a> UnderWay<'a> {
    fn new(state: &'a State) -> Self {
        state.at_once.send_modify(|requests| *requests += 1);
        let at_once = *state.at_once.borrow();
        state.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        Self(state)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.at_once.send_modify(|requests| *requests -= 1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn ask(server: &ScriptedServer, body: &str) -> String {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head =
            format!("POST /v1/chat/completions HTTP/1.1\r\nX-Test: a: b\r\nContent-Length: {}", body.len());
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn replies_are_played_in_order_and_requests_kept() {
        let replies = vec![Reply::text("one"), Reply::CutConnection, Reply::CutInBody];
        let server = ScriptedServer::start(replies).await;
        assert!(ask(&server, r#"{"model": "m"}"#).await.contains(r#""content":"one""#));
        assert_eq!(ask(&server, "{}").await, "");
        assert!(!ask(&server, "{}").await.ends_with("}}"));
        assert!(ask(&server, "{}").await.starts_with("HTTP/1.1 400"));
        let requests = server.requests();
        assert_eq!(requests.len(), 4);
        assert_eq!(requests[0].target, "POST /v1/chat/completions");
        assert_eq!(requests[0].header("x-test"), Some("a: b"));
        assert_eq!(requests[0].body, json!({"model": "m"}));
    }

    #[tokio::test]
    async fn each_conversation_has_its_own_turn() {
        let server =
            ScriptedServer::start_with(|request| Reply::text(&format!("turn {}", request.turn()))).await;
        let second =
            r#"{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}"#;
        assert!(ask(&server, second).await.contains("turn 1"));
        assert!(ask(&server, r#"{"messages": []}"#).await.contains("turn 0"));
    }

    #[tokio::test]
    async fn dropping_the_server_ends_its_connections() {
        let server = ScriptedServer::start(vec![Reply::Hang]).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        drop(server);
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty(), "{ended:?}");
    }
}
