//! Listening, and finding out what a request is for.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::AUTHORIZATION;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use swegym_core::InstanceId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use super::chat::{chat, passed_headers};
use super::http::{Denial, Reply, bytes_reply, json_reply};
use super::outgoing::Outgoing;
use super::sessions::{Gateway, Shared};

/// Names the rollout of a request, where neither path nor key does.
const ROLLOUT: &str = "x-swegym-rollout";
/// Pause after the kernel could not accept, for lack of open files most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// Where a gateway is reached.
#[derive(Debug)]
pub enum Listener {
    /// An address of this machine.
    Tcp(TcpListener),
    /// A path.
    Unix(UnixListener),
}

impl Gateway {
    /// Serves until it is dropped, and every connection with it.
    pub async fn serve(&self, listener: Listener) {
        match listener {
            Listener::Tcp(listener) => {
                self.accept(async || listener.accept().await.map(|(stream, _)| stream)).await
            }
            Listener::Unix(listener) => {
                self.accept(async || listener.accept().await.map(|(stream, _)| stream)).await
            }
        }
    }

    async fn accept<S, A>(&self, accept: impl Fn() -> A)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        A: Future<Output = io::Result<S>>,
    {
        let mut connections = JoinSet::new();
        loop {
            while connections.len() >= self.shared.config.limits.max_connections {
                connections.join_next().await;
            }
            // Those that have ended.
            while connections.try_join_next().is_some() {}
            match accept().await {
                Ok(stream) => drop(connections.spawn(connection(Arc::clone(&self.shared), stream))),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

/// What goes wrong with a connection is for the other end to find out.
async fn connection(shared: Arc<Shared>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let patience = shared.config.limits.patience;
    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(patience);
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Reply, Infallible> {
    Ok(route(shared, request).await.unwrap_or_else(Reply::from))
}

async fn route(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Reply, Denial> {
    let path = request.uri().path().to_owned();
    let (name, rest) = match path.strip_prefix("/r/") {
        Some(rest) => {
            let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
            (Some(name), rest)
        }
        None => (None, path.trim_start_matches('/')),
    };
    let headers = request.headers();
    match (request.method(), rest.strip_prefix("v1/").unwrap_or(rest)) {
        (&Method::POST, "chat/completions") => {
            let name = authorized(&shared, name, headers)?;
            let session = shared.session(&name)?;
            let body = body(&shared, request).await?;
            let config = &shared.config;
            let outgoing = Outgoing::read(&body, &config.endpoint.model, config.tokens)?;
            chat(shared, session, outgoing).await
        }
        (&Method::GET, "models") => {
            if shared.config.guarded {
                authorized(&shared, name, headers)?;
            }
            models(&shared).await
        }
        (&Method::POST, "") => {
            let name = managed(&shared, name, headers)?;
            Ok(json_reply(StatusCode::OK, &json!({"rollout": name, "api_key": shared.keyring.key(&name)})))
        }
        (&Method::DELETE, "") => {
            let name = managed(&shared, name, headers)?;
            close(Gateway { shared }, &name).await
        }
        _ => Err(Denial::not_found()),
    }
}

/// The rollout of a call: the one that its key is for, or the one that it names where that is enough.
fn authorized(shared: &Shared, name: Option<&str>, headers: &HeaderMap) -> Result<InstanceId, Denial> {
    let named = [name, headers.get(ROLLOUT).and_then(|value| value.to_str().ok())];
    let named = named.into_iter().flatten().map(checked).collect::<Result<Vec<_>, _>>()?;
    let of_key = bearer(headers).and_then(|key| shared.keyring.rollout(key));
    if shared.config.guarded && of_key.is_none() {
        let message = "this needs the key that was given out for the rollout";
        return Err(Denial::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message));
    }
    let mut all = of_key.into_iter().chain(named);
    let first = all.next().ok_or_else(|| {
        Denial::bad_request(format!("name the rollout: by the path `/r/NAME/v1` or the header `{ROLLOUT}`"))
    })?;
    if all.any(|other| other != first) {
        return Err(Denial::new(StatusCode::FORBIDDEN, "wrong_rollout", "the key is for another rollout"));
    }
    Ok(first)
}

/// The rollout that whoever manages the gateway names.
fn managed(shared: &Shared, name: Option<&str>, headers: &HeaderMap) -> Result<InstanceId, Denial> {
    let may = !shared.config.guarded || bearer(headers).is_some_and(|key| shared.keyring.is_secret(key));
    // Others need not know that there is something.
    let name = name.filter(|_| may).ok_or_else(Denial::not_found)?;
    checked(name)
}

fn checked(name: &str) -> Result<InstanceId, Denial> {
    InstanceId::new(name).map_err(|error| Denial::bad_request(format!("the name of the rollout: {error}")))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

async fn body(shared: &Shared, request: Request<Incoming>) -> Result<Bytes, Denial> {
    let limits = &shared.config.limits;
    let read = Limited::new(request.into_body(), limits.max_request_bytes).collect();
    match tokio::time::timeout(limits.patience, read).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let message = format!("a request may have {} bytes", limits.max_request_bytes);
            Err(Denial::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message))
        }
        Ok(Err(_)) => Err(Denial::bad_request("the body of the request broke off")),
        Err(_) => {
            let message = "the body of the request did not come in time";
            Err(Denial::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message))
        }
    }
}

async fn models(shared: &Shared) -> Result<Reply, Denial> {
    let model = &shared.config.endpoint.model;
    if !model.is_empty() {
        let list =
            json!({"object": "list", "data": [{"id": model, "object": "model", "owned_by": "swegym"}]});
        return Ok(json_reply(StatusCode::OK, &list));
    }
    let response = shared.upstream.models().await.map_err(Denial::bad_gateway)?;
    let (status, headers) = (response.status(), passed_headers(response.headers()));
    let body = shared.upstream.read(response).await.map_err(Denial::bad_gateway)?;
    let mut reply = bytes_reply(status, shared.upstream.redact(&body));
    reply.headers_mut().extend(headers);
    Ok(reply)
}

async fn close(gateway: Gateway, name: &InstanceId) -> Result<Reply, Denial> {
    let closed = gateway.close(name).await.map_err(|error| {
        let message = format!("the trajectory could not be written: {error}");
        Denial::new(StatusCode::INTERNAL_SERVER_ERROR, "not_recorded", message)
    })?;
    let recording = closed.ok_or_else(Denial::not_found)?;
    let trajectory = recording.trajectory;
    let summary = json!({"rollout": name, "steps": trajectory.steps.len(), "usage": trajectory.usage,
        "exit_status": trajectory.exit_status});
    Ok(json_reply(StatusCode::OK, &summary))
}
