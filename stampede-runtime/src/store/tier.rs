//! A backend as the tier of one function: with a budget for each wait, counted, and never in anybody's way.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::fleet::{Fleet, Leased};
use super::guard::Verb;
use super::{
    BackendError, BackendErrorKind, Codec, CodecError, Guarded, Refused, Storable, StoreKey, Times, UnixMillis, key,
};
use crate::config::Config;
use crate::error::Error;
use crate::hooks::{Keeping, Place};
use crate::key::Id;
use crate::stats::{BackendFaults, Stats, count};
use crate::tier::{Answer, Found, Life, Look, Origin, Tier, Work};

/// A tier that values are read from and written to.
pub(crate) struct Stored<V> {
    shared: Arc<Shared>,
    values: PhantomData<fn() -> V>,
}

/// What a function needs to talk with its backend.
pub(super) struct Shared {
    pub(super) backend: Arc<Guarded>,
    pub(super) function: Arc<str>,
    place: key::Place,
    codec: Codec,
    pub(super) payload_bytes_max: usize,
    /// How long each wait for the backend may be.
    pub(super) budget: Duration,
    /// How long after its `ttl` a value may still be of use.
    retention: Duration,
    /// How long a lease lasts, where there are any.
    pub(super) lease: Duration,
    pub(super) counters: Counters,
    /// The last one who looked has found a value.
    pub(super) expects_values: AtomicBool,
    /// The leases that this process has.
    pub(super) leased: Mutex<Leased>,
}

#[derive(Default)]
pub(super) struct Counters {
    hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) undecodable: AtomicU64,
    unencodable: AtomicU64,
    /// By [`BackendErrorKind`].
    faults: [AtomicU64; 8],
    pub(super) acquired: AtomicU64,
    pub(super) waited: AtomicU64,
    pub(super) taken_over: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) fenced: AtomicU64,
    pub(super) pushed: AtomicU64,
    pub(super) polled: AtomicU64,
}

/// Taking out all keys of a function takes many round trips: its budget is so many times that of one answer.
const CLEAR_BUDGETS: u32 = 20;

impl<V: Storable + Send + 'static> Stored<V> {
    /// The tier of a function, if the backend it names is configured.
    pub(crate) fn make(place: &Place<'_>, config: &Config) -> Option<Arc<dyn Tier<V>>> {
        let policy = place.policy;
        let name = place.backend.unwrap_or_default();
        let Some(backend) = config.backends.get(name) else {
            let problem = config.backends.no_backend(name);
            if policy.distributed
                && let Some(problem) = problem
            {
                say_that_it_is_alone(place, &problem);
            } else {
                tracing::error!(
                    target: "stampede",
                    function = format!("{}::{}", place.namespace, place.function),
                    "{}; what the function makes is kept in this process only",
                    problem.unwrap_or_else(|| "its backend could not be made".to_owned()),
                );
            }
            return None;
        };
        let shares_executions = policy.distributed;
        if shares_executions && backend.backend().leases().is_none() {
            tracing::warn!(
                target: "stampede", function = format!("{}::{}", place.namespace, place.function),
                "the backend has no leases: values are shared between processes, and executions are not",
            );
        }
        Some(Stored::with(backend, place, shares_executions))
    }

    /// The same with a backend that is there. `shares_executions`: as far as it has leases.
    pub(crate) fn with(backend: Arc<Guarded>, place: &Place<'_>, shares_executions: bool) -> Arc<dyn Tier<V>> {
        let policy = place.policy;
        let shared = Arc::new(Shared {
            backend,
            function: format!("{}::{}", place.namespace, place.function).into(),
            place: key::Place::new(place.namespace, place.function, place.version),
            codec: policy.codec,
            payload_bytes_max: policy.payload_bytes_max,
            budget: policy.backend_timeout,
            retention: policy.retention(),
            lease: policy.lease,
            counters: Counters::default(),
            expects_values: AtomicBool::new(false),
            leased: Mutex::default(),
        });
        if shares_executions && shared.backend.backend().leases().is_some() {
            return Arc::new(Fleet::new(shared));
        }
        Arc::new(Stored { shared, values: PhantomData })
    }
}

