//! Monotonic time for expiry: cheap where it is read on every hit, controllable where tests pause it.

#[cfg(feature = "test-util")]
mod hand;

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::Duration;

#[cfg(feature = "test-util")]
pub(crate) use self::hand::Hand;
use crate::sync::AtomicU64;

/// A point on the process's monotonic clock. Only differences and comparisons mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// Before every other moment: what expires then was never alive.
    pub(crate) const PAST: Moment = Moment(0);

    #[inline]
    pub(crate) fn now() -> Moment {
        Moment(imp::now())
    }

    /// This moment moved by `span`; a span longer than the clock lasts means "never".
    pub(crate) fn after(self, span: Duration) -> Moment {
        Moment(self.0.saturating_add(imp::units(span)))
    }

    /// This moment moved back by `span`, but not to [`PAST`](Self::PAST).
    pub(crate) fn before(self, span: Duration) -> Moment {
        Moment(self.0.saturating_sub(imp::units(span)).max(1))
    }

    pub(crate) fn units(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) fn from_units(units: u64) -> Moment {
        Moment(units)
    }

    /// How long ago `earlier` was; zero if it is yet to come.
    pub(crate) fn since(self, earlier: Moment) -> Duration {
        imp::span(self.0.saturating_sub(earlier.0))
    }
}

/// A moment that may be put off.
pub(crate) struct AtomicMoment(AtomicU64);

impl AtomicMoment {
    pub(crate) const fn new(Moment(units): Moment) -> AtomicMoment {
        AtomicMoment(AtomicU64::new(units))
    }

    #[inline]
    pub(crate) fn get(&self) -> Moment {
        Moment(self.0.load(Relaxed))
    }

    pub(crate) fn set(&self, Moment(units): Moment) {
        self.0.store(units, Relaxed);
    }

    /// Sets it, if it is still `seen`. One of all who saw the same gets to.
    pub(crate) fn set_if(&self, Moment(seen): Moment, Moment(units): Moment) -> bool {
        self.0.compare_exchange(seen, units, AcqRel, Acquire).is_ok()
    }
}

/// Measures one execution, on the same clock that a test may have paused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(imp::Instant);

impl Stopwatch {
    pub(crate) fn start() -> Stopwatch {
        Stopwatch(imp::precisely())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        imp::precisely().saturating_duration_since(self.0)
    }

    /// When it was started.
    #[cfg(feature = "semantic")]
    pub(crate) fn began(self) -> std::time::Instant {
        imp::std(self.0)
    }
}

/// Now on tokio's clock or, with `test-util`, on the one that the caller's test has taken in hand.
#[cfg(any(debug_assertions, feature = "backends", feature = "test-util"))]
pub(crate) fn instant() -> tokio::time::Instant {
    #[cfg(feature = "test-util")]
    if let Some(hand) = Hand::here() {
        return hand.now();
    }
    tokio::time::Instant::now()
}

/// Sleeps on that clock. Who slept is not done before the result is dropped.
#[cfg(feature = "backends")]
pub(crate) async fn sleep(span: Duration) -> Slept {
    #[cfg(feature = "test-util")]
    if let Some(hand) = Hand::here() {
        return Slept { _awake: Some(hand.sleep(span).await) };
    }
    tokio::time::sleep(span).await;
    Slept {
        #[cfg(feature = "test-util")]
        _awake: None,
    }
}

/// Somebody who has slept.
#[cfg(feature = "backends")]
pub(crate) struct Slept {
    #[cfg(feature = "test-util")]
    _awake: Option<hand::Awake>,
}

/// With debug assertions or the `test-util` feature, tokio's clock: it stands still and jumps with
/// `tokio::time::pause` and `advance`. About 24 ns a look.
#[cfg(any(debug_assertions, feature = "test-util"))]
mod imp {
    use std::sync::OnceLock;
    use std::time::Duration;

    pub(super) use tokio::time::Instant;

    pub(super) use super::instant as precisely;

    #[cfg(feature = "semantic")]
    pub(super) fn std(instant: Instant) -> std::time::Instant {
        instant.into_std()
    }

    pub(super) fn now() -> u64 {
        static START: OnceLock<std::time::Instant> = OnceLock::new();
        // Long before now: a clock that was paused earlier than this first look must not stand at the start.
        let start = || {
            let now = std::time::Instant::now();
            let day = Duration::from_secs(86_400);
            [day, day / 24, day / 1440].into_iter().find_map(|ago| now.checked_sub(ago)).unwrap_or(now)
        };
        // What came before that has to be told apart, too: 73 years.
        (1 << 61) + units(precisely().into_std().saturating_duration_since(*START.get_or_init(start)))
    }

    pub(super) fn units(span: Duration) -> u64 {
        u64::try_from(span.as_nanos()).unwrap_or(u64::MAX / 2)
    }

    pub(super) fn span(units: u64) -> Duration {
        Duration::from_nanos(units)
    }
}

/// Otherwise the kernel's coarse clock (`CLOCK_MONOTONIC_COARSE` on Linux): 2–4 ns a look, one to ten
/// milliseconds of grain, no ticking thread of ours.
#[cfg(not(any(debug_assertions, feature = "test-util")))]
mod imp {
    use std::time::Duration;

    pub(super) use std::time::Instant;

    pub(super) fn precisely() -> Instant {
        Instant::now()
    }

    #[cfg(feature = "semantic")]
    pub(super) fn std(instant: Instant) -> Instant {
        instant
    }

    /// The clock begins at boot, and what came before that has to be told apart, too: 17 years.
    const START: u64 = 1 << 61;

    #[inline]
    pub(super) fn now() -> u64 {
        // `Instant::now` would also store into a process-wide cell, which every core would fight for.
        START + coarsetime::Instant::now_without_cache_update().as_ticks()
    }

    pub(super) fn units(span: Duration) -> u64 {
        // A tick is 2^-32 s, so the clock holds 136 years.
        const LONGEST: Duration = Duration::from_secs(u32::MAX as u64 / 2);
        coarsetime::Duration::from(span.min(LONGEST)).as_ticks()
    }

    pub(super) fn span(units: u64) -> Duration {
        coarsetime::Duration::from_ticks(units).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_move_forward_and_saturate() {
        let now = Moment::now();
        assert!(now > Moment::PAST);
        assert!(now.after(Duration::from_millis(1)) > now);
        assert!(now.after(Duration::MAX) > now.after(Duration::from_secs(3600)));
    }

    #[tokio::test(start_paused = true)]
    async fn follows_the_paused_clock() {
        let before = Moment::now();
        assert_eq!(before, Moment::now());
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(before.after(Duration::from_secs(5)), Moment::now());
    }
}
