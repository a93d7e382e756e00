//! Whether a near hit may be trusted: what `verify` has said, what `shadow` has found, and what follows from both.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::bound::{Bound, Ticket};
use super::live::Timed;
use super::rest::Rest;
use crate::blocking;
use crate::policy::Policy;
use crate::stats::{BoundStats, ErrorRate, LevelStats, Stats, count};
use crate::tier::Work;
use crate::verdict::Verify;

/// So many verdicts of a function are remembered, the newest.
const REMEMBERED_MAX: usize = 10_000;
/// So many near questions are verified for one look-up. Then it executes.
pub(crate) const VERIFIED_MAX: usize = 3;
/// So many hits of a function are executed for comparison at once. Those beyond are not.
const SHADOWS_MAX: usize = 8;
/// The part of the hits that are verified although they are near enough, where there is no `shadow` to say it.
const AUDITED: f64 = 0.05;

/// A question, by its digest.
type Digest = [u8; 32];

/// What one function knows of its near hits.
pub(crate) struct Trust {
    function: Arc<str>,
    policy: Policy,
    has_verify: bool,
    permits: Arc<Semaphore>,
    rest: Rest,
    remembered: Mutex<Remembered>,
    bound: Option<Mutex<Bound>>,
    shadows: AtomicUsize,
    /// The last verdict could not be had.
    is_broken: AtomicBool,
    counted: Counted,
}

#[derive(Default)]
struct Counted {
    same: AtomicU64,
    different: AtomicU64,
    remembered: AtomicU64,
    timed_out: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    saturated: AtomicU64,
    resting: AtomicU64,
    time: Timed,
    compared: AtomicU64,
    disagreed: AtomicU64,
    uncompared: AtomicU64,
    skipped: AtomicU64,
    unverified: AtomicU64,
    unproven: AtomicU64,
}

/// Verdicts, by what they are of.
#[derive(Default)]
struct Remembered {
    verdicts: HashMap<Digest, bool>,
    oldest_first: VecDeque<Digest>,
}

/// What is to be done about a near answer before it may be taken.
pub(crate) enum Wish {
    /// Nothing. It may be executed for comparison then.
    Take(Option<Ticket>),
    /// To ask `verify`. What it says is to be learnt, if there is a ticket.
    Verify(Option<Ticket>),
    /// To execute the question, and to compare what comes of it.
    Execute(Ticket),
}

/// A pair of questions about which `verify` is to be asked, and an answer.
pub(crate) struct Pair<V> {
    pub(crate) asked: String,
    pub(crate) found: String,
    pub(crate) value: V,
    /// Of both and of the answer. `None`: what is said of it is not remembered.
    pub(crate) digest: Option<Digest>,
}

/// Of both questions and of the answer.
pub(crate) fn digest_of(asked: &Digest, found: &Digest, answer: &Digest) -> Digest {
    *blake3::Hasher::new().update(asked).update(found).update(answer).finalize().as_bytes()
}

/// What is known of a pair of questions.
pub(crate) enum Known {
    Verdict(bool),
    /// It cannot be known now.
    Nothing,
    /// Once that has been asked. `None`: it cannot be known now.
    Asked(Work<Option<bool>>),
}

