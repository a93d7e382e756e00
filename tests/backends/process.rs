//! What a backend was given, processes that share it, and what they log.

// Each program uses a part of it.
#![allow(dead_code)]

use std::fmt::{Debug, Write as _};
use std::future::Future;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stampede_runtime::store::{Backend, BackendErrorKind, Envelope, StoreKey, UnixMillis};
use stampede_runtime::testing::{Fault, FaultyBackend, Verb, isolate_with};
use stampede_runtime::{Config, ConfigBuilder, Stats, shutdown};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, subscriber};

use super::help::in_time;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
/// How long each answer of a backend may take, unless one says otherwise.
pub(super) const BUDGET: Duration = Duration::from_millis(500);

/// A store that cannot be reached.
pub(super) const DOWN: Fault = Fault::Fail(BackendErrorKind::Unreachable);

/// What a backend was given.
pub(super) trait Given {
    /// How often it was asked for anything.
    fn asked(&self) -> usize;

    /// The keys that were set, as text, each once, and in order.
    fn keys(&self) -> Vec<String>;

    /// The key that was set last, and for how long.
    fn last(&self) -> (StoreKey, Duration);

    /// What is there under the key that was set last.
    async fn entry(&self) -> Option<Vec<u8>>;

    /// Puts something under the key that was set last.
    async fn put(&self, entry: &[u8]);
}

impl Given for FaultyBackend {
    fn asked(&self) -> usize {
        [Verb::Get, Verb::Set, Verb::Remove, Verb::Clear].map(|verb| self.on(verb).asked()).iter().sum()
    }

    fn keys(&self) -> Vec<String> {
        let mut keys = sets(self).into_iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>();
        keys.sort();
        keys.dedup();
        keys
    }

    fn last(&self) -> (StoreKey, Duration) {
        sets(self).pop().expect("something was set")
    }

    async fn entry(&self) -> Option<Vec<u8>> {
        self.inner().get(&self.last().0).await.expect("memory does not fail")
    }

    async fn put(&self, entry: &[u8]) {
        self.inner().set(&self.last().0, entry, HOUR).await.expect("memory does not fail");
    }
}

fn sets(backend: &FaultyBackend) -> Vec<(StoreKey, Duration)> {
    let sets = backend.calls().into_iter().filter(|call| call.verb == Verb::Set);
    sets.map(|call| (call.key.expect("a key is set"), call.ttl.expect("for a time"))).collect()
}

/// The times in an entry: of use without its `ttl`, then with the rest.
pub(super) fn lives(entry: &[u8]) -> (Duration, Duration) {
    let times = Envelope::decode(entry, usize::MAX).expect("an entry").times;
    (times.fresh_until().since(times.made()), times.use_until().since(times.made()))
}

/// A process of its own: nothing in its memory, and this backend, as `main`. What it stores has arrived when it ends.
pub(super) async fn process<T>(backend: &FaultyBackend, test: impl Future<Output = T>) -> T {
    process_with(Config::builder().backend("main", backend.clone()), test).await
}

/// The same, with a budget that no test exhausts: time that stands still jumps to the next timer when all wait.
pub(super) async fn patient_process<T>(backend: &FaultyBackend, test: impl Future<Output = T>) -> T {
    let settings = stampede_runtime::Settings::new().backend_timeout(24 * HOUR);
    process_with(Config::builder().backend("main", backend.clone()).defaults(settings), test).await
}

pub(super) async fn process_with<T>(config: ConfigBuilder, test: impl Future<Output = T>) -> T {
    // The wall clock begins at its first look, which is to be no later than any of a test's.
    let _ = UnixMillis::now();
    let _isolated = isolate_with(config.build().expect("the configuration is right"));
    in_time(async {
        let result = test.await;
        assert_eq!(shutdown(HOUR).await, 0);
        result
    })
    .await
}

/// What must be true of every snapshot, after so many calls.
pub(super) fn check(stats: &Stats, calls: u64) {
    let saved = stats.cache_hits + stats.stale_hits + stats.coalesce_hits;
    assert_eq!(stats.requests, saved + stats.led + stats.bypassed + stats.refused, "{stats:?}");
    assert_eq!(stats.executions, stats.led + stats.refreshes + stats.retries, "{stats:?}");
    assert_eq!(stats.requests, calls, "{stats:?}");
    assert!(stats.backend_hits <= calls, "{stats:?}");
}

/// Writes down what is logged on this thread while the guard lives, except what is only for those who look closely.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<(Level, String)>>>);

impl Log {
    pub(super) fn install() -> (Log, DefaultGuard) {
        // Two subscribers, as in `tracing`.
        static OTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Log::default()));
        LazyLock::force(&OTHER);
        let log = Log::default();
        let guard = subscriber::set_default(log.clone());
        (log, guard)
    }

    /// The lines of a level.
    pub(super) fn lines(&self, level: Level) -> Vec<String> {
        locked(&self.0).iter().filter(|(at, _)| *at == level).map(|(_, line)| line.clone()).collect()
    }
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).expect("writing to a `String` cannot fail");
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "stampede" && *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = String::new();
        event.record(&mut Line(&mut line));
        locked(&self.0).push((*event.metadata().level(), line));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
