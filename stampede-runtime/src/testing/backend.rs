//! A backend that does as it is told.

mod leases;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::faults::{Fault, Said, Script};
use crate::pattern::Pattern;
use crate::store::lease::Leases;
use crate::store::news::News;
use crate::store::{Backend, BackendError, MemoryBackend, Pending, Prefix, StoreKey};

/// A backend that fails, is slow, hangs, loses and spoils entries when a test says so, and writes down what it is asked.
///
/// It stands before another one, at first a [`MemoryBackend`]. Clones are the same backend, so that the configuration has
/// one and the test another.
///
/// ```rust,standalone_crate
/// use stampede_runtime::store::BackendErrorKind::Unreachable;
/// use stampede_runtime::testing::{self, Fault, FaultyBackend, Verb};
/// use stampede_runtime::{Config, cached};
///
/// #[cached(namespace = "shop", ttl = "1m", backend = "main")]
/// async fn price(id: u32) -> u32 {
///     id * 10
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), stampede_runtime::ConfigError> {
/// let backend = FaultyBackend::new();
/// let _isolated = testing::isolate_with(Config::builder().backend("main", backend.clone()).build()?);
///
/// backend.on(Verb::Get).next(1, Fault::Fail(Unreachable));
/// assert_eq!(price(7).await, 70); // a broken backend fails no call
/// testing::settled().await;
/// assert_eq!(price::stats().backend_faults.unreachable, 1);
/// assert_eq!((backend.on(Verb::Get).asked(), backend.on(Verb::Set).asked()), (1, 1));
/// # Ok(())
/// # }
/// ```
///
/// **Panic**: only where [`Fault::Panic`] was said.
///
/// **Limits**: the last 10,000 calls are written down; all are counted.
pub struct FaultyBackend<B = MemoryBackend>(Arc<Shared<B>>);

struct Shared<B> {
    backend: B,
    scripts: [Script; Verb::ALL.len()],
    calls: Mutex<VecDeque<Call>>,
    since: Instant,
}

/// How many calls are written down.
const CALLS_MAX: usize = 10_000;

/// What a backend can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verb {
    /// An entry is looked up.
    Get,
    /// An entry is written.
    Set,
    /// An entry is taken out.
    Remove,
    /// The entries of a function are taken out.
    Clear,
    /// Whether it answers.
    Ping,
    /// Of a backend with leases, for distributed functions: an entry is looked up, with its time.
    Look,
    /// The same: an entry, or the right to make it. [`Fault::Lose`] is a `TimedOut` here, since there is nothing else to say.
    Acquire,
    /// A lease is lengthened. [`Fault::Lose`]: it is said to be.
    Renew,
    /// A lease is ended, mostly with a value.
    End,
    /// An entry is written for who has asked for the newest.
    Overwrite,
}

impl Verb {
    /// All of them.
    pub const ALL: [Verb; 10] = {
        use Verb::{Acquire, Clear, End, Get, Look, Overwrite, Ping, Remove, Renew, Set};
        [Get, Set, Remove, Clear, Ping, Look, Acquire, Renew, End, Overwrite]
    };
}

/// Something that a backend was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// What.
    pub verb: Verb,
    /// For which key; none for [`Verb::Clear`] and [`Verb::Ping`].
    pub key: Option<StoreKey>,
    /// What the keys begin with that [`Verb::Clear`] takes out.
    pub prefix: Option<Prefix>,
    /// For how long an entry is to be kept: [`Verb::Set`], [`Verb::Overwrite`], and [`Verb::End`] with a value.
    pub ttl: Option<Duration>,
    /// When, since the backend was made, on the clock of the test.
    pub at: Duration,
}

impl FaultyBackend {
    /// Before a [`MemoryBackend`] of 64 MiB.
    #[must_use]
    pub fn new() -> FaultyBackend {
        FaultyBackend::before(MemoryBackend::new(64 << 20))
    }
}

impl Default for FaultyBackend {
    fn default() -> FaultyBackend {
        FaultyBackend::new()
    }
}

impl<B: Backend> FaultyBackend<B> {
    /// Before any backend.
    pub fn before(backend: B) -> FaultyBackend<B> {
        let (scripts, since) = (Default::default(), crate::clock::instant());
        FaultyBackend(Arc::new(Shared { backend, scripts, calls: Mutex::default(), since }))
    }

    /// What goes wrong with one verb, and how often it was asked.
    #[must_use]
    pub fn on(&self, verb: Verb) -> &Script {
        &self.0.scripts[verb as usize]
    }

    /// The same fault for all verbs but [`Verb::Ping`], as [`Script::always`] says. So a backend that fails is tried again
    /// and found to be well; say [`Verb::Ping`], too, if it is not to be.
    #[expect(clippy::needless_pass_by_value, reason = "as that of a script")]
    pub fn always(&self, fault: Fault) {
        for verb in Verb::ALL.into_iter().filter(|verb| *verb != Verb::Ping) {
            self.on(verb).always(fault.clone());
        }
    }

