//! What is said to a cache, and what came of it.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::oneshot::{Receiver, channel};

use crate::error::Error;
use crate::tags::Tag;

/// What a value is kept with.
///
/// ```
/// # use std::time::Duration;
/// # use stampede_runtime::{Cache, Entry};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), stampede_runtime::Error> {
/// # let users: Cache<u8> = Cache::builder("users").build();
/// users.set_with("42", 1, Entry::new().ttl(Duration::from_secs(10)).tags(["team:7", "users"])).await?;
/// assert_eq!(users.invalidate_tags(["team:7"]).removed(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Entry {
    pub(super) ttl: Option<Duration>,
    pub(super) tags: Vec<Tag>,
}

impl Entry {
    /// The cache's `ttl`, and no tags but those that the cache gives to its values.
    pub fn new() -> Entry {
        Entry::default()
    }

    /// How long the value is kept. Zero: not at all, and an older one is taken out. A `ttl` that the configuration sets for
    /// caches is stronger.
    pub fn ttl(self, ttl: Duration) -> Entry {
        Entry { ttl: Some(ttl), ..self }
    }

    /// What it is tagged with, besides what [`CacheBuilder::tags`](super::CacheBuilder::tags) says. At most 64 in all, of at most
    /// 256 bytes each: with more, the value is not kept, and an older one is taken out.
    pub fn tags<T: AsRef<str>>(mut self, tags: impl IntoIterator<Item = T>) -> Entry {
        self.tags.extend(tags.into_iter().map(|tag| Tag::from(tag.as_ref())));
        self
    }
}

/// What was done to a cache. In this process it has happened already. In the backend, where the cache has one, it is under
/// way, whether anybody awaits it or not; awaiting tells what came of it.
///
/// **Cancel**: stops the waiting, and nothing else.
/// **Errors**: [`Error::Backend`] when the backend could not do it, or the runtime that was to tell it has ended.
pub struct Written<T = ()> {
    pub(super) here: T,
    outside: Receiver<Result<T, Error>>,
    both: fn(T, T) -> T,
}

impl<T: Send + 'static> Written<T> {
    /// Also what is to be told of the backend.
    pub(super) fn new(here: T, both: fn(T, T) -> T) -> (Written<T>, impl FnOnce(Result<T, Error>) + Send + use<T>) {
        let (sender, outside) = channel();
        // Nobody may want to know.
        (Written { here, outside, both }, |told| _ = sender.send(told))
    }

    /// Waits for the backend.
    pub(super) async fn told(self) -> Result<T, Error> {
        // No answer comes from a runtime that was shut down.
        let told = self.outside.await.unwrap_or_else(|_| Err(Error::unreached()));
        told.map(|there| (self.both)(self.here, there))
    }
}

impl<T> fmt::Debug for Written<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Written").finish_non_exhaustive()
    }
}

impl<T: Send + 'static> IntoFuture for Written<T> {
    type Output = Result<T, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.told())
    }
}
