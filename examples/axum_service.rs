//! A web service whose handler asks a slow supplier. Run it with `cargo run --release --example axum_service`.

#[path = "support/http.rs"]
mod http;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Json, Router, routing};
use http_body_util::Full;
use hyper::Request;
use serde::Serialize;
use stampede_runtime::{Stats, coalesce};
use tokio::sync::oneshot;
use tokio::time::sleep;

use http::Http;

const ARTICLES: [&str; 4] = ["chair", "lamp", "shelf", "table"];

/// What the handlers share.
#[derive(Default)]
struct Shop {
    supplier_calls: AtomicU64,
}

#[derive(Clone, Serialize)]
struct Price {
    article: String,
    cents: usize,
}

impl Shop {
    /// Plays the slow supplier.
    async fn ask_supplier(&self, article: &str) -> Result<Price, StatusCode> {
        self.supplier_calls.fetch_add(1, Relaxed);
        sleep(Duration::from_millis(200)).await;
        Ok(Price { article: article.to_owned(), cents: 1_000 * article.len() })
    }

    /// The same, shared. There is one shop, so `self` tells nothing apart; and an answer that is paid for is worth
    /// keeping, also when the one who asked has left.
    #[coalesce(skip(self), ttl = "1m", on_abandon = "finish")]
    async fn price(self: Arc<Self>, article: &str) -> Result<Price, StatusCode> {
        self.ask_supplier(article).await
    }

    fn take_supplier_calls(&self) -> u64 {
        self.supplier_calls.swap(0, Relaxed)
    }
}

fn service(shop: Arc<Shop>) -> Router {
    Router::new()
        .route("/unshared/{article}", routing::get(unshared))
        .route("/prices/{article}", routing::get(prices))
        .route("/stats", routing::get(stats))
        .with_state(shop)
}

async fn unshared(State(shop): State<Arc<Shop>>, Path(article): Path<String>) -> Result<Json<Price>, StatusCode> {
    shop.ask_supplier(&article).await.map(Json)
}

async fn prices(State(shop): State<Arc<Shop>>, Path(article): Path<String>) -> Result<Json<Price>, StatusCode> {
    shop.price(&article).await.map(Json)
}

/// What every annotated function of the process did.
async fn stats() -> Json<BTreeMap<String, Stats>> {
    Json(stampede_runtime::all_stats())
}

#[tokio::main]
async fn main() -> Result<(), http::Error> {
    let shop = Arc::new(Shop::default());
    let (listener, address) = http::listen().await?;
    let (stop_server, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, service(Arc::clone(&shop))).with_graceful_shutdown(async {
        let _ = stopped.await; // A real service waits for Ctrl-C or SIGTERM here.
    });
    let server = tokio::spawn(server.into_future());
    let client = Http::new(address);

    println!("100 requests at once, for {}:\n", ARTICLES.join(", "));
    let without = burst(&client, "/unshared").await;
    let before = shop.take_supplier_calls();
    let with = burst(&client, "/prices").await;
    let after = shop.take_supplier_calls();
    support::report("calls to the supplier", [before, after], [&without, &with], &[]);

    let stats: serde_json::Value = serde_json::from_str(&get(&client, "/stats").await?)?;
    for (function, stats) in stats.as_object().into_iter().flatten() {
        println!("GET /stats: {function}");
        for field in ["requests", "executions", "cache_hits", "coalesce_hits", "savings_rate"] {
            println!("    {field}: {}", stats[field]);
        }
    }

    // A client asks, and leaves before the answer.
    let impatient = tokio::spawn(async move { get(&client, "/prices/sofa").await });
    while shop.supplier_calls.load(Relaxed) == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    impatient.abort();

    // First no new requests, then an ending for what is still in the air.
    let _ = stop_server.send(());
    server.await??;
    let in_flight: usize = stampede_runtime::all_stats().values().map(|stats| stats.in_flight).sum();
    let left = stampede_runtime::shutdown(Duration::from_secs(5)).await;
    println!("\nA client left early, the service stopped. Executions under way: {in_flight}; after shutdown: {left}.");
    let kept = Arc::clone(&shop).price("sofa").await.map_err(|status| status.to_string())?;
    let calls = shop.take_supplier_calls();
    println!("A {} costs {} cents: still {calls} call, the answer was kept.", kept.article, kept.cents);
    Ok(())
}

async fn burst(client: &Http, path: &str) -> support::Load {
    let requests = ARTICLES.iter().cycle().take(100).map(|article| {
        let (client, path) = (client.clone(), format!("{path}/{article}"));
        async move { get(&client, &path).await }
    });
    support::send(Duration::ZERO, requests).await
}

async fn get(client: &Http, path: &str) -> Result<String, http::Error> {
    let answer = client.send(Request::get(client.url(path)).body(Full::default())?).await?;
    match answer.status() {
        StatusCode::OK => Ok(String::from_utf8(answer.into_body().into())?),
        status => Err(format!("the service answered {status}").into()),
    }
}
