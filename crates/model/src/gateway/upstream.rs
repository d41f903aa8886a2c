//! The endpoint behind the gateway.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, Response};

use super::EndpointConfig;
use crate::ModelError;
use crate::endpoint::{Endpoint, Secrets, Unread, http_client, read_body};

/// An endpoint, and what it is asked with.
pub(super) struct Upstream {
    http: Client,
    endpoint: Endpoint,
    time_limit: Duration,
    secrets: Secrets,
    max_bytes: usize,
}

impl Upstream {
    pub(super) fn new(config: &EndpointConfig, max_bytes: usize) -> Result<Self, ModelError> {
        let mut secrets = Secrets::default();
        Ok(Self {
            endpoint: Endpoint::new(&config.base_url, config.api_key.as_ref(), &mut secrets)?,
            http: http_client(config.connect_time_limit)?,
            time_limit: config.request_time_limit,
            secrets,
            max_bytes,
        })
    }

    pub(super) async fn chat(&self, body: Vec<u8>) -> Result<Response, String> {
        let request = self.http.post(self.endpoint.join(&["chat", "completions"]));
        self.send(request.header(CONTENT_TYPE, "application/json").body(body)).await
    }

    pub(super) async fn models(&self) -> Result<Response, String> {
        self.send(self.http.get(self.endpoint.join(&["models"]))).await
    }

    /// The whole body, within the limit.
    pub(super) async fn read(&self, response: Response) -> Result<Vec<u8>, String> {
        read_body(response, self.max_bytes).await.map_err(|unread| match unread {
            Unread::TooLong(most) => format!("the endpoint's answer has more than {most} bytes"),
            Unread::Broken(error) => broken(error),
        })
    }

    /// Endpoints repeat keys in what they say.
    pub(super) fn redact(&self, body: &[u8]) -> String {
        self.secrets.redact(String::from_utf8_lossy(body).into_owned())
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, String> {
        self.endpoint.authorized(request).timeout(self.time_limit).send().await.map_err(broken)
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
