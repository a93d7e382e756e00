//! When an entry was made, and how long it is good for, on the wall clock that processes share.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point on the wall clock, in whole milliseconds since 1970-01-01T00:00:00Z.
///
/// The clocks of two hosts differ, so what one host wrote looks younger or older to another by that much. No entry
/// outlives its due by more: what ends it in the store is a *span*, which [`Backend::set`](super::Backend::set) takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnixMillis(u64);

impl UnixMillis {
    /// Later than every other point: what lasts until then has no end.
    pub const NEVER: UnixMillis = UnixMillis(u64::MAX);

    /// The point so many milliseconds after the epoch.
    #[must_use]
    pub const fn new(millis: u64) -> UnixMillis {
        UnixMillis(millis)
    }

    /// Now. With debug assertions or the feature `test-util` it moves as tokio's clock does, which a test may pause, or as
    /// the test's own.
    #[must_use]
    pub fn now() -> UnixMillis {
        let now = if cfg!(any(debug_assertions, feature = "test-util")) { followed() } else { SystemTime::now() };
        UnixMillis::default().after(now.duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// This point moved by `span`, whole milliseconds of it. Too far is [`NEVER`](Self::NEVER).
    #[must_use]
    pub fn after(self, span: Duration) -> UnixMillis {
        UnixMillis(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The span from `earlier` until this point, or none if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: UnixMillis) -> Duration {
        if self == UnixMillis::NEVER {
            return Duration::MAX;
        }
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The wall clock as it was once, moved by what has passed on tokio's clock since then.
fn followed() -> SystemTime {
    // The start is real: a clock that a test has moved is no start for other tests.
    static START: OnceLock<(SystemTime, std::time::Instant)> = OnceLock::new();
    let (wall, start) = START.get_or_init(|| (SystemTime::now(), std::time::Instant::now()));
    let now = crate::clock::instant().into_std();
    match now.checked_duration_since(*start) {
        Some(since) => *wall + since,
        None => *wall - start.duration_since(now),
    }
}

/// The life of an entry: made, then fresh, then stale, then of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    made: UnixMillis,
    fresh_until: UnixMillis,
    use_until: UnixMillis,
    cost: Duration,
}

impl Times {
    /// The life of what was made at `made`, is fresh for `ttl` and after that of some use, though stale, for `stale`.
    ///
    /// `cost`: how long it took to make; whole microseconds, at most 71 minutes.
    #[must_use]
    pub fn new(made: UnixMillis, ttl: Duration, stale: Duration, cost: Duration) -> Times {
        let fresh_until = made.after(ttl);
        let cost = Duration::from_micros(u32::try_from(cost.as_micros()).unwrap_or(u32::MAX).into());
        Times { made, fresh_until, use_until: fresh_until.after(stale), cost }
    }

    /// Those of the same value when it is to be fresh for `ttl` from `now` on. It is as old as it was.
    pub(super) fn again(&self, now: UnixMillis, ttl: Duration, stale: Duration) -> Times {
        let made = self.made.min(now);
        let fresh_until = now.after(ttl);
        Times { made, fresh_until, use_until: fresh_until.after(stale), cost: self.cost }
    }

    /// As they stand in an envelope, if they are in order.
    pub(super) fn read(made: u64, fresh_until: u64, use_until: u64, cost_micros: u32) -> Option<Times> {
        let [made, fresh_until, use_until] = [made, fresh_until, use_until].map(UnixMillis);
        let cost = Duration::from_micros(cost_micros.into());
        (made <= fresh_until && fresh_until <= use_until).then_some(Times { made, fresh_until, use_until, cost })
    }

    /// The cost as it stands in an envelope.
    pub(super) fn cost_micros(&self) -> u32 {
        u32::try_from(self.cost.as_micros()).unwrap_or(u32::MAX)
    }

    /// When it has so much of its life left.
    pub(super) fn when(&self, left: Duration) -> UnixMillis {
        match self.use_until {
            UnixMillis::NEVER => UnixMillis::now(),
            UnixMillis(end) => {
                let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
                self.made.max(UnixMillis(end.saturating_sub(left)))
            }
        }
    }

    /// When it was made.
    #[must_use]
    pub fn made(&self) -> UnixMillis {
        self.made
    }

    /// The soft expiry: from this point on it is stale.
    #[must_use]
    pub fn fresh_until(&self) -> UnixMillis {
        self.fresh_until
    }

    /// The hard expiry: from this point on it is of no use.
    #[must_use]
    pub fn use_until(&self) -> UnixMillis {
        self.use_until
    }

    /// How long it took to make.
    #[must_use]
    pub fn cost(&self) -> Duration {
        self.cost
    }

    /// Whether it may be served as fresh.
    #[must_use]
    pub fn is_fresh(&self, now: UnixMillis) -> bool {
        now < self.fresh_until || self.fresh_until == UnixMillis::NEVER
    }

    /// Whether it may be served at all.
    #[must_use]
    pub fn is_of_use(&self, now: UnixMillis) -> bool {
        now < self.use_until || self.use_until == UnixMillis::NEVER
    }

    /// How long a store should keep it, for [`Backend::set`](super::Backend::set).
    #[must_use]
    pub fn left(&self, now: UnixMillis) -> Duration {
        self.use_until.since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_fresh_then_stale_then_of_no_use() {
        let at = UnixMillis::new;
        let times = Times::new(at(1000), Duration::from_millis(50), Duration::from_millis(20), Duration::ZERO);
        let seen = [1049, 1050, 1069, 1070].map(|now| (times.is_fresh(at(now)), times.is_of_use(at(now))));
        assert_eq!(seen, [(true, true), (false, true), (false, true), (false, false)]);
        assert_eq!(times.left(at(1000)), Duration::from_millis(70));
        assert_eq!(times.left(at(2000)), Duration::ZERO);
    }

    #[test]
    fn the_longest_spans_never_end() {
        let times = Times::new(UnixMillis::new(1), Duration::MAX, Duration::MAX, Duration::MAX);
        assert!(times.is_fresh(UnixMillis::NEVER) && times.is_of_use(UnixMillis::NEVER));
        assert_eq!(times.left(UnixMillis::new(1)), Duration::MAX);
        assert_eq!(times.cost(), Duration::from_micros(u32::MAX.into()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_wall_clock_follows_the_paused_clock() {
        let before = UnixMillis::now();
        tokio::time::advance(Duration::from_secs(3600)).await;
        let passed = UnixMillis::now().since(before);
        assert!(passed.abs_diff(Duration::from_secs(3600)) <= Duration::from_millis(1), "{passed:?}");
        assert!(before > UnixMillis::new(1_700_000_000_000), "{before:?}");
    }
}