/// A distributed function for which nothing is configured works all the same, in each process for itself.
fn say_that_it_is_alone(place: &Place<'_>, problem: &str) {
    static IS_SAID: AtomicBool = AtomicBool::new(false);
    if !IS_SAID.swap(true, SeqCst) {
        tracing::warn!(
            target: "stampede", function = format!("{}::{}", place.namespace, place.function),
            "{problem}: executions are shared in this process only, of this function and of any other of its kind; configure \
             a backend for them to be shared between processes",
        );
    }
}

impl Shared {
    pub(super) fn key(&self, id: &Id) -> StoreKey {
        let id = match id {
            Id::Text(text) => key::Id::Text(text),
            Id::Digest(digest) => key::Id::Digest(*digest),
            #[cfg(feature = "semantic")]
            Id::Meaning(question) => key::Id::Digest(question.digest),
        };
        StoreKey::new(&self.place, id)
    }

    /// Waits for the backend within the budget.
    pub(super) async fn ask<T>(
        &self,
        asked: Verb,
        answer: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        self.ask_for(self.budget, |_| Some(asked), asked, answer).await
    }

    /// The same for what only writes if it comes to that.
    pub(super) async fn ask_to_write<T>(
        &self,
        has_written: impl Fn(&T) -> bool,
        answer: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        self.ask_for(self.budget, |answer| has_written(answer).then_some(Verb::Write), Verb::Write, answer).await
    }

    /// `worked`: what an answer shows to be well.
    async fn ask_for<T>(
        &self,
        budget: Duration,
        worked: impl Fn(&T) -> Option<Verb>,
        asked: Verb,
        answer: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let answer = self.backend.ask(budget, answer).await;
        match &answer {
            Ok(answer) => self.backend.works(worked(answer)),
            Err(error) => {
                count(&self.counters.faults[error.kind() as usize]);
                self.backend.fails(asked, &self.function, error);
            }
        }
        answer
    }

    async fn read<V: Storable>(&self, key: &StoreKey) -> Option<Found<V>> {
        let entry = self.ask(Verb::Read, async { self.backend.backend().get(key).await }).await.ok()?;
        let Some(entry) = entry else {
            count(&self.counters.misses);
            return None;
        };
        self.understand(&entry, None)
    }

    /// The value of an entry, if it is one and still of use. `left`: for how long the backend keeps it, which says how old it is
    /// whatever the clocks of hosts show.
    pub(super) fn understand<V: Storable>(&self, entry: &[u8], left: Option<Duration>) -> Option<Found<V>> {
        let decoded =
            super::decode::<V>(entry, self.payload_bytes_max, UnixMillis::default()).and_then(|(value, times)| {
                let now = left.map_or_else(UnixMillis::now, |left| times.when(left));
                if times.is_of_use(now) { Ok((value, times, now)) } else { Err(Refused::Expired) }
            });
        match decoded {
            Ok((value, times, now)) => {
                count(&self.counters.hits);
                let age = if times.is_fresh(now) {
                    Life::Fresh(times.fresh_until().since(now))
                } else {
                    Life::Past(now.since(times.fresh_until()))
                };
                let made = now.since(times.made());
                Some(Found::new(value, age, made, times.cost(), Origin::Backend))
            }
            Err(Refused::Expired) => {
                count(&self.counters.misses);
                None
            }
            Err(refused) => {
                count(&self.counters.undecodable);
                tracing::debug!(target: "stampede", function = &*self.function, %refused, "an entry is not understood");
                None
            }
        }
    }

    /// When a value that is kept so ends.
    pub(super) fn times(&self, keeping: &Keeping) -> Times {
        Times::new(UnixMillis::now(), keeping.fresh_for(), self.retention, keeping.cost)
    }

    /// The entry of a value, if it can be one.
    pub(super) fn entry<V: Storable>(&self, value: &V, times: Times) -> Option<Vec<u8>> {
        let told = |error: CodecError| {
            count(&self.counters.unencodable);
            tracing::debug!(target: "stampede", function = &*self.function, %error, "a value is not stored");
        };
        super::encode(value, times, self.codec, self.payload_bytes_max).map_err(told).ok()
    }

    pub(super) async fn forget(&self, key: &StoreKey) -> Result<(), Error> {
        let removed = self.ask(Verb::Remove, async { self.backend.backend().remove(key).await }).await;
        removed.map(drop).map_err(Error::backend)
    }

