//! The endpoint behind the gateway.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, Url};

use super::EndpointConfig;
use crate::ModelError;
use crate::config::presentable;

/// An endpoint, and what it is asked with.
pub(super) struct Upstream {
    http: Client,
    chat: Url,
    models: Url,
    authorization: Option<HeaderValue>,
    secrets: Vec<String>,
    max_bytes: usize,
}

impl Upstream {
    pub(super) fn new(config: &EndpointConfig, max_bytes: usize) -> Result<Self, ModelError> {
        let setup = |message: String| ModelError::Setup { message };
        let shown = presentable(&config.base_url);
        let mut base = Url::parse(config.base_url.trim())
            .map_err(|error| setup(format!("`{shown}` is not an address: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(setup(format!("`{shown}` must begin with http:// or https://")));
        }
        let mut secrets: Vec<String> = base.password().map(str::to_owned).into_iter().collect();
        let mut authorization = None;
        if let Some(key) = &config.api_key {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
                .map_err(|_| setup("the API key has characters that no header can carry".to_owned()))?;
            value.set_sensitive(true);
            authorization = Some(value);
            secrets.push(key.expose().to_owned());
            // Else both would be sent. An address with a host, as this one is, can do without a user.
            let _ = base.set_username("");
            let _ = base.set_password(None);
        }
        secrets.retain(|secret| !secret.is_empty());
        let http = Client::builder()
            .timeout(config.request_time_limit)
            .connect_timeout(config.connect_time_limit)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| setup(error.without_url().to_string()))?;
        let at = |path: &[&str]| {
            let mut url = base.clone();
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.pop_if_empty().extend(path);
            }
            url
        };
        let (chat, models) = (at(&["chat", "completions"]), at(&["models"]));
        Ok(Self { http, chat, models, authorization, secrets, max_bytes })
    }

    pub(super) async fn chat(&self, body: Vec<u8>) -> Result<Response, String> {
        let request = self.http.post(self.chat.clone()).header(CONTENT_TYPE, "application/json").body(body);
        self.send(request).await
    }

    pub(super) async fn models(&self) -> Result<Response, String> {
        self.send(self.http.get(self.models.clone())).await
    }

    /// The whole body, within the limit.
    pub(super) async fn read(&self, mut response: Response) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > self.max_bytes {
                return Err(format!("the endpoint's answer has more than {} bytes", self.max_bytes));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Endpoints repeat keys in what they say.
    pub(super) fn redact(&self, body: &[u8]) -> String {
        let text = String::from_utf8_lossy(body).into_owned();
        self.secrets.iter().fold(text, |text, secret| text.replace(secret.as_str(), "[redacted]"))
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> Result<Response, String> {
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.send().await.map_err(broken)
    }
}

/// Without the address, which the caller has no need to know.
pub(super) fn broken(error: reqwest::Error) -> String {
    match (error.is_timeout(), error.is_connect()) {
        (true, _) => "the endpoint did not answer in time".to_owned(),
        (_, true) => "the endpoint cannot be reached".to_owned(),
        _ => "the connection to the endpoint broke".to_owned(),
    }
}
