//! A backend whose store is this process: for tests, and to see how the others behave.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::backend::{Backend, BackendErrorKind, Pending};
use super::key::{Prefix, StoreKey};
use crate::clock;

/// Entries in this process, as bytes; what is used least recently makes room.
///
/// It does all that a [`Backend`] promises, on tokio's clock, which a test may pause. Values that are to stay in the
/// process need no backend: without one they are kept as they are, and a hit copies and decodes nothing.
///
/// ```
/// # use std::time::Duration;
/// use stampede_runtime::store::{Backend, Id, MemoryBackend, Place, StoreKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), stampede_runtime::store::BackendError> {
/// let backend = MemoryBackend::new(64 << 20);
/// let key = StoreKey::new(&Place::new("shop", "quote", 1), Id::Text("user:42"));
/// backend.set(&key, b"entry", Duration::from_millis(1500)).await?;
/// assert_eq!(backend.get(&key).await?.as_deref(), Some(&b"entry"[..]));
/// # Ok(())
/// # }
/// ```
pub struct MemoryBackend {
    bytes_max: usize,
    entry_bytes_max: usize,
    /// Held for a look-up and a copy of one entry; for `clear`, for a look at every key.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<Arc<str>, Entry>,
    /// The keys by when they were used last.
    by_use: BTreeMap<u64, Arc<str>>,
    /// Counts uses.
    uses: u64,
    /// What all entries take.
    bytes: usize,
}

struct Entry {
    bytes: Arc<[u8]>,
    /// None for an entry whose end the clock cannot count.
    expires: Option<Instant>,
    used: u64,
}

impl Entry {
    fn is_alive(&self) -> bool {
        self.expires.is_none_or(|expires| clock::instant() < expires)
    }
}

/// What an entry takes besides its key and bytes, about.
const ENTRY_OVERHEAD: usize = 160;

fn cost(key: &str, entry: &[u8]) -> usize {
    key.len() + entry.len() + ENTRY_OVERHEAD
}

impl MemoryBackend {
    /// A store of at most so many bytes, keys and bookkeeping included.
    #[must_use]
    pub fn new(bytes_max: usize) -> MemoryBackend {
        MemoryBackend { bytes_max, entry_bytes_max: bytes_max, state: Mutex::default() }
    }

    /// Refuses entries of more than so many bytes.
    #[must_use]
    pub fn entry_bytes_max(self, entry_bytes_max: usize) -> MemoryBackend {
        MemoryBackend { entry_bytes_max, ..self }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No user code runs under the lock, and every state in between is a sound one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, key: &str) -> Option<Entry> {
        let (key, entry) = self.entries.remove_entry(key)?;
        self.by_use.remove(&entry.used);
        self.bytes -= cost(&key, &entry.bytes);
        Some(entry)
    }

    fn get(&mut self, key: &str) -> Option<Arc<[u8]>> {
        let entry = self.entries.get_mut(key)?;
        if !entry.is_alive() {
            self.take(key);
            return None;
        }
        self.uses += 1;
        let key = self.by_use.remove(&entry.used).expect("every entry is in both maps");
        entry.used = self.uses;
        let bytes = Arc::clone(&entry.bytes);
        self.by_use.insert(self.uses, key);
        Some(bytes)
    }

    fn put(&mut self, key: &str, bytes: Arc<[u8]>, expires: Option<Instant>) {
        self.uses += 1;
        self.bytes += cost(key, &bytes);
        let key = Arc::<str>::from(key);
        self.by_use.insert(self.uses, Arc::clone(&key));
        self.entries.insert(key, Entry { bytes, expires, used: self.uses });
    }

    fn make_room(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some((_, key)) = self.by_use.pop_first()
        {
            self.take(&key);
        }
    }
}

