//! An API that accepts 10 calls a second, and 100 requests at once. Run it with
//! `cargo run --release --example rate_limit`.

#[path = "support/http.rs"]
mod http;
mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Router, routing};
use http_body_util::Full;
use hyper::Request;
use stampede_runtime::coalesce;
use tokio::time::{Instant, sleep};

use http::Http;

const REQUESTS: usize = 100;
const LIMIT: u64 = 10;
const SECOND: Duration = Duration::from_secs(1);

/// As most code has it: every caller is a call.
async fn fetch(api: &Http, city: &str) -> anyhow::Result<String> {
    let request = Request::get(api.url(&format!("/v1/weather/{city}"))).body(Full::default())?;
    let answer = api.send(request).await.map_err(anyhow::Error::from_boxed)?;
    anyhow::ensure!(answer.status() == StatusCode::OK, "the API answered {}", answer.status());
    Ok(String::from_utf8(answer.into_body().into())?)
}

/// One line more. An `anyhow::Error` is not `Clone`: its callers share a view of it.
#[coalesce(ttl = "1m", skip(api))]
async fn weather(api: &Http, city: &str) -> anyhow::Result<String> {
    fetch(api, city).await
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let upstream = Upstream::default();
    let (listener, address) = http::listen().await?;
    let router = Router::new().route("/v1/weather/{city}", routing::get(serve)).with_state(upstream.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let api = Http::new(address);

    println!("An API that accepts {LIMIT} calls a second.\n");
    stampede(&api, &upstream, &["Oslo"]).await;
    // Different questions stay different calls. More than 10 of them in a second would be refused with the attribute
    // too: it takes away what is asked twice, and nothing else.
    stampede(&api, &upstream, &["Accra", "Bergen", "Cusco", "Dakar", "Essen"]).await;
    Ok(())
}

/// Sends the same requests without and with the attribute.
async fn stampede(api: &Http, upstream: &Upstream, cities: &'static [&str]) {
    println!("{REQUESTS} requests at once, for {}:\n", cities.join(", "));
    let requests = || cities.iter().cycle().take(REQUESTS).map(|city| (api.clone(), *city));

    let without = requests().map(|(api, city)| async move { checked(city, fetch(&api, city).await) });
    let without = support::send(Duration::ZERO, without).await;
    let before = upstream.take();
    sleep(SECOND).await; // The limit starts afresh.

    let with = requests().map(|(api, city)| async move { checked(city, weather(&api, city).await) });
    let with = support::send(Duration::ZERO, with).await;
    let after = upstream.take();
    sleep(SECOND).await;

    let refused = [before.refused, after.refused].map(|refused| refused.to_string());
    support::report("calls to the API", [before.calls, after.calls], [&without, &with], &[("429 answers", refused)]);
}

/// Nobody may be given the answer to another question.
fn checked(city: &str, answer: anyhow::Result<String>) -> anyhow::Result<()> {
    anyhow::ensure!(answer?.ends_with(city), "the weather of another city");
    Ok(())
}

/// The provider's books: what it was asked, and what is left of this second.
#[derive(Clone, Default)]
struct Upstream(Arc<Mutex<Books>>);

#[derive(Default)]
struct Books {
    counts: Counts,
    /// When this second began, and how many calls it has accepted.
    second: Option<Instant>,
    accepted: u64,
}

#[derive(Default)]
struct Counts {
    calls: u64,
    refused: u64,
}

impl Upstream {
    /// Counts a call, and says whether it is one too many.
    fn admit(&self) -> Result<(), StatusCode> {
        let mut books = self.0.lock().expect("no panic under the lock");
        books.counts.calls += 1;
        if books.second.is_none_or(|began| began.elapsed() >= SECOND) {
            (books.second, books.accepted) = (Some(Instant::now()), 0);
        }
        if books.accepted == LIMIT {
            books.counts.refused += 1;
            return Err(StatusCode::TOO_MANY_REQUESTS);
        }
        books.accepted += 1;
        Ok(())
    }

    /// The counts since the last time.
    fn take(&self) -> Counts {
        std::mem::take(&mut self.0.lock().expect("no panic under the lock").counts)
    }
}

async fn serve(State(upstream): State<Upstream>, Path(city): Path<String>) -> Result<String, StatusCode> {
    upstream.admit()?;
    sleep(Duration::from_millis(100)).await;
    Ok(format!("sunny in {city}"))
}
