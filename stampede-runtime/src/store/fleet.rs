//! A backend with leases as the tier of one function: of all processes, one makes the value of a key, and the others wait
//! for it.
//!
//! A flight asks for the value. Either it is there; or the flight is given the *lease* of the key, runs its body, and ends
//! the lease with what came of it; or another process has the lease. Then it waits: until a message tells that the lease
//! has ended, and in case that is lost until it looks again, and at most until the lease has run out. Then it asks anew.
//!
//! A value that is there is cheaper to read than to ask for so: where the last flight of the function found one, the next
//! reads first, and asks only if there is none.
//!
//! A lease is lengthened while its body runs, so it runs out only when its process is dead, stopped or cut off. Whatever
//! such a process says later is refused: its token is not the newest any more.
//!
//! All this saves executions; it is not mutual exclusion. Where the backend fails, a body runs for its own process alone,
//! and what comes of it is not stored: nobody could tell whether it is the newest.

mod held;
mod outcome;

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use tokio::time::Instant;

pub(super) use self::held::Leased;
use self::held::{GiveBack, Held, give_back};
use self::outcome::Outcome;

use super::guard::Verb;
use super::lease::{Acquired, Asked, Token, Waiter, Wish, number_of_its_own};
use super::tier::{Shared, untagged};
use super::tokens::{self, both};
use super::{BackendError, BackendErrorKind, Envelope, Storable, StoreKey, UnixMillis};
use crate::blocking;
use crate::coalescer::Function;
use crate::error::Error;
use crate::hooks::Keeping;
use crate::key::Id;
use crate::pattern::Pattern;
use crate::stats::{Stats, count};
use crate::tags::Tagged;
use crate::tier::{Answer, Found, Kept, Lease, Look, Origin, Tier, Wanted, Work};

/// How long an outcome that is not kept is there for those who waited.
const OUTCOME: Duration = Duration::from_secs(2);
/// Those who wait for a message look again after a tenth of the lease, within these bounds, and then each time after twice as long,
/// to half of the lease: one that gets lost costs about as long as was waited already, and thousands who wait long do not
/// keep a store busy. Without messages they begin with the first, and double it to the second.
const SHORTEST_POLL: Duration = Duration::from_millis(25);
const LONGEST_POLL: Duration = Duration::from_millis(500);
/// A body that another body waits for may be what that other's lease waits for, in another process. So it waits for so many
/// leases at most.
const NESTED_LEASES: u32 = 10;
/// A lease that should have run out has, after so long.
const GRACE: Duration = Duration::from_millis(20);

pub(super) struct Fleet<V> {
    shared: Arc<Shared>,
    values: PhantomData<fn() -> V>,
}

impl<V> Fleet<V> {
    pub(super) fn new(shared: Arc<Shared>) -> Fleet<V> {
        Fleet { shared, values: PhantomData }
    }
}