impl Backend for MemoryBackend {
    fn get<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let found = self.state().get(key.as_str());
            Ok(found.map(|bytes| bytes.to_vec()))
        })
    }

    fn set<'a>(&'a self, key: &'a StoreKey, entry: &'a [u8], ttl: Duration) -> Pending<'a, ()> {
        Box::pin(async move {
            let key = key.as_str();
            let fits = entry.len() <= self.entry_bytes_max && cost(key, entry) <= self.bytes_max;
            let expires = clock::instant().checked_add(whole_millis(ttl));
            let bytes = Arc::from(if fits { entry } else { &[] });
            let mut state = self.state();
            // What cannot be kept ends the earlier entry too, which would be out of date.
            state.take(key);
            if !fits {
                return Err(BackendErrorKind::TooLarge.into());
            }
            if !ttl.is_zero() {
                state.put(key, bytes, expires);
                state.make_room(self.bytes_max);
            }
            Ok(())
        })
    }

    fn remove<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, bool> {
        Box::pin(async move { Ok(self.state().take(key.as_str()).is_some_and(|entry| entry.is_alive())) })
    }

    fn clear<'a>(&'a self, prefix: &'a Prefix) -> Pending<'a, u64> {
        Box::pin(async move {
            let mut state = self.state();
            let keys: Vec<_> = state.entries.keys().filter(|key| prefix.holds(key)).cloned().collect();
            let alive = keys.iter().filter_map(|key| state.take(key)).filter(Entry::is_alive);
            Ok(alive.count() as u64)
        })
    }

    fn ping(&self) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// Part of a millisecond counts as a whole one.
fn whole_millis(span: Duration) -> Duration {
    const MILLI: u128 = 1_000_000;
    Duration::from_millis(u64::try_from(span.as_nanos().div_ceil(MILLI)).unwrap_or(u64::MAX))
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (entries, bytes) = {
            let state = self.state();
            (state.entries.len(), state.bytes)
        };
        f.debug_struct("MemoryBackend")
            .field("bytes_max", &self.bytes_max)
            .field("entry_bytes_max", &self.entry_bytes_max)
            .field("entries", &entries)
            .field("bytes", &bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Id, Place, conformance};

    fn key(id: &str) -> StoreKey {
        StoreKey::new(&Place::new("memory", "f", 1), Id::Text(id))
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn keeps_what_every_backend_promises() {
        conformance::check(async || Arc::new(MemoryBackend::new(64 << 20))).await;
    }

    #[tokio::test]
    async fn keeps_it_on_the_real_clock_too() {
        conformance::check(async || Arc::new(MemoryBackend::new(64 << 20))).await;
    }

    #[tokio::test]
    async fn what_is_used_least_recently_makes_room() {
        let one = cost(key("a").as_str(), &[0; 100]);
        let backend = MemoryBackend::new(3 * one);
        for id in ["a", "b", "c"] {
            backend.set(&key(id), &[0; 100], HOUR).await.unwrap();
        }
        assert!(backend.get(&key("a")).await.unwrap().is_some());
        backend.set(&key("d"), &[0; 100], HOUR).await.unwrap();
        let mut left = Vec::new();
        for id in ["a", "b", "c", "d"] {
            left.push(backend.get(&key(id)).await.unwrap().is_some());
        }
        assert_eq!(left, [true, false, true, true]);
        assert_eq!(backend.state().bytes, 3 * one);
    }

    #[tokio::test]
    async fn what_is_too_large_is_refused_and_ends_what_was_there() {
        let backend = MemoryBackend::new(10_000).entry_bytes_max(100);
        backend.set(&key("a"), &[0; 100], HOUR).await.unwrap();
        let error = backend.set(&key("a"), &[0; 101], HOUR).await.unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::TooLarge);
        assert_eq!(backend.get(&key("a")).await.unwrap(), None);
        let small = MemoryBackend::new(100);
        assert_eq!(small.set(&key("a"), &[], HOUR).await.unwrap_err().kind(), BackendErrorKind::TooLarge);
        let state = small.state();
        assert_eq!((state.bytes, state.by_use.len()), (0, 0));
    }

    #[tokio::test]
    async fn debug_shows_no_content() {
        let backend = MemoryBackend::new(10_000);
        backend.set(&key("mail@example.com"), b"secret", HOUR).await.unwrap();
        let shown = format!("{backend:?}");
        assert!(!shown.contains("mail") && !shown.contains("secret") && shown.contains("entries: 1"), "{shown}");
    }
}
