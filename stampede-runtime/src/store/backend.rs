//! A store outside of the process, as far as stampede needs one.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::key::{Prefix, StoreKey};
use super::lease::Leases;
use super::news::News;
use super::tokens::Tokens;
use crate::pattern::Pattern;

/// The most keys of one [`Backend::get_many`] or [`Backend::set_many`]. A store does nothing else while it answers one.
pub const KEYS_MAX: usize = 1_000;

/// An answer that is on its way.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, BackendError>> + Send + 'a>>;

/// A store of entries: bytes under a key, each with a span after which it is gone.
///
/// A backend knows nothing of what the bytes mean, decides nothing and retries nothing: a call that finds a backend
/// broken goes on without it. What it promises is in the words of each verb, and
/// [`conformance`](super::conformance) tries all of it.
///
/// A backend of one's own boxes the futures itself:
///
/// ```
/// use std::time::Duration;
/// use stampede_runtime::store::{Backend, MemoryBackend, Pending, Prefix, StoreKey};
///
/// /// Another backend that is read and never written.
/// #[derive(Debug)]
/// struct ReadOnly(MemoryBackend);
///
/// impl Backend for ReadOnly {
///     fn get<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, Option<Vec<u8>>> {
///         self.0.get(key)
///     }
///     fn set<'a>(&'a self, _: &'a StoreKey, _: &'a [u8], _: Duration) -> Pending<'a, ()> {
///         Box::pin(async { Ok(()) })
///     }
///     fn remove<'a>(&'a self, _: &'a StoreKey) -> Pending<'a, bool> {
///         Box::pin(async { Ok(false) })
///     }
///     fn clear<'a>(&'a self, _: &'a Prefix) -> Pending<'a, u64> {
///         Box::pin(async { Ok(0) })
///     }
///     fn ping(&self) -> Pending<'_, ()> {
///         self.0.ping()
///     }
/// }
/// ```
///
/// **Cancel.** Any future here may be dropped at any point. What it was doing has then been done or not, and no other
/// call notices: an answer that nobody awaits any more never reaches another.
///
/// **Errors.** [`BackendError`]. Nothing panics for what a store answered. After an error of `set`, `remove` or `clear`
/// it is unknown whether they were done.
///
/// **Limits.** Every verb ends within a time of the backend's own, which its maker sets; the caller has a budget
/// besides. A backend may refuse entries above a size of its own, and takes those of a mebibyte.
///
/// **Keys** are compared byte by byte. `Debug` shows neither secrets nor entries.
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// The entry under a key, exactly as it was set, or none. Reading does not prolong its life.
    fn get<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, Option<Vec<u8>>>;

    /// Puts an entry under a key, in place of an earlier one and of its `ttl`.
    ///
    /// `ttl`: the span after which it is gone, to the millisecond; part of one counts as a whole. Zero: gone at once, as
    /// is an earlier entry. Longer than the store can count: as long as it can. A store may let go of an entry earlier,
    /// to make room.
    fn set<'a>(&'a self, key: &'a StoreKey, entry: &'a [u8], ttl: Duration) -> Pending<'a, ()>;

    /// Takes the entry out; whether there was one that `get` would have returned.
    fn remove<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, bool>;

    /// Takes out all entries whose keys begin with this text, taken literally, and says how many. Those that are set
    /// meanwhile may stay.
    fn clear<'a>(&'a self, prefix: &'a Prefix) -> Pending<'a, u64>;

    /// Whether the store answers.
    fn ping(&self) -> Pending<'_, ()>;

    /// Takes out the entries whose keys begin with this text and are readable and match, and says how many. Those that are
    /// set meanwhile may stay. A store that cannot tell them apart takes out all.
    fn clear_matching<'a>(&'a self, prefix: &'a Prefix, pattern: &'a Pattern) -> Pending<'a, u64> {
        let _ = pattern;
        self.clear(prefix)
    }

    /// The entries under several keys, in the order of the keys, each as [`get`](Self::get) answers. They need not be as of
    /// one moment. At most [`KEYS_MAX`] keys are asked for at once.
    ///
    /// By itself it asks for one after another. A store that can be asked for all in one round trip should be.
    fn get_many<'a>(&'a self, keys: &'a [StoreKey]) -> Pending<'a, Vec<Option<Vec<u8>>>> {
        Box::pin(async move {
            let mut entries = Vec::with_capacity(keys.len());
            for key in keys {
                entries.push(self.get(key).await?);
            }
            Ok(entries)
        })
    }

    /// Puts several entries, each as [`set`](Self::set) does; where a key comes twice, the last stays. At most [`KEYS_MAX`] at
    /// once. After an error it is unknown of each whether it was put.
    ///
    /// By itself it puts one after another. A store that can be given all in one round trip should be.
    fn set_many<'a>(&'a self, entries: &'a [(StoreKey, Vec<u8>, Duration)]) -> Pending<'a, ()> {
        Box::pin(async move {
            for (key, entry, ttl) in entries {
                self.set(key, entry, *ttl).await?;
            }
            Ok(())
        })
    }

    /// Puts an entry in the place of exactly this one; whether that was there. `ttl`: as of [`set`](Self::set).
    ///
    /// By itself it looks and then puts, and what others do in between is undone. A store that can do both at once should.
    fn replace<'a>(&'a self, key: &'a StoreKey, old: &'a [u8], new: &'a [u8], ttl: Duration) -> Pending<'a, bool> {
        Box::pin(async move {
            let is_there = self.get(key).await?.is_some_and(|entry| entry == old);
            if is_there {
                self.set(key, new, ttl).await?;
            }
            Ok(is_there)
        })
    }

    /// Its leases, where it has such a thing.
    #[doc(hidden)]
    fn leases(&self) -> Option<&dyn Leases> {
        None
    }

    /// Its tokens of tags, where it keeps them in a way of its own.
    #[doc(hidden)]
    fn tokens(&self) -> Option<&dyn Tokens> {
        None
    }

    /// What it tells of other processes, where it does.
    #[doc(hidden)]
    fn news(&self) -> Option<&News> {
        None
    }

    /// Its parts, where they fail one by one.
    #[doc(hidden)]
    fn parts(&self) -> Option<&dyn Parts> {
        None
    }
}

