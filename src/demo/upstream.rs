//! The API that the demo calls: slow, paid, rate-limited, and served over real HTTP on a loopback port.
//!
//! It plays a provider somebody else runs, so it is also the only honest witness: it counts its calls per key before it
//! does anything else, and the demo's verdict rests on these counts alone.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Add;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::bucket::Bucket;
use super::wire::{Completion, PROCESS, Prompt, Refusal, Weather};

/// How long an accepted call takes: this, give or take [`JITTER`].
pub(crate) const LATENCY: Duration = Duration::from_millis(300);
/// The share of [`LATENCY`] by which calls differ.
pub(crate) const JITTER: f64 = 0.2;
/// How long an empty bucket takes to fill. Longer than a round, so a round lives on its burst.
const PERIOD: Duration = Duration::from_secs(10);
const SEED: u64 = 0x10ad;

/// The running API; it ends when this is dropped.
pub(crate) struct Upstream {
    address: SocketAddr,
    books: Arc<Mutex<Books>>,
    server: JoinHandle<()>,
}

/// What the provider knows, under one lock that is never held while a call sleeps.
struct Books {
    bucket: Bucket,
    luck: fastrand::Rng,
    /// By what was asked: `DE/10115`, or the text of a prompt. Bounded by the demo's own list of keys.
    keys: HashMap<String, Count>,
    /// Whoever wants to know of each call when it comes.
    witness: Option<UnboundedSender<Arrival>>,
}

/// A call that has come.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// As in the counts.
    pub(crate) key: String,
    /// Who called, if it said so.
    pub(crate) process: Option<u16>,
    pub(crate) at: Instant,
}

/// The calls that reached the API for one key.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    /// All of them, refused or not.
    pub(crate) calls: u64,
    /// Those turned away with `429`, which cost nothing.
    pub(crate) refused: u64,
}

impl Add for Count {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { calls: self.calls + other.calls, refused: self.refused + other.refused }
    }
}

impl Upstream {
    /// Listens on a free port of the loopback interface. `burst` calls are accepted at once.
    pub(crate) async fn start(burst: u32) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let books = Arc::new(Mutex::new(Books {
            bucket: Bucket::full(burst, PERIOD, Instant::now()),
            luck: fastrand::Rng::with_seed(SEED),
            keys: HashMap::new(),
            witness: None,
        }));
        let router = Router::new()
            .route("/v1/weather/{country}/{zip}", get(weather))
            .route("/v1/complete", post(complete))
            .with_state(Arc::clone(&books));
        // Small answers on kept connections: without this, some would wait for the peer's delayed acknowledgement.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let server = tokio::spawn(async move {
            // Never returns, and retries on its own when a connection cannot be accepted.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, books, server })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every call from now on, when it comes. Only the last who asked is told.
    pub(crate) fn witness(&self) -> UnboundedReceiver<Arrival> {
        let (told, witness) = unbounded_channel();
        lock(&self.books).witness = Some(told);
        witness
    }

    /// Fills the bucket, as if time had passed.
    pub(crate) fn refill(&self) {
        lock(&self.books).bucket.refill();
    }

    /// The calls since the last time this was asked, by key.
    pub(crate) fn take_counts(&self) -> HashMap<String, Count> {
        std::mem::take(&mut lock(&self.books).keys)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn weather(
    State(books): State<Arc<Mutex<Books>>>,
    Path((country, zip)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Weather>, Refused> {
    let process = headers.get(PROCESS).and_then(|number| number.to_str().ok()?.parse().ok());
    serve(&books, format!("{country}/{zip}"), process).await?;
    let celsius = zip.bytes().fold(7, |sum, digit| (sum + digit % 10) % 30);
    Ok(Json(Weather { country, zip, celsius: celsius.cast_signed() }))
}

async fn complete(
    State(books): State<Arc<Mutex<Books>>>,
    Json(Prompt { prompt }): Json<Prompt>,
) -> Result<Json<Completion>, Refused> {
    serve(&books, prompt.clone(), None).await?;
    let text = format!("There are {} words in that question, and as many answers.", prompt.split_whitespace().count());
    Ok(Json(Completion { prompt, text }))
}

/// Counts the call, then refuses it at once or takes its time.
async fn serve(books: &Mutex<Books>, key: String, process: Option<u16>) -> Result<(), Refused> {
    let latency = {
        let mut books = lock(books);
        let at = Instant::now();
        if let Some(witness) = &books.witness {
            // Who does not listen any more has seen enough.
            let _ = witness.send(Arrival { key: key.clone(), process, at });
        }
        let admitted = books.bucket.take(at);
        let luck = 1.0 + JITTER * (2.0 * books.luck.f64() - 1.0);
        let count = books.keys.entry(key).or_default();
        count.calls += 1;
        if let Err(retry_after) = admitted {
            count.refused += 1;
            return Err(Refused { retry_after });
        }
        LATENCY.mul_f64(luck)
    };
    tokio::time::sleep(latency).await;
    Ok(())
}

/// `429 Too Many Requests`
struct Refused {
    retry_after: Duration,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let refusal = Refusal {
            error: "rate_limited".to_owned(),
            retry_after_ms: u64::try_from(self.retry_after.as_millis()).unwrap_or(u64::MAX),
        };
        let seconds = self.retry_after.as_secs_f64().ceil().to_string();
        (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds)], Json(refusal)).into_response()
    }
}

/// The books are plain counts, whole at every moment: a panic elsewhere does not spoil them.
fn lock(books: &Mutex<Books>) -> std::sync::MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}
