//! A cache for code that has no function to decorate.

mod batch;
mod blocking;
mod builder;
mod load;
mod many;
mod warm;
mod write;
mod written;

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use crate::call;
use crate::coalescer::{Coalescing, Function, How};
use crate::fly::Boarding;
use crate::invalidate;
use crate::invalidation::Invalidation;
use crate::key::Plain;
use crate::pattern::Pattern;
use crate::registry::{self, Registry, StateKey};
use crate::share::{AnyFault, Fault, Shareable};
use crate::stats::{Stats, count};

use self::batch::Batches;
pub use self::blocking::Blocking;
pub use self::builder::CacheBuilder;
pub use self::load::Loader;
pub use self::warm::{Progress, warm_up};
pub use self::write::Writer;
use self::write::Writes;
pub use self::written::{Entry, Written};

/// Values under readable keys, in this process and, if one is named, in a backend.
///
/// It is what [`cached`](macro@crate::cached) is, for code that has no function to decorate: the same flights, the same tiers,
/// the same statistics. Cloning gives another handle to the same cache.
///
/// ```
/// use std::time::Duration;
/// use stampede_runtime::Cache;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), stampede_runtime::Error> {
/// let users: Cache<String> = Cache::builder("users").ttl(Duration::from_secs(300)).capacity(10_000).build();
///
/// assert_eq!(users.get("42").await, None);
/// users.set("42", "Ada".to_owned()).await?;
/// assert_eq!(users.get("42").await.as_deref(), Some("Ada"));
///
/// // One execution for all who miss the key at once.
/// let user = users.get_or_set("7", || async { Ok::<_, std::fmt::Error>("Grace".to_owned()) }).await;
/// assert_eq!(user.as_deref(), Ok("Grace"));
///
/// assert!(users.delete("42").await?);
/// # Ok(())
/// # }
/// ```
///
/// A key is any text, and is not escaped in memory. In a backend the entry of `"42"` above is
/// `stampede:{cache::users:v0:42}`, escaped as [`store::key`](crate::store) says.
///
/// **Memory changes at once**: what a method says to the cache is done in this process before it returns. Outside it is on its
/// way then, whether its result is awaited or not; awaiting tells what came of it. Reads of a backend never fail: what it
/// cannot answer is a miss, counted in [`Stats`].
///
/// **Panic**: outside of a tokio runtime, those that are `async` do, unless they are answered from memory. Code that is not in
/// one says [`blocking`](Self::blocking).
///
/// `L` and `W` say whether the cache knows how to load and to write by itself: see [`CacheBuilder::loader`] and
/// [`CacheBuilder::writer`].
pub struct Cache<V: Shareable, L = (), W = ()> {
    inner: Arc<Inner<V>>,
    loader: L,
    writer: W,
}

pub(crate) type State<V> = Coalescing<Box<str>, AnyFault<V>>;

struct Inner<V: Shareable> {
    state: Arc<State<V>>,
    /// What loads many keys at once. Made when it is needed.
    batches: OnceLock<Batches<V>>,
    writes: Writes,
    /// Who it is to the registry that it is in.
    owner: StateKey,
    registry: Weak<Registry>,
}

impl<V: Shareable> Drop for Inner<V> {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.release(self.owner, Arc::clone(&self.state) as Arc<dyn Function>);
        }
    }
}

impl<V: Shareable, L: Clone, W: Clone> Clone for Cache<V, L, W> {
    fn clone(&self) -> Self {
        Cache { inner: Arc::clone(&self.inner), loader: self.loader.clone(), writer: self.writer.clone() }
    }
}

impl<V: Shareable, L, W> fmt::Debug for Cache<V, L, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("name", &self.inner.state.name).finish_non_exhaustive()
    }
}

impl<V: Shareable> Cache<V> {
    /// Begins a cache. It is listed in [`all_stats`](crate::all_stats) as `cache::name`, and the configuration of the namespace
    /// `cache` is for it.
    pub fn builder(name: &'static str) -> CacheBuilder<V> {
        CacheBuilder::new(name)
    }
}

impl<V: Shareable, L, W> Cache<V, L, W> {
    fn state(&self) -> &Arc<State<V>> {
        &self.inner.state
    }

    /// The value of a key, if there is one: from memory, else from the backend, and then from memory the next time. Within
    /// `stale` an old value is returned; only a [`get_or_set`](Self::get_or_set) or [`load`](Self::load) renews it.
    ///
    /// `None` is a miss. A `Cache<Option<T>>` tells a kept `None` (`Some(None)`) from a miss. It does not wait for an execution
    /// under way.
    ///
    /// **Cancel**: what the backend answers is not kept then, and nothing else is lost.
    /// **Limits**: one round trip, at most `backend_timeout`.
    pub async fn get(&self, key: &str) -> Option<V> {
        self.state().look_up_many(&[key]).await.pop().flatten()
    }