impl Trust {
    pub(crate) fn new(function: &Arc<str>, policy: &Policy, has_verify: bool, can_compare: bool) -> Option<Arc<Trust>> {
        (has_verify || can_compare).then(|| {
            Arc::new(Trust {
                function: Arc::clone(function),
                has_verify,
                permits: Arc::new(Semaphore::new(policy.verify_concurrent)),
                rest: Rest::default(),
                remembered: Mutex::default(),
                bound: policy.max_error.map(|max_error| Mutex::new(Bound::new(max_error))),
                shadows: AtomicUsize::new(0),
                is_broken: AtomicBool::new(false),
                counted: Counted::default(),
                policy: policy.clone(),
            })
        })
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bound(&self) -> Option<MutexGuard<'_, Bound>> {
        self.bound.as_ref().map(|bound| bound.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How near a question in flight has to be to be joined.
    pub(crate) fn least(&self) -> f32 {
        match self.bound() {
            // Nothing is as near as that.
            Some(bound) if !self.has_verify => bound.threshold().map_or(2.0, |least| least.max(self.policy.threshold)),
            _ => self.policy.threshold,
        }
    }

    /// What is to be done about an answer from the index. `is_nearest`: no nearer one has been looked at.
    pub(crate) fn wish(&self, similarity: f32, is_nearest: bool) -> Wish {
        let Some(bound) = self.bound() else {
            return if self.has_verify { Wish::Verify(None) } else { Wish::Take(None) };
        };
        let audited = if self.has_verify && self.policy.shadow == 0.0 { AUDITED } else { self.policy.shadow };
        let is_audited = fastrand::f64() < audited;
        let ticket = bound.look(similarity, is_audited);
        drop(bound);
        // What comes after a refused one is another kind of question: it is judged, and nothing is learnt from it.
        let label = Some(ticket).filter(|_| is_nearest);
        match (ticket.is_served && is_nearest, self.has_verify) {
            (true, true) if is_audited => Wish::Verify(label),
            (true, true) => {
                count(&self.counted.unverified);
                Wish::Take(None)
            }
            (true, false) => {
                count(&self.counted.unverified);
                Wish::Take(label.filter(|_| is_audited))
            }
            (false, true) => {
                count(&self.counted.unproven);
                Wish::Verify(label)
            }
            (false, false) => {
                count(&self.counted.unproven);
                Wish::Execute(ticket)
            }
        }
    }

    /// The same of the answer of an execution that was joined.
    pub(crate) fn verifies_joined(&self, similarity: f32) -> bool {
        let is_proven = self.bound().is_some_and(|bound| bound.threshold().is_some_and(|least| similarity >= least));
        self.has_verify && !is_proven
    }

    /// Whether a hit that is taken is one to be executed for comparison, if that is possible now.
    pub(crate) fn shadow(self: &Arc<Self>, ticket: Option<Ticket>, is_joined: bool) -> Option<Shadowing> {
        // A ticket is one of the share already.
        let learns = self.bound.is_some() && !self.has_verify && !is_joined;
        let is_chosen = if learns { ticket.is_some() } else { fastrand::f64() < self.policy.shadow };
        if !is_chosen {
            return None;
        }
        let shadowing = Shadowing { trust: Arc::clone(self), ticket };
        if self.shadows.fetch_add(1, SeqCst) >= SHADOWS_MAX {
            count(&self.counted.skipped);
            return None;
        }
        Some(shadowing)
    }

    /// It is known whether an answer was a wrong one.
    pub(crate) fn learn(&self, ticket: Option<Ticket>, is_wrong: bool) {
        if let (Some(ticket), Some(mut bound)) = (ticket, self.bound()) {
            bound.learn(ticket, is_wrong);
        }
    }

    /// Whether two questions mean the same, so that the answer of one is the other's. It is asked until `until` at most.
    pub(crate) fn know<V: Send + 'static>(
        self: &Arc<Self>,
        verify: Verify<V>,
        pair: impl FnOnce() -> Option<Pair<V>>,
        digest: Option<&Digest>,
        until: Instant,
    ) -> Known {
        if let Some(verdict) = digest.and_then(|digest| self.remembered().verdicts.get(digest).copied()) {
            count(&self.counted.remembered);
            return Known::Verdict(verdict);
        }
        if until <= Instant::now() {
            count(&self.counted.timed_out);
            return Known::Nothing;
        }
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            count(&self.counted.saturated);
            return Known::Nothing;
        };
        if !self.rest.may_ask() {
            count(&self.counted.resting);
            return Known::Nothing;
        }
        let Some(pair) = pair() else {
            count(&self.counted.failed);
            return Known::Nothing;
        };
        Known::Asked(Box::pin(Arc::clone(self).ask(verify, pair, permit, until)))
    }

