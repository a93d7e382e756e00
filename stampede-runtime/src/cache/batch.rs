//! One load for many keys: each has a flight of its own, whose body waits for the load that they share.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;

use super::State;
use crate::coalescer::Coalescing;
use crate::error::Error;
use crate::flight::Payload;
use crate::fly::{Boarding, Moved};
use crate::hooks::Hooks;
use crate::key::ByRef;
use crate::policy::{Options, Policy};
use crate::share::{Fault, Shareable, Whole};

/// The flights of loads. A load is a flight like any other, so it belongs to none of the keys: it ends when the last of them is
/// given up, and a body that asks for one of its own keys does not wait for itself.
pub(super) type Batches<V> = Arc<Coalescing<u64, Whole<Loaded<V>>>>;

pub(super) fn batches<V: Shareable>(state: &State<V>) -> Batches<V> {
    let options = Options::new();
    Coalescing::new(Arc::clone(&state.name), Policy::new(&options.settings, &options, false), Hooks::new(), None)
}

/// How a load has ended.
pub(super) enum Loaded<V> {
    Values(Arc<HashMap<String, V>>),
    Fault(Fault),
    Panicked(Payload),
    /// It ran on a runtime that has ended.
    Gone,
}

impl<V> Clone for Loaded<V> {
    fn clone(&self) -> Self {
        match self {
            Loaded::Values(values) => Loaded::Values(Arc::clone(values)),
            Loaded::Fault(fault) => Loaded::Fault(Arc::clone(fault)),
            Loaded::Panicked(payload) => Loaded::Panicked(payload.clone()),
            Loaded::Gone => Loaded::Gone,
        }
    }
}

/// The loader has returned nothing for a key.
#[derive(Debug)]
pub(super) struct Absent;

/// One load.
pub(super) struct Batch<V: Shareable> {
    batches: Batches<V>,
    number: u64,
    work: Mutex<Option<Moved<Loaded<V>>>>,
    /// For those of its keys whose bodies begin when it has ended.
    ended: OnceLock<Loaded<V>>,
}

impl<V: Shareable> Batch<V> {
    pub(super) fn new<F, I, E>(batches: &Batches<V>, load: F) -> Arc<Batch<V>>
    where
        F: Future<Output = Result<I, E>> + Send + 'static,
        I: IntoIterator<Item = (String, V)>,
        E: Send + Sync + 'static,
    {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let work = async {
            let mut load = Box::pin(load);
            let loaded = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| load.as_mut().poll(cx))) {
                Ok(poll) => poll.map(|loaded| match loaded {
                    Ok(values) => Loaded::Values(Arc::new(values.into_iter().collect())),
                    Err(error) => Loaded::Fault(Arc::new(error)),
                }),
                Err(panic) => Poll::Ready(Loaded::Panicked(Payload::new(&*panic, "the loader of a cache"))),
            });
            loaded.await
        };
        Arc::new(Batch {
            batches: Arc::clone(batches),
            number: NUMBERS.fetch_add(1, Relaxed),
            work: Mutex::new(Some(Box::pin(work))),
            ended: OnceLock::new(),
        })
    }

    /// The body of one of its keys.
    pub(super) async fn value(self: Arc<Self>, key: String) -> Result<V, Fault> {
        let loaded = match self.ended.get() {
            Some(loaded) => loaded.clone(),
            None => self.fly().await,
        };
        match loaded {
            Loaded::Values(values) => values.get(&key).cloned().ok_or_else(|| Arc::new(Absent) as Fault),
            Loaded::Fault(fault) => Err(fault),
            Loaded::Panicked(payload) => payload.resume(),
            Loaded::Gone => panic!("{}", Error::Abandoned { function: Arc::clone(&self.batches.name) }),
        }
    }

    async fn fly(self: &Arc<Self>) -> Loaded<V> {
        let look = ByRef(&self.number);
        let boarded = self.batches.hit(&look);
        let boarding = match boarded {
            Ok(loaded) => return loaded,
            Err(missed) => Boarding::call(self.batches.board(&look, missed), None),
        };
        let batch = Arc::clone(self);
        let body = || async move {
            let work = batch.work.lock().unwrap_or_else(PoisonError::into_inner).take();
            let loaded = match work {
                Some(work) => work.await,
                None => batch.ended.get().cloned().unwrap_or(Loaded::Gone),
            };
            let _ = batch.ended.set(loaded.clone());
            loaded
        };
        boarding.fly(body).await
    }
}