/// A store of parts that fail one by one, as the nodes of a cluster do. Each has a circuit breaker of its own.
///
/// Not for implementing outside of this crate yet, so not documented there.
#[doc(hidden)]
pub trait Parts: Send + Sync {
    /// The most that there ever are. It stays the same.
    fn count(&self) -> usize;

    /// Where a key is now: a number below [`count`](Self::count). Never waits. 0 where that is not known.
    fn of(&self, key: &StoreKey) -> usize;

    /// Whether a part answers. One that is no more does.
    fn ping(&self, part: usize) -> Pending<'_, ()>;
}

impl<B: Backend + ?Sized> Backend for Arc<B> {
    fn get<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, Option<Vec<u8>>> {
        (**self).get(key)
    }

    fn set<'a>(&'a self, key: &'a StoreKey, entry: &'a [u8], ttl: Duration) -> Pending<'a, ()> {
        (**self).set(key, entry, ttl)
    }

    fn remove<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, bool> {
        (**self).remove(key)
    }

    fn clear<'a>(&'a self, prefix: &'a Prefix) -> Pending<'a, u64> {
        (**self).clear(prefix)
    }

    fn ping(&self) -> Pending<'_, ()> {
        (**self).ping()
    }

    fn clear_matching<'a>(&'a self, prefix: &'a Prefix, pattern: &'a Pattern) -> Pending<'a, u64> {
        (**self).clear_matching(prefix, pattern)
    }

    fn get_many<'a>(&'a self, keys: &'a [StoreKey]) -> Pending<'a, Vec<Option<Vec<u8>>>> {
        (**self).get_many(keys)
    }

    fn set_many<'a>(&'a self, entries: &'a [(StoreKey, Vec<u8>, Duration)]) -> Pending<'a, ()> {
        (**self).set_many(entries)
    }

    fn replace<'a>(&'a self, key: &'a StoreKey, old: &'a [u8], new: &'a [u8], ttl: Duration) -> Pending<'a, bool> {
        (**self).replace(key, old, new, ttl)
    }

    fn leases(&self) -> Option<&dyn Leases> {
        (**self).leases()
    }

    fn tokens(&self) -> Option<&dyn Tokens> {
        (**self).tokens()
    }

    fn news(&self) -> Option<&News> {
        (**self).news()
    }

    fn parts(&self) -> Option<&dyn Parts> {
        (**self).parts()
    }
}

/// What went wrong in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackendErrorKind {
    /// There is no connection, or it broke.
    Unreachable,
    /// The store did not answer in time. Whether it did what it was asked is unknown.
    TimedOut,
    /// The store answers and does not want to: missing rights, a wrong password, a key that holds something else.
    Refused,
    /// The store takes no writes, as a replica does, or for a while.
    ReadOnly,
    /// The store is full and makes no room.
    OutOfMemory,
    /// The entry is larger than the store takes.
    TooLarge,
    /// It has failed several times in a row, is left alone for a while, and was not asked.
    Resting,
    /// Anything else.
    Other,
}

impl fmt::Display for BackendErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BackendErrorKind::Unreachable => "the store cannot be reached",
            BackendErrorKind::TimedOut => "the store did not answer in time",
            BackendErrorKind::Refused => "the store refused",
            BackendErrorKind::ReadOnly => "the store takes no writes",
            BackendErrorKind::OutOfMemory => "the store is full",
            BackendErrorKind::TooLarge => "the entry is larger than the store takes",
            BackendErrorKind::Resting => "the store has failed several times in a row and was not asked",
            BackendErrorKind::Other => "the store failed",
        })
    }
}

/// A store that could not do what it was asked. Its text is that of its kind, so it may be logged anywhere.
///
/// The source may say more, and is its maker's to answer for: no password, no key, no part of an entry belongs there.
#[derive(Debug)]
pub struct BackendError {
    kind: BackendErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl BackendError {
    /// An error with its cause.
    pub fn new(kind: BackendErrorKind, source: impl Into<Box<dyn StdError + Send + Sync>>) -> BackendError {
        BackendError { kind, source: Some(source.into()) }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> BackendErrorKind {
        self.kind
    }
}

impl From<BackendErrorKind> for BackendError {
    fn from(kind: BackendErrorKind) -> BackendError {
        BackendError { kind, source: None }
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.kind, f)
    }
}

impl StdError for BackendError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_cause_out_of_its_text() {
        let error = BackendError::new(BackendErrorKind::Unreachable, "connection refused");
        assert_eq!(error.to_string(), "the store cannot be reached");
        assert_eq!(error.source().unwrap().to_string(), "connection refused");
        assert!(BackendError::from(BackendErrorKind::TimedOut).source().is_none());
    }
}
