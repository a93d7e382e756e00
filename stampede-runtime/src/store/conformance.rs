//! What every [`Backend`] promises, as tests that any backend can run.
//!
//! ```
//! # use std::time::Duration;
//! use stampede_runtime::store::{MemoryBackend, conformance};
//!
//! #[tokio::test]
//! # async fn hidden() {}
//! async fn keeps_what_every_backend_promises() {
//!     conformance::check(async || MemoryBackend::new(64 << 20)).await;
//! }
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
//! #     .block_on(keeps_what_every_backend_promises());
//! ```
//!
//! A store that answers every question with a miss breaks no caller and is worth nothing, so the checks ask for *hits*:
//! what was set is there, whole, until its time is up. Run them against the real server. They leave nothing behind,
//! touch no keys but their own (so several runs may share a server), and take some seconds, since a real server's time
//! has to pass. They write some eight mebibytes. Checks of expiry look at tokio's clock; pause it only for a backend
//! that follows it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::backend::Backend;
use super::key::{Id, Place, StoreKey};

mod checks;
#[cfg(test)]
mod tests;

/// How long one check may take: a backend that never answers fails too.
const PATIENCE: Duration = Duration::from_secs(60);

/// A promise that a backend does not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The check that found it.
    pub check: &'static str,
    /// What it saw.
    pub seen: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.seen)
    }
}

/// Runs every check on a backend of its own, made by `make`. Call it inside a tokio runtime with time enabled.
///
/// # Panics
/// When a check fails, with the list of all that did and what each saw.
pub async fn check<B: Backend>(make: impl AsyncFn() -> B) {
    let failures = failures(make).await;
    let list: Vec<_> = failures.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "the backend does not keep {} of its promises:\n  {}", list.len(), list.join("\n  "));
}

/// Like [`check`], and returns what failed.
pub async fn failures<B: Backend>(make: impl AsyncFn() -> B) -> Vec<Failure> {
    let mut failures = Vec::new();
    for (check, run) in checks::ALL {
        let trial = Trial::new(check, Arc::new(make().await));
        let outcome = tokio::time::timeout(PATIENCE, run(&trial)).await;
        let seen = outcome.unwrap_or_else(|_| Err(format!("no end within {PATIENCE:?}")));
        // Only tidying up: a backend that cannot has been found out already.
        let _ = tokio::time::timeout(PATIENCE, trial.tidy()).await;
        failures.extend(seen.err().map(|seen| Failure { check, seen }));
    }
    failures
}

/// What a check says: nothing, or what it saw that should not be.
type Verdict = Result<(), String>;

/// A check that is running.
type Running<'a> = Pin<Box<dyn Future<Output = Verdict> + 'a>>;

/// One check's backend, and keys that nobody else has.
struct Trial {
    backend: Arc<dyn Backend>,
    namespace: String,
}

impl Trial {
    fn new(check: &str, backend: Arc<dyn Backend>) -> Trial {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Trial { backend, namespace: format!("conformance::{check}::{nanos}-{}-{run}", std::process::id()) }
    }

    fn place(&self, function: &str) -> Place {
        Place::new(&self.namespace, function, 1)
    }

    fn key(&self, id: &str) -> StoreKey {
        StoreKey::new(&self.place("f"), Id::Text(id))
    }

    async fn get(&self, key: &StoreKey) -> Result<Option<Vec<u8>>, String> {
        self.backend.get(key).await.map_err(|error| format!("`get` failed: {}", whole(&error)))
    }

    async fn set(&self, key: &StoreKey, entry: &[u8], ttl: Duration) -> Verdict {
        let failed = |error| format!("`set` of {} bytes for {ttl:?} failed: {}", entry.len(), whole(&error));
        self.backend.set(key, entry, ttl).await.map_err(failed)
    }

    async fn get_many(&self, keys: &[StoreKey]) -> Result<Vec<Option<Vec<u8>>>, String> {
        let entries = self.backend.get_many(keys).await;
        entries.map_err(|error| format!("`get_many` of {} keys failed: {}", keys.len(), whole(&error)))
    }

    async fn set_many(&self, entries: &[(StoreKey, Vec<u8>, Duration)]) -> Verdict {
        let failed = |error| format!("`set_many` of {} entries failed: {}", entries.len(), whole(&error));
        self.backend.set_many(entries).await.map_err(failed)
    }

    async fn remove(&self, key: &StoreKey) -> Result<bool, String> {
        self.backend.remove(key).await.map_err(|error| format!("`remove` failed: {}", whole(&error)))
    }

    async fn clear(&self, place: &Place) -> Result<u64, String> {
        self.backend.clear(&place.prefix()).await.map_err(|error| format!("`clear` failed: {}", whole(&error)))
    }

    /// Asks for exactly this answer.
    async fn expect(&self, key: &StoreKey, expected: Option<&[u8]>, when: &str) -> Verdict {
        let seen = self.get(key).await?;
        if seen.as_deref() == expected {
            return Ok(());
        }
        Err(format!("{when}, `get` of `{key}` gave {} instead of {}", shown(seen.as_deref()), shown(expected)))
    }

    /// Takes the keys of the check's own functions out.
    async fn tidy(&self) {
        for function in checks::FUNCTIONS {
            let _ = self.backend.clear(&self.place(function).prefix_of_all_versions()).await;
        }
    }
}

/// An error with its causes.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn shown(entry: Option<&[u8]>) -> String {
    match entry {
        None => "a miss".to_owned(),
        Some(bytes) if bytes.len() <= 32 => format!("`{}`", bytes.escape_ascii()),
        Some(bytes) => format!("{} bytes with digest {}", bytes.len(), &blake3::hash(bytes).to_hex()[..8]),
    }
}
