//! A backend as the tier of one function: with a budget for each wait, counted, and never in anybody's way.

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::task::Poll;
use std::time::Duration;

use super::{Backend, BackendError, BackendErrorKind, Codec, Refused, Storable, StoreKey, Times, UnixMillis, key};
use crate::config::Config;
use crate::error::Error;
use crate::hooks::{Keeping, Place};
use crate::key::Id;
use crate::stats::{Stats, count};
use crate::tier::{Found, Life, Tier, Work};

pub(crate) struct Stored<V> {
    shared: Arc<Shared>,
    values: PhantomData<fn() -> V>,
}

struct Shared {
    backend: Arc<dyn Backend>,
    function: Arc<str>,
    place: key::Place,
    codec: Codec,
    payload_bytes_max: usize,
    /// How long each wait for the backend may be.
    budget: Duration,
    /// How long after its `ttl` a value may still be of use.
    retention: Duration,
    counters: Counters,
    /// The last answer to each was none. When the first comes and the last goes, it is logged.
    is_broken: [AtomicBool; 3],
}

/// What is asked of a backend. It may be broken for the one and not for the other.
#[derive(Clone, Copy)]
enum Asked {
    Read,
    Write,
    Remove,
}

#[derive(Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    writes: AtomicU64,
    failures: AtomicU64,
    undecodable: AtomicU64,
    unencodable: AtomicU64,
}

impl<V: Storable + Send + 'static> Stored<V> {
    /// The tier of a function, if the backend it names is configured.
    pub(crate) fn make(place: &Place<'_>, config: &Config) -> Option<Arc<dyn Tier<V>>> {
        let Some(backend) = config.backends.get(place.backend) else {
            tracing::error!(
                target: "stampede",
                function = format!("{}::{}", place.namespace, place.function),
                "{}; what the function makes is kept in this process only",
                config.backends.unknown(place.backend).unwrap_or_else(|| "its backend could not be made".to_owned()),
            );
            return None;
        };
        let policy = place.policy;
        Some(Arc::new(Stored {
            shared: Arc::new(Shared {
                backend,
                function: format!("{}::{}", place.namespace, place.function).into(),
                place: key::Place::new(place.namespace, place.function, place.version),
                codec: policy.codec,
                payload_bytes_max: policy.payload_bytes_max,
                budget: policy.backend_timeout,
                retention: policy.retention(),
                counters: Counters::default(),
                is_broken: Default::default(),
            }),
            values: PhantomData,
        }))
    }
}

impl Shared {
    fn key(&self, id: &Id) -> StoreKey {
        let id = match id {
            Id::Text(text) => key::Id::Text(text),
            Id::Digest(digest) => key::Id::Digest(*digest),
        };
        StoreKey::new(&self.place, id)
    }

