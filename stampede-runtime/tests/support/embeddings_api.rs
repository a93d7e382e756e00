//! An API as OpenAI has it, on this machine, which answers as a test wants it to.

// Each test uses a part of it.
#![allow(dead_code)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::serve::{Listener, ListenerExt as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// What the server answers to a question.
pub(crate) type Reply = Box<dyn FnOnce(&Value) -> Response + Send>;

/// What it has been asked.
pub(crate) struct Asked {
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) question: Value,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers of tests are text"))
    }
}

#[derive(Default)]
struct Shared {
    replies: Mutex<VecDeque<Reply>>,
    asked: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
}

/// A server in a runtime of its own, so that it outlives those of a test. Gone when it is dropped.
pub(crate) struct EmbeddingsApi {
    shared: Arc<Shared>,
    port: u16,
    runtime: Option<Runtime>,
}

impl EmbeddingsApi {
    /// It answers the first questions with these replies, and all others well.
    pub(crate) fn start(replies: impl IntoIterator<Item = Reply>) -> EmbeddingsApi {
        EmbeddingsApi::behind(replies, |listener| listener)
    }

    /// The same behind a listener that is made of the one for TCP.
    pub(crate) fn behind<L: Listener>(
        replies: impl IntoIterator<Item = Reply>,
        wrap: impl FnOnce(TcpListener) -> L,
    ) -> Self
    where
        L::Addr: std::fmt::Debug,
    {
        let runtime = Runtime::new().expect("a runtime can be made");
        let shared = Arc::new(Shared { replies: Mutex::new(replies.into_iter().collect()), ..Shared::default() });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it listens").port();
        listener.set_nonblocking(true).expect("a socket can be told so");
        let entered = runtime.enter();
        let listener = TcpListener::from_std(listener).expect("it listens");
        let counted = Arc::clone(&shared);
        let listener = wrap(listener).tap_io(move |_| {
            counted.connections.fetch_add(1, SeqCst);
        });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        runtime.spawn(async move { axum::serve(listener, app).await });
        drop(entered);
        EmbeddingsApi { shared, port, runtime: Some(runtime) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.shared.asked.lock().expect("no handler panics"))
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }
}

/// A runtime cannot be waited for inside of another.
impl Drop for EmbeddingsApi {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap_or_default();
    let question: Value = serde_json::from_slice(&body).unwrap_or_default();
    let reply = shared.replies.lock().expect("no handler panics").pop_front();
    let response = match reply {
        Some(reply) => reply(&question),
        None => well(&question),
    };
    let asked = Asked { uri: parts.uri, headers: parts.headers, question };
    shared.asked.lock().expect("no handler panics").push(asked);
    response
}

/// A vector for each text, which tells how long that is; last things first, as only `index` says.
pub(crate) fn well(question: &Value) -> Response {
    let texts = question["input"].as_array().expect("there is a list of texts");
    let vector = |text: &Value| json!([1.0, text.as_str().expect("a text").len()]);
    let item = |(at, text)| json!({"object": "embedding", "index": at, "embedding": vector(text)});
    let data: Vec<_> = texts.iter().enumerate().map(item).rev().collect();
    json!({"object": "list", "data": data, "model": question["model"]}).to_string().into_response()
}

/// A reply that says no.
pub(crate) fn no(status: u16, headers: &'static [(&'static str, &'static str)], body: &str) -> Reply {
    let body = body.to_owned();
    Box::new(move |_| {
        let mut response = (StatusCode::from_u16(status).expect("a status"), body).into_response();
        for (name, value) in headers {
            response.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        response
    })
}
