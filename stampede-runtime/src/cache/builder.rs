//! A cache in the making.

use std::any::TypeId;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::load::Loader;
use super::write::{Writer, Writes};
use super::{Cache, Inner};
use crate::hooks::Hooks;
use crate::policy::{Options, Settings};
use crate::registry;
use crate::share::{AnyFault, Shareable};

/// A [`Cache`] in the making.
///
/// What is not said here is as the configuration says for the namespace `cache`, else as it is by default. Build it after
/// [`configure`](crate::configure), which is too late once there is a cache.
#[must_use = "a cache is made by `build`"]
pub struct CacheBuilder<V: Shareable, L = (), W = ()> {
    name: &'static str,
    options: Options,
    hooks: Hooks<AnyFault<V>>,
    loader: L,
    writer: W,
}

/// Tells the caches of one type apart from functions.
struct Owner<V>(PhantomData<fn() -> V>);

impl<V: Shareable, L, W> fmt::Debug for CacheBuilder<V, L, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<V: Shareable> CacheBuilder<V> {
    pub(super) fn new(name: &'static str) -> CacheBuilder<V> {
        let options = Options { keeps: true, ..Options::new() };
        CacheBuilder { name, options, hooks: Hooks::new(), loader: (), writer: () }
    }
}

impl<V: Shareable, L, W> CacheBuilder<V, L, W> {
    /// How long a value is kept. Zero: not at all. Default 5 minutes.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options = self.options.ttl(ttl);
        self
    }

    /// How long each value is kept. Zero: not at all. A `ttl` that is given with a value is stronger.
    pub fn ttl_by(mut self, ttl: fn(&V) -> Duration) -> Self {
        self.hooks = self.hooks.ttl(ttl);
        self
    }

    /// How many values memory keeps, at least 1; with [`weigh`](Self::weigh), what they may weigh together. Default 1,000.
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.options = self.options.capacity(capacity);
        self
    }

    /// What each value counts against the capacity, at least 1.
    pub fn weigh(mut self, weigh: fn(&V) -> usize) -> Self {
        self.hooks = self.hooks.weigh(weigh);
        self
    }

    /// Keeps only values that pass. One that does not, set or loaded, takes an older one out.
    pub fn cache_if(mut self, cache_if: fn(&V) -> bool) -> Self {
        self.hooks = self.hooks.cache_if(cache_if);
        self
    }

    /// What each value is tagged with.
    pub fn tags(mut self, tags: fn(&V) -> Vec<Arc<str>>) -> Self {
        self.hooks = self.hooks.tags(tags);
        self
    }

    /// For how long after its `ttl` an old value is served at once, while `get_or_set` or `load` makes a new one behind it.
    pub fn stale(mut self, stale: Duration) -> Self {
        self.options = self.options.stale(stale);
        self
    }

    /// For how long after its `ttl` an old value is served in the place of an error of `get_or_set` or `load`.
    pub fn stale_if_error(mut self, stale_if_error: Duration) -> Self {
        self.options = self.options.stale_if_error(stale_if_error);
        self
    }

    /// Everything else: `early`, `jitter`, `soft_timeout`, `backend_timeout`, `codec`, `payload_bytes_max`. What is said by a
    /// method of the builder stays.
    pub fn settings(mut self, settings: &Settings) -> Self {
        self.options.settings = self.options.settings.or(settings);
        self
    }

    /// Lets work that nobody waits for any more go on to its end.
    pub fn finish_abandoned(mut self) -> Self {
        self.options = self.options.finish_abandoned();
        self
    }

    /// Keeps values in the backend of this name, too, which the configuration has. Values become bytes there: they must
    /// implement `serde::Serialize` and `DeserializeOwned`. Where no backend of the name is configured, the cache is in memory
    /// only, and says so in the log.
    ///
    /// No two caches with a backend may have one name in a process: the second is in memory only, and says so too.
    #[cfg(feature = "backends")]
    pub fn backend(mut self, name: &str) -> Self
    where
        V: crate::store::Storable,
    {
        self.options = self.options.backend(name);
        self.hooks = self.hooks.tier(crate::store::Stored::make);
        self
    }

    /// The version of what is kept in the backend: values of other versions are not seen. Default 0.
    #[cfg(feature = "backends")]
    pub fn version(mut self, version: u32) -> Self {
        self.options = self.options.version(version);
        self
    }

    /// How a value is loaded that is not there: the cache gets [`load`](Cache::load) and [`warm`](Cache::warm).
    pub fn loader<F, E>(self, loader: impl Fn(String) -> F + Send + Sync + 'static) -> CacheBuilder<V, Loader<V>, W>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let CacheBuilder { name, options, hooks, writer, .. } = self;
        CacheBuilder { name, options, hooks, loader: Loader::new(loader), writer }
    }

    /// How a value is written to where it belongs: the cache gets [`write`](Cache::write).
    pub fn writer<F, E>(self, writer: impl Fn(String, V) -> F + Send + Sync + 'static) -> CacheBuilder<V, L, Writer<V>>
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let CacheBuilder { name, options, hooks, loader, .. } = self;
        CacheBuilder { name, options, hooks, loader, writer: Writer::new(writer) }
    }

    /// Makes the cache. It belongs to the isolation that it is made in, if it is in one
    /// ([`testing::isolate`](crate::testing::isolate)).
    #[must_use]
    pub fn build(self) -> Cache<V, L, W> {
        static BUILT: AtomicUsize = AtomicUsize::new(0);
        registry::is_off();
        let registry = registry::current();
        let owner = (BUILT.fetch_add(1, Relaxed), TypeId::of::<Owner<V>>());
        let state = registry.create("cache", self.name, &self.options, self.hooks, owner);
        let inner = Inner {
            state,
            batches: OnceLock::new(),
            writes: Writes::default(),
            owner,
            registry: Arc::downgrade(&registry),
        };
        Cache { inner: Arc::new(inner), loader: self.loader, writer: self.writer }
    }
}
