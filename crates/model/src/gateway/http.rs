//! Answers of the gateway's own.

use std::convert::Infallible;
use std::io;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::http::HeaderValue;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::session::Refusal;

/// What goes back to a caller.
pub(super) type Reply = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// A refusal in the form that clients of OpenAI read.
#[derive(Debug)]
pub(super) struct Denial {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Denial {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here")
    }

    /// Where the endpoint behind is to blame.
    pub(super) fn bad_gateway(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "bad_gateway", message)
    }
}

impl From<Refusal> for Denial {
    /// Clients try again on 429 and 5xx: a used-up budget must be neither.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Limit(message) => Self::new(StatusCode::FORBIDDEN, "budget_exceeded", message),
            Refusal::Closed => Self::new(StatusCode::GONE, "rollout_closed", "the rollout is over"),
            Refusal::Archive => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "not_recorded", "the call could not be recorded")
            }
        }
    }
}

impl From<Denial> for Reply {
    fn from(Denial { status, code, message }: Denial) -> Self {
        let error = json!({"message": format!("swegym: {message}"), "type": "gateway", "code": code});
        json_reply(status, &json!({"error": error}))
    }
}

pub(super) fn json_reply(status: StatusCode, body: &Value) -> Reply {
    let mut reply = bytes_reply(status, body.to_string());
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

pub(super) fn bytes_reply(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let body = Full::new(body.into()).map_err(|never: Infallible| match never {});
    let mut reply = Reply::new(body.boxed_unsync());
    *reply.status_mut() = status;
    reply
}
