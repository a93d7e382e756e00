//! A hot value that expires under steady load, while its upstream is down for a second. Run it with
//! `cargo run --release --example stale_while_revalidate`.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use stampede_runtime::cached;
use tokio::time::{Instant, sleep};

use support::Load;

const TTL: Duration = Duration::from_millis(500);
/// 400 requests a second, for three seconds.
const EVERY: Duration = Duration::from_micros(2_500);
const REQUESTS: usize = 1_200;
/// How long a request to the upstream takes, whether it succeeds or not.
const TAKES: Duration = Duration::from_millis(50);

/// As most code has it: every caller is a request.
async fn fetch(upstream: &Upstream) -> Result<f64, String> {
    upstream.ask().await
}

/// One request each time that the value expires. Meanwhile callers wait, and get the error if there is one.
#[cached(ttl = TTL, skip(upstream))]
async fn kept(upstream: &Upstream) -> Result<f64, String> {
    fetch(upstream).await
}

/// For a quarter of a second more callers get the old value, while the new one is made.
#[cached(ttl = TTL, stale = "250ms", skip(upstream))]
async fn stale(upstream: &Upstream) -> Result<f64, String> {
    fetch(upstream).await
}

/// And for an hour they get it instead of an error.
#[cached(ttl = TTL, stale = "250ms", stale_if_error = "1h", skip(upstream))]
async fn stale_if_error(upstream: &Upstream) -> Result<f64, String> {
    fetch(upstream).await
}

#[tokio::main]
async fn main() {
    println!("400 requests a second for one value, which takes {TAKES:?} and is kept for {TTL:?}.");
    println!("From the first to the second second its upstream is down.\n");

    // Each has an upstream of its own, so the four can run at once.
    let [one, two, three, four] = std::array::from_fn(|_| Upstream::new());
    let loads = tokio::join!(
        load(&one, |upstream| async move { fetch(&upstream).await }),
        load(&two, |upstream| async move { kept(&upstream).await }),
        load(&three, |upstream| async move { stale(&upstream).await }),
        load(&four, |upstream| async move { stale_if_error(&upstream).await }),
    );
    let loads = [loads.0, loads.1, loads.2, loads.3];
    let calls = [&one, &two, &three, &four].map(Upstream::calls);

    let waited = loads.each_ref().map(|load| load.longer_than(TAKES / 2).to_string());
    let heads = ["plain", "ttl", "+ stale", "+ stale_if_error"];
    support::table(heads, "calls to the upstream", calls, loads.each_ref(), &[("waited", waited)]);
    println!("with all three: {}", stale_if_error::stats());
}

async fn load<F>(upstream: &Upstream, request: impl Fn(Upstream) -> F) -> Load
where
    F: Future<Output = Result<f64, String>> + Send + 'static,
{
    support::send(EVERY, (0..REQUESTS).map(|_| request(upstream.clone()))).await
}

/// Somebody else's service: slow, and down for a while.
#[derive(Clone)]
struct Upstream {
    began: Instant,
    calls: Arc<AtomicU64>,
}

impl Upstream {
    fn new() -> Self {
        Self { began: Instant::now(), calls: Arc::default() }
    }

    async fn ask(&self) -> Result<f64, String> {
        self.calls.fetch_add(1, Relaxed);
        let is_down = (1..2).contains(&self.began.elapsed().as_secs());
        sleep(TAKES).await;
        if is_down { Err("503 Service Unavailable".to_owned()) } else { Ok(1.09) }
    }

    fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }
}
