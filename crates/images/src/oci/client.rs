//! Talks to registries: addresses, tokens, patience.
//!
//! The distribution protocol is small. What a library for it would have to offer here, and none does, is bounded
//! reading of every answer, `Retry-After`, and resumption.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::redirect::Policy;
use reqwest::{Client, Request, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use super::auth::{Challenge, Login};
use super::manifest::read_json;
use super::pause::{back_off, retry_after};
use super::reference::is_host;
use super::{Credentials, OciError};

/// Where the registry of names without a registry is reached.
pub(crate) const DEFAULT_HOST: &str = "registry-1.docker.io";
const DEFAULT_REGISTRY: &str = "docker.io";
/// Answers that are not blobs: tokens, errors.
const MAX_ANSWER: usize = 1 << 20;
const MAX_REDIRECTS: usize = 5;
/// A whole small answer.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(60);

/// Another place where the images of a registry are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The registry.
    pub registry: String,
    /// Address of the mirror; a path in it stands before the names of repositories.
    pub base: String,
}

/// How registries are reached.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// For those that want them.
    pub credentials: Credentials,
    /// Tried in order, before the registry itself.
    pub mirrors: Vec<Mirror>,
    /// Registries without TLS. Those of the loopback address are taken to have none.
    pub plain_http: Vec<String>,
    /// Tries of a request before it is given up.
    pub tries: u32,
    /// Pause after the first failure.
    pub first_pause: Duration,
    /// Longest pause, and the longest that a registry may ask for.
    pub longest_pause: Duration,
    /// Longest time without a byte of an answer.
    pub stall: Duration,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            credentials: Credentials::default(),
            mirrors: Vec::new(),
            plain_http: Vec::new(),
            tries: 6,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(120),
            stall: Duration::from_secs(60),
        }
    }
}

/// Registries, and what they have given out for access.
pub struct Registries {
    pub(crate) config: RegistryConfig,
    client: Client,
    tokens: Mutex<HashMap<(String, String, bool), HeaderValue>>,
}

/// One address that a registry is reached at.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    base: Url,
    prefix: String,
    /// Host and port, for messages and credentials.
    pub(crate) host: String,
}

impl Endpoint {
    /// Reads an address.
    fn parse(address: &str) -> Option<Self> {
        let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let host = format!("{}{port}", url.host_str()?);
        let folder = url.path().trim_matches('/');
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        let base = Url::parse(&format!("{}://{host}/", url.scheme())).ok()?;
        plain.then_some(Self { base, prefix, host })
    }

    /// The repository by the name that it has here.
    fn repository(&self, repository: &str) -> String {
        format!("{}{repository}", self.prefix)
    }

    /// The address of something in a repository. All parts are of letters that need no escape.
    pub(crate) fn url(&self, repository: &str, rest: &str) -> Result<Url, OciError> {
        let path = format!("v2/{}/{rest}", self.repository(repository));
        self.base.join(&path).map_err(|error| OciError::BadSettings(format!("`{path}`: {error}")))
    }
}

/// What a request is about.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) repository: &'a str,
    pub(crate) push: bool,
    /// For messages.
    pub(crate) what: String,
}

impl Call<'_> {
    pub(crate) fn unreachable(&self, message: impl Into<String>) -> OciError {
        OciError::Unreachable { host: self.endpoint.host.clone(), message: message.into() }
    }

    fn token_key(&self) -> (String, String, bool) {
        (self.endpoint.host.clone(), self.repository.to_owned(), self.push)
    }
}

