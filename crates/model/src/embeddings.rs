//! Client of an OpenAI-compatible `/embeddings` endpoint.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderValue, RETRY_AFTER};
use reqwest::{Response, Url};
use serde::Deserialize;
use serde_json::json;

use crate::config::presentable;
use crate::retry::{Backoff, retry_after};
use crate::{ClientConfig, ModelError, wire};

/// Texts of one request: few enough for every server that is known to have a limit.
const BATCH: usize = 64;
/// Largest answer that is read: 64 vectors of 4,096 numbers have about 5 MB as text.
const MAX_BODY_BYTES: usize = 64 << 20;
/// Longest message of an error, in characters.
const MAX_MESSAGE_CHARS: usize = 1000;

/// An endpoint that turns texts into vectors.
pub struct EmbeddingClient {
    http: reqwest::Client,
    endpoint: Url,
    config: ClientConfig,
}

impl fmt::Debug for EmbeddingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddingClient").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Why one try failed.
struct Failed {
    error: ModelError,
    may_pass: bool,
    retry_after: Option<Duration>,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    index: Option<usize>,
    embedding: Vec<f32>,
}

impl EmbeddingClient {
    /// Sets the client up; it connects with the first request. How to sample is of no importance here.
    ///
    /// # Errors
    /// [`ModelError::Setup`] when the address cannot be used, or the system's certificates not be read.
    pub fn new(config: ClientConfig) -> Result<Self, ModelError> {
        let setup = |message: String| ModelError::Setup { message };
        let [base_url] = config.base_urls.as_slice() else {
            return Err(setup("embeddings come from one endpoint".to_owned()));
        };
        let shown = presentable(base_url);
        let mut endpoint = Url::parse(base_url.trim())
            .map_err(|error| setup(format!("`{shown}` is not an address: {error}")))?;
        if !matches!(endpoint.scheme(), "http" | "https") {
            return Err(setup(format!("`{shown}` must begin with http:// or https://")));
        }
        if let Ok(mut path) = endpoint.path_segments_mut() {
            path.pop_if_empty().push("embeddings");
        }
        let http = reqwest::Client::builder()
            .connect_timeout(config.connect_time_limit)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| setup(error.without_url().to_string()))?;
        Ok(Self { http, endpoint, config })
    }

    /// One vector for each text, in their order, all of one length.
    ///
    /// # Errors
    /// [`ModelError`] when a batch of them got no fitting answer in every try.
    pub async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, ModelError> {
        let mut vectors: Vec<Vec<f32>> = Vec::with_capacity(texts.len());
        for batch in texts.chunks(BATCH) {
            vectors.extend(self.embed_batch(batch).await?);
        }
        let length = vectors.first().map_or(0, Vec::len);
        if vectors.iter().any(|vector| vector.len() != length) {
            return Err(malformed("its vectors differ in length", 1));
        }
        Ok(vectors)
    }

    async fn embed_batch(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, ModelError> {
        let backoff = Backoff { first: self.config.first_backoff, max: self.config.max_backoff };
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_once(texts, tries).await {
                Ok(vectors) => return Ok(vectors),
                Err(failed) if tries >= self.config.max_tries || !failed.may_pass => return Err(failed.error),
                Err(failed) => tokio::time::sleep(backoff.delay(tries, failed.retry_after)).await,
            }
        }
    }

    async fn try_once(&self, texts: &[String], tries: u32) -> Result<Vec<Vec<f32>>, Failed> {
        let body = json!({"model": self.config.model, "input": texts, "encoding_format": "float"});
        let mut request =
            self.http.post(self.endpoint.clone()).timeout(self.config.request_time_limit).json(&body);
        if let Some(key) = &self.config.api_key
            && let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
        {
            value.set_sensitive(true);
            request = request.header(reqwest::header::AUTHORIZATION, value);
        }
        let response = request.send().await.map_err(|error| self.broken(error, tries))?;
        let status = response.status();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = wait.and_then(|value| retry_after(value, Timestamp::now()));
        let body = self.read(response, tries).await?;
        if !status.is_success() {
            let status = status.as_u16();
            let message = self.redact(wire::error_message(&body));
            return Err(Failed {
                error: ModelError::Status { tries, status, message },
                may_pass: matches!(status, 408 | 409 | 429 | 500..),
                retry_after,
            });
        }
        vectors(&body, texts.len()).map_err(|message| Failed::passing(malformed(message, tries)))
    }

    async fn read(&self, mut response: Response, tries: u32) -> Result<Vec<u8>, Failed> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(error, tries))? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(Failed::passing(malformed("it is too long", tries)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn broken(&self, error: reqwest::Error, tries: u32) -> Failed {
        let what = self.redact(error.without_url().to_string());
        let message = format!("`{}`: {what}", presentable(self.endpoint.as_str()));
        Failed::passing(ModelError::Connection { tries, message })
    }

    /// Servers echo keys.
    fn redact(&self, mut message: String) -> String {
        let password = self.endpoint.password();
        let secrets = self.config.api_key.iter().map(|key| key.expose()).chain(password);
        for secret in secrets.filter(|secret| !secret.is_empty()) {
            message = message.replace(secret, "[redacted]");
        }
        message.chars().take(MAX_MESSAGE_CHARS).collect()
    }
}

impl Failed {
    fn passing(error: ModelError) -> Self {
        Self { error, may_pass: true, retry_after: None }
    }
}

fn malformed(message: &str, tries: u32) -> ModelError {
    ModelError::Malformed { tries, message: message.to_owned() }
}

/// The vectors in the order of their texts, however the server sorted them.
fn vectors(body: &[u8], texts: usize) -> Result<Vec<Vec<f32>>, &'static str> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| "it has no vectors")?;
    let mut entries: Vec<(usize, Vec<f32>)> = answer
        .data
        .into_iter()
        .enumerate()
        .map(|(at, entry)| (entry.index.unwrap_or(at), entry.embedding))
        .collect();
    entries.sort_by_key(|(index, _)| *index);
    if !entries.iter().map(|(index, _)| *index).eq(0..texts) {
        return Err("it has not one vector for each text");
    }
    let vectors: Vec<Vec<f32>> = entries.into_iter().map(|(_, vector)| vector).collect();
    if vectors.iter().flatten().any(|number| !number.is_finite()) {
        return Err("its vectors have numbers that are none");
    }
    Ok(vectors)
}
