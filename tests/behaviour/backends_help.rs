//! A backend that does as it is told, processes that share it, and what they log.

use std::fmt::{Debug, Write as _};
use std::future::{Future, pending};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stampede_runtime::store::{
    Backend, BackendErrorKind, Envelope, MemoryBackend, Pending, Prefix, StoreKey, UnixMillis,
};
use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Config, ConfigBuilder, Stats, shutdown};
use tokio::sync::watch;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, subscriber};

use super::help::in_time;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
/// How long each answer of a backend may take, unless one says otherwise.
pub(super) const BUDGET: Duration = Duration::from_millis(500);

/// How a verb does its work.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Mood {
    #[default]
    Well,
    Fails(BackendErrorKind),
    Hangs,
    Slow(Duration),
    Panics,
    /// Begins when the gate is open.
    Waits,
    /// Has done its work when the gate opens, and says so then.
    Lingers,
}

/// A store that cannot be reached.
pub(super) const DOWN: Mood = Mood::Fails(BackendErrorKind::Unreachable);

/// One verb of a [`Fake`].
#[derive(Debug, Default)]
pub(super) struct Verb {
    mood: Mutex<Mood>,
    asked: AtomicUsize,
    gate: watch::Sender<bool>,
}

impl Verb {
    pub(super) fn is(&self, mood: Mood) {
        *locked(&self.mood) = mood;
        self.gate.send_replace(false);
    }

    /// Lets go of those who wait, and of those to come.
    pub(super) fn open(&self) {
        self.gate.send_replace(true);
    }

    /// How often it was asked.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    pub(super) async fn act<T>(
        &self,
        work: impl Future<Output = Result<T, stampede_runtime::store::BackendError>>,
    ) -> Result<T, stampede_runtime::store::BackendError> {
        self.asked.fetch_add(1, SeqCst);
        let mood = *locked(&self.mood);
        match mood {
            Mood::Well => work.await,
            Mood::Fails(kind) => Err(kind.into()),
            Mood::Hangs => pending().await,
            Mood::Slow(time) => {
                tokio::time::sleep(time).await;
                work.await
            }
            Mood::Panics => panic!("expected"),
            Mood::Waits => {
                self.opened().await;
                work.await
            }
            Mood::Lingers => {
                let answer = work.await;
                self.opened().await;
                answer
            }
        }
    }

    async fn opened(&self) {
        self.gate.subscribe().wait_for(|is_open| *is_open).await.expect("the sender is borrowed");
    }
}

/// A [`MemoryBackend`] whose verbs can be told to misbehave, and which writes down what it is given.
#[derive(Debug)]
pub(super) struct Fake {
    store: MemoryBackend,
    pub(super) get: Verb,
    pub(super) set: Verb,
    pub(super) remove: Verb,
    pub(super) clear: Verb,
    keys: Mutex<Vec<(StoreKey, Duration)>>,
    /// What `get` answers, whatever there is.
    lie: Mutex<Option<Vec<u8>>>,
}

impl Fake {
    pub(super) fn new() -> Arc<Fake> {
        Arc::new(Fake {
            store: MemoryBackend::new(64 << 20),
            get: Verb::default(),
            set: Verb::default(),
            remove: Verb::default(),
            clear: Verb::default(),
            keys: Mutex::default(),
            lie: Mutex::default(),
        })
    }

    /// All verbs do their work like that.
    pub(super) fn is(&self, mood: Mood) {
        for verb in [&self.get, &self.set, &self.remove, &self.clear] {
            verb.is(mood);
        }
    }

    /// How often it was asked for anything.
    pub(super) fn asked(&self) -> usize {
        [&self.get, &self.set, &self.remove, &self.clear].map(Verb::asked).iter().sum()
    }

    pub(super) fn answers(&self, entry: Option<Vec<u8>>) {
        *locked(&self.lie) = entry;
    }

    /// The keys that were set, as text, each once, and in order.
    pub(super) fn keys(&self) -> Vec<String> {
        let mut keys = locked(&self.keys).iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>();
        keys.sort();
        keys.dedup();
        keys
    }

    /// The key that was set last, and for how long.
    pub(super) fn last(&self) -> (StoreKey, Duration) {
        locked(&self.keys).last().cloned().expect("something was set")
    }

    /// What is there under the key that was set last.
    pub(super) async fn entry(&self) -> Option<Vec<u8>> {
        self.store.get(&self.last().0).await.expect("memory does not fail")
    }

    /// Puts something under the key that was set last.
    pub(super) async fn put(&self, entry: &[u8]) {
        self.store.set(&self.last().0, entry, HOUR).await.expect("memory does not fail");
    }
}

impl Backend for Fake {
    fn get<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, Option<Vec<u8>>> {
        let lie = locked(&self.lie).clone();
        Box::pin(self.get.act(async move {
            match lie {
                Some(entry) => Ok(Some(entry)),
                None => self.store.get(key).await,
            }
        }))
    }

    fn set<'a>(&'a self, key: &'a StoreKey, entry: &'a [u8], ttl: Duration) -> Pending<'a, ()> {
        locked(&self.keys).push((key.clone(), ttl));
        Box::pin(self.set.act(self.store.set(key, entry, ttl)))
    }

    fn remove<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, bool> {
        Box::pin(self.remove.act(self.store.remove(key)))
    }

    fn clear<'a>(&'a self, prefix: &'a Prefix) -> Pending<'a, u64> {
        Box::pin(self.clear.act(self.store.clear(prefix)))
    }

    fn ping(&self) -> Pending<'_, ()> {
        self.store.ping()
    }
}

/// The times in an entry: of use without its `ttl`, then with the rest.
pub(super) fn lives(entry: &[u8]) -> (Duration, Duration) {
    let times = Envelope::decode(entry, usize::MAX).expect("an entry").times;
    (times.fresh_until().since(times.made()), times.use_until().since(times.made()))
}

/// A process of its own: nothing in its memory, and this backend, as `main`. What it stores has arrived when it ends.
pub(super) async fn process<T>(backend: &Arc<Fake>, test: impl Future<Output = T>) -> T {
    process_with(Config::builder().backend("main", Arc::clone(backend)), test).await
}

/// The same, with a budget that no test exhausts: time that stands still jumps to the next timer when all wait.
pub(super) async fn patient_process<T>(backend: &Arc<Fake>, test: impl Future<Output = T>) -> T {
    let settings = stampede_runtime::Settings::new().backend_timeout(24 * HOUR);
    process_with(Config::builder().backend("main", Arc::clone(backend)).defaults(settings), test).await
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
