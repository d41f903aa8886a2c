//! An OpenAI-compatible chat-completions endpoint that plays a script.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use swegym_core::{Message, ToolCall};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::RecordedRequest;
use crate::http::{answer, read_request};

/// What the server does with one request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Answers with this message of the assistant, and usage of 100 + 10 tokens.
    Message(Message),
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

    /// The bytes to write, after which the connection is closed; nothing for a reply that never comes.
    fn bytes(self) -> Option<Vec<u8>> {
        Some(match self {
            Self::Message(message) => answer(200, "", &completion(&message).to_string()),
            Self::Json(body) => answer(200, "", &body.to_string()),
            Self::Status { code, retry_after, body } => {
                let header = retry_after.map(|wait| format!("Retry-After: {wait}\r\n"));
                answer(code, &header.unwrap_or_default(), &body)
            }
            Self::CutConnection => Vec::new(),
            Self::CutInBody => {
                let mut bytes =
                    answer(200, "", &completion(&Message::calling("cut", Vec::new())).to_string());
                bytes.truncate(bytes.len() - 20);
                bytes
            }
            Self::MalformedJson => answer(200, "", r#"{"choices": [{"message""#),
            Self::Raw(bytes) => bytes,
            Self::Hang => return None,
        })
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

type Handler = Box<dyn Fn(&RecordedRequest) -> Reply + Send + Sync>;

struct State {
    handler: Handler,
    requests: Mutex<Vec<RecordedRequest>>,
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
        let state = Arc::new(State { handler: Box::new(handler), requests: Mutex::default() });
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
    let (read, mut write) = stream.split();
    let request = read_request(read).await?;
    let reply = {
        // The order of the record and of the replies is the same.
        let mut requests = state.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = (state.handler)(&request);
        requests.push(request);
        reply
    };
    match reply.bytes() {
        Some(bytes) => write.write_all(&bytes).await?,
        None => pending().await,
    }
    write.shutdown().await
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
