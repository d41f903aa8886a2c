//! Requests to the endpoints of a client, and what comes back: bounded in time and size, without secrets.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use tokio::time::timeout;

use crate::config::presentable;
use crate::endpoint::{Endpoint, Secrets, Unread, http_client, read_body, with_causes};
use crate::problem::Problem;
use crate::retry::retry_after;
use crate::sse::{EventReader, EventTooLong};
use crate::stream::Assembler;
use crate::wire::{self, Read};
use crate::{ClientConfig, ModelError};

/// Largest answer that is read. An answer of 100,000 tokens is far below a megabyte, with log probabilities about ten.
const MAX_BODY_BYTES: usize = 32 << 20;

/// Longest stream that is read: each token has its own event.
const MAX_STREAM_BYTES: usize = 512 << 20;

/// Longest message of an error, in characters.
const MAX_MESSAGE_CHARS: usize = 1000;

/// Limit on one check of an endpoint.
const CHECK_TIME_LIMIT: Duration = Duration::from_secs(5);

/// How long the end of a connection is waited for, after the answer has come, so that it can be used again.
const END_TIME_LIMIT: Duration = Duration::from_millis(50);

/// Where requests of one kind go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// `chat/completions`.
    Chat,
    /// `completions`.
    Text,
    /// `embeddings`.
    Embeddings,
}

impl Route {
    fn path(self) -> &'static [&'static str] {
        match self {
            Self::Chat => &["chat", "completions"],
            Self::Text => &["completions"],
            Self::Embeddings => &["embeddings"],
        }
    }
}

/// The endpoints of a client and its connections to them.
pub(crate) struct Transport {
    http: reqwest::Client,
    endpoints: Vec<Endpoint>,
    secrets: Secrets,
    request_time_limit: Duration,
    connect_time_limit: Duration,
    idle_time_limit: Duration,
}

impl Transport {
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, ModelError> {
        if config.base_urls.is_empty() {
            return Err(ModelError::Setup { message: "there is no endpoint".to_owned() });
        }
        let mut secrets = Secrets::default();
        let endpoint = |url: &String| Endpoint::new(url, config.api_key.as_ref(), &mut secrets);
        let endpoints = config.base_urls.iter().map(endpoint).collect::<Result<_, _>>()?;
        let http = http_client(config.connect_time_limit)?;
        Ok(Self {
            http,
            endpoints,
            secrets,
            request_time_limit: config.request_time_limit,
            connect_time_limit: config.connect_time_limit,
            idle_time_limit: config.idle_time_limit,
        })
    }

    pub(crate) fn endpoints(&self) -> usize {
        self.endpoints.len()
    }

    /// The addresses, without secrets.
    pub(crate) fn shown(&self) -> Vec<String> {
        self.endpoints.iter().map(Endpoint::shown).collect()
    }

    /// One try at an endpoint for a completion.
    pub(crate) async fn ask(
        &self,
        endpoint: usize,
        route: Route,
        body: Vec<u8>,
        made_ids: &mut u64,
    ) -> Result<Read, Problem> {
        let (response, url) = self.post(endpoint, route, body).await?;
        if is_event_stream(&response) {
            return self.read_stream(response, &url).await?.finish(made_ids);
        }
        let body = self.read(response, &url).await?;
        wire::answer(&body).and_then(|answer| answer.read(made_ids)).map_err(Problem::Malformed)
    }

