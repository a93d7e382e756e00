//! Writing through: first to where a value belongs, and then to the cache.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::load::shared;
use super::{Cache, Entry};
use crate::error::{Error, SharedError};
use crate::fly::Moved;
use crate::invalidation::Invalidation;
use crate::share::Shareable;

/// What a cache writes its values with. Made by [`CacheBuilder::writer`](super::CacheBuilder::writer).
pub struct Writer<V>(Arc<Write<V>>);

type Write<V> = dyn Fn(String, V) -> Moved<Result<(), SharedError>> + Send + Sync;

impl<V> Clone for Writer<V> {
    fn clone(&self) -> Self {
        Writer(Arc::clone(&self.0))
    }
}

impl<V> fmt::Debug for Writer<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl<V: 'static> Writer<V> {
    pub(super) fn new<F, E>(writer: impl Fn(String, V) -> F + Send + Sync + 'static) -> Writer<V>
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Writer(Arc::new(move |key, value| {
            let write = writer(key, value);
            Box::pin(async { write.await.map_err(shared) })
        }))
    }
}

/// The writes under way, by key.
#[derive(Default)]
pub(super) struct Writes(Mutex<HashMap<Box<str>, Under>>);

/// What is under way of one key.
#[derive(Default)]
struct Under {
    writes: usize,
    /// Two were at one time, and nobody knows which of them came last.
    is_muddled: bool,
}

impl Writes {
    fn under_way(&self) -> MutexGuard<'_, HashMap<Box<str>, Under>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, key: &str) {
        let mut under_way = self.under_way();
        let under = under_way.entry(key.into()).or_default();
        under.is_muddled |= under.writes > 0;
        under.writes += 1;
    }

    /// Whether it was alone all the time.
    fn end(&self, key: &str) -> bool {
        let mut under_way = self.under_way();
        let under = under_way.get_mut(key).expect("a key is there while it is written");
        under.writes -= 1;
        let was_alone = !under.is_muddled;
        if under.writes == 0 {
            under_way.remove(key);
        }
        was_alone
    }
}

/// A write under way. Dropped, nobody knows how far it came: the key is taken out.
struct Writing<'a, V: Shareable, L, W> {
    cache: &'a Cache<V, L, W>,
    key: &'a str,
    is_over: bool,
}

impl<'a, V: Shareable, L, W> Writing<'a, V, L, W> {
    fn begin(cache: &'a Cache<V, L, W>, key: &'a str) -> Self {
        cache.inner.writes.begin(key);
        Writing { cache, key, is_over: false }
    }

    /// Whether it was the only one of its key.
    fn end(&mut self) -> bool {
        self.is_over = true;
        self.cache.inner.writes.end(self.key)
    }

    fn fail(&mut self) -> Invalidation {
        self.end();
        self.cache.expire_for_good(self.key)
    }
}

impl<V: Shareable, L, W> Drop for Writing<'_, V, L, W> {
    fn drop(&mut self) {
        if !self.is_over {
            drop(self.fail());
        }
    }
}

impl<V: Shareable, L, W> Cache<V, L, W> {
    /// Takes a key out.
    fn expire_for_good(&self, key: &str) -> Invalidation {
        self.state().forget_key(&crate::key::Plain(key), crate::coalescer::How::Remove)
    }
}

impl<V: Shareable, L> Cache<V, L, Writer<V>> {
    /// Writes a value with the cache's writer, and keeps it once that has returned `Ok`. What is in the air for the key by then is
    /// not kept.
    ///
    /// After an error nobody knows what has been written, so the key is taken out. So it is where another write of the key was
    /// under way at one time in this process: nobody knows which of them came last. Writes of *other* processes at one time are
    /// not seen; the value of whoever told the backend last stays there until its `ttl` ends.
    ///
    /// It waits for the backend too. That the backend could not be told is in the log and in [`Stats`](crate::Stats), and no
    /// error: the value is written.
    ///
    /// **Cancel**, **Panic**: as after an error, the key is taken out. The writer runs in this call, and ends with it.
    /// **Errors**: [`Error::Shared`], a view of what the writer returned.
    pub async fn write(&self, key: &str, value: V) -> Result<(), Error> {
        self.write_with(key, value, Entry::new()).await
    }

    /// The same with a `ttl` of its own and tags.
    pub async fn write_with(&self, key: &str, value: V, entry: Entry) -> Result<(), Error> {
        let mut writing = Writing::begin(self, key);
        let written = (self.writer.0)(key.to_owned(), value.clone()).await;
        // Counted and logged where it fails.
        match written {
            Ok(()) if writing.end() => _ = self.set_with(key, value, entry).await,
            Ok(()) => _ = self.expire_for_good(key).await,
            Err(error) => {
                let _ = writing.fail().await;
                return Err(Error::Shared(error));
            }
        }
        Ok(())
    }
}
