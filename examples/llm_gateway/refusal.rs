//! What a client gets in the place of an answer.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// An error of the upstream as it came, or one of the gateway in the same shape. Everybody who waited for the call gets it, in
/// other processes too, and nobody later.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Refusal {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Refusal {
    /// One of the gateway's own.
    pub(crate) fn new(status: StatusCode, code: &str, message: &str) -> Refusal {
        let kind = if status.is_client_error() { "invalid_request_error" } else { "gateway_error" };
        let body = json!({ "error": { "message": message, "type": kind, "param": null, "code": code } });
        let headers = vec![(header::CONTENT_TYPE.to_string(), "application/json".to_owned())];
        Refusal { status: status.as_u16(), headers, body: body.to_string() }
    }

    pub(crate) fn bad_request(code: &str, message: &str) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// What the upstream said: its status, its words, and what tells a client when to come back.
    pub(crate) fn of_upstream(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
        let is_told = |name: &HeaderName| {
            let name = name.as_str();
            matches!(name, "content-type" | "retry-after" | "retry-after-ms" | "x-should-retry" | "x-request-id")
                || name.starts_with("x-ratelimit-")
        };
        let told = headers.iter().filter(|(name, _)| is_told(name));
        let told = told.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
        let body = String::from_utf8_lossy(body).into_owned();
        Refusal { status: status.as_u16(), headers: told.collect(), body }
    }
}

/// Those of the attributes.
impl From<stampede_runtime::Error> for Refusal {
    fn from(error: stampede_runtime::Error) -> Refusal {
        match error {
            stampede_runtime::Error::Timeout { limit, .. } => late(limit.as_secs()),
            _ => Refusal::new(StatusCode::BAD_GATEWAY, "gateway", "the call ended before there was an answer"),
        }
    }
}

pub(crate) fn late(seconds: u64) -> Refusal {
    let message = format!("the upstream has not answered within {seconds} seconds");
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", &message)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.body.into());
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_GATEWAY);
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}
