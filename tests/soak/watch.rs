//! Finds callers that wait for ever.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::truth::TRUTH;

/// Bodies take milliseconds; the rest is for a busy machine.
const PATIENCE: Duration = Duration::from_secs(45);

/// What is waited for, by whom and since when.
type Waits = BTreeMap<u64, (Instant, Wait)>;

/// A call or refresh of a key of a function, inside of so many bodies.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    pub(crate) refresh: bool,
    pub(crate) function: usize,
    pub(crate) key: usize,
    pub(crate) depth: usize,
}

/// Apart, so that callers seldom meet here.
static SHELVES: [Mutex<Waits>; 16] = [const { Mutex::new(BTreeMap::new()) }; 16];

static LAST: AtomicU64 = AtomicU64::new(0);

/// Somebody waits while this lives.
pub(crate) struct Watched(u64);

impl Watched {
    pub(crate) fn begin(wait: Wait) -> Watched {
        let number = LAST.fetch_add(1, Relaxed);
        with(number, |waits| waits.insert(number, (Instant::now(), wait)));
        Watched(number)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        with(self.0, |waits| waits.remove(&self.0));
    }
}

fn with<R>(number: u64, act: impl FnOnce(&mut Waits) -> R) -> R {
    let shelf = &SHELVES[usize::try_from(number % 16).expect("it is small")];
    act(&mut shelf.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Reports whoever has waited for too long.
pub(crate) fn look() {
    for shelf in 0..16 {
        let late = with(shelf, |waits| waits.values().find(|(since, _)| since.elapsed() > PATIENCE).copied());
        if let Some((since, wait)) = late {
            let Wait { refresh, function, key, depth } = wait;
            let what = if refresh { "refresh" } else { "call" };
            let (spent, stats) = (since.elapsed(), TRUTH.stats(function));
            TRUTH.fault(format!("a {what} of key {key}, inside of {depth} bodies, waits for {spent:?}: {stats}"));
        }
    }
}

/// How many wait.
pub(crate) fn waiting() -> usize {
    (0..16).map(|shelf| with(shelf, |waits| waits.len())).sum()
}
