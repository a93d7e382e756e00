//! A backend behind a circuit breaker: one that has failed several times in a row is left alone for a while, so that calls
//! lose no time on it.
//!
//! *Closed*, everything is asked of it. *Open*, nothing is. When its rest is over, it is pinged in the background
//! (*half-open*), and nobody's call waits for that: an answer closes the breaker, and otherwise the next rest is twice as
//! long. Rests are of random length, so that the processes of a fleet do not come back all at once. (Nygard, "Release
//! It!", 2007, has the pattern.)
//!
//! A store with parts that fail one by one, the nodes of a cluster, has a breaker for each: keys of the others never pay for a
//! sick one.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::tokens::Said;
use super::{Backend, BackendError, BackendErrorKind, Pending, Prefix, StoreKey};
use crate::clock;
use crate::home::Home;
use crate::pattern::Pattern;
use crate::stats::BackendState;

/// So many failures in a row open the breaker.
const FAILURES: u32 = 3;
/// The first rest, and the longest; each is at random between half of it and all.
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(2);
/// When nobody has asked for it for so long, it is not tried any more until somebody does.
const QUIET_AFTER: Duration = Duration::from_secs(60);
/// That the backend does not want to is said so often at most.
const REFUSALS_TOLD_EVERY: Duration = Duration::from_secs(60);
/// How long a ping may take.
const PING: Duration = Duration::from_millis(500);

pub(crate) struct Guarded<B: ?Sized = dyn Backend> {
    /// As the configuration calls it.
    name: String,
    backend: Arc<B>,
    /// What was said of tags and has not arrived.
    pub(crate) said: Said,
    /// How many walks through all of its keys are under way.
    pub(crate) walks: AtomicUsize,
    /// One for each part, by its number.
    breakers: Box<[Breaker]>,
    refusal_told: Mutex<Option<Instant>>,
}

/// The part of a store that has no others, and of what is about no key.
pub(crate) const WHOLE: usize = 0;

#[derive(Default)]
struct Breaker {
    /// In a row.
    failures: AtomicU32,
    state: AtomicU8,
    /// Who tries it again and again, and when it was last seen to. Its runtime may end, or not move any more.
    probing: Mutex<(u64, Option<Instant>)>,
    /// Somebody would have asked it since it was last tried.
    is_wanted: AtomicBool,
    /// The last answer to each was none. When the first comes and the last goes, it is logged.
    is_broken: [AtomicBool; 3],
}

/// What is asked of a backend. It may be broken for the one and not for the other.
#[derive(Clone, Copy)]
pub(crate) enum Verb {
    Read,
    Write,
    Remove,
}

const CLOSED: u8 = 0;
const OPEN: u8 = 1;
const HALF_OPEN: u8 = 2;

/// What can be asked whether it answers.
pub(crate) trait Pings: Send + Sync + 'static {
    /// How many parts it has.
    fn count(&self) -> usize;

    fn ping(&self, part: usize) -> Pending<'_, ()>;
}

impl Pings for dyn Backend {
    fn count(&self) -> usize {
        self.parts().map_or(1, |parts| parts.count().max(1))
    }

    fn ping(&self, part: usize) -> Pending<'_, ()> {
        match self.parts() {
            Some(parts) => parts.ping(part),
            None => Backend::ping(self),
        }
    }
}

#[cfg(feature = "semantic")]
impl Pings for dyn crate::semantic::Index {
    fn count(&self) -> usize {
        1
    }

    fn ping(&self, _: usize) -> Pending<'_, ()> {
        crate::semantic::Index::ping(self)
    }
}

impl<B: ?Sized> fmt::Debug for Guarded<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Guarded {
    /// Takes out what begins so, or of it what matches.
    pub(crate) async fn clear_some(
        self: &Arc<Self>,
        prefix: &Prefix,
        pattern: Option<&Pattern>,
        budget: Duration,
    ) -> Result<(), BackendError> {
        let cleared = match pattern {
            Some(pattern) => self.ask_whole(budget, self.backend.clear_matching(prefix, pattern)).await,
            None => self.ask_whole(budget, self.backend.clear(prefix)).await,
        };
        match &cleared {
            Ok(_) => self.works(WHOLE, Some(Verb::Remove)),
            Err(error) => self.fails(WHOLE, Verb::Remove, "invalidation", error),
        }
        cleared.map(drop)
    }