    async fn ask<V: Send + 'static>(
        self: Arc<Self>,
        verify: Verify<V>,
        pair: Pair<V>,
        permit: OwnedSemaphorePermit,
        until: Instant,
    ) -> Option<bool> {
        let _permit = permit;
        let Pair { asked, found, value, digest } = pair;
        let since = Instant::now();
        let judging = async move {
            match catch_unwind(AssertUnwindSafe(|| verify(asked, found, value))) {
                Ok(judging) => Caught(judging).await,
                Err(_) => None,
            }
        };
        let verdict = timeout_at(until, blocking::in_workshop(judging)).await.map(Option::flatten);
        self.counted.time.took(since.elapsed());
        let (counter, problem) = match verdict {
            Ok(Some(Ok(verdict))) => {
                self.rest.answered();
                self.is_broken.store(false, Relaxed);
                count(if verdict { &self.counted.same } else { &self.counted.different });
                if let Some(digest) = digest {
                    self.remembered().keep(digest, verdict);
                }
                return Some(verdict);
            }
            Ok(Some(Err(error))) => (&self.counted.failed, error.to_string()),
            Ok(None) => (&self.counted.panicked, "it has panicked".to_owned()),
            Err(_) => (&self.counted.timed_out, "it did not answer in time".to_owned()),
        };
        count(counter);
        self.rest.failed();
        if !self.is_broken.swap(true, Relaxed) {
            tracing::warn!(
                target: "stampede", function = &*self.function, error = problem,
                "`verify` does not answer; near questions are executed",
            );
        }
        None
    }

    /// What was said of all questions is forgotten.
    pub(crate) fn clear(&self) {
        let remembered = std::mem::take(&mut *self.remembered());
        drop(remembered);
    }

    pub(crate) fn add_stats(&self, stats: &mut Stats) {
        let Counted {
            same,
            different,
            remembered,
            timed_out,
            failed,
            panicked,
            saturated,
            resting,
            time,
            compared,
            disagreed,
            uncompared,
            skipped,
            unverified,
            unproven,
        } = &self.counted;
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let verify = &mut stats.semantic.verify;
        verify.same += read(same);
        verify.different += read(different);
        verify.remembered += read(remembered);
        verify.timed_out += read(timed_out);
        verify.failed += read(failed);
        verify.panicked += read(panicked);
        verify.saturated += read(saturated);
        verify.resting += read(resting);
        verify.time = time.read();
        let shadow = &mut stats.semantic.shadow;
        shadow.compared += read(compared);
        shadow.disagreed += read(disagreed);
        shadow.failed += read(uncompared);
        shadow.skipped += read(skipped);
        if let (Some(bound), Some(max_error)) = (self.bound(), self.policy.max_error) {
            let (labels, served) = (bound.labels(), bound.of_served());
            let threshold = bound.threshold();
            let level = |at: super::bound::At| LevelStats {
                from: at.from,
                labels: at.labels.all,
                wrong: at.labels.wrong,
                is_served: at.is_served,
            };
            stats.semantic.bound = Some(BoundStats {
                max_error,
                threshold,
                labels: labels.all,
                wrong: labels.wrong,
                served: threshold.map(|_| ErrorRate::of(served)),
                hits: read(unverified),
                unproven: read(unproven),
                resets: bound.resets(),
                levels: bound.levels().into_iter().map(level).collect(),
            });
        }
        stats.derive();
    }

    /// What was learnt stays.
    pub(crate) fn reset_stats(&self) {
        let Counted {
            same,
            different,
            remembered,
            timed_out,
            failed,
            panicked,
            saturated,
            resting,
            time,
            compared,
            disagreed,
            uncompared,
            skipped,
            unverified,
            unproven,
        } = &self.counted;
        let plain = [
            same, different, remembered, timed_out, failed, panicked, saturated, resting, compared, disagreed,
            uncompared, skipped, unverified, unproven,
        ];
        for counter in plain.into_iter().chain(time.counters()) {
            counter.store(0, Relaxed);
        }
    }
}

impl Remembered {
    fn keep(&mut self, digest: Digest, verdict: bool) {
        if self.verdicts.insert(digest, verdict).is_none() {
            self.oldest_first.push_back(digest);
        }
        while self.verdicts.len() > REMEMBERED_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.verdicts.remove(&oldest);
        }
    }
}

/// A hit that is executed for comparison.
pub(crate) struct Shadowing {
    trust: Arc<Trust>,
    ticket: Option<Ticket>,
}

impl Shadowing {
    /// It could not be.
    pub(crate) fn skip(self) {
        count(&self.trust.counted.skipped);
    }
}

impl Drop for Shadowing {
    fn drop(&mut self) {
        self.trust.shadows.fetch_sub(1, SeqCst);
    }
}

/// What an execution is compared with.
pub(crate) struct Against<V> {
    /// The answer of the near question.
    old: V,
    trust: Arc<Trust>,
    ticket: Option<Ticket>,
    /// It was served.
    shadowing: Option<Shadowing>,
}

impl<V> Against<V> {
    /// What was not served.
    pub(crate) fn unproven(trust: &Arc<Trust>, old: V, ticket: Ticket) -> Against<V> {
        Against { old, trust: Arc::clone(trust), ticket: Some(ticket), shadowing: None }
    }

    pub(crate) fn served(shadowing: Shadowing, old: V) -> Against<V> {
        let (trust, ticket) = (Arc::clone(&shadowing.trust), shadowing.ticket);
        Against { old, trust, ticket, shadowing: Some(shadowing) }
    }

    /// Compares it with what was executed.
    pub(crate) fn compare(mut self, agree: fn(&V, &V) -> bool, new: &V) {
        // The user's function, which must not be in the way of what was executed.
        let agrees = catch_unwind(AssertUnwindSafe(|| agree(&self.old, new)));
        let shadowing = self.shadowing.take();
        let counted = &self.trust.counted;
        match agrees {
            Ok(agrees) => {
                if shadowing.is_some() {
                    count(&counted.compared);
                    if !agrees {
                        count(&counted.disagreed);
                    }
                }
                self.trust.learn(self.ticket, !agrees);
            }
            Err(_) => count(&counted.uncompared),
        }
    }
}

impl<V> Drop for Against<V> {
    fn drop(&mut self) {
        if self.shadowing.is_some() {
            count(&self.trust.counted.uncompared);
        }
    }
}

/// A verdict on its way. `None`: it panics.
struct Caught<F>(F);

impl<T, F: Future<Output = T> + Unpin> Future for Caught<F> {
    type Output = Option<T>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<T>> {
        match catch_unwind(AssertUnwindSafe(|| std::pin::Pin::new(&mut self.0).poll(cx))) {
            Ok(poll) => poll.map(Some),
            Err(_) => std::task::Poll::Ready(None),
        }
    }
}