    /// Whether [`get`](Self::get) would return something. It asks the same, and keeps in memory what the backend has.
    pub async fn exists(&self, key: &str) -> bool {
        self.get(key).await.is_some()
    }

    /// Keeps a value, for the cache's `ttl`. What is in the air for the key goes to those who wait, and is not kept.
    ///
    /// **Errors**: the backend could not keep it; the next look-up there finds nothing.
    pub fn set(&self, key: &str, value: V) -> Written {
        self.set_with(key, value, Entry::new())
    }

    /// The same with a `ttl` of its own and tags.
    pub fn set_with(&self, key: &str, value: V, entry: Entry) -> Written {
        let (written, then) = Written::new((), |(), ()| ());
        self.state().give(&Plain(key), value, entry.ttl, entry.tags, then);
        written
    }

    /// Takes a key out. Awaited, it says whether a value was there, in memory or in the backend.
    ///
    /// **Errors**: the backend could not be told. This process reads the key there again once a later word has arrived; others
    /// may be given the value until its `ttl` ends.
    pub fn delete(&self, key: &str) -> Written<bool> {
        let (mut written, then) = Written::new(false, |here, there| here || there);
        written.here = self.state().delete(&Plain(key), then);
        written
    }

    /// Makes what is kept of a key old: it is past its `ttl` and its `stale` time, and stays in memory for as long as
    /// `stale_if_error` may want it. In the backend it is taken out.
    pub fn expire(&self, key: &str) -> Invalidation {
        self.state().forget_key(&Plain(key), How::Expire)
    }

    /// Gives what is kept of a key another `ttl`, from now on, and leaves the value and its tags as they are. Awaited, it says
    /// whether there was anything that is fresh. A `ttl` of zero takes it out.
    ///
    /// **Errors**: the backend could not do it, and nobody knows for how long it keeps the value: it is taken out there.
    pub fn touch(&self, key: &str, ttl: Duration) -> Written<bool> {
        if ttl.is_zero() {
            return self.delete(key);
        }
        let (mut written, then) = Written::new(false, |here, there| here || there);
        written.here = self.state().touch(&Plain(key), ttl, then);
        written
    }

    /// Takes every key out. Returns how many there were in memory; awaited, whether the backend was told.
    pub fn clear(&self) -> Invalidation {
        self.state().clear_all()
    }

    /// Takes out everything with one of these tags. Tags are no cache's own: it is done to every cache and every function, as
    /// [`invalidate_tags`](crate::invalidate_tags) does it.
    pub fn invalidate_tags<T: AsRef<str>>(&self, tags: impl IntoIterator<Item = T>) -> Invalidation {
        invalidate::invalidate_tags(tags)
    }

    /// Takes out the keys of this cache that match a [glob](crate::Pattern).
    pub fn invalidate_pattern(&self, glob: &str) -> Invalidation {
        self.state().take_out_matching_everywhere(&Pattern::new(glob))
    }

    /// What it did so far. [`misses`](Stats::misses) are look-ups that found nothing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.state().stats()
    }

    /// The same cache for code that is not `async`.
    pub fn blocking(&self) -> Blocking<'_, V, L, W> {
        Blocking(self)
    }

    /// Boards a call that will execute if nobody has the value.
    fn board(&self, key: &str) -> Result<Result<V, Fault>, Boarding<Box<str>, AnyFault<V>>> {
        call::begin(self.state(), &Plain(key), false)
    }
}

impl<V: Shareable> State<V> {
    /// The values of several keys, in their order. Each is counted.
    async fn look_up_many<K: AsRef<str>>(&self, keys: &[K]) -> Vec<Option<V>> {
        let values = self.look_for_many(keys).await;
        let counter = if registry::is_off() { &self.counters.bypassed } else { &self.counters.misses };
        values.iter().filter(|value| value.is_none()).for_each(|_| count(counter));
        values
    }

    /// The same, where those that are not there are counted by what becomes of them.
    async fn look_for_many<K: AsRef<str>>(&self, keys: &[K]) -> Vec<Option<V>> {
        if registry::is_off() {
            return keys.iter().map(|_| None).collect();
        }
        let mut values: Vec<_> = keys.iter().map(|key| self.look_up(&Plain(key.as_ref()))?.ok()).collect();
        let missing: Vec<_> = (0..keys.len()).filter(|at| values[*at].is_none()).collect();
        if missing.is_empty() {
            return values;
        }
        if let Some(outside) = self.outside.as_ref().filter(|outside| outside.is_asked(&self.policy)) {
            let looks = missing.iter().map(|at| Plain(keys[*at].as_ref()));
            let (ids, begun): (Vec<_>, Vec<_>) = looks
                .filter_map(|look| {
                    let id = self.id_of(&look)?;
                    let looking = self.begin_look(&look, &id);
                    Some((id, looking))
                })
                .unzip();
            let found = outside.look_many(&ids).await;
            for ((at, looking), found) in missing.iter().zip(begun).zip(found) {
                values[*at] = looking.end(found).and_then(Result::ok);
            }
        }
        values
    }
}