    /// Where a key is now.
    pub(crate) fn part(&self, key: &StoreKey) -> usize {
        match self.backend.parts() {
            Some(parts) => parts.of(key).min(self.breakers.len() - 1),
            None => WHOLE,
        }
    }

    /// Which of several keys are where, each by its place among them.
    pub(crate) fn by_part<'a>(&self, keys: impl ExactSizeIterator<Item = &'a StoreKey>) -> Vec<(usize, Vec<usize>)> {
        if self.breakers.len() == 1 {
            return vec![(WHOLE, (0..keys.len()).collect())];
        }
        let mut parts = std::collections::BTreeMap::<usize, Vec<usize>>::new();
        for (at, key) in keys.enumerate() {
            parts.entry(self.part(key)).or_default().push(at);
        }
        parts.into_iter().collect()
    }
}

impl<B: Pings + ?Sized> Guarded<B> {
    pub(crate) fn new(name: String, backend: Arc<B>) -> Arc<Guarded<B>> {
        let breakers = (0..backend.count()).map(|_| Breaker::default()).collect();
        Arc::new(Guarded {
            name,
            backend,
            said: Said::default(),
            walks: AtomicUsize::new(0),
            breakers,
            refusal_told: Mutex::new(None),
        })
    }

    #[cfg(feature = "semantic")]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn backend(&self) -> &B {
        &self.backend
    }

    /// How much is on its way to it that is no function's.
    pub(crate) fn under_way(&self) -> usize {
        self.said.under_way() + self.walks.load(SeqCst)
    }

    /// What the breaker is now; of several, the one that is worst off.
    pub(crate) fn state(&self) -> BackendState {
        let state = |breaker: &Breaker| match breaker.state.load(SeqCst) {
            CLOSED => BackendState::Closed,
            HALF_OPEN => BackendState::HalfOpen,
            _ => BackendState::Open,
        };
        self.breakers.iter().map(state).max().unwrap_or(BackendState::Closed)
    }

    /// Whether a part is left alone now.
    pub(crate) fn rests(&self, part: usize) -> bool {
        self.breakers[part].state.load(SeqCst) != CLOSED
    }

    /// Waits for an answer of a part, for so long at most, unless it is to be left alone.
    pub(crate) async fn ask<T>(
        self: &Arc<Self>,
        part: usize,
        budget: Duration,
        answer: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        if self.rests(part) {
            self.wanted(part);
            return Err(BackendErrorKind::Resting.into());
        }
        let answer = in_time(budget, answer).await;
        match &answer {
            Err(error) if breaks(error.kind()) => self.failed(part),
            _ => self.answered(part),
        }
        answer
    }

    /// The same of what all parts have to answer. Which of several has failed, it does not say.
    pub(crate) async fn ask_whole<T>(
        self: &Arc<Self>,
        budget: Duration,
        answer: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        if self.breakers.len() == 1 {
            return self.ask(WHOLE, budget, answer).await;
        }
        let resting: Vec<usize> = (0..self.breakers.len()).filter(|part| self.rests(*part)).collect();
        for part in &resting {
            self.wanted(*part);
        }
        if resting.is_empty() { in_time(budget, answer).await } else { Err(BackendErrorKind::Resting.into()) }
    }

    /// Somebody would have asked a part that rests.
    fn wanted(self: &Arc<Self>, part: usize) {
        self.breakers[part].is_wanted.store(true, Relaxed);
        self.probe(part);
    }

    /// Says that a part is well again, when that is news.
    pub(crate) fn works(&self, part: usize, asked: Option<Verb>) {
        let breaker = &self.breakers[part];
        if let Some(asked) = asked
            && breaker.is_broken[asked as usize].load(Relaxed)
            && breaker.changes(asked, false)
        {
            tracing::info!(
                target: "stampede", backend = self.name, part = self.shown(part),
                "the backend answers again",
            );
        }
    }

    /// Says what is wrong with a part, when that is news.
    pub(crate) fn fails(&self, part: usize, asked: Verb, function: &str, error: &BackendError) {
        let is_news = match error.kind() {
            // An entry that is too large says nothing of the next one, and one that was not asked nothing at all.
            BackendErrorKind::TooLarge | BackendErrorKind::Resting => false,
            BackendErrorKind::Refused => self.refuses_for_long(),
            _ => self.breakers[part].changes(asked, true),
        };
        if is_news {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(
                target: "stampede", backend = self.name, part = self.shown(part), function, %error, cause,
                "the backend fails; calls go on without it",
            );
        }
    }

    /// The number of a part, where there are others.
    fn shown(&self, part: usize) -> Option<usize> {
        (self.breakers.len() > 1).then_some(part)
    }

    /// Whether it has been a while since a refusal was told. It may be for one key or one command, among others that are
    /// well.
    fn refuses_for_long(&self) -> bool {
        let mut told = self.refusal_told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_long = told.is_none_or(|told| told.elapsed() > REFUSALS_TOLD_EVERY);
        if is_long {
            *told = Some(Instant::now());
        }
        is_long
    }

    fn answered(&self, part: usize) {
        let breaker = &self.breakers[part];
        if breaker.failures.load(Relaxed) != 0 {
            breaker.failures.store(0, Relaxed);
        }
        // One that was asked before it opened.
        if breaker.state.load(Relaxed) != CLOSED {
            breaker.state.store(CLOSED, SeqCst);
        }
    }

    fn failed(self: &Arc<Self>, part: usize) {
        let breaker = &self.breakers[part];
        let failures = breaker.failures.fetch_add(1, Relaxed) + 1;
        if failures >= FAILURES && breaker.state.compare_exchange(CLOSED, OPEN, SeqCst, SeqCst).is_ok() {
            breaker.is_wanted.store(true, Relaxed);
            self.probe(part);
        }
    }

    /// Has a part tried in the background until it answers, or nobody wants it any more.
    fn probe(self: &Arc<Self>, part: usize) {
        let Some(me) = self.breakers[part].begin_probing() else { return };
        let guarded = Arc::clone(self);
        Home::around().unwrap_or(Home::Threads).run_outside(async move {
            let breaker = &guarded.breakers[part];
            let (mut rest, mut wanted) = (FIRST_REST, Instant::now());
            while breaker.state.load(SeqCst) != CLOSED && wanted.elapsed() < QUIET_AFTER {
                let _slept = clock::sleep(rest.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
                if !breaker.goes_on_probing(me) {
                    return;
                }
                if breaker.is_wanted.swap(false, Relaxed) {
                    wanted = Instant::now();
                }
                // Unless something that was asked before has been answered after all.
                let _ = breaker.state.compare_exchange(OPEN, HALF_OPEN, SeqCst, SeqCst);
                if in_time(PING, guarded.backend.ping(part)).await.is_ok() {
                    guarded.answered(part);
                }
                let _ = breaker.state.compare_exchange(HALF_OPEN, OPEN, SeqCst, SeqCst);
                rest = LONGEST_REST.min(rest * 2);
            }
            breaker.end_probing(me);
        });
    }
}

impl Breaker {
    /// Notes whether its part is broken for what was asked. Returns whether that changes whether it is for anything.
    fn changes(&self, asked: Verb, is_broken: bool) -> bool {
        let for_anything = || self.is_broken.iter().any(|is_broken| is_broken.load(SeqCst));
        let before = for_anything();
        self.is_broken[asked as usize].store(is_broken, SeqCst);
        for_anything() != before
    }

    fn probing(&self) -> MutexGuard<'_, (u64, Option<Instant>)> {
        self.probing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a new prober, if there is none that is still alive.
    fn begin_probing(&self) -> Option<u64> {
        let mut probing = self.probing();
        let is_alive = probing.1.is_some_and(|seen| seen.elapsed() < 2 * (LONGEST_REST + PING));
        if is_alive {
            return None;
        }
        *probing = (probing.0 + 1, Some(Instant::now()));
        Some(probing.0)
    }

    fn goes_on_probing(&self, me: u64) -> bool {
        let mut probing = self.probing();
        let is_me = probing.0 == me;
        if is_me {
            probing.1 = Some(Instant::now());
        }
        is_me
    }

    fn end_probing(&self, me: u64) {
        let mut probing = self.probing();
        if probing.0 == me {
            probing.1 = None;
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