impl<V: Storable + Send + 'static> Tier<V> for Fleet<V> {
    fn look(&self, id: &Arc<Id>, look: Look) -> Work<Answer<V>> {
        Seeker::new(Arc::clone(&self.shared), self.shared.key(id), look).seek()
    }

    fn keep(&self, id: &Arc<Id>, value: &V, keeping: &Keeping, tagged: Option<&Arc<Tagged>>) -> Option<Work<Kept>> {
        let (shared, key) = (Arc::clone(&self.shared), self.shared.key(id));
        let times = shared.times(keeping);
        let mut entry = shared.entry(value, times)?;
        let (tagged, cost) = (tagged.map(Arc::clone), keeping.cost);
        Some(Box::pin(async move {
            if !shared.tag(&mut entry, tagged.as_ref(), cost).await {
                return Err(untagged());
            }
            let ttl = times.left(UnixMillis::now());
            let leases = shared.leases();
            shared.ask_to_write(&key, |()| true, leases.overwrite(&key, &entry, ttl)).await.map_err(Error::backend)?;
            count(&shared.counters.writes);
            Ok(())
        }))
    }

    fn forget(&self, id: &Arc<Id>) -> Work<Result<bool, Error>> {
        let (shared, key) = (Arc::clone(&self.shared), self.shared.key(id));
        Box::pin(async move { shared.forget(&key).await })
    }

    fn forget_all(&self) -> Work<Result<(), Error>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.forget_all().await })
    }

    fn forget_matching(&self, pattern: &Pattern) -> Work<Result<(), Error>> {
        let (shared, pattern) = (Arc::clone(&self.shared), pattern.clone());
        Box::pin(async move { shared.forget_matching(&pattern).await })
    }

    fn tells_news(&self) -> bool {
        self.shared.tells_news()
    }

    fn listen(&self, function: Weak<dyn Function>) {
        self.shared.listen(function);
    }

    fn has_leases(&self) -> bool {
        true
    }

    fn give_back(&self) -> Vec<Work<()>> {
        held::give_all_back(&self.shared)
    }

    fn add_stats(&self, stats: &mut Stats) {
        self.shared.add_stats(stats);
    }

    fn reset_stats(&self) {
        self.shared.reset_stats();
    }
}

/// A flight that looks for a value, or for the right to make it.
#[expect(clippy::struct_excessive_bools, reason = "each is a yes or no of its own")]
struct Seeker {
    shared: Arc<Shared>,
    key: StoreKey,
    /// Its name in the backend.
    owner: Box<str>,
    wanted: Wanted,
    tagged: Option<Arc<Tagged>>,
    /// The tokens of the call's tags, as they were asked for last.
    tokens: Vec<Option<tokens::Token>>,
    /// What the entry begins with that will not do.
    seen: Option<Vec<u8>>,
    may_wait: bool,
    has_waited: bool,
    /// The first lease that it, or its flight before, has waited for.
    joined: Option<u64>,
    /// Until then the last lease that was seen lasts at least.
    led_until: Option<Instant>,
    /// Until then it waits at most.
    until: Option<Instant>,
    /// Made when it has to wait.
    waiter: Option<Box<dyn Waiter>>,
    polls: u32,
    /// Its miss is counted.
    has_missed: bool,
    /// It has asked for the lease and not been told what became of that.
    may_hold: bool,
}

impl Seeker {
    fn new(shared: Arc<Shared>, key: StoreKey, look: Look) -> Seeker {
        static PROCESS: LazyLock<u64> = LazyLock::new(number_of_its_own);
        static FLIGHTS: AtomicU64 = AtomicU64::new(0);
        let Look { wanted, is_nested, may_wait, joined, tagged } = look;
        let owner = format!("{:016x}-{:x}", *PROCESS, FLIGHTS.fetch_add(1, Relaxed)).into();
        let until = is_nested.then(|| Instant::now() + shared.lease * NESTED_LEASES);
        Seeker {
            shared,
            key,
            owner,
            wanted,
            tagged,
            tokens: Vec::new(),
            seen: None,
            may_wait,
            has_waited: false,
            joined,
            led_until: None,
            until,
            waiter: None,
            polls: 0,
            has_missed: false,
            may_hold: false,
        }
    }

