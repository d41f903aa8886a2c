//! One call: to the endpoint, into the record, back to the caller.
//!
//! A call runs in a task of its own, so that it comes to its end and into the record whatever the caller does. When the
//! caller hangs up, or the rollout is over, the request to the endpoint ends with it.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::Value;
use swegym_core::{Answer, Call, CallFailure, CallFailureKind};
use tokio::sync::oneshot;

use super::answer::{answers, strip};
use super::http::{Denial, Reply, bytes_reply};
use super::outgoing::Outgoing;
use super::session::{Refusal, Session};
use super::sessions::Shared;
use super::stream::{DONE, Stream};
use super::upstream::broken;
use super::watched::Watched;

/// Parts of a stream that wait for a slow caller.
const PARTS_AHEAD: usize = 16;
/// Longest words of an endpoint that are kept of an error, in characters.
const MAX_MESSAGE_CHARS: usize = 1000;

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

/// Why a call came to no whole answer, and what had come of it.
struct Failed {
    failure: CallFailure,
    received: Vec<Answer>,
}

/// Whoever waits for an answer.
type Caller = oneshot::Sender<Result<Reply, Denial>>;

/// Passes a request on.
pub(super) async fn chat(
    shared: Arc<Shared>,
    session: Arc<Session>,
    outgoing: Outgoing,
) -> Result<Reply, Denial> {
    let (caller, reply) = oneshot::channel();
    tokio::spawn(enter(shared, session, outgoing, caller));
    reply.await.unwrap_or_else(|_| Err(Denial::from(Refusal::Closed)))
}

async fn enter(shared: Arc<Shared>, session: Arc<Session>, outgoing: Outgoing, caller: Caller) {
    let (entered, archive) = (Arc::clone(&session), shared.archive.clone());
    match blocking(move || entered.enter(archive.as_deref())).await {
        Ok(()) => pass(Visit { shared, session, outgoing, begun: Instant::now() }, caller).await,
        Err(denial) => drop(caller.send(Err(denial))),
    }
}

/// Takes a call to its end.
async fn pass(mut visit: Visit, mut caller: Caller) {
    let body = std::mem::take(&mut visit.outgoing.body);
    let session = Arc::clone(&visit.session);
    let asked = tokio::select! {
        biased;
        () = caller.closed() => Err(Failed::abandoned("the caller hung up before there was an answer")),
        () = session.closing() => Err(Failed::abandoned("the rollout ended before there was an answer")),
        asked = visit.shared.upstream.chat(body) => asked.map_err(Failed::broken),
    };
    let response = match asked {
        Ok(response) => response,
        Err(failed) => return visit.fail(failed, caller).await,
    };
    if response.status().is_success() && is_event_stream(&response) && visit.outgoing.wanted.stream {
        return stream(visit, response, caller).await;
    }
    let (status, headers) = (response.status(), passed_headers(response.headers()));
    let read = tokio::select! {
        biased;
        () = caller.closed() => Err(Failed::abandoned("the caller hung up while the answer came in")),
        () = session.closing() => Err(Failed::abandoned("the rollout ended while the answer came in")),
        read = visit.shared.upstream.read(response) => read.map_err(Failed::broken),
    };
    match read {
        Ok(body) if status.is_success() => whole(visit, &body, headers, caller).await,
        Ok(body) => refused(visit, status, &body, headers, caller).await,
        Err(failed) => visit.fail(failed, caller).await,
    }
}