    /// One try at an endpoint for whatever it answers.
    pub(crate) async fn ask_plainly(
        &self,
        endpoint: usize,
        route: Route,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, Problem> {
        let (response, url) = self.post(endpoint, route, body).await?;
        self.read(response, &url).await
    }

    async fn post(&self, endpoint: usize, route: Route, body: Vec<u8>) -> Result<(Response, Url), Problem> {
        let endpoint = &self.endpoints[endpoint];
        let url = endpoint.join(route.path());
        let request = self.http.post(url.clone()).timeout(self.request_time_limit);
        let request = endpoint.authorized(request).header(CONTENT_TYPE, "application/json").body(body);
        let response = request.send().await.map_err(|error| self.broken(error, &url))?;
        match response.status().is_success() {
            true => Ok((response, url)),
            false => Err(self.refusal(response, &url).await),
        }
    }

    /// Whether an endpoint works, as far as can be told without asking the model. What has no page for it is asked
    /// for its models; any answer but an error of its own is good enough then, since the key may not be for that.
    pub(crate) async fn is_healthy(&self, endpoint: usize) -> bool {
        let endpoint = &self.endpoints[endpoint];
        let status = async |url: Url| {
            let request = endpoint.authorized(self.http.get(url)).timeout(CHECK_TIME_LIMIT);
            request.send().await.map(|response| response.status())
        };
        match status(endpoint.health_url()).await {
            Ok(status) if status.is_success() => true,
            Ok(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::UNAUTHORIZED)
            | Ok(StatusCode::FORBIDDEN) => {
                status(endpoint.join(&["models"])).await.is_ok_and(|status| !status.is_server_error())
            }
            Ok(_) | Err(_) => false,
        }
    }

    async fn read_stream(&self, mut response: Response, url: &Url) -> Result<Assembler, Problem> {
        let mut events = EventReader::default();
        let mut answer = Assembler::default();
        let mut length = 0;
        let mut begun = false;
        while let Some(piece) = self.next_piece(&mut response, begun, url).await? {
            begun = true;
            length += piece.len();
            if length > MAX_STREAM_BYTES {
                return Err(Problem::Malformed(format!("it has more than {MAX_STREAM_BYTES} bytes")));
            }
            let too_long = |EventTooLong| Problem::Malformed("an event of the stream is too long".to_owned());
            for event in events.feed(&piece).map_err(too_long)? {
                answer.take(&event)?;
            }
            if answer.is_done() {
                // The answer is whole, whatever comes of this.
                drop(timeout(END_TIME_LIMIT, response.chunk()).await);
                return Ok(answer);
            }
        }
        if let Some(event) = events.finish() {
            answer.take(&event)?;
        }
        Ok(answer)
    }

    /// Before the first piece a request may stand in the server's queue, for as long as a request may take at all.
    async fn next_piece(
        &self,
        response: &mut Response,
        begun: bool,
        url: &Url,
    ) -> Result<Option<Vec<u8>>, Problem> {
        let limit = if begun { self.idle_time_limit } else { Duration::MAX };
        match timeout(limit, response.chunk()).await {
            Ok(piece) => {
                piece.map(|piece| piece.map(|piece| piece.to_vec())).map_err(|error| self.broken(error, url))
            }
            Err(_) => Err(Problem::Timeout(format!(
                "`{}`: the stream stood still for {limit:?}",
                presentable(url.as_str())
            ))),
        }
    }

    async fn refusal(&self, response: Response, url: &Url) -> Problem {
        let status = response.status().as_u16();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = wait.and_then(|value| retry_after(value, Timestamp::now()));
        // The status counts even where the explanation is cut off.
        let body = self.read(response, url).await.unwrap_or_default();
        let message = wire::error_message(&body);
        if matches!(status, 400 | 413 | 422) && wire::says_context_window(&body) {
            return Problem::ContextWindow(message);
        }
        Problem::Status { status, message, retry_after }
    }

    async fn read(&self, response: Response, url: &Url) -> Result<Vec<u8>, Problem> {
        read_body(response, MAX_BODY_BYTES).await.map_err(|unread| match unread {
            Unread::TooLong(most) => Problem::Malformed(format!("it has more than {most} bytes")),
            Unread::Broken(error) => self.broken(error, url),
        })
    }

    fn broken(&self, error: reqwest::Error, url: &Url) -> Problem {
        let place = presentable(url.as_str());
        match (error.is_timeout(), error.is_connect()) {
            (true, true) => {
                let limit = self.connect_time_limit.min(self.request_time_limit);
                Problem::Connection(format!("`{place}`: no connection within {limit:?}"))
            }
            (true, false) => Problem::Timeout(format!(
                "`{place}`: no complete answer within {:?}",
                self.request_time_limit
            )),
            _ => Problem::Connection(format!("`{place}`: {}", with_causes(&error.without_url()))),
        }
    }

    /// The only way from a problem to an error, so that no message gets around the redaction.
    pub(crate) fn error(&self, problem: Problem, tries: u32) -> ModelError {
        match problem {
            Problem::Connection(message) | Problem::Timeout(message) => {
                ModelError::Connection { tries, message: self.redact(message) }
            }
            Problem::Status { status, message, .. } => {
                ModelError::Status { tries, status, message: self.redact(message) }
            }
            Problem::Malformed(message) => ModelError::Malformed { tries, message: self.redact(message) },
            Problem::ContextWindow(message) => ModelError::ContextWindow { message: self.redact(message) },
        }
    }

    /// The message is cut after the redaction: half a key is too much, too.
    fn redact(&self, message: String) -> String {
        self.secrets.redact(message).chars().take(MAX_MESSAGE_CHARS).collect()
    }
}

/// A server may answer whole what was to come piece by piece.
fn is_event_stream(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream"))
}
