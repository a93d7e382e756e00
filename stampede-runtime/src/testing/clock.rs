//! A test's own clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Hand;

/// The clock of an isolated test: it stands still, and moves when it is told to. From
/// [`Isolated::clock`](super::Isolated::clock).
///
/// ```
/// use std::time::Duration;
/// use stampede_runtime::{cached, testing};
///
/// #[cached(ttl = "1m")]
/// fn report(day: u32) -> String {
///     format!("report of day {day}")
/// }
///
/// // In a test:
/// let isolated = testing::isolate();
/// let clock = isolated.clock();
/// let counted = testing::count(report::stats);
/// report(1);
/// clock.advance(Duration::from_secs(59));
/// report(1);
/// counted.assert_executions(1);
/// clock.advance(Duration::from_secs(1));
/// report(1);
/// counted.assert_executions(2);
/// ```
///
/// It holds for async and sync functions, on every thread and runtime of the isolation. Clones are the same clock.
///
/// # What it governs
/// - How old a value or a kept error is: `ttl`, `stale`, `stale_if_error`, `early`, `jitter`, `cache_err`, `none_ttl`, and
///   the rests after failures.
/// - How long an execution took, as far as `early` and the statistics are concerned: a body that is to count as slow
///   advances the clock.
/// - Entries of a `MemoryBackend` and an `EmbeddedIndex`, and what an entry of any backend says of its own age.
/// - The rests of a backend that has failed several times in a row, and of an embedder. Take the clock in hand before they
///   begin; after an `advance`, [`settled`](super::settled()) returns when a trial that has become due is over.
///
/// # What it does not
/// - Everything that waits: `timeout`, `wait`, `soft_timeout`, the budgets of backends, and the `sleep` of a body. That is
///   tokio's time, which `tokio::time::pause` governs (on current-thread runtimes), and for sync functions real time.
/// - The times of a server: what Redis or `PostgreSQL` keep, they keep by their own clocks; and leases.
/// - Dice: `jitter` and `early` stay random.
///
/// A test whose time is tokio's paused one needs none of this: expiry follows `tokio::time::advance` as long as no clock is
/// taken in hand, and does not afterwards.
#[derive(Clone)]
pub struct Clock(Arc<Hand>);

impl Clock {
    pub(super) fn new(hand: Arc<Hand>) -> Clock {
        Clock(hand)
    }

    /// Moves the clock forward. What is due then happens at the next call, as always; nobody is woken but what rests.
    ///
    /// # Panics
    /// When it would pass what an `Instant` can hold, hundreds of years ahead.
    pub fn advance(&self, span: Duration) {
        assert!(self.0.advance(span), "the clock cannot be moved by {span:?}: an `Instant` does not hold that");
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").finish_non_exhaustive()
    }
}
