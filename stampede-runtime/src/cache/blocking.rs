//! The same cache for code that is not `async`.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use super::{Cache, Entry, Loader, Progress, Writer};
use crate::blocking::{aside, drive};
use crate::error::Error;
use crate::share::Shareable;

/// A [`Cache`] whose methods block their thread until they have an answer. Made by [`Cache::blocking`].
///
/// They need no tokio runtime. In a task of one they would keep its thread from everybody else: there say `.await`, or
/// `tokio::task::spawn_blocking`. What is read or executed is shared with callers that are `async`.
///
/// What takes keys out (`expire`, `clear`, `invalidate_pattern` …) is on the cache itself, and waits for nothing.
///
/// ```
/// use stampede_runtime::Cache;
///
/// let users: Cache<String> = Cache::builder("users").build();
/// users.blocking().set("42", "Ada".to_owned())?;
/// assert_eq!(users.blocking().get("42").as_deref(), Some("Ada"));
/// let user = users.blocking().get_or_set("7", || Ok::<_, std::fmt::Error>("Grace".to_owned()));
/// assert_eq!(user.as_deref(), Ok("Grace"));
/// # Ok::<(), stampede_runtime::Error>(())
/// ```
pub struct Blocking<'a, V: Shareable, L = (), W = ()>(pub(super) &'a Cache<V, L, W>);

impl<V: Shareable, L, W> Clone for Blocking<'_, V, L, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Shareable, L, W> Copy for Blocking<'_, V, L, W> {}

impl<V: Shareable, L, W> fmt::Debug for Blocking<'_, V, L, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blocking").field(self.0).finish()
    }
}

impl<V: Shareable, L, W> Blocking<'_, V, L, W> {
    /// [`Cache::get`].
    pub fn get(self, key: &str) -> Option<V> {
        drive(self.0.get(key))
    }

    /// [`Cache::exists`].
    pub fn exists(self, key: &str) -> bool {
        drive(self.0.exists(key))
    }

    /// [`Cache::get_many`].
    pub fn get_many<K: AsRef<str>>(self, keys: impl IntoIterator<Item = K>) -> HashMap<String, V> {
        drive(self.0.get_many(keys))
    }

    /// [`Cache::set`]. Waits for the backend.
    pub fn set(self, key: &str, value: V) -> Result<(), Error> {
        self.set_with(key, value, Entry::new())
    }

    /// [`Cache::set_with`]. Waits for the backend.
    pub fn set_with(self, key: &str, value: V, entry: Entry) -> Result<(), Error> {
        drive(async { self.0.set_with(key, value, entry).await })
    }

    /// [`Cache::set_many`]. Waits for the backend.
    pub fn set_many<K: AsRef<str>>(self, values: impl IntoIterator<Item = (K, V)>) -> Result<(), Error> {
        drive(async { self.0.set_many(values).await })
    }

    /// [`Cache::delete`]. Waits for the backend.
    pub fn delete(self, key: &str) -> Result<bool, Error> {
        drive(async { self.0.delete(key).await })
    }

    /// [`Cache::touch`]. Waits for the backend.
    pub fn touch(self, key: &str, ttl: Duration) -> Result<bool, Error> {
        drive(async { self.0.touch(key, ttl).await })
    }

    /// [`Cache::get_or_set`]. `work` runs on this thread, or where the backend had to be asked first, on one of its own; a caller
    /// that waits for another's execution blocks its thread meanwhile.
    pub fn get_or_set<F, E>(self, key: &str, work: F) -> Result<V, E>
    where
        F: FnOnce() -> Result<V, E> + Send + 'static,
        E: Clone + Send + Sync + 'static,
    {
        drive(self.0.get_or_set(key, || async { aside(work) }))
    }

    /// [`Cache::get_or_set_many`]. `loader` runs as `work` of [`get_or_set`](Self::get_or_set) does.
    pub fn get_or_set_many<K, F, I, E>(
        self,
        keys: impl IntoIterator<Item = K>,
        loader: F,
    ) -> Result<HashMap<String, V>, E>
    where
        K: AsRef<str>,
        F: Fn(Vec<String>) -> Result<I, E> + Clone + Send + 'static,
        I: IntoIterator<Item = (String, V)>,
        E: Clone + Send + Sync + 'static,
    {
        let loader = |missing| {
            let loader = loader.clone();
            async { aside(move || loader(missing)) }
        };
        drive(self.0.get_or_set_many(keys, loader))
    }
}

impl<V: Shareable, W> Blocking<'_, V, Loader<V>, W> {
    /// [`Cache::load`]. The cache's loader is `async`, and runs on threads of the cache.
    pub fn load(self, key: &str) -> Result<V, Error> {
        drive(self.0.load(key))
    }

    /// [`Cache::warm`].
    pub fn warm<K: AsRef<str>>(
        self,
        keys: impl IntoIterator<Item = K>,
        concurrency: usize,
        progress: impl FnMut(&Progress),
    ) -> Progress {
        drive(self.0.warm(keys, concurrency, progress))
    }
}

impl<V: Shareable, L> Blocking<'_, V, L, Writer<V>> {
    /// [`Cache::write`]. The cache's writer is `async`, and is driven by this thread.
    pub fn write(self, key: &str, value: V) -> Result<(), Error> {
        drive(self.0.write(key, value))
    }
}