fn is_event_stream(response: &reqwest::Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
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

/// An error of the endpoint goes to the caller as it is: trying again is for the caller to do.
async fn refused(visit: Visit, status: StatusCode, body: &[u8], headers: HeaderMap, caller: Caller) {
    let body = visit.shared.upstream.redact(body);
    let message = format!(
        "HTTP status {}: {}",
        status.as_u16(),
        body.chars().take(MAX_MESSAGE_CHARS).collect::<String>()
    );
    let failure = CallFailure { kind: CallFailureKind::Refused, message, status: Some(status.as_u16()) };
    let recorded = visit.record_failed(Failed { failure, received: Vec::new() }).await;
    let reply = recorded.map(|()| with_headers(bytes_reply(status, body), headers));
    drop(caller.send(reply));
}

async fn whole(visit: Visit, body: &[u8], headers: HeaderMap, caller: Caller) {
    let Ok(mut body) = serde_json::from_slice::<Value>(body) else {
        return visit.fail(Failed::broken("the endpoint's answer is not JSON".to_owned()), caller).await;
    };
    let answers = answers(&body);
    strip(&mut body, visit.outgoing.wanted);
    let mut text = body.to_string();
    let recorded = if answers.is_empty() {
        text = visit.shared.upstream.redact(text.as_bytes());
        visit.record_failed(Failed::broken("the endpoint's answer has no choices".to_owned())).await
    } else {
        visit.record(answers).await
    };
    drop(caller.send(recorded.map(|()| with_headers(bytes_reply(StatusCode::OK, text), headers))));
}

/// Passes a stream on. Its end is passed on when the call is recorded.
async fn stream(visit: Visit, mut response: reqwest::Response, caller: Caller) {
    let headers = passed_headers(response.headers());
    let (mut sender, body) = Channel::<Bytes, io::Error>::new(PARTS_AHEAD);
    let (body, gone) = Watched::new(body);
    let reply = with_headers(Response::new(body.boxed_unsync()), headers);
    let mut stream = Stream::new(visit.outgoing.wanted);
    let session = Arc::clone(&visit.session);
    let hung_up = "the caller hung up in the middle of the answer";
    // Who does not take the answer drops what tells of it, too.
    drop(caller.send(Ok(reply)));
    let passed = tokio::select! {
        biased;
        _ = gone => Err(Failed::abandoned(hung_up)),
        () = session.closing() => Err(Failed::abandoned("the rollout ended in the middle of the answer")),
        passed = visit.pass_parts(&mut response, &mut stream, &mut sender) => passed,
    };
    // The endpoint need not go on.
    drop(response);
    // Who has the whole answer need not wait for what else the endpoint has to say.
    let is_enough =
        |failed: &Failed| failed.failure.kind == CallFailureKind::Abandoned && stream.is_complete();
    let ended = match passed {
        Err(failed) if !is_enough(&failed) => {
            let failed = Failed { received: stream.into_answers(), ..failed };
            let message = failed.failure.message.clone();
            Err(visit.record_failed(failed).await.map_or_else(|denial| denial.message, |()| message))
        }
        passed => {
            let recorded = visit.record(stream.into_answers()).await;
            recorded.map(|()| matches!(passed, Ok(true))).map_err(|denial| denial.message)
        }
    };
    match ended {
        Ok(true) => drop(sender.send_data(Bytes::from_static(DONE)).await),
        Ok(false) => {}
        Err(message) => sender.abort(io::Error::other(message)),
    }
}

fn with_headers(mut reply: Reply, headers: HeaderMap) -> Reply {
    reply.headers_mut().extend(headers);
    reply
}

impl Failed {
    fn abandoned(message: &str) -> Self {
        Self::of(CallFailureKind::Abandoned, message.to_owned())
    }

    fn broken(message: String) -> Self {
        Self::of(CallFailureKind::Broken, message)
    }

    fn of(kind: CallFailureKind, message: String) -> Self {
        Self { failure: CallFailure { kind, message, status: None }, received: Vec::new() }
    }
}

impl Visit {
    /// Passes the parts of a stream on as they come. Gives back whether its last event is still to be passed on.
    async fn pass_parts(
        &self,
        response: &mut reqwest::Response,
        stream: &mut Stream,
        sender: &mut Sender<Bytes, io::Error>,
    ) -> Result<bool, Failed> {
        let (mut length, mut done) = (0, false);
        while !done
            && let Some(chunk) = response.chunk().await.map_err(|error| Failed::broken(broken(error)))?
        {
            length += chunk.len();
            if length > self.shared.config.limits.max_answer_bytes {
                return Err(Failed::broken("the endpoint's answer is too long".to_owned()));
            }
            let passed = stream.feed(&chunk);
            done = passed.done;
            if !passed.bytes.is_empty() && sender.send_data(passed.bytes.into()).await.is_err() {
                return Err(Failed::abandoned("the caller hung up in the middle of the answer"));
            }
        }
        match stream.is_complete() {
            true => Ok(done),
            false => Err(Failed::broken("the endpoint's answer ended early".to_owned())),
        }
    }

    async fn fail(self, failed: Failed, caller: Caller) {
        let denial = Denial::bad_gateway(failed.failure.message.clone());
        let recorded = self.record_failed(failed).await;
        drop(caller.send(Err(recorded.err().unwrap_or(denial))));
    }

    async fn record(mut self, answers: Vec<Answer>) -> Result<(), Denial> {
        blocking(move || {
            let session = Arc::clone(&self.session);
            session.record(self.call(answers))
        })
        .await
    }

    async fn record_failed(mut self, failed: Failed) -> Result<(), Denial> {
        blocking(move || {
            let session = Arc::clone(&self.session);
            session.record_failed(self.call(failed.received), failed.failure)
        })
        .await
    }

    fn call(&mut self, answers: Vec<Answer>) -> Call<'_> {
        let outgoing = &mut self.outgoing;
        Call {
            messages: &outgoing.messages,
            tools: &outgoing.tools,
            model: &outgoing.model,
            fields: std::mem::take(&mut outgoing.fields),
            answers,
            model_ms: u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Runs what reads and writes journals where it may block.
async fn blocking(work: impl FnOnce() -> Result<(), Refusal> + Send + 'static) -> Result<(), Denial> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(Refusal::Archive)).map_err(Denial::from)
}
