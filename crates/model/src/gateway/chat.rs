//! One call: to the endpoint, into the record, back to the caller.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::Value;
use swegym_core::{Answer, Call};

use super::answer::{answers, strip};
use super::http::{Denial, Reply, bytes_reply};
use super::outgoing::Outgoing;
use super::session::{Refusal, Session};
use super::sessions::Shared;
use super::stream::{DONE, Stream};
use super::upstream::broken;

/// Parts of a stream that wait for a slow caller.
const PARTS_AHEAD: usize = 16;

/// A call that was let in.
struct Visit {
    shared: Arc<Shared>,
    session: Arc<Session>,
    outgoing: Outgoing,
    begun: Instant,
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.session.leave();
    }
}

/// Passes a request on.
pub(super) async fn chat(
    shared: Arc<Shared>,
    session: Arc<Session>,
    mut outgoing: Outgoing,
) -> Result<Reply, Denial> {
    let body = std::mem::take(&mut outgoing.body);
    let (entered, archive) = (Arc::clone(&session), shared.archive.clone());
    blocking(move || entered.enter(archive.as_deref())).await?;
    let visit = Visit { shared: Arc::clone(&shared), session, outgoing, begun: Instant::now() };
    let response = shared.upstream.chat(body).await.map_err(|message| visit.failed(message))?;
    let (status, headers) = (response.status(), passed_headers(response.headers()));
    let is_stream = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let mut reply = if !status.is_success() {
        let body = shared.upstream.read(response).await.map_err(|message| visit.failed(message))?;
        let body = shared.upstream.redact(&body);
        visit.session.fail(&format!("HTTP status {}: {body:.1000}", status.as_u16()));
        bytes_reply(status, body)
    } else if is_stream && visit.outgoing.wanted.stream {
        streamed(visit, response)
    } else {
        whole(visit, response).await?
    };
    reply.headers_mut().extend(headers);
    Ok(reply)
}

/// What passes back of the endpoint's headers: what the body is, and when to come again.
pub(super) fn passed_headers(headers: &HeaderMap) -> HeaderMap {
    let passes = |name: &HeaderName| {
        *name == CONTENT_TYPE
            || *name == RETRY_AFTER
            || name.as_str() == "retry-after-ms"
            || name.as_str().starts_with("x-ratelimit-")
    };
    let passed = headers.iter().filter(|(name, _)| passes(name));
    passed.map(|(name, value)| (name.clone(), value.clone())).collect()
}

async fn whole(visit: Visit, response: reqwest::Response) -> Result<Reply, Denial> {
    let upstream = &visit.shared.upstream;
    let body = upstream.read(response).await.map_err(|message| visit.failed(message))?;
    let mut body: Value = serde_json::from_slice(&body)
        .map_err(|_| visit.failed("the endpoint's answer is not JSON".to_owned()))?;
    let answers = answers(&body);
    strip(&mut body, visit.outgoing.wanted);
    if answers.is_empty() {
        visit.session.fail("the endpoint's answer has no choices");
        return Ok(bytes_reply(StatusCode::OK, upstream.redact(body.to_string().as_bytes())));
    }
    visit.record(answers).await?;
    Ok(bytes_reply(StatusCode::OK, body.to_string()))
}

fn streamed(visit: Visit, response: reqwest::Response) -> Reply {
    let (sender, body) = Channel::<Bytes, io::Error>::new(PARTS_AHEAD);
    tokio::spawn(async move {
        let session = Arc::clone(&visit.session);
        let mut sender = sender;
        if let Err(message) = pass_stream(visit, response, &mut sender).await {
            session.fail(&message);
            sender.abort(io::Error::other(message));
        }
    });
    Response::new(body.boxed_unsync())
}

/// Passes a stream on. Its end is passed on when the call is recorded.
async fn pass_stream(
    visit: Visit,
    mut response: reqwest::Response,
    sender: &mut Sender<Bytes, io::Error>,
) -> Result<(), String> {
    let mut stream = Stream::new(visit.outgoing.wanted);
    let (mut length, mut done) = (0, false);
    while !done && let Some(chunk) = response.chunk().await.map_err(broken)? {
        length += chunk.len();
        if length > visit.shared.config.limits.max_answer_bytes {
            return Err("the endpoint's answer is too long".to_owned());
        }
        let passed = stream.feed(&chunk);
        done = passed.done;
        // A caller who went away has no use for the rest, and nobody is to blame.
        if !passed.bytes.is_empty() && sender.send_data(passed.bytes.into()).await.is_err() {
            return Ok(());
        }
    }
    if !stream.is_complete() {
        return Err("the endpoint's answer ended early".to_owned());
    }
    visit.record(stream.into_answers()).await.map_err(|denial| denial.message)?;
    if done {
        sender.send_data(Bytes::from_static(DONE)).await.ok();
    }
    Ok(())
}

impl Visit {
    fn failed(&self, message: String) -> Denial {
        self.session.fail(&message);
        Denial::bad_gateway(message)
    }

    async fn record(mut self, answers: Vec<Answer>) -> Result<(), Denial> {
        blocking(move || {
            let outgoing = &mut self.outgoing;
            self.session.record(Call {
                messages: &outgoing.messages,
                tools: &outgoing.tools,
                model: &outgoing.model,
                fields: std::mem::take(&mut outgoing.fields),
                answers,
                model_ms: u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            })
        })
        .await
    }
}

/// Runs what reads and writes journals where it may block.
async fn blocking(work: impl FnOnce() -> Result<(), Refusal> + Send + 'static) -> Result<(), Denial> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(Refusal::Archive)).map_err(Denial::from)
}
