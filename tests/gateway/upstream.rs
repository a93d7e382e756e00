//! An API as OpenAI has it, which counts its calls. What it does is the model's name.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router, routing};
use hyper::body::{Bytes, Frame};
use serde_json::{Value, json};
use stampede_runtime::semantic::Embedder as _;
use stampede_runtime::testing::PlacedEmbedder;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc};

/// What the gateway's own embedder says; clients have keys of their own.
pub(crate) const EMBEDDER_KEY: &str = "sk-of-the-embedder";
/// A generous limit against hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The running API; it ends when this is dropped.
pub(crate) struct Upstream {
    address: SocketAddr,
    state: Arc<Shared>,
    runtime: Option<Runtime>,
}

struct Shared {
    calls: Mutex<Vec<Call>>,
    /// How many calls of the model `gated`, or ends of streams, may go on.
    gate: Semaphore,
    meanings: PlacedEmbedder,
}

/// One call, in the order in which they came.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) path: &'static str,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("it is text"))
    }

    fn is_of_the_embedder(&self) -> bool {
        self.header("authorization") == format!("Bearer {EMBEDDER_KEY}")
    }
}

impl Upstream {
    pub(crate) fn start() -> Upstream {
        let meanings = PlacedEmbedder::new();
        meanings.near("How can I reset my password?", "How do I reset my password?", 0.96);
        meanings.near("Reset my password, how?", "How do I reset my password?", 0.80);
        meanings.near("May I return it within 30 days?", "May I return it within 14 days?", 0.97);
        let state = Arc::new(Shared { calls: Mutex::default(), gate: Semaphore::new(0), meanings });
        let router = Router::new()
            .route("/v1/chat/completions", routing::post(chat))
            .route("/v1/embeddings", routing::post(embeddings))
            .route("/v1/models", routing::get(models))
            .route("/calls", routing::get(calls))
            .with_state(Arc::clone(&state));
        let runtime = Runtime::new().expect("a runtime starts");
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        runtime.spawn(async move { axum::serve(listener, router).await });
        Upstream { address, state, runtime: Some(runtime) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The calls of clients.
    pub(crate) fn calls(&self) -> Vec<Call> {
        lock(&self.state.calls).iter().filter(|call| !call.is_of_the_embedder()).cloned().collect()
    }

    pub(crate) fn chats(&self) -> usize {
        self.calls().iter().filter(|call| call.path == "chat").count()
    }

    /// Waits until that many chats have come.
    pub(crate) fn wait_for_chats(&self, count: usize) {
        let end = Instant::now() + PATIENCE;
        while self.chats() < count {
            assert!(Instant::now() < end, "{} chats of {count} came", self.chats());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets so many go on.
    pub(crate) fn open(&self, count: usize) {
        self.state.gate.add_permits(count);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    /// Writes a call down. Which it is of its path.
    fn note(&self, path: &'static str, headers: HeaderMap, body: &Value) -> usize {
        let mut calls = lock(&self.calls);
        calls.push(Call { path, headers, body: body.clone() });
        calls.iter().filter(|call| call.path == path).count()
    }

    async fn pass_the_gate(&self) {
        self.gate.acquire().await.expect("it is never closed").forget();
    }
}

/// What came so far, for a client that is no part of this test.
async fn calls(State(state): State<Arc<Shared>>) -> Json<Value> {
    let calls = lock(&state.calls);
    let of = |path| calls.iter().filter(move |call| call.path == path && !call.is_of_the_embedder());
    let texts: usize = of("embeddings").map(|call| call.body["input"].as_array().map_or(1, Vec::len)).sum();
    Json(json!({ "chats": of("chat").count(), "embeddings": of("embeddings").count(), "texts": texts }))
}

async fn models(State(state): State<Arc<Shared>>, headers: HeaderMap) -> Json<Value> {
    state.note("models", headers, &Value::Null);
    Json(json!({ "object": "list", "data": [{ "id": "small", "object": "model", "created": 1, "owned_by": "test" }] }))
}

async fn chat(State(state): State<Arc<Shared>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let number = state.note("chat", headers, &body);
    let error = |status: StatusCode, code: &str| {
        let error =
            json!({ "error": { "message": "the upstream says no", "type": "test", "param": null, "code": code } });
        (status, [("x-request-id", format!("chat-{number}"))], Json(error)).into_response()
    };
    let model = body["model"].as_str().expect("a model has a name").to_owned();
    match model.as_str() {
        "gated" => state.pass_the_gate().await,
        "slow" => tokio::time::sleep(Duration::from_millis(300)).await,
        "hanging" => std::future::pending().await,
        "busy" => {
            let mut response = error(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded");
            response.headers_mut().insert("retry-after", "7".parse().expect("it is a header"));
            return response;
        }
        "unknown" => return error(StatusCode::NOT_FOUND, "model_not_found"),
        "failing" => return error(StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
        "polite" => return (StatusCode::OK, Json(json!({ "error": { "message": "not today" } }))).into_response(),
        "nonsense" => return (StatusCode::OK, "<html>nonsense</html>").into_response(),
        "moved" => return (StatusCode::FOUND, [("location", "http://127.0.0.1:1/")]).into_response(),
        "cut" => {
            let (parts, body) = parts();
            let _ = parts.send(Ok("{\"choices\": [1".into()));
            let _ = parts.send(Err(io::ErrorKind::ConnectionReset.into()));
            return Response::new(body);
        }
        _ => {}
    }
    let last = &body["messages"].as_array().expect("there are messages").last().expect("there is one")["content"];
    let text = format!("answer {number} to {}", last.as_str().unwrap_or("no text"));
    if body["stream"] == true {
        return stream(state, &model, &text);
    }
    let answer = json!({
        "id": format!("chatcmpl-{number}"), "object": "chat.completion", "created": 1, "model": model,
        "choices": [{
            "index": 0, "finish_reason": "stop", "logprobs": null,
            "message": { "role": "assistant", "content": text, "refusal": null },
        }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30 },
    });
    ([("x-request-id", format!("chat-{number}"))], Json(answer)).into_response()
}

/// An event for each half of a text; the second one waits for the gate.
fn stream(state: Arc<Shared>, model: &str, text: &str) -> Response {
    let (parts, body) = parts();
    let event = |delta: Value, finish: Value| {
        let chunk = json!({
            "id": "chatcmpl-s", "object": "chat.completion.chunk", "created": 1, "model": model,
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
        });
        format!("data: {chunk}\n\n")
    };
    let (one, other) = text.split_at(text.len() / 2);
    let first = event(json!({ "role": "assistant", "content": one }), Value::Null);
    let last = event(json!({ "content": other }), "stop".into()) + "data: [DONE]\n\n";
    tokio::spawn(async move {
        let _ = parts.send(Ok(first.into()));
        state.pass_the_gate().await;
        let _ = parts.send(Ok(last.into()));
    });
    ([("content-type", "text/event-stream")], body).into_response()
}

async fn embeddings(State(state): State<Arc<Shared>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    state.note("embeddings", headers, &body);
    let texts: Vec<String> = match &body["input"] {
        Value::Array(texts) => texts.iter().map(|text| text.as_str().map_or_else(|| text.to_string(), str::to_owned)),
        _ => return StatusCode::BAD_REQUEST.into_response(),
    }
    .collect();
    if texts.iter().any(|text| text == "refused") {
        let error = json!({ "error": { "message": "not this text", "code": "bad_text" } });
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    }
    if body["model"] == "gated" {
        state.pass_the_gate().await;
    }
    let vectors = state.meanings.embed(&texts).await.expect("it was not told to fail");
    let write = |vector: Vec<f32>| match body["encoding_format"].as_str() {
        Some("base64") => base64(&vector.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>()).into(),
        _ => json!(vector),
    };
    // In another order than asked: the index counts.
    let data = vectors.into_iter().enumerate().rev();
    let data: Vec<Value> = data
        .map(|(index, vector)| json!({ "object": "embedding", "index": index, "embedding": write(vector) }))
        .collect();
    let tokens = 5 * texts.len();
    Json(json!({
        "object": "list", "model": body["model"], "data": data,
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
    }))
    .into_response()
}

/// A body that comes in parts.
struct Parts(mpsc::UnboundedReceiver<io::Result<Bytes>>);

fn parts() -> (mpsc::UnboundedSender<io::Result<Bytes>>, Body) {
    let (parts, body) = mpsc::unbounded_channel();
    (parts, Body::new(Parts(body)))
}

impl hyper::body::Body for Parts {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|part| part.map(|part| part.map(Frame::data)))
    }
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().chain([&0; 2]).take(3).fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        for at in 0..4 {
            let is_there = at <= three.len();
            text.push(if is_there { SIGNS[bits >> (18 - 6 * at) & 63].into() } else { '=' });
        }
    }
    text
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
