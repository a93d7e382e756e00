//! The client of the API, as any service would have one: a pool of connections, JSON in and out, one error enum.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::wire::{PROCESS, Refusal};

/// Many times what a call takes: only a broken API takes longer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A handle to the API. Clones share one pool of connections and one count of sent calls.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    http: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    /// Which of several processes this is.
    process: Option<u16>,
    sent: Arc<AtomicU64>,
}

/// Why a call to the API gave no answer.
///
/// `Clone`, so that every caller who shared the call can have it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ApiError {
    /// Too many calls: try again after this time.
    RateLimited { retry_after: Duration },
    /// The API answered, but neither with a result nor with a refusal.
    Status(StatusCode),
    /// No connection, or it broke.
    Unreachable(String),
    /// A body that is not the JSON which the API documents.
    Unreadable(String),
}

impl Api {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new()).build(connector);
        Self { http, address, process: None, sent: Arc::default() }
    }

    /// The same API; its calls say which process they come from.
    pub(crate) fn of_process(self, number: u16) -> Self {
        Self { process: Some(number), ..self }
    }

    /// The same API with a count of its own, so that one caller can tell whether a call was sent on its behalf.
    pub(crate) fn for_one_caller(&self) -> Self {
        Self { sent: Arc::default(), ..self.clone() }
    }

    /// How many calls went out through this handle and its clones.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.send(Request::get(self.url(path)).body(Full::default())).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ApiError> {
        let json = serde_json::to_vec(body).map_err(|error| ApiError::Unreadable(error.to_string()))?;
        let request = Request::post(self.url(path)).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(json.into())).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: hyper::http::Result<Request<Full<Bytes>>>,
    ) -> Result<T, ApiError> {
        let mut request = request.map_err(|error| unreachable(&error))?;
        if let Some(process) = self.process {
            request.headers_mut().insert(PROCESS, process.into());
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
        let (status, body) = timeout(TIMEOUT, self.exchange(request)).await.unwrap_or_else(|_| {
            let seconds = TIMEOUT.as_secs();
            Err(ApiError::Unreachable(format!("no answer within {seconds} seconds")))
        })?;
        match status {
            StatusCode::OK => read(&body),
            StatusCode::TOO_MANY_REQUESTS => {
                let Refusal { retry_after_ms, .. } = read(&body)?;
                Err(ApiError::RateLimited { retry_after: Duration::from_millis(retry_after_ms) })
            }
            other => Err(ApiError::Status(other)),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ApiError> {
        let answer = self.http.request(request).await.map_err(|error| unreachable(&error))?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| unreachable(&error))?;
        Ok((status, body.to_bytes()))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::Unreadable(error.to_string()))
}

/// The text of the deepest cause: a client's own says little more than "client error".
fn unreachable(error: &dyn Error) -> ApiError {
    let mut deepest = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    ApiError::Unreachable(deepest.to_string())
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RateLimited { retry_after } => write!(f, "rate limited, try again in {retry_after:?}"),
            Self::Status(status) => write!(f, "the API answered {status}"),
            Self::Unreachable(cause) => write!(f, "the API cannot be reached: {cause}"),
            Self::Unreadable(cause) => write!(f, "not the JSON that the API documents: {cause}"),
        }
    }
}

impl Error for ApiError {}
