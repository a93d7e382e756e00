//! The embedder behind an API, against a server on this machine.

use std::convert::Infallible;
use std::error::Error as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use futures_core::Stream;
use stampede_runtime::semantic::{EmbedError, EmbedErrorKind, Embedder, OpenAiBuilder, OpenAiEmbedder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

#[path = "support/embeddings_api.rs"]
mod embeddings_api;
#[path = "openai_embedder/tls.rs"]
mod tls;

use embeddings_api::{EmbeddingsApi, Reply, no};

const KEY: &str = "sk-a-key-that-nobody-sees";
const TEXT: &str = "a text that nobody sees";

/// For whatever should come.
const PATIENCE: Duration = Duration::from_secs(60);

fn builder(url: impl Into<String>) -> OpenAiBuilder {
    OpenAiEmbedder::builder("m").base_url(url).api_key(KEY).timeout(PATIENCE)
}

fn embedder(api: &EmbeddingsApi) -> OpenAiEmbedder {
    builder(api.url()).build().unwrap()
}

async fn embed(embedder: &OpenAiEmbedder, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
    let texts: Vec<_> = texts.iter().map(|&text| text.to_owned()).collect();
    embedder.embed(&texts).await
}

/// The kind and the cause; neither the key nor the text is anywhere in it.
async fn failure(embedder: &OpenAiEmbedder) -> (EmbedErrorKind, String) {
    let error = embed(embedder, &[TEXT]).await.unwrap_err();
    let cause = error.source().expect("there is a cause");
    assert!(cause.source().is_none());
    let shown = format!("{error} {error:?} {cause} {cause:?} {embedder:?}");
    assert!(!shown.contains("nobody") && !shown.contains("127.0.0.1"), "{shown}");
    (error.kind(), cause.to_string())
}

#[tokio::test]
async fn texts_get_their_vectors_in_one_request() {
    let api = EmbeddingsApi::start([]);
    let vectors = embed(&embedder(&api), &["a", "bb", "ccc"]).await.unwrap();
    assert_eq!(vectors, [[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]]);
    let asked = api.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].uri, "/v1/embeddings");
    assert_eq!(asked[0].header("authorization"), format!("Bearer {KEY}"));
    let question = serde_json::json!({"model": "m", "input": ["a", "bb", "ccc"], "encoding_format": "float"});
    assert_eq!(asked[0].question, question);
}

#[tokio::test]
async fn what_the_builder_says_is_sent() {
    let api = EmbeddingsApi::start([]);
    let url = format!("{}?api-version=1", api.url());
    let embedder = OpenAiEmbedder::builder("m").base_url(url).header("api-key", KEY).dimensions(2).build().unwrap();
    embed(&embedder, &["a"]).await.unwrap();
    let asked = &api.asked()[0];
    assert_eq!(asked.uri, "/v1/embeddings?api-version=1");
    assert_eq!((asked.header("api-key"), asked.header("authorization")), (KEY, ""));
    assert_eq!(asked.question["dimensions"], 2);
}

#[tokio::test]
async fn no_text_is_no_request() {
    let api = EmbeddingsApi::start([]);
    assert!(embed(&embedder(&api), &[]).await.unwrap().is_empty());
    assert!(api.asked().is_empty());
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    for status in [429, 500, 502, 503, 504] {
        let api = EmbeddingsApi::start([no(status, &[], ""), no(status, &[("retry-after", "0")], "")]);
        assert_eq!(embed(&embedder(&api), &["a"]).await.unwrap(), [[1.0, 1.0]]);
        let asked = api.asked();
        assert_eq!(asked.len(), 3, "{status}");
        assert!(asked.iter().all(|asked| asked.question["input"][0] == "a"));
    }
}

#[tokio::test]
async fn after_the_last_attempt_the_failure_is_told() {
    let api = EmbeddingsApi::start([no(500, &[], ""), no(503, &[], "")]);
    let embedder = builder(api.url()).retries(1).build().unwrap();
    assert_eq!(failure(&embedder).await, (EmbedErrorKind::Unreachable, "the server says 503".to_owned()));
    assert_eq!(api.asked().len(), 2);
}

#[tokio::test]
async fn a_pause_that_ends_too_late_is_not_waited_for() {
    let api = EmbeddingsApi::start([no(429, &[("retry-after", "3600")], "")]);
    assert_eq!(failure(&embedder(&api)).await, (EmbedErrorKind::RateLimited, "the server says 429".to_owned()));
    assert_eq!(api.asked().len(), 1);
}

