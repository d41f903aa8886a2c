//! What a client of a model endpoint needs to know, and how its secrets stay out of sight.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ModelError, Notices, Price, TokenModel};

/// A text that must not be shown, such as an API key: its debug form has nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the request itself and nothing else.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// How the endpoint is to sample; what is not set is not sent, so that the server's default holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Sampling {
    /// Temperature; 0 is greedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Probability mass of nucleus sampling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Most tokens of one answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Seed, for servers that sample reproducibly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Texts that end the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Further fields of the request, sent as they are: `top_k`, `max_completion_tokens`, `chat_template_kwargs` ...
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Fields of a request that are not a matter of sampling.
const RESERVED: [&str; 10] = [
    "model",
    "messages",
    "prompt",
    "tools",
    "stream",
    "stream_options",
    "n",
    "best_of",
    "echo",
    "response_format",
];

impl Sampling {
    /// A further field, as `KEY=JSON`; what is no JSON is a text. A field with a name of its own here is set by it.
    ///
    /// # Errors
    /// [`ModelError::Setup`] when there is no key, or it is not a matter of sampling, or the value does not fit.
    pub fn set(&mut self, field: &str) -> Result<(), ModelError> {
        let setup = |why: &str| ModelError::Setup { message: format!("sampling: `{field}` {why}") };
        let (key, value) = field.split_once('=').ok_or_else(|| setup("is not of the form KEY=JSON"))?;
        if key.is_empty() || RESERVED.contains(&key) {
            return Err(setup("is not a matter of sampling"));
        }
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        let read = |sampling: &Self| {
            let mut fields = serde_json::to_value(sampling)?;
            fields[key] = value;
            serde_json::from_value(fields)
        };
        *self = read(self).map_err(|error: serde_json::Error| setup(&format!("does not fit: {error}")))?;
        Ok(())
    }
}

/// Settings of a [`ChatClient`](crate::ChatClient).
#[derive(Clone)]
pub struct ClientConfig {
    /// Addresses up to and including the version, such as `http://host:8000/v1`: servers of the same model, between
    /// which requests are divided. A user and password in one are sent to it as basic authorization, unless there is
    /// an API key.
    pub base_urls: Vec<String>,
    /// Sent as bearer token.
    pub api_key: Option<Secret>,
    /// Name under which the endpoint knows the model.
    pub model: String,
    /// How to sample.
    pub sampling: Sampling,
    /// Whether answers come piece by piece. The result is the same, but a server that has stopped is found out
    /// sooner.
    pub stream: bool,
    /// Whether to ask for token ids and log probabilities, as vLLM and SGLang give them.
    pub token_ids: bool,
    /// Speaks with the endpoints in tokens, over text completions, in place of chat completions.
    pub token_mode: Option<Arc<TokenModel>>,
    /// What the model costs.
    pub price: Option<Price>,
    /// Requests that an endpoint is given at once, at most; fewer while it is overloaded.
    pub max_concurrency: usize,
    /// Limit on one try, from connecting to the last byte of the answer.
    pub request_time_limit: Duration,
    /// Limit on connecting alone.
    pub connect_time_limit: Duration,
    /// Longest silence within an answer that comes piece by piece.
    pub idle_time_limit: Duration,
    /// Tries of one request, the first included; 0 counts as 1.
    pub max_tries: u32,
    /// Longest wait after the first failed try; it doubles with every further one.
    pub first_backoff: Duration,
    /// Longest wait of all, also where the endpoint asks for more by `Retry-After`.
    pub max_backoff: Duration,
    /// Who is told what the user should know, once each.
    pub notices: Notices,
}

impl ClientConfig {
    /// Settings that suit a model server under load: 10 minutes a try, 8 tries, waits of at most a minute.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_urls: vec![base_url.into()],
            api_key: None,
            model: model.into(),
            sampling: Sampling::default(),
            stream: false,
            token_ids: false,
            token_mode: None,
            price: None,
            max_concurrency: 256,
            request_time_limit: Duration::from_secs(600),
            connect_time_limit: Duration::from_secs(30),
            idle_time_limit: Duration::from_secs(120),
            max_tries: 8,
            first_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
            notices: Notices::default(),
        }
    }

    /// The addresses without user, password and query: for records and messages.
    pub fn shown_base_urls(&self) -> Vec<String> {
        self.base_urls.iter().map(|url| presentable(url)).collect()
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("base_urls", &self.shown_base_urls())
            .field("api_key", &self.api_key)
            .field("model", &self.model)
            .field("sampling", &self.sampling)
            .field("stream", &self.stream)
            .field("token_ids", &self.token_ids)
            .field("token_mode", &self.token_mode)
            .field("price", &self.price)
            .field("max_concurrency", &self.max_concurrency)
            .field("request_time_limit", &self.request_time_limit)
            .field("connect_time_limit", &self.connect_time_limit)
            .field("idle_time_limit", &self.idle_time_limit)
            .field("max_tries", &self.max_tries)
            .field("first_backoff", &self.first_backoff)
            .field("max_backoff", &self.max_backoff)
            .finish_non_exhaustive()
    }
}

/// `address` without user, password and query. It works on the text, because an address that does not parse
/// must not give its password away either: hence everything up to the last `@` goes.
pub(crate) fn presentable(address: &str) -> String {
    let schemes = ["http://", "https://"];
    let scheme = schemes.into_iter().find(|scheme| address.starts_with(scheme)).unwrap_or_default();
    let rest = &address[scheme.len()..];
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let place = place.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_credentials() {
        for (address, shown) in [
            ("http://host:8000/v1", "http://host:8000/v1"),
            ("https://user:pass@host/v1?key=abc", "https://host/v1"),
            ("http://user:pa/ss@host/v1", "http://host/v1"),
            ("user:pass@host", "host"),
            ("user:p://ass@host", "host"),
        ] {
            assert_eq!(presentable(address), shown);
        }
    }

    #[test]
    fn further_fields_are_read() {
        let mut sampling = Sampling::default();
        for field in ["top_k=20", "top_p=0.5", r#"stop=["a"]"#, "guided_regex=[a-z]+", "x=", "x=null"] {
            sampling.set(field).unwrap();
        }
        let expected = serde_json::json!({
            "top_p": 0.5, "stop": ["a"], "top_k": 20, "guided_regex": "[a-z]+", "x": null,
        });
        assert_eq!(serde_json::to_value(&sampling).unwrap(), expected);
        for field in ["top_k", "=1", "n=2", "stream=true", "temperature=hot"] {
            assert!(sampling.set(field).is_err(), "{field}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut config = ClientConfig::new("http://user:hunter2@host/v1", "m");
        config.api_key = Some(Secret::new("sk-123"));
        let shown = format!("{config:?}");
        assert!(shown.contains("http://host/v1"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("sk-123"), "{shown}");
    }
}