    /// Waits for the backend within the budget, and says what is wrong with it when that changes.
    async fn ask<T>(
        &self,
        asked: Asked,
        answer: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let mut answer = pin!(tokio::time::timeout(self.budget, answer));
        let answer = poll_fn(|cx| {
            // A backend may be anybody's.
            catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx)))
                .unwrap_or_else(|_| Poll::Ready(Ok(Err(BackendErrorKind::Other.into()))))
        });
        let answer = answer.await.unwrap_or_else(|_| Err(BackendErrorKind::TimedOut.into()));
        if let Err(error) = &answer {
            count(&self.counters.failures);
            // An entry that is too large says nothing of the next one.
            if error.kind() != BackendErrorKind::TooLarge && self.changes(asked, true) {
                let cause = std::error::Error::source(error).map(ToString::to_string);
                tracing::warn!(
                    target: "stampede", function = &*self.function, %error, cause,
                    "the backend fails; calls go on without it",
                );
            }
        } else if self.is_broken[asked as usize].load(Relaxed) && self.changes(asked, false) {
            tracing::info!(target: "stampede", function = &*self.function, "the backend answers again");
        }
        answer
    }

    /// Notes whether the backend is broken for what was asked. Returns whether that changes whether it is for anything.
    fn changes(&self, asked: Asked, is_broken: bool) -> bool {
        let for_anything = || self.is_broken.iter().any(|is_broken| is_broken.load(SeqCst));
        let before = for_anything();
        self.is_broken[asked as usize].store(is_broken, SeqCst);
        for_anything() != before
    }

    async fn read<V: Storable>(&self, key: &StoreKey) -> Option<Found<V>> {
        let entry = self.ask(Asked::Read, async { self.backend.get(key).await }).await.ok()?;
        let now = UnixMillis::now();
        let decoded = entry.map(|entry| super::decode::<V>(&entry, self.payload_bytes_max, now));
        match decoded {
            Some(Ok((value, times))) => {
                count(&self.counters.hits);
                let age = if times.is_fresh(now) {
                    Life::Fresh(times.fresh_until().since(now))
                } else {
                    Life::Past(now.since(times.fresh_until()))
                };
                Some(Found { value, age, made: now.since(times.made()), cost: times.cost() })
            }
            None | Some(Err(Refused::Expired)) => {
                count(&self.counters.misses);
                None
            }
            Some(Err(refused)) => {
                count(&self.counters.undecodable);
                tracing::debug!(target: "stampede", function = &*self.function, %refused, "an entry is not understood");
                None
            }
        }
    }
}

impl<V: Storable + Send + 'static> Tier<V> for Stored<V> {
    fn look(&self, id: &Id) -> Work<Option<Found<V>>> {
        let (shared, key) = (Arc::clone(&self.shared), self.shared.key(id));
        Box::pin(async move { shared.read(&key).await })
    }

    fn keep(&self, id: &Id, value: &V, keeping: &Keeping) -> Option<Work<bool>> {
        let shared = Arc::clone(&self.shared);
        let times = Times::new(UnixMillis::now(), keeping.fresh_for(), shared.retention, keeping.cost);
        let entry = match super::encode(value, times, shared.codec, shared.payload_bytes_max) {
            Ok(entry) => entry,
            Err(error) => {
                count(&shared.counters.unencodable);
                tracing::debug!(target: "stampede", function = &*shared.function, %error, "a value is not stored");
                return None;
            }
        };
        let key = shared.key(id);
        Some(Box::pin(async move {
            let ttl = times.left(UnixMillis::now());
            let is_kept = shared.ask(Asked::Write, async { shared.backend.set(&key, &entry, ttl).await }).await.is_ok();
            if is_kept {
                count(&shared.counters.writes);
            }
            is_kept
        }))
    }

    fn forget(&self, id: &Id) -> Work<Result<(), Error>> {
        let (shared, key) = (Arc::clone(&self.shared), self.shared.key(id));
        Box::pin(async move {
            shared
                .ask(Asked::Remove, async { shared.backend.remove(&key).await })
                .await
                .map(drop)
                .map_err(Error::backend)
        })
    }

    fn forget_all(&self) -> Work<Result<(), Error>> {
        let (shared, prefix) = (Arc::clone(&self.shared), self.shared.place.prefix_of_all_versions());
        Box::pin(async move {
            shared
                .ask(Asked::Remove, async { shared.backend.clear(&prefix).await })
                .await
                .map(drop)
                .map_err(Error::backend)
        })
    }

    fn add_stats(&self, stats: &mut Stats) {
        let Counters { hits, misses, writes, failures, undecodable, unencodable } = &self.shared.counters;
        stats.backend_hits += hits.load(Relaxed);
        stats.backend_misses += misses.load(Relaxed);
        stats.backend_writes += writes.load(Relaxed);
        stats.backend_failures += failures.load(Relaxed);
        stats.decode_errors += undecodable.load(Relaxed);
        stats.encode_errors += unencodable.load(Relaxed);
    }

    fn reset_stats(&self) {
        let Counters { hits, misses, writes, failures, undecodable, unencodable } = &self.shared.counters;
        for counter in [hits, misses, writes, failures, undecodable, unencodable] {
            counter.store(0, Relaxed);
        }
    }
}
