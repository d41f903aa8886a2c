//! As much of HTTP/1.1 as a test server needs: one request a connection, bodies with `Content-Length`.

use std::io;

use serde_json::Value;
use swegym_core::{Message, Role};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::tcp::ReadHalf;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct RecordedRequest {
    /// Method and path, such as `POST /v1/chat/completions`.
    pub target: String,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; null where it is not JSON.
    pub body: Value,
}

impl RecordedRequest {
    /// Value of a header; the name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(header, _)| header == name);
        header.map(|(_, value)| value.as_str())
    }

    /// The conversation, as far as it reads as one.
    pub fn messages(&self) -> Vec<Message> {
        serde_json::from_value(self.body["messages"].clone()).unwrap_or_default()
    }

    /// Number of assistant messages in the conversation: which turn is asked for, from 0.
    pub fn turn(&self) -> usize {
        let messages = self.messages();
        messages.iter().filter(|message| message.role == Role::Assistant).count()
    }
}

/// Reads one request.
pub(crate) async fn read_request(stream: ReadHalf<'_>) -> io::Result<RecordedRequest> {
    let mut reader = BufReader::new(stream);
    let first = read_line(&mut reader).await?;
    let target = first.rsplit_once(' ').map_or(first.clone(), |(target, _)| target.to_owned());
    let mut headers = Vec::new();
    loop {
        let line = read_line(&mut reader).await?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut request = RecordedRequest { target, headers, body: Value::Null };
    let length = request.header("content-length").and_then(|value| value.parse().ok());
    let mut body = vec![0; length.unwrap_or_default()];
    reader.read_exact(&mut body).await?;
    request.body = serde_json::from_slice(&body).unwrap_or_default();
    Ok(request)
}

async fn read_line(reader: &mut BufReader<ReadHalf<'_>>) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

/// A whole answer.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
        .into_bytes()
}

/// The head of a stream of server-sent events, which ends with the connection.
pub(crate) fn event_stream() -> Vec<u8> {
    b"HTTP/1.1 200 Scripted\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n"
        .to_vec()
}