impl Registries {
    /// Sets up the HTTP client.
    ///
    /// # Errors
    /// [`OciError::BadSettings`] when a mirror is no address, or no certificates are found.
    pub fn new(config: RegistryConfig) -> Result<Self, OciError> {
        let bad = |what: &str| OciError::BadSettings(format!("`{what}` is no address of a registry"));
        if let Some(mirror) = config.mirrors.iter().find(|mirror| Endpoint::parse(&mirror.base).is_none()) {
            return Err(bad(&mirror.base));
        }
        if let Some(host) = config.plain_http.iter().find(|host| !is_host(host)) {
            return Err(bad(host));
        }
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(20))
            .read_timeout(config.stall)
            .redirect(redirects())
            .user_agent(concat!("swegym/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| OciError::BadSettings(format!("set up the HTTP client: {error}")))?;
        Ok(Self { config, client, tokens: Mutex::default() })
    }

    /// Where to look for images of a registry, in order: mirrors, then itself.
    pub(crate) fn endpoints(&self, registry: &str) -> Result<Vec<Endpoint>, OciError> {
        let mirrors = self.config.mirrors.iter().filter(|mirror| mirror.registry == registry);
        let mut endpoints: Vec<Endpoint> =
            mirrors.filter_map(|mirror| Endpoint::parse(&mirror.base)).collect();
        endpoints.push(self.endpoint(registry)?);
        Ok(endpoints)
    }

    /// The registry itself.
    pub(crate) fn endpoint(&self, registry: &str) -> Result<Endpoint, OciError> {
        let host = if registry == DEFAULT_REGISTRY { DEFAULT_HOST } else { registry };
        let plain = is_loopback(host) || self.config.plain_http.iter().any(|plain| plain == registry);
        let scheme = if plain { "http" } else { "https" };
        Endpoint::parse(&format!("{scheme}://{host}/"))
            .ok_or_else(|| OciError::BadSettings(format!("`{host}` is no address of a registry")))
    }

    /// Sends a request until it is answered with something that trying again will not change.
    pub(crate) async fn send(
        &self,
        call: &Call<'_>,
        request: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Response, OciError> {
        let (mut failures, mut asked_for_token) = (0, false);
        loop {
            let error = match self.client.execute(self.authorized(call, request(&self.client))?).await {
                Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED && !asked_for_token => {
                    asked_for_token = true;
                    self.log_in(call, &answer).await?;
                    continue;
                }
                Ok(answer) if is_passing(answer.status()) => {
                    failures += 1;
                    self.wait(call, failures, Err(answer)).await?;
                    continue;
                }
                Ok(answer) => return Ok(answer),
                Err(error) => plain(error),
            };
            failures += 1;
            self.wait(call, failures, Ok(error)).await?;
        }
    }

    /// Waits before the next try, or says why there is none.
    async fn wait(
        &self,
        call: &Call<'_>,
        failures: u32,
        failure: Result<String, Response>,
    ) -> Result<(), OciError> {
        let asked = failure.as_ref().err().and_then(asked_to_wait);
        if let Some(wait) = asked.filter(|wait| *wait > self.config.longest_pause) {
            let host = call.endpoint.host.clone();
            return Err(OciError::RateLimited { what: call.what.clone(), host, wait });
        }
        if failures >= self.config.tries {
            return Err(match failure {
                Ok(message) => call.unreachable(message),
                Err(answer) => refusal(call, answer).await,
            });
        }
        self.pause(failures, asked).await;
        Ok(())
    }

    /// The pause after so many failures, on top of what was asked for.
    pub(crate) async fn pause(&self, failures: u32, asked: Option<Duration>) {
        let pause = back_off(self.config.first_pause, self.config.longest_pause, failures);
        tokio::time::sleep(asked.unwrap_or_default() + pause).await;
    }

    /// Credentials go to the registry that they are for and to no other host that it names.
    fn authorized(&self, call: &Call<'_>, request: RequestBuilder) -> Result<Request, OciError> {
        let mut request = request.build().map_err(|error| call.unreachable(plain(error)))?;
        if request.url().origin() == call.endpoint.base.origin() {
            let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(token) = tokens.get(&call.token_key()) {
                request.headers_mut().insert(AUTHORIZATION, token.clone());
            }
        }
        Ok(request)
    }

    /// Gets what the registry asks for.
    async fn log_in(&self, call: &Call<'_>, answer: &Response) -> Result<(), OciError> {
        let endpoint = call.endpoint;
        let refused = |message: &str| OciError::Unauthorized {
            what: call.what.clone(),
            host: endpoint.host.clone(),
            message: message.to_owned(),
        };
        let challenges = answer.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenge = challenges.filter_map(|value| value.to_str().ok()).find_map(Challenge::parse);
        let login = self.config.credentials.login(&endpoint.host, call.repository).await?;
        let value = match (challenge, login) {
            (Some(Challenge::Basic), Some(Login::Password { user, password })) => basic(&user, &password),
            (Some(Challenge::Bearer { realm, service, scope }), login) => {
                let actions = if call.push { "pull,push" } else { "pull" };
                let repository = endpoint.repository(call.repository);
                let scope = scope.unwrap_or_else(|| format!("repository:{repository}:{actions}"));
                let parameters = [("scope", Some(scope)), ("service", service)];
                format!("Bearer {}", self.token(call, &realm, &parameters, login).await?)
            }
            (Some(Challenge::Basic), _) => return Err(refused(": it wants a user and a password")),
            (None, _) => return Err(refused("")),
        };
        let mut value =
            HeaderValue::from_str(&value).map_err(|_| refused(": it gives a token that is none"))?;
        value.set_sensitive(true);
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(call.token_key(), value);
        Ok(())
    }

    async fn token(
        &self,
        call: &Call<'_>,
        realm: &str,
        parameters: &[(&str, Option<String>); 2],
        login: Option<Login>,
    ) -> Result<String, OciError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            token: String,
            #[serde(default)]
            access_token: String,
        }
        let secure = call.endpoint.base.scheme() == "https";
        let realm = Url::parse(realm)
            .ok()
            .filter(|url| url.scheme() == "https" || (!secure && url.scheme() == "http"));
        let realm = realm.ok_or_else(|| call.unreachable("it asks for a token from what is no address"))?;
        let parameters: Vec<(&str, &str)> =
            parameters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
        let request = match login {
            Some(Login::Password { user, password }) => {
                self.client.get(realm).query(&parameters).header(AUTHORIZATION, basic(&user, &password))
            }
            Some(Login::Identity(token)) => {
                let form =
                    [("grant_type", "refresh_token"), ("client_id", "swegym"), ("refresh_token", &token)];
                self.client.post(realm).form(&[&form[..], &parameters].concat())
            }
            None => self.client.get(realm).query(&parameters),
        };
        let answer = request.timeout(ANSWER_TIME).send().await;
        let answer = answer.map_err(|error| call.unreachable(format!("get a token: {}", plain(error))))?;
        if !answer.status().is_success() {
            let message = format!(": no token, HTTP status {}", answer.status().as_u16());
            let host = call.endpoint.host.clone();
            return Err(OciError::Unauthorized { what: call.what.clone(), host, message });
        }
        let body = read_body(call, answer, MAX_ANSWER).await?;
        let answer: Answer = read_json(&body, "the token of a registry")?;
        Ok(if answer.token.is_empty() { answer.access_token } else { answer.token })
    }
}

