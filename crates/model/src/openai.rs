//! Client of an OpenAI-compatible chat-completions endpoint: vLLM, SGLang, a gateway, a vendor.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Response, Url};
use swegym_core::{ChatRequest, Completion};

use crate::config::presentable;
use crate::retry::{Backoff, retry_after};
use crate::{ClientConfig, ModelError, Policy, Sampling, wire};

/// Largest answer that is read. An answer of 100,000 tokens is far below a megabyte.
const MAX_BODY_BYTES: usize = 16 << 20;

/// Longest message of an error, in characters.
const MAX_MESSAGE_CHARS: usize = 1000;

/// An endpoint and how to use it: one for all rollouts, which share its connections.
pub struct ChatClient {
    http: reqwest::Client,
    endpoint: Url,
    authorization: Option<HeaderValue>,
    secrets: Vec<String>,
    model: String,
    sampling: Sampling,
    request_time_limit: Duration,
    connect_time_limit: Duration,
    max_tries: u32,
    backoff: Backoff,
}

impl fmt::Debug for ChatClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatClient")
            .field("endpoint", &presentable(self.endpoint.as_str()))
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// Why one try failed.
enum Problem {
    Connection(String),
    Status { status: u16, message: String, retry_after: Option<Duration> },
    Malformed(String),
    ContextWindow(String),
}

impl ChatClient {
    /// Sets the client up; it connects with the first request.
    ///
    /// # Errors
    /// [`ModelError::Setup`] when the address or the key cannot be used, or the system's certificates not be read.
    pub fn new(config: ClientConfig) -> Result<Self, ModelError> {
        let setup = |message: String| ModelError::Setup { message };
        let mut endpoint = endpoint(&config.base_url).map_err(setup)?;
        let mut secrets: Vec<String> = endpoint.password().map(str::to_owned).into_iter().collect();
        let mut authorization = None;
        if let Some(key) = &config.api_key {
            authorization = Some(bearer(key.expose()).map_err(setup)?);
            secrets.push(key.expose().to_owned());
            // Else both would be sent. An address with a host, as this one is, can do without a user.
            let _ = endpoint.set_username("");
            let _ = endpoint.set_password(None);
        }
        secrets.retain(|secret| !secret.is_empty());
        let http = reqwest::Client::builder()
            .connect_timeout(config.connect_time_limit)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| setup(with_causes(&error.without_url())))?;
        Ok(Self {
            http,
            endpoint,
            authorization,
            secrets,
            model: config.model,
            sampling: config.sampling,
            request_time_limit: config.request_time_limit,
            connect_time_limit: config.connect_time_limit,
            max_tries: config.max_tries,
            backoff: Backoff { first: config.first_backoff, max: config.max_backoff },
        })
    }

    /// Name of the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    async fn complete(
        &self,
        request: &ChatRequest<'_>,
        made_ids: &mut u64,
    ) -> Result<Completion, ModelError> {
        let body = wire::request_body(&self.model, &self.sampling, request)
            .map_err(|error| ModelError::Setup { message: error.to_string() })?;
        let mut tries = 0;
        loop {
            tries += 1;
            let problem = match self.try_once(body.clone(), made_ids).await {
                Ok(completion) => return Ok(completion),
                Err(problem) => problem,
            };
            if tries >= self.max_tries || !problem.may_pass() {
                return Err(self.error(problem, tries));
            }
            tokio::time::sleep(self.backoff.delay(tries, problem.retry_after())).await;
        }
    }

    async fn try_once(&self, body: Vec<u8>, made_ids: &mut u64) -> Result<Completion, Problem> {
        let mut request = self
            .http
            .post(self.endpoint.clone())
            .timeout(self.request_time_limit)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let response = request.send().await.map_err(|error| self.broken(error))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let body = self.read(response).await?;
        wire::completion(&body, made_ids).map_err(Problem::Malformed)
    }

    async fn refusal(&self, response: Response) -> Problem {
        let status = response.status().as_u16();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = wait.and_then(|value| retry_after(value, Timestamp::now()));
        // The status counts even where the explanation is cut off.
        let body = self.read(response).await.unwrap_or_default();
        let message = wire::error_message(&body);
        if matches!(status, 400 | 413 | 422) && wire::says_context_window(&body) {
            return Problem::ContextWindow(message);
        }
        Problem::Status { status, message, retry_after }
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, Problem> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(error))? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(Problem::Malformed(format!("it has more than {MAX_BODY_BYTES} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn broken(&self, error: reqwest::Error) -> Problem {
        let what = match (error.is_timeout(), error.is_connect()) {
            (true, true) => {
                format!("no connection within {:?}", self.connect_time_limit.min(self.request_time_limit))
            }
            (true, false) => format!("no complete answer within {:?}", self.request_time_limit),
            _ => with_causes(&error.without_url()),
        };
        Problem::Connection(format!("`{}`: {what}", presentable(self.endpoint.as_str())))
    }

    /// The only way from a problem to an error, so that no message gets around the redaction.
    fn error(&self, problem: Problem, tries: u32) -> ModelError {
        match problem {
            Problem::Connection(message) => ModelError::Connection { tries, message: self.redact(message) },
            Problem::Status { status, message, .. } => {
                ModelError::Status { tries, status, message: self.redact(message) }
            }
            Problem::Malformed(message) => ModelError::Malformed { tries, message: self.redact(message) },
            Problem::ContextWindow(message) => ModelError::ContextWindow { message: self.redact(message) },
        }
    }

    /// Servers echo keys. The message is cut after the redaction: half a key is too much, too.
    fn redact(&self, mut message: String) -> String {
        for secret in &self.secrets {
            message = message.replace(secret.as_str(), "[redacted]");
        }
        message.chars().take(MAX_MESSAGE_CHARS).collect()
    }
}

impl Problem {
    /// Whether another try may succeed. The statuses are those that the clients of OpenAI try again; 529 is
    /// Anthropic's word for overload.
    fn may_pass(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Malformed(_) => true,
            Self::Status { status, .. } => matches!(status, 408 | 409 | 429 | 500..),
            Self::ContextWindow(_) => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Connection(_) | Self::Malformed(_) | Self::ContextWindow(_) => None,
        }
    }
}

fn endpoint(base_url: &str) -> Result<Url, String> {
    let refuse = |why: &str| format!("`{}` {why}", presentable(base_url));
    let mut url =
        Url::parse(base_url.trim()).map_err(|error| refuse(&format!("is not an address: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("must begin with http:// or https://"));
    }
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["chat", "completions"]);
    }
    Ok(url)
}

fn bearer(key: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| {
        "the API key has characters that no header can carry, such as a line break".to_owned()
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// One rollout's use of a [`ChatClient`].
#[derive(Debug)]
pub struct ChatPolicy {
    client: Arc<ChatClient>,
    made_ids: u64,
}

impl ChatPolicy {
    /// A policy for one rollout.
    pub fn new(client: Arc<ChatClient>) -> Self {
        Self { client, made_ids: 0 }
    }
}

#[async_trait]
impl Policy for ChatPolicy {
    fn name(&self) -> &str {
        &self.client.model
    }

    async fn complete(&mut self, request: &ChatRequest<'_>) -> Result<Completion, ModelError> {
        self.client.complete(request, &mut self.made_ids).await
    }
}