    fn seek<V: Storable + Send + 'static>(mut self) -> Work<Answer<V>> {
        Box::pin(async move {
            if !self.shared.is_settled(self.tagged.as_ref()).await {
                return Answer::Nothing;
            }
            if self.wanted == Wanted::Any && self.seen.is_none() && self.shared.expects_values.load(Relaxed) {
                match self.look().await {
                    Ok(Some((entry, left))) => {
                        if let Some(found) = self.understand(entry, left).await {
                            return self.found(found);
                        }
                    }
                    Ok(None) => (),
                    // What is no entry is no value; asked for the lease, the backend puts it right.
                    Err(error) if error.kind() == BackendErrorKind::Refused => (),
                    Err(_) => return Answer::Nothing,
                }
            }
            loop {
                let acquired = match self.acquire().await {
                    Ok(acquired) => acquired,
                    // One answer that does not come says nothing of who leads.
                    Err(error) if self.waits_on(error.kind()) => {
                        self.pause(self.shared.lease).await;
                        continue;
                    }
                    Err(_) => return Answer::Nothing,
                };
                match acquired {
                    Acquired::Value { entry, left } => {
                        if let Some(found) = self.understand(entry, left).await {
                            return self.found(found);
                        }
                    }
                    Acquired::Told(bytes) => {
                        let outcome = self.shared.read_outcome(&bytes).filter(|_| self.is_newer_than_tags());
                        // Of another version of the program, perhaps.
                        self.joined = None;
                        match outcome {
                            Some(Outcome::Told(told)) => return Answer::Told(told, Box::new(move || self.seek())),
                            Some(Outcome::Unshareable) => return Answer::Nothing,
                            None => (),
                        }
                    }
                    Acquired::Lead(token) => return Answer::Lead(self.lead(token)),
                    Acquired::Wait { fence, .. } if !self.may_wait => return Answer::Busy(fence),
                    Acquired::Wait { .. } if self.until.is_some_and(|until| until < Instant::now()) => {
                        return Answer::Nothing;
                    }
                    Acquired::Wait { fence, left, entry } => {
                        if self.wanted == Wanted::Newest {
                            // Somebody makes it. What is there now is not it.
                            (self.wanted, self.seen) = (Wanted::Any, Some(entry).filter(|entry| !entry.is_empty()));
                        }
                        self.wait(fence, left).await;
                    }
                }
            }
        })
    }

    async fn look(&mut self) -> Result<Option<(Vec<u8>, Option<Duration>)>, BackendError> {
        let look = self.shared.ask(&self.key, Verb::Read, self.shared.leases().look(&self.key));
        let Some(tagged) = &self.tagged else { return look.await };
        let (found, tokens) = both(look, self.shared.tokens(&tagged.of_call)).await;
        self.tokens = tokens?;
        found
    }

    /// Whether what an execution has told that was waited for is not older than an invalidation of a tag of the call.
    fn is_newer_than_tags(&self) -> bool {
        let began = self.joined.unwrap_or(0).saturating_mul(2);
        let of_call = self.tagged.as_ref().map_or(0, |tagged| tagged.of_call.len());
        self.tokens.len() == of_call && self.tokens.iter().flatten().all(|token| tokens::is_older(*token, began))
    }

    async fn understand<V: Storable + Send>(&mut self, mut entry: Vec<u8>, left: Option<Duration>) -> Option<Found<V>> {
        let found = self.shared.understand(&entry, left, self.tagged.as_deref(), &self.tokens).await;
        entry.truncate(Envelope::HEADER_BYTES);
        self.seen = Some(entry);
        // An entry that is of no use is counted as what it is.
        self.has_missed = true;
        found
    }

    fn found<V: Storable + Send + 'static>(self, mut found: Found<V>) -> Answer<V> {
        self.shared.expects_values.store(true, Relaxed);
        found.is_awaited = self.joined.is_some();
        if found.is_awaited {
            found.origin = Origin::Told;
        }
        found.or_else = Some(Box::new(move || self.seek()));
        Answer::Found(found)
    }

    async fn acquire(&mut self) -> Result<Acquired, BackendError> {
        let shared = Arc::clone(&self.shared);
        let value = match (&self.seen, self.wanted) {
            (_, Wanted::Newest) => Wish::Newest,
            (Some(seen), Wanted::Any) => Wish::Other(seen),
            (None, Wanted::Any) => Wish::Any,
        };
        let held_before = std::mem::replace(&mut self.may_hold, true);
        let (owner, waiter) = (&*self.owner, self.waiter.as_deref());
        let asked = Asked { owner, lease: shared.lease, value, joined: self.joined, waiter };
        let has_written = |acquired: &Acquired| matches!(acquired, Acquired::Lead(_));
        let acquire = shared.ask_to_write(&self.key, has_written, shared.leases().acquire(&self.key, asked));
        let acquired = match &self.tagged {
            None => acquire.await,
            Some(tagged) => {
                // Before the execution begins, and on the way of the question.
                let (acquired, seen) = both(acquire, shared.agree(&tagged.of_call)).await;
                let seen = seen.ok();
                self.tokens = seen.iter().flat_map(|seen| seen.tokens.iter().map(|token| Some(*token))).collect();
                tagged.begin(seen);
                acquired
            }
        };
        self.may_hold = match &acquired {
            Ok(acquired) => has_written(acquired),
            Err(error) => held_before || is_in_doubt(error.kind()),
        };
        if matches!(acquired, Ok(Acquired::Lead(_) | Acquired::Wait { .. })) {
            shared.expects_values.store(false, Relaxed);
            if !self.has_missed {
                self.has_missed = true;
                count(&shared.counters.misses);
            }
        }
        acquired
    }

    fn lead<V: Storable>(mut self, token: Token) -> Arc<dyn Lease<V>> {
        count(&self.shared.counters.acquired);
        if self.has_waited {
            count(&self.shared.counters.taken_over);
        }
        self.may_hold = false;
        Held::new(Arc::clone(&self.shared), self.key.clone(), token)
    }

    /// Waits for the end of another's lease, and for no longer than it lasts.
    async fn wait(&mut self, fence: u64, left: Duration) {
        self.joined.get_or_insert(fence);
        if !std::mem::replace(&mut self.has_waited, true) {
            count(&self.shared.counters.waited);
        }
        self.led_until = Some(Instant::now() + left);
        if self.waiter.is_none() {
            // Asked once more, it will be known to whoever ends the lease.
            self.waiter = Some(self.shared.leases().waiter(&self.key));
            return;
        }
        self.pause(left + GRACE.mul_f64(fastrand::f64())).await;
    }

    /// Waits to be woken, until it is time to look again, and for so long at most.
    async fn pause(&mut self, most: Duration) {
        let counters = &self.shared.counters;
        let Some(waiter) = &self.waiter else { return };
        let lease = self.shared.lease;
        let (first, longest) = if waiter.is_heard() {
            ((lease / 10).clamp(SHORTEST_POLL, LONGEST_POLL), (lease / 2).max(SHORTEST_POLL))
        } else {
            (SHORTEST_POLL, LONGEST_POLL)
        };
        let poll = (first * (1 << self.polls.min(8))).min(longest).mul_f64(0.75 + 0.5 * fastrand::f64());
        if tokio::time::timeout(poll.min(most), waiter.woken()).await.is_ok() {
            self.polls = 0;
            count(&counters.pushed);
        } else {
            self.polls += 1;
            count(&counters.polled);
        }
    }

    /// Whether it goes on waiting for a lease that it knows to last, although one question was not answered.
    fn waits_on(&self, kind: BackendErrorKind) -> bool {
        kind == BackendErrorKind::TimedOut
            && self.waiter.is_some()
            && self.led_until.is_some_and(|until| Instant::now() < until)
    }
}

/// Whether what was asked may have been done although this was the answer.
fn is_in_doubt(kind: BackendErrorKind) -> bool {
    matches!(kind, BackendErrorKind::TimedOut | BackendErrorKind::Unreachable | BackendErrorKind::Other)
}

impl Drop for Seeker {
    fn drop(&mut self) {
        if self.may_hold {
            // A question without an answer may have been answered with the lease. Nobody waits for this one's.
            let (shared, key) = (Arc::clone(&self.shared), self.key.clone());
            let token = Token { owner: self.owner.clone(), fence: 0 };
            blocking::helper().spawn(give_back(shared, key, token, GiveBack::Nothing { forget: false }));
        }
    }
}
