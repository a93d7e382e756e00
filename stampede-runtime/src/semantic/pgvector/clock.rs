//! The database's clock, as far as it is known here.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How much two clocks may differ in a second, in microseconds.
const DRIFT: i64 = 100;

/// When something that happened here was, by the database's clock: never later than it was.
///
/// An answer says what that clock was before it arrived, by an unknown part of its way. The one that was quickest says the
/// most. So what begins here after an answer has arrived is never taken for older than what that answer told of: a `put`
/// right after a `remove` is put, however long its own answers take.
#[derive(Default)]
pub(super) struct Clock(Mutex<Option<Heard>>);

#[derive(Clone, Copy)]
struct Heard {
    /// When the answer was there.
    at: Instant,
    /// What it said: microseconds since 1970.
    micros: i64,
}

impl Heard {
    /// The earliest that the clock can have shown at a moment.
    fn told(self, moment: Instant) -> i64 {
        let span = |span: std::time::Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        let (after, before) =
            (span(moment.saturating_duration_since(self.at)), span(self.at.saturating_duration_since(moment)));
        let drift = after.max(before) / 1_000_000 * DRIFT + after.max(before) % 1_000_000 * DRIFT / 1_000_000;
        self.micros.saturating_add(after).saturating_sub(before).saturating_sub(drift)
    }
}

impl Clock {
    /// Takes note of an answer to what was asked at a moment, which has just arrived.
    pub(super) fn hear(&self, asked: Instant, micros: i64) {
        let new = Heard { at: Instant::now(), micros };
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // An earlier one stays if it says more, unless the clock was set back, and has not been there yet.
        let stays = heard.is_some_and(|old| old.told(new.at) >= micros && old.told(asked) <= micros);
        if !stays {
            *heard = Some(new);
        }
    }

    /// What it showed at a moment, at the earliest. `None`: nothing was heard of it yet.
    pub(super) fn at(&self, moment: Instant) -> Option<i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|heard| heard.told(moment))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn the_quickest_answer_tells_the_most() {
        let (clock, begun) = (Clock::default(), Instant::now());
        assert_eq!(clock.at(begun), None);
        clock.hear(begun, 100 * SECOND);
        let first = clock.at(begun).unwrap();
        assert!(first <= 100 * SECOND);
        // A slow one: it was said long before it arrived.
        clock.hear(begun, 90 * SECOND + 10 * SECOND);
        assert_eq!(clock.at(begun).unwrap(), first);
        // A later one that says more than the first does.
        clock.hear(Instant::now(), 101 * SECOND);
        assert!(clock.at(begun).unwrap() > first);
    }

    #[test]
    fn what_begins_after_an_answer_is_not_older() {
        let clock = Clock::default();
        clock.hear(Instant::now(), 100 * SECOND);
        let later = Instant::now() + Duration::from_secs(3600);
        for moment in [Instant::now(), later] {
            assert!(clock.at(moment).unwrap() >= 100 * SECOND);
        }
        // And what one does not know is on the safe side.
        assert!(clock.at(later).unwrap() < 3700 * SECOND);
    }

    #[test]
    fn a_clock_that_was_set_back_is_followed() {
        let clock = Clock::default();
        clock.hear(Instant::now(), 100 * SECOND);
        clock.hear(Instant::now(), 50 * SECOND);
        assert!(clock.at(Instant::now()).unwrap() < 51 * SECOND);
    }
}
