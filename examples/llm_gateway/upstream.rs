//! The API that answers.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{self, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use hyper::body::Bytes;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use crate::caller::Caller;
use crate::refusal::{Refusal, late};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most that is read of an answer that is to be shared: 2,048 embeddings take some 60 MB.
const ANSWER_BYTES_MAX: usize = 64 << 20;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A handle. Clones share one pool of connections.
#[derive(Clone)]
pub(crate) struct Upstream(Arc<Shared>);

struct Shared {
    client: Client,
    /// Without the slash at its end.
    url: String,
    /// The longest silence.
    timeout: Duration,
}

/// A whole answer that is no error.
pub(crate) struct Whole {
    pub(crate) body: Vec<u8>,
    pub(crate) request_id: Option<String>,
}

impl Upstream {
    pub(crate) fn new(url: &str, timeout: Duration) -> Result<Upstream, Box<dyn std::error::Error>> {
        let scheme = Url::parse(url)?.scheme().to_owned();
        if !matches!(scheme.as_str(), "http" | "https") {
            return Err("the upstream is an `https://` or `http://` address".into());
        }
        // A redirect would send keys to where nobody said.
        let client = Client::builder().redirect(Policy::none()).connect_timeout(CONNECT_TIMEOUT).read_timeout(timeout);
        Ok(Upstream(Arc::new(Shared { client: client.build()?, url: url.trim_end_matches('/').to_owned(), timeout })))
    }

    /// Asks, and reads the whole answer. Whatever is not `200 OK` is a refusal.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        caller: &Caller,
        json: Vec<u8>,
    ) -> Result<Whole, Refusal> {
        let mut headers = caller.headers.clone();
        if !json.is_empty() {
            headers.insert(header::CONTENT_TYPE, JSON);
        }
        let mut response = self.send(method, path, headers, json.into()).await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(&error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(bad("the upstream's answer is too large"));
            }
            body.extend_from_slice(&chunk);
        }
        match response.status() {
            StatusCode::OK => {
                let request_id = response.headers().get("x-request-id");
                let request_id = request_id.and_then(|id| id.to_str().ok()).map(str::to_owned);
                Ok(Whole { body, request_id })
            }
            status if status.is_client_error() || status.is_server_error() => {
                Err(Refusal::of_upstream(status, response.headers(), &body))
            }
            _ => Err(bad("the upstream answered with neither an answer nor an error")),
        }
    }

    /// Passes a request through, and its answer back as it comes.
    pub(crate) async fn pass(
        &self,
        method: Method,
        path: &str,
        request: &HeaderMap,
        body: Bytes,
    ) -> Result<Response, Refusal> {
        let is_theirs = |name: &HeaderName| {
            is_end_to_end(name)
                && !matches!(*name, header::HOST | header::CONTENT_LENGTH | header::CACHE_CONTROL | header::COOKIE)
                && !name.as_str().starts_with("x-stampede")
        };
        let mut headers = only(request, is_theirs);
        headers.entry(header::CONTENT_TYPE).or_insert(JSON);
        let response = self.send(method, path, headers, body).await?;
        let (mut head, body) = http::Response::from(response).into_parts();
        head.headers = only(&head.headers, |name| is_end_to_end(name) && *name != header::SET_COOKIE);
        Ok(Response::from_parts(head, Body::new(body)))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<reqwest::Response, Refusal> {
        let Shared { client, url, .. } = &*self.0;
        let request = client.request(method, format!("{url}{path}")).headers(headers).body(body);
        request.send().await.map_err(|error| self.failed(&error))
    }

    /// Nothing of the error's text: it may quote the address, and that a password.
    fn failed(&self, error: &reqwest::Error) -> Refusal {
        match () {
            // Of the two times, only this one passes after a connection.
            () if error.is_timeout() && !error.is_connect() => late(self.0.timeout.as_secs()),
            () if error.is_connect() => bad("the upstream cannot be reached"),
            () => bad("the connection to the upstream broke"),
        }
    }
}

pub(crate) fn bad(message: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_GATEWAY, "bad_upstream", message)
}

fn only(headers: &HeaderMap, of: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    headers.iter().filter(|(name, _)| of(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Not about one connection (RFC 9110, section 7.6.1).
fn is_end_to_end(name: &HeaderName) -> bool {
    !matches!(
        *name,
        header::CONNECTION
            | header::PROXY_AUTHENTICATE
            | header::PROXY_AUTHORIZATION
            | header::TE
            | header::TRAILER
            | header::TRANSFER_ENCODING
            | header::UPGRADE
    ) && !matches!(name.as_str(), "keep-alive" | "proxy-connection")
}
