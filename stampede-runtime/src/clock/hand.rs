//! A clock that a test has taken in hand: it stands still, and moves when it is told to.

use std::collections::HashMap;
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::registry;

/// How many clocks there are. While there are none, a look at the time costs a look at this.
static HANDS: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug)]
pub(crate) struct Hand {
    at: watch::Sender<Instant>,
    /// How often somebody has looked. Each look is a nanosecond later than the one before, so that what comes before what
    /// can still be told.
    looks: AtomicU64,
    /// Until when each of those sleeps who has not yet done what it sleeps for.
    sleepers: Mutex<HashMap<u64, Option<Instant>>>,
}

impl Hand {
    /// A clock that stands still from now on.
    pub(crate) fn new() -> Arc<Hand> {
        HANDS.fetch_add(1, Release);
        Arc::new(Hand { at: watch::Sender::new(Instant::now()), looks: AtomicU64::new(0), sleepers: Mutex::default() })
    }

    /// The clock of the caller's isolation, if its test has taken it in hand.
    pub(crate) fn here() -> Option<Arc<Hand>> {
        (HANDS.load(Acquire) > 0).then(|| registry::current().hand()).flatten()
    }

    pub(crate) fn now(&self) -> Instant {
        let looks = self.looks.fetch_add(1, Relaxed);
        *self.at.borrow() + Duration::from_nanos(looks)
    }

    /// `false`: the clock cannot count so far, and stays where it is.
    pub(crate) fn advance(&self, span: Duration) -> bool {
        self.at.send_if_modified(|at| {
            // Room for the looks.
            let later = at.checked_add(span).filter(|later| later.checked_add(CENTURY).is_some());
            *at = later.unwrap_or(*at);
            later.is_some()
        })
    }

    /// Returns when the clock has moved so far. Who sleeps is not done before the result is dropped.
    #[cfg(feature = "backends")]
    pub(crate) async fn sleep(self: Arc<Self>, span: Duration) -> Awake {
        let mut at = self.at.subscribe();
        let until = at.borrow().checked_add(span);
        let sleeper = self.looks.fetch_add(1, Relaxed);
        self.sleepers().insert(sleeper, until);
        let awake = Awake { hand: self, sleeper };
        // There is always a sender, the one in `self`.
        let _ = at.wait_for(|at| until.is_some_and(|until| *at >= until)).await;
        awake
    }

    /// Whether somebody has slept long enough and is not done.
    pub(crate) fn is_busy(&self) -> bool {
        let at = *self.at.borrow();
        self.sleepers().values().any(|until| until.is_some_and(|until| at >= until))
    }

    fn sleepers(&self) -> MutexGuard<'_, HashMap<u64, Option<Instant>>> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who has slept.
#[cfg(feature = "backends")]
pub(crate) struct Awake {
    hand: Arc<Hand>,
    sleeper: u64,
}

#[cfg(feature = "backends")]
impl Drop for Awake {
    fn drop(&mut self) {
        self.hand.sleepers().remove(&self.sleeper);
        registry::a_flight_ended();
    }
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

impl Drop for Hand {
    fn drop(&mut self) {
        HANDS.fetch_sub(1, Relaxed);
    }
}