#[tokio::test]
async fn a_pause_that_the_server_asks_for_is_kept() {
    let api = EmbeddingsApi::start([no(429, &[("retry-after", "1")], "")]);
    let began = std::time::Instant::now();
    embed(&embedder(&api), &["a"]).await.unwrap();
    // A lower bound, which no slow machine breaks.
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn what_will_not_pass_is_not_tried_again() {
    let body = format!(r#"{{"error": {{"message": "{KEY} is wrong for {TEXT}", "code": "invalid_api_key"}}}}"#);
    for (status, kind) in [
        (400, EmbedErrorKind::Unsuitable),
        (401, EmbedErrorKind::Refused),
        (403, EmbedErrorKind::Refused),
        (404, EmbedErrorKind::Refused),
        (413, EmbedErrorKind::Unsuitable),
    ] {
        let api = EmbeddingsApi::start([no(status, &[], &body)]);
        let cause = format!("the server says {status} invalid_api_key");
        assert_eq!(failure(&embedder(&api)).await, (kind, cause));
        assert_eq!(api.asked().len(), 1);
    }
    let api = EmbeddingsApi::start([no(400, &[], &format!(r#"{{"error": {{"code": "{KEY}"}}}}"#))]);
    assert_eq!(failure(&embedder(&api)).await.1, "the server says 400");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = EmbeddingsApi::start([]);
    let target = format!("{}/embeddings", elsewhere.url());
    for status in [301, 302, 307, 308] {
        let target = target.clone();
        let reply: Reply =
            Box::new(move |_| (StatusCode::from_u16(status).unwrap(), [("location", target)], "").into_response());
        let api = EmbeddingsApi::start([reply]);
        let cause = format!("the server says {status}");
        assert_eq!(failure(&embedder(&api)).await, (EmbedErrorKind::Refused, cause));
    }
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn what_are_no_embeddings_is_invalid_and_not_tried_again() {
    let one = r#"{"data": [{"index": 0, "embedding": [1]}]}"#;
    let three = format!(r#"{{"data": [{}]}}"#, [r#"{"index": 0, "embedding": [1]}"#; 3].join(","));
    for body in [&*three, "<html>a text that nobody sees</html>", "", r#"{"data": []}"#, one.split_at(20).0] {
        let api = EmbeddingsApi::start([no(200, &[], body)]);
        assert_eq!(failure(&embedder(&api)).await.0, EmbedErrorKind::Invalid, "{body}");
        assert_eq!(api.asked().len(), 1);
    }
}

/// A body without an end: spaces, or nothing.
enum Endless {
    Spaces,
    Silence,
}

impl Stream for Endless {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match *self {
            Endless::Spaces => Poll::Ready(Some(Ok(Bytes::from_static(&[b' '; 4096])))),
            Endless::Silence => Poll::Pending,
        }
    }
}

/// A reply that begins well and never ends.
fn endless(status: u16, body: Endless) -> Reply {
    Box::new(move |_| (StatusCode::from_u16(status).unwrap(), Body::from_stream(body)).into_response())
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_read_to_its_end() {
    let api = EmbeddingsApi::start([endless(200, Endless::Spaces), endless(400, Endless::Spaces)]);
    let embedder = embedder(&api);
    assert_eq!(failure(&embedder).await, (EmbedErrorKind::Invalid, "the answer is too large".to_owned()));
    assert_eq!(failure(&embedder).await, (EmbedErrorKind::Unsuitable, "the server says 400".to_owned()));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_late() {
    let api = EmbeddingsApi::start([endless(200, Endless::Silence)]);
    let embedder = builder(api.url()).timeout(Duration::from_millis(50)).build().unwrap();
    assert_eq!(failure(&embedder).await, (EmbedErrorKind::TimedOut, "no answer in time".to_owned()));
}

/// A server that takes a question, says `words`, and hangs up; so often, and then answers well.
async fn cutting(times: usize, words: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for time in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            // A question of a few bytes comes at once.
            let read = stream.read(&mut [0; 4096]).await.unwrap();
            assert!(read > 0);
            let body = r#"{"data": [{"embedding": [1, 2]}]}"#;
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(if time < times { words.as_bytes() } else { answer.as_bytes() }).await.unwrap();
        }
    });
    port
}

#[tokio::test]
async fn a_connection_that_is_cut_is_made_again() {
    for words in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"data\""] {
        let port = cutting(1, words).await;
        let embedder = builder(format!("http://127.0.0.1:{port}")).build().unwrap();
        assert_eq!(embed(&embedder, &["a"]).await.unwrap(), [[1.0, 2.0]], "{words}");

        let port = cutting(usize::MAX, words).await;
        let embedder = builder(format!("http://127.0.0.1:{port}")).build().unwrap();
        assert_eq!(failure(&embedder).await, (EmbedErrorKind::Unreachable, "the connection was lost".to_owned()));
    }
}

#[tokio::test]
async fn nobody_who_listens_is_unreachable() {
    // Bound and not listening: nobody else gets the port meanwhile.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let embedder = builder(url).build().unwrap();
    assert_eq!(failure(&embedder).await, (EmbedErrorKind::Unreachable, "the connection was refused".to_owned()));
}

#[test]
fn a_connection_outlives_the_runtime_that_first_needed_it() {
    let api = EmbeddingsApi::start([]);
    let embedder = embedder(&api);
    for _ in 0..3 {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(embed(&embedder, &["a"])).unwrap();
    }
    assert_eq!((api.asked().len(), api.connections()), (3, 1));
}

#[tokio::test]
async fn a_dropped_call_leaves_the_next_one_alone() {
    let api = EmbeddingsApi::start([endless(200, Endless::Silence)]);
    let embedder = embedder(&api);
    let dropped = tokio::spawn({
        let embedder = embedder.clone();
        async move { embed(&embedder, &[TEXT]).await }
    });
    while api.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    assert_eq!(embed(&embedder, &["a"]).await.unwrap(), [[1.0, 1.0]]);
}

#[tokio::test(start_paused = true)]
async fn the_time_is_the_systems() {
    // The caller's clock goes to its next timer whenever there is nothing to do, so with it the call would be late at once.
    let api = EmbeddingsApi::start([no(429, &[("retry-after", "1")], "")]);
    assert!(embed(&embedder(&api), &["a"]).await.is_ok());
}