    pub(super) async fn forget_all(&self) -> Result<(), Error> {
        let prefix = self.place.prefix_of_all_versions();
        let clear = async { self.backend.backend().clear(&prefix).await };
        let cleared = self.ask_for(self.budget * CLEAR_BUDGETS, |_| Some(Verb::Remove), Verb::Remove, clear).await;
        cleared.map(drop).map_err(Error::backend)
    }

    pub(super) fn add_stats(&self, stats: &mut Stats) {
        let Counters { hits, misses, writes, undecodable, unencodable, faults, .. } = &self.counters;
        stats.backend_hits += hits.load(Relaxed);
        stats.backend_misses += misses.load(Relaxed);
        stats.backend_writes += writes.load(Relaxed);
        stats.decode_errors += undecodable.load(Relaxed);
        stats.encode_errors += unencodable.load(Relaxed);
        let of = |kind: BackendErrorKind| faults[kind as usize].load(Relaxed);
        stats.backend_failures += faults.iter().map(|fault| fault.load(Relaxed)).sum::<u64>();
        stats.backend_faults.add(&BackendFaults {
            unreachable: of(BackendErrorKind::Unreachable),
            timed_out: of(BackendErrorKind::TimedOut),
            refused: of(BackendErrorKind::Refused),
            read_only: of(BackendErrorKind::ReadOnly),
            out_of_memory: of(BackendErrorKind::OutOfMemory),
            too_large: of(BackendErrorKind::TooLarge),
            resting: of(BackendErrorKind::Resting),
            other: of(BackendErrorKind::Other),
        });
        stats.backend_state = self.backend.state();
        let Counters { acquired, waited, taken_over, lost, fenced, pushed, polled, .. } = &self.counters;
        stats.lock_acquired += acquired.load(Relaxed);
        stats.lock_waited += waited.load(Relaxed);
        stats.lock_taken_over += taken_over.load(Relaxed);
        stats.lock_lost += lost.load(Relaxed);
        stats.fenced_writes += fenced.load(Relaxed);
        stats.push_wakeups += pushed.load(Relaxed);
        stats.poll_wakeups += polled.load(Relaxed);
    }

    pub(super) fn reset_stats(&self) {
        let Counters { hits, misses, writes, undecodable, unencodable, .. } = &self.counters;
        let Counters { acquired, waited, taken_over, lost, fenced, pushed, polled, .. } = &self.counters;
        let of_values = [hits, misses, writes, undecodable, unencodable];
        let of_leases = [acquired, waited, taken_over, lost, fenced, pushed, polled];
        for counter in of_values.into_iter().chain(of_leases).chain(&self.counters.faults) {
            counter.store(0, Relaxed);
        }
    }
}

impl<V: Storable + Send + 'static> Tier<V> for Stored<V> {
    fn look(&self, id: &Arc<Id>, _: Look) -> Work<Answer<V>> {
        let (shared, key) = (Arc::clone(&self.shared), self.shared.key(id));
        Box::pin(async move { shared.read(&key).await.map_or(Answer::Nothing, Answer::Found) })
    }

    fn keep(&self, id: &Arc<Id>, value: &V, keeping: &Keeping) -> Option<Work<bool>> {
        let shared = Arc::clone(&self.shared);
        let times = shared.times(keeping);
        let entry = shared.entry(value, times)?;
        let key = shared.key(id);
        Some(Box::pin(async move {
            let ttl = times.left(UnixMillis::now());
            let set = async { shared.backend.backend().set(&key, &entry, ttl).await };
            let is_kept = shared.ask(Verb::Write, set).await.is_ok();
            if is_kept {
                count(&shared.counters.writes);
            }
            is_kept
        }))
    }

    fn forget(&self, id: &Arc<Id>) -> Work<Result<(), Error>> {
        let (shared, key) = (Arc::clone(&self.shared), self.shared.key(id));
        Box::pin(async move { shared.forget(&key).await })
    }

    fn forget_all(&self) -> Work<Result<(), Error>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.forget_all().await })
    }

    fn has_leases(&self) -> bool {
        false
    }

    fn add_stats(&self, stats: &mut Stats) {
        self.shared.add_stats(stats);
    }

    fn reset_stats(&self) {
        self.shared.reset_stats();
    }
}
