//! What the measured functions do when they are not answered from memory.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long a slow body takes.
pub(crate) const PAUSE: Duration = Duration::from_millis(5);

static STARTED: AtomicU64 = AtomicU64::new(0);
static FINISHED: AtomicU64 = AtomicU64::new(0);
/// When a slow body last ended, on the clock of `now`.
static ENDED: AtomicU64 = AtomicU64::new(0);

/// Bodies that were started and finished between two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Runs {
    pub(crate) started: u64,
    pub(crate) finished: u64,
}

impl Runs {
    pub(crate) fn so_far() -> Runs {
        Runs { started: STARTED.load(Relaxed), finished: FINISHED.load(Relaxed) }
    }

    pub(crate) fn since(earlier: Runs) -> Runs {
        let now = Runs::so_far();
        Runs { started: now.started - earlier.started, finished: now.finished - earlier.finished }
    }
}

/// A body that is ready at once: one count and one allocation. The value repeats the topic, so a wrong one is noticed.
pub(crate) fn ready(topic: &str, _number: u32) -> Arc<str> {
    STARTED.fetch_add(1, Relaxed);
    topic.into()
}

/// The same without an allocation.
pub(crate) fn number(number: u64) -> u64 {
    STARTED.fetch_add(1, Relaxed);
    number
}

/// A body that waits for something.
pub(crate) async fn slow(topic: &str, _number: u32) -> Arc<str> {
    STARTED.fetch_add(1, Relaxed);
    tokio::time::sleep(PAUSE).await;
    FINISHED.fetch_add(1, Relaxed);
    has_ended();
    topic.into()
}

/// Says that a slow body ends now.
pub(crate) fn has_ended() {
    ENDED.store(now(), Relaxed);
}

/// Nanoseconds of a clock that begins with the process.
pub(crate) fn now() -> u64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(BEGIN.get_or_init(Instant::now).elapsed().as_nanos()).expect("the process is not that old")
}

/// When a slow body last ended, on the clock of [`now`].
pub(crate) fn ended() -> u64 {
    ENDED.load(Relaxed)
}
