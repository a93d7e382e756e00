//! Handlers of axum: extractors are arguments, and most of them cannot be part of a key as they are.

use std::future::Future;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use stampede_runtime::{coalesce, coalesce_by_content};
use tower::ServiceExt;

use super::help::{shares, work};

/// Asks a router, and returns what it answered.
fn ask(router: &Router, uri: &str, body: &str) -> impl Future<Output = String> + use<> {
    let request = if body.is_empty() { Request::get(uri) } else { Request::post(uri) };
    let request = request.header("content-type", "application/json").body(Body::from(body.to_owned()));
    let response = router.clone().oneshot(request.expect("a request"));
    async {
        let response = response.await.expect("a router does not fail");
        let status = response.status();
        let body = to_bytes(response.into_body(), 1000).await.expect("a body");
        format!("{status} {}", String::from_utf8_lossy(&body))
    }
}

/// What handlers share.
#[derive(Clone)]
struct App {
    name: Arc<str>,
}

fn app() -> App {
    App { name: "app".into() }
}

#[coalesce(key(id.0))]
async fn path(app: State<App>, id: Path<u32>) -> String {
    work().await;
    format!("{}/{}", app.name, id.0)
}

#[tokio::test(start_paused = true)]
async fn a_handler_with_state_and_path() {
    let router = Router::new().route("/{id}", get(path)).with_state(app());
    shares(ask(&router, "/1", ""), ask(&router, "/1", ""), ask(&router, "/2", "")).await;
}

#[coalesce(key(id))]
async fn pattern(State(app): State<App>, Path(id): Path<u32>) -> String {
    work().await;
    format!("{}/{id}", app.name)
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_its_extractors_apart() {
    let router = Router::new().route("/{id}", get(pattern)).with_state(app());
    shares(ask(&router, "/1", ""), ask(&router, "/1", ""), ask(&router, "/2", "")).await;
}

/// What a query may say.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
struct Search {
    text: String,
    page: Option<u32>,
}

#[coalesce(key(search.0, id.0))]
async fn query(app: State<App>, id: Path<u32>, search: Query<Search>) -> Result<String, StatusCode> {
    work().await;
    let Query(Search { text, page }) = search;
    let page = page.ok_or(StatusCode::BAD_REQUEST)?;
    Ok(format!("{}/{}/{text}/{page}", app.name, id.0))
}

#[tokio::test(start_paused = true)]
async fn a_handler_with_a_query() {
    let router = Router::new().route("/{id}", get(query)).with_state(app());
    let call = |uri| ask(&router, uri, "");
    shares(call("/1?text=a&page=1"), call("/1?text=a&page=1"), call("/1?text=a&page=2")).await;
    // Errors are shared too.
    shares(call("/1?text=a"), call("/1?text=a"), call("/1?text=a&page=1")).await;
}

/// What is asked for, with a number that is not `Eq`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    item: String,
    amount: f64,
}

/// What is answered.
#[derive(Clone, Serialize)]
struct Receipt {
    text: String,
}

#[coalesce(key(order.item, order.amount))]
async fn json(app: State<App>, order: Json<Order>) -> Json<Receipt> {
    work().await;
    Json(Receipt { text: format!("{} {} {}", app.name, order.item, order.amount) })
}

#[tokio::test(start_paused = true)]
async fn a_handler_with_json() {
    let router = Router::new().route("/", post(json)).with_state(app());
    let call = |body| ask(&router, "/", body);
    let one = r#"{"item": "pen", "amount": 0.5}"#;
    shares(call(one), call(r#"{"amount": 0.50, "item": "pen"}"#), call(r#"{"item": "pen", "amount": 1}"#)).await;
}

#[coalesce_by_content(fields = [order])]
async fn receipt(name: Arc<str>, order: Order) -> Receipt {
    work().await;
    Receipt { text: format!("{name} {} {}", order.item, order.amount) }
}

async fn by_content(State(app): State<App>, Json(order): Json<Order>) -> Json<Receipt> {
    Json(receipt(app.name, order).await)
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_calls_by_content() {
    let router = Router::new().route("/", post(by_content)).with_state(app());
    let call = |body| ask(&router, "/", body);
    let one = r#"{"item": "pen", "amount": 0.5}"#;
    shares(call(one), call(r#"{"amount": 0.50, "item": " PEN "}"#), call(r#"{"item": "pen", "amount": 1}"#)).await;
}

#[coalesce(key(uri.path().to_owned(), headers.get("accept").cloned()))]
async fn parts(uri: Uri, headers: HeaderMap) -> String {
    work().await;
    format!("{uri}{}", headers.len())
}

#[tokio::test(start_paused = true)]
async fn a_handler_with_uri_and_headers() {
    let router = Router::new().route("/{id}", get(parts));
    shares(ask(&router, "/1", ""), ask(&router, "/1", ""), ask(&router, "/2", "")).await;
}

#[coalesce(key(request.uri().clone()))]
async fn whole_request(request: Request) -> String {
    work().await;
    request.uri().to_string()
}

#[tokio::test(start_paused = true)]
async fn a_handler_with_the_whole_request() {
    let router = Router::new().route("/{id}", get(whole_request));
    shares(ask(&router, "/1", ""), ask(&router, "/1", ""), ask(&router, "/2", "")).await;
}

#[coalesce]
async fn load(name: Arc<str>, id: u32) -> Result<Arc<str>, anyhow::Error> {
    work().await;
    anyhow::ensure!(id > 0, "nobody has number {id}");
    Ok(format!("{name}/{id}").into())
}

async fn calls(State(app): State<App>, Path(id): Path<u32>) -> Response {
    match load(app.name, id).await {
        Ok(text) => text.to_string().into_response(),
        Err(error) => (StatusCode::NOT_FOUND, error.to_string()).into_response(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_calls_a_shared_function() {
    let router = Router::new().route("/{id}", get(calls)).with_state(app());
    let call = |uri| ask(&router, uri, "");
    shares(call("/1"), call("/1"), call("/2")).await;
    shares(call("/0"), call("/0"), call("/2")).await;
}

impl App {
    #[coalesce(key(self.name, id))]
    async fn load(&self, id: u32) -> String {
        work().await;
        format!("{}/{id}", self.name)
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_calls_a_shared_method() {
    let handler = async |State(app): State<App>, Path(id): Path<u32>| app.load(id).await;
    let router = Router::new().route("/{id}", get(handler)).with_state(app());
    shares(ask(&router, "/1", ""), ask(&router, "/1", ""), ask(&router, "/2", "")).await;
}

#[coalesce(key(id.0), attached)]
async fn attached(app: State<App>, id: Path<u32>) -> String {
    work().await;
    format!("{}/{}", app.name, id.0)
}

#[tokio::test(start_paused = true)]
async fn an_attached_handler() {
    let router = Router::new().route("/{id}", get(attached)).with_state(app());
    shares(ask(&router, "/1", ""), ask(&router, "/1", ""), ask(&router, "/2", "")).await;
}
