//! An embedder that has failed several times in a row is left alone for a while, so that calls lose no time on it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;

/// So many failures in a row begin a rest.
const FAILURES: u32 = 3;
/// The first rest, and the longest; each is twice as long as the one before, and at random between half of it and all.
const FIRST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Whether an embedder may be asked. When a rest is over, one question tries it, and the others wait for what comes of that
/// no longer than for the next rest.
#[derive(Default)]
pub(super) struct Rest(Mutex<State>);

#[derive(Default)]
struct State {
    /// In a row. Of those that were asked together no more count than it takes for a rest.
    failures: u32,
    until: Option<Instant>,
    /// Somebody tries it.
    is_tried: bool,
}

impl Rest {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn may_ask(&self) -> bool {
        let mut state = self.state();
        let now = clock::instant();
        match state.until {
            Some(until) if now < until => false,
            Some(_) => {
                // This one tries. If nobody ever hears of it, the next one does.
                state.until = Some(now + state.rest());
                state.is_tried = true;
                true
            }
            None => true,
        }
    }

    pub(super) fn answered(&self) {
        *self.state() = State::default();
    }

    pub(super) fn failed(&self) {
        let mut state = self.state();
        if state.until.is_some() && !state.is_tried {
            // It was asked before the rest began.
            return;
        }
        state.is_tried = false;
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES {
            state.until = Some(clock::instant() + state.rest());
        }
    }
}

impl State {
    fn rest(&self) -> Duration {
        let doubled = FIRST_REST * 2_u32.saturating_pow(self.failures.saturating_sub(FAILURES).min(16));
        doubled.min(LONGEST_REST).mul_f64(0.5 + 0.5 * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn three_failures_begin_a_rest_that_one_question_ends() {
        let rest = Rest::default();
        for _ in 0..2 {
            rest.failed();
            assert!(rest.may_ask());
        }
        rest.failed();
        assert!(!rest.may_ask());
        advance(FIRST_REST).await;
        assert!(rest.may_ask() && !rest.may_ask(), "one tries");
        rest.failed();
        advance(FIRST_REST / 2).await;
        assert!(!rest.may_ask(), "the next rest is longer");
        advance(LONGEST_REST).await;
        assert!(rest.may_ask());
        rest.answered();
        assert!(rest.may_ask() && rest.may_ask());
    }

    #[tokio::test(start_paused = true)]
    async fn many_failures_at_once_begin_one_rest() {
        let rest = Rest::default();
        for _ in 0..100 {
            rest.failed();
        }
        advance(FIRST_REST).await;
        assert!(rest.may_ask());
        for _ in 0..100 {
            rest.failed();
        }
        advance(2 * FIRST_REST).await;
        assert!(rest.may_ask());
    }

    #[tokio::test(start_paused = true)]
    async fn rests_grow_up_to_a_limit_and_an_answer_between_failures_begins_anew() {
        let rest = Rest::default();
        for _ in 0..100 {
            advance(LONGEST_REST).await;
            rest.may_ask();
            rest.failed();
        }
        assert!(!rest.may_ask());
        advance(LONGEST_REST).await;
        assert!(rest.may_ask());
        rest.answered();
        rest.failed();
        rest.failed();
        rest.answered();
        rest.failed();
        assert!(rest.may_ask());
    }
}
