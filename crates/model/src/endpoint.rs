//! One address of a model server: how it is connected to, what lets one in, and what of its words may be shown.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, Url};

use crate::config::presentable;
use crate::{ModelError, Secret};

/// Connections of a client. No proxy and no redirect: a key goes where it was meant to go.
pub(crate) fn http_client(connect_time_limit: Duration) -> Result<Client, ModelError> {
    Client::builder()
        .connect_timeout(connect_time_limit)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| ModelError::Setup { message: with_causes(&error.without_url()) })
}

/// An address up to and including the version, and the key for it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    base: Url,
    authorization: Option<HeaderValue>,
}

impl Endpoint {
    /// Checks both; adds what of them nobody may see to `secrets`.
    pub(crate) fn new(
        base_url: &str,
        api_key: Option<&Secret>,
        secrets: &mut Secrets,
    ) -> Result<Self, ModelError> {
        let refuse = |why: &str| ModelError::Setup { message: format!("`{}` {why}", presentable(base_url)) };
        let mut base =
            Url::parse(base_url.trim()).map_err(|error| refuse(&format!("is not an address: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(refuse("must begin with http:// or https://"));
        }
        secrets.add(base.password().unwrap_or_default());
        let mut authorization = None;
        if let Some(key) = api_key {
            authorization = Some(bearer(key.expose())?);
            secrets.add(key.expose());
            // Else both would be sent. An address with a host, as this one is, can do without a user.
            let _ = base.set_username("");
            let _ = base.set_password(None);
        }
        Ok(Self { base, authorization })
    }

    /// The address, without secrets.
    pub(crate) fn shown(&self) -> String {
        presentable(self.base.as_str())
    }

    /// An address below it.
    pub(crate) fn join(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Servers have this page beside the version, not below it.
    pub(crate) fn health_url(&self) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().pop().push("health");
        }
        url
    }

    /// A request with the key.
    pub(crate) fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        }
    }
}

/// Texts that nobody may see: servers echo keys.
#[derive(Default)]
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    fn add(&mut self, secret: &str) {
        if !secret.is_empty() {
            self.0.push(secret.to_owned());
        }
    }

    /// The text without them.
    pub(crate) fn redact(&self, text: String) -> String {
        self.0.iter().fold(text, |text, secret| text.replace(secret.as_str(), "[redacted]"))
    }
}

/// Why a body was not read.
pub(crate) enum Unread {
    /// It has more bytes than this.
    TooLong(usize),
    /// The connection broke.
    Broken(reqwest::Error),
}

/// A whole body of at most `most` bytes.
pub(crate) async fn read_body(mut response: Response, most: usize) -> Result<Vec<u8>, Unread> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Unread::Broken)? {
        if body.len() + chunk.len() > most {
            return Err(Unread::TooLong(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An error and what lies behind it.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn bearer(key: &str) -> Result<HeaderValue, ModelError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| {
        let message = "the API key has characters that no header can carry, such as a line break";
        ModelError::Setup { message: message.to_owned() }
    })?;
    value.set_sensitive(true);
    Ok(value)
}