/// Few, and never from TLS to none.
fn redirects() -> Policy {
    Policy::custom(|attempt| {
        let from_tls = attempt.previous().iter().any(|url| url.scheme() == "https");
        if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error("too many redirects")
        } else if from_tls && attempt.url().scheme() != "https" {
            attempt.error("a redirect leads away from TLS")
        } else {
            attempt.follow()
        }
    })
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Whether the same request may be answered otherwise in a while.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

fn asked_to_wait(answer: &Response) -> Option<Duration> {
    retry_after(answer.headers().get(RETRY_AFTER)?.to_str().ok()?, Timestamp::now())
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    let both = format!("{user}:{password}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(both))
}

/// What an error says, without the address: that may hold credentials.
pub(crate) fn plain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Reads an answer that is small.
pub(crate) async fn read_body(
    call: &Call<'_>,
    mut answer: Response,
    limit: usize,
) -> Result<Vec<u8>, OciError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| call.unreachable(plain(error)))? {
        if body.len() + chunk.len() > limit {
            let reason = format!("it is longer than {limit} bytes");
            return Err(OciError::mismatch(format!("`{}`", call.what), reason));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The error that an answer stands for.
pub(crate) async fn refusal(call: &Call<'_>, answer: Response) -> OciError {
    let status = answer.status();
    let message = read_body(call, answer, MAX_ANSWER).await.ok().and_then(|body| first_message(&body));
    let message = message.map(|message| format!(": {message}")).unwrap_or_default();
    let (what, host) = (call.what.clone(), call.endpoint.host.clone());
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return OciError::Unauthorized { what, host, message };
    }
    OciError::Status { what, host, status: status.as_u16(), message }
}

fn first_message(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        errors: Vec<Detail>,
    }
    #[derive(Deserialize)]
    struct Detail {
        message: Option<String>,
        code: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let first = answer.errors.into_iter().next()?;
    let text = first.message.filter(|message| !message.is_empty()).or(first.code)?;
    Some(text.chars().filter(|c| !c.is_control()).take(200).collect())
}