    /// Nothing goes wrong any more, as [`Script::heal`] says.
    pub fn heal(&self) {
        self.0.scripts.iter().for_each(Script::heal);
    }

    /// Lets go of all calls that are held, as [`Script::release`] says.
    pub fn release(&self) {
        self.0.scripts.iter().for_each(Script::release);
    }

    /// What it was asked, in order. The last 10,000 calls.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The backend behind it: what is asked there directly is neither counted nor disturbed.
    #[must_use]
    pub fn inner(&self) -> &B {
        &self.0.backend
    }

    /// Writes a call down, and says what becomes of it.
    fn begin(&self, verb: Verb, asks: Asks<'_>) -> Said {
        let Asks { key, prefix, ttl } = asks;
        let at = crate::clock::instant().saturating_duration_since(self.0.since);
        let call = Call { verb, key: key.cloned(), prefix: prefix.cloned(), ttl, at };
        let mut calls = self.0.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() == CALLS_MAX {
            calls.pop_front();
        }
        calls.push_back(call);
        drop(calls);
        self.on(verb).take()
    }

    /// A call of a verb: written down, and done as its script says.
    async fn act<T>(
        &self,
        verb: Verb,
        asks: Asks<'_>,
        lost: impl FnOnce() -> Result<T, BackendError>,
        work: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let said = self.begin(verb, asks);
        self.on(verb).play(&said, lost, work).await
    }

    /// A call that writes an entry, which may be spoiled.
    async fn write<T, W: Future<Output = Result<T, BackendError>>>(
        &self,
        verb: Verb,
        asks: Asks<'_>,
        entry: &[u8],
        lost: T,
        work: impl FnOnce(Arc<[u8]>) -> W,
    ) -> Result<T, BackendError> {
        let said = self.begin(verb, asks);
        let spoiled = said.fault.spoil(Some(entry.to_vec())).unwrap_or_default();
        self.on(verb).play(&said, || Ok(lost), work(spoiled.into())).await
    }
}

/// What is written down of a call.
#[derive(Clone, Copy, Default)]
struct Asks<'a> {
    key: Option<&'a StoreKey>,
    prefix: Option<&'a Prefix>,
    ttl: Option<Duration>,
}

impl<'a> Asks<'a> {
    fn of(key: &'a StoreKey) -> Asks<'a> {
        Asks { key: Some(key), ..Asks::default() }
    }

    fn to_keep(key: &'a StoreKey, ttl: Duration) -> Asks<'a> {
        Asks { ttl: Some(ttl), ..Asks::of(key) }
    }
}

impl<B: Backend> Backend for FaultyBackend<B> {
    fn get<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let said = self.begin(Verb::Get, Asks::of(key));
            let get = async { Ok(said.fault.spoil(self.inner().get(key).await?)) };
            self.on(Verb::Get).play(&said, || Ok(None), get).await
        })
    }

    fn set<'a>(&'a self, key: &'a StoreKey, entry: &'a [u8], ttl: Duration) -> Pending<'a, ()> {
        let set = move |entry: Arc<[u8]>| async move { self.inner().set(key, &entry, ttl).await };
        Box::pin(self.write(Verb::Set, Asks::to_keep(key, ttl), entry, (), set))
    }

    fn remove<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, bool> {
        Box::pin(self.act(Verb::Remove, Asks::of(key), || Ok(true), self.inner().remove(key)))
    }

    fn clear<'a>(&'a self, prefix: &'a Prefix) -> Pending<'a, u64> {
        let asks = Asks { prefix: Some(prefix), ..Asks::default() };
        Box::pin(self.act(Verb::Clear, asks, || Ok(0), self.inner().clear(prefix)))
    }

    fn clear_matching<'a>(&'a self, prefix: &'a Prefix, pattern: &'a Pattern) -> Pending<'a, u64> {
        let asks = Asks { prefix: Some(prefix), ..Asks::default() };
        Box::pin(self.act(Verb::Clear, asks, || Ok(0), self.inner().clear_matching(prefix, pattern)))
    }

    fn news(&self) -> Option<&News> {
        self.inner().news()
    }

    fn ping(&self) -> Pending<'_, ()> {
        Box::pin(self.act(Verb::Ping, Asks::default(), || Ok(()), self.inner().ping()))
    }

    fn leases(&self) -> Option<&dyn Leases> {
        self.inner().leases().is_some().then_some(self)
    }
}

impl<B> Clone for FaultyBackend<B> {
    fn clone(&self) -> Self {
        FaultyBackend(Arc::clone(&self.0))
    }
}

impl<B: fmt::Debug> fmt::Debug for FaultyBackend<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyBackend").field("backend", &self.0.backend).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
