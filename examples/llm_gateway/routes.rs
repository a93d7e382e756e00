//! From a request to its answer.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, request};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Bytes;
use serde_json::{Map, Value};
use stampede_runtime::{Stats, outcome};

use crate::caller::Caller;
use crate::chat::Chat;
use crate::embeddings::Embeddings;
use crate::models::models;
use crate::refusal::Refusal;
use crate::said;
use crate::upstream::Upstream;
use crate::wish::{Kept, Share};

/// Pictures are sent in messages.
const BODY_BYTES_MAX: usize = 32 << 20;
/// How long a client may take to send it.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Gateway {
    upstream: Upstream,
    embeddings: Embeddings,
}

pub(crate) fn router(upstream: Upstream, has_redis: bool) -> Router {
    Router::new()
        .route("/v1/chat/completions", routing::post(chat))
        .route("/v1/embeddings", routing::post(embeddings))
        .route("/v1/models", routing::get(list_models))
        .route("/health", routing::get(async || "ok"))
        .route("/stats", routing::get(stats))
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "unknown_path", "there is nothing under this path"))
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "unknown_method", "this path takes another method")
        })
        .with_state(Gateway { upstream, embeddings: Embeddings::new(has_redis) })
}

async fn chat(State(Gateway { upstream, .. }): State<Gateway>, request: Request) -> Result<Response, Refusal> {
    let (head, body) = read(request).await?;
    let request = parse(&body)?;
    let said = Share::said(&head.headers)?;
    let is_stream = request.get("stream") == Some(&Value::Bool(true));
    let chat = Chat::new(request)?;
    let share = said.unwrap_or(chat.default);
    if is_stream || share == Share::Nothing {
        return pass(&upstream, "/chat/completions", &head.headers, body).await;
    }
    let caller = Caller::new(&head.headers);
    let (share, answer, became) = chat.answer(&upstream, &caller, share, Kept::new(&head.headers)).await;
    let mut response = answer.into_response();
    said::outcome(&mut response, share, became);
    Ok(response)
}

async fn embeddings(
    State(Gateway { upstream, embeddings }): State<Gateway>,
    request: Request,
) -> Result<Response, Refusal> {
    let (head, body) = read(request).await?;
    let (request, kept) = (parse(&body)?, Kept::new(&head.headers));
    if kept == Kept::Bypass || Share::said(&head.headers)? == Some(Share::Nothing) {
        return pass(&upstream, "/embeddings", &head.headers, body).await;
    }
    embeddings.answer(upstream, Caller::new(&head.headers), request, kept).await
}

async fn list_models(State(Gateway { upstream, .. }): State<Gateway>, headers: HeaderMap) -> Response {
    let (answer, became) = Kept::new(&headers).call(outcome(models(&upstream, &Caller::new(&headers)))).await;
    let mut response = answer.into_response();
    said::outcome(&mut response, Share::Exact, became);
    response
}

/// What every shared function did.
async fn stats() -> Json<BTreeMap<String, Stats>> {
    Json(stampede_runtime::all_stats())
}

async fn pass(upstream: &Upstream, path: &str, headers: &HeaderMap, body: Bytes) -> Result<Response, Refusal> {
    let mut response = upstream.pass(Method::POST, path, headers, body).await?;
    said::bypassed(&mut response);
    Ok(response)
}

/// The head and the whole body, within their limits.
async fn read(request: Request) -> Result<(request::Parts, Bytes), Refusal> {
    let (head, body) = request.into_parts();
    let whole = Limited::new(body, BODY_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(Ok(body)) => Ok((head, body.to_bytes())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("a request has at most {} MiB", BODY_BYTES_MAX >> 20);
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", &message))
        }
        Ok(Err(_)) => Err(Refusal::bad_request("bad_body", "the body cannot be read")),
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "slow_body", "the body took too long to come")),
    }
}

/// A JSON object that names a model.
fn parse(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let Ok(Value::Object(request)) = serde_json::from_slice(body) else {
        return Err(Refusal::bad_request("bad_json", "the body is not a JSON object"));
    };
    match request.get("model") {
        Some(Value::String(model)) if !model.is_empty() => Ok(request),
        _ => Err(Refusal::bad_request("missing_model", "`model` is the name of a model")),
    }
}
