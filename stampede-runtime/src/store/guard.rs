//! A backend behind a circuit breaker: one that has failed several times in a row is left alone for a while, so that calls
//! lose no time on it.
//!
//! *Closed*, everything is asked of it. *Open*, nothing is. When its rest is over, the next who would ask it has it
//! pinged in the background (*half-open*), and nobody's call waits for that: an answer closes the breaker, and otherwise
//! the next rest is twice as long. Rests are of random length, so that the processes of a fleet do not come back all at
//! once. (Nygard, "Release It!", 2007, has the pattern.)

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::{Backend, BackendError, BackendErrorKind};
use crate::home::Home;
use crate::stats::BackendState;

/// So many failures in a row open the breaker.
const FAILURES: u32 = 3;
/// The first rest, and the longest; each is at random between half of it and all.
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(2);
/// How long a ping may take.
const PING: Duration = Duration::from_millis(500);

pub(crate) struct Guarded {
    /// As the configuration calls it.
    name: String,
    backend: Arc<dyn Backend>,
    /// Looked at first, since it almost always is.
    is_closed: AtomicBool,
    breaker: Mutex<Breaker>,
    /// The last answer to each was none. When the first comes and the last goes, it is logged.
    is_broken: [AtomicBool; 3],
    /// That it does not want to has been said: it may be for one key or one command, among others that are well.
    has_refused: AtomicBool,
}

/// What is asked of a backend. It may be broken for the one and not for the other.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    Read,
    Write,
    Remove,
}

struct Breaker {
    /// In a row.
    failures: u32,
    rest: Duration,
    state: State,
}

enum State {
    Closed,
    Open { until: Instant },
    HalfOpen,
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Guarded {
    pub(crate) fn new(name: String, backend: Arc<dyn Backend>) -> Arc<Guarded> {
        let breaker = Mutex::new(Breaker { failures: 0, rest: FIRST_REST, state: State::Closed });
        let (is_closed, is_broken, has_refused) = (AtomicBool::new(true), Default::default(), AtomicBool::new(false));
        Arc::new(Guarded { name, backend, is_closed, breaker, is_broken, has_refused })
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// What the breaker is now.
    pub(crate) fn state(&self) -> BackendState {
        match self.breaker().state {
            State::Closed => BackendState::Closed,
            State::Open { .. } => BackendState::Open,
            State::HalfOpen => BackendState::HalfOpen,
        }
    }

    /// Waits for an answer of the backend, for so long at most, unless it is to be left alone.
    pub(super) async fn ask<T>(
        self: &Arc<Self>,
        asked: Asked,
        budget: Duration,
        function: &str,
        answer: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        if !self.is_closed.load(SeqCst) {
            self.half_open();
            return Err(BackendErrorKind::Resting.into());
        }
        let answer = in_time(budget, answer).await;
        match &answer {
            Err(error) if breaks(error.kind()) => self.failed(),
            _ => self.answered(),
        }
        match &answer {
            Err(error) => self.log(asked, function, error),
            Ok(_) if self.is_broken[asked as usize].load(Relaxed) && self.changes(asked, false) => {
                tracing::info!(target: "stampede", backend = self.name, "the backend answers again");
            }
            Ok(_) => (),
        }
        answer
    }

    /// Says what is wrong, when that is news.
    fn log(&self, asked: Asked, function: &str, error: &BackendError) {
        let is_news = match error.kind() {
            // An entry that is too large says nothing of the next one.
            BackendErrorKind::TooLarge => false,
            BackendErrorKind::Refused => !self.has_refused.swap(true, SeqCst),
            _ => self.changes(asked, true),
        };
        if is_news {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(
                target: "stampede", backend = self.name, function, %error, cause,
                "the backend fails; calls go on without it",
            );
        }
    }

    /// Notes whether the backend is broken for what was asked. Returns whether that changes whether it is for anything.
    fn changes(&self, asked: Asked, is_broken: bool) -> bool {
        let for_anything = || self.is_broken.iter().any(|is_broken| is_broken.load(SeqCst));
        let before = for_anything();
        self.is_broken[asked as usize].store(is_broken, SeqCst);
        for_anything() != before
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self) {
        // A race with a failure costs at most one count.
        if self.is_closed.load(SeqCst) {
            let mut breaker = self.breaker();
            breaker.failures = 0;
            if matches!(breaker.state, State::Closed) {
                return;
            }
        }
        self.close();
    }

    fn failed(&self) {
        let mut breaker = self.breaker();
        breaker.failures += 1;
        if breaker.failures >= FAILURES && matches!(breaker.state, State::Closed) {
            breaker.open(FIRST_REST);
            self.is_closed.store(false, SeqCst);
        }
    }

    fn close(&self) {
        let mut breaker = self.breaker();
        if matches!(breaker.state, State::Closed) {
            return;
        }
        (breaker.failures, breaker.state) = (0, State::Closed);
        self.is_closed.store(true, SeqCst);
    }

    /// Has it pinged, if its rest is over and nobody does.
    fn half_open(self: &Arc<Self>) {
        let mut breaker = self.breaker();
        if !matches!(breaker.state, State::Open { until } if until <= Instant::now()) {
            return;
        }
        breaker.state = State::HalfOpen;
        drop(breaker);
        let probe = Probe { guarded: Arc::clone(self) };
        Home::around().unwrap_or(Home::Threads).run_outside(async move {
            if in_time(PING, probe.guarded.backend.ping()).await.is_ok() {
                probe.guarded.close();
            }
        });
    }
}

impl Breaker {
    /// Open, for about so long.
    fn open(&mut self, rest: Duration) {
        self.rest = rest.min(LONGEST_REST);
        self.state = State::Open { until: Instant::now() + self.rest.mul_f64(0.5 + 0.5 * fastrand::f64()) };
    }
}

/// A ping under way. Dropped without an answer, also because its runtime ends, it has failed.
struct Probe {
    guarded: Arc<Guarded>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        let mut breaker = self.guarded.breaker();
        if let State::HalfOpen = breaker.state {
            let rest = breaker.rest * 2;
            breaker.open(rest);
        }
    }
}

/// Whether an error says that the next one who asks will lose time, too.
fn breaks(kind: BackendErrorKind) -> bool {
    matches!(kind, BackendErrorKind::Unreachable | BackendErrorKind::TimedOut | BackendErrorKind::Other)
}

/// An answer within so long, or an error. A backend may be anybody's, and panic.
async fn in_time<T>(
    budget: Duration,
    answer: impl Future<Output = Result<T, BackendError>>,
) -> Result<T, BackendError> {
    let mut answer = pin!(tokio::time::timeout(budget, answer));
    let answer = poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx)))
            .unwrap_or_else(|_| Poll::Ready(Ok(Err(BackendErrorKind::Other.into()))))
    });
    answer.await.unwrap_or_else(|_| Err(BackendErrorKind::TimedOut.into()))
}
