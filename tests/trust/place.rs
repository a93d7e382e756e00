//! A process whose embedder is told in each question where that points to, and places where functions wait for a test.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use stampede_runtime::semantic::from_fn;
use stampede_runtime::testing::{isolate_with, settled};
use stampede_runtime::{Config, ConfigBuilder, Outcome, Settings, Stats};
use tokio::sync::{oneshot, watch};

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test in a process of its own. `@30 …` is at 30 degrees, and what says nothing at 0.
pub(super) async fn alone<T>(test: impl Future<Output = T>) -> T {
    alone_with(Settings::new(), test).await
}

/// The same with these defaults.
pub(super) async fn alone_with<T>(settings: Settings, test: impl Future<Output = T>) -> T {
    alone_as(|config| config.defaults(settings), test).await
}

/// The same with what is configured for a namespace, which is stronger than what attributes say.
pub(super) async fn alone_where<T>(namespace: &str, settings: Settings, test: impl Future<Output = T>) -> T {
    alone_as(|config| config.namespace(namespace, settings), test).await
}

async fn alone_as<T>(configured: impl FnOnce(ConfigBuilder) -> ConfigBuilder, test: impl Future<Output = T>) -> T {
    let embedder = from_fn("compass", 2, |texts: Vec<String>| async move {
        let direction = |text: &String| {
            let degrees = text.split_whitespace().find_map(|word| word.strip_prefix('@')?.parse::<f32>().ok());
            let radians = degrees.unwrap_or_default().to_radians();
            vec![radians.cos(), radians.sin()]
        };
        Ok::<_, Infallible>(texts.iter().map(direction).collect())
    });
    let config = configured(Config::builder().embedder(embedder)).build().expect("the configuration is right");
    let _isolated = isolate_with(config);
    let result = in_time(Box::pin(test)).await;
    settled().await;
    result
}

/// Ends a test that hangs. Measures real time, whatever tokio's clock does.
async fn in_time<T>(test: impl Future<Output = T>) -> T {
    let (done, is_done) = channel::<()>();
    let (ring, alarm) = oneshot::channel();
    thread::spawn(move || {
        if is_done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let _ = ring.send(());
        }
    });
    let result = tokio::select! {
        biased;
        result = test => result,
        Ok(()) = alarm => panic!("hangs"),
    };
    drop(done);
    result
}

/// Waits until what has been begun has ended, on threads that no paused clock stops, and has been kept.
pub(super) async fn kept() {
    settled().await;
}

/// A gate of this name, which is closed at first.
pub(super) struct Gate {
    is_open: watch::Sender<bool>,
    come: watch::Sender<usize>,
}

/// The gates of all tests, by name: the functions of attributes have no place for them.
pub(super) fn gate(name: &str) -> &'static Gate {
    static GATES: LazyLock<Mutex<HashMap<String, &'static Gate>>> = LazyLock::new(Mutex::default);
    let mut gates = GATES.lock().unwrap_or_else(PoisonError::into_inner);
    let new = || &*Box::leak(Box::new(Gate { is_open: watch::Sender::new(false), come: watch::Sender::new(0) }));
    gates.entry(name.to_owned()).or_insert_with(new)
}

impl Gate {
    /// Comes to the gate, and waits until it is open.
    pub(super) async fn pass(&self) {
        self.come.send_modify(|come| *come += 1);
        let _ = self.is_open.subscribe().wait_for(|is_open| *is_open).await;
    }

    /// How many have come to it.
    pub(super) fn come(&self) -> usize {
        *self.come.borrow()
    }

    /// Waits until so many have.
    pub(super) async fn reached(&self, many: usize) {
        let mut come = self.come.subscribe();
        let _ = come.wait_for(|come| *come >= many).await;
    }

    pub(super) fn open(&self) {
        self.is_open.send_replace(true);
    }
}

/// Lets all others have their turn that are ready to run.
pub(super) async fn turns() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Whether a call was answered for being near to another one's question.
pub(super) fn is_near(outcome: Option<Outcome>) -> bool {
    match outcome {
        Some(Outcome::Joined { similarity }) => similarity < 1.0,
        Some(Outcome::Semantic { .. }) => true,
        _ => false,
    }
}

/// The sums that hold at every moment.
pub(super) fn add_up(stats: &Stats) {
    let Stats { requests, executions, cache_hits, stale_hits, coalesce_hits, led, bypassed, refused, .. } = *stats;
    assert_eq!(requests, cache_hits + stale_hits + coalesce_hits + led + bypassed + refused, "{stats:#?}");
    assert_eq!(executions, led + stats.refreshes + stats.retries, "{stats:#?}");
    assert_eq!(stats.in_flight, 0, "{stats:#?}");
}
