//! What every [`Index`] promises, as tests that any index can run.
//!
//! ```
//! use std::sync::Arc;
//! use stampede_runtime::semantic::{EmbeddedIndex, conformance};
//!
//! #[tokio::test]
//! # async fn hidden() {}
//! async fn keeps_what_every_index_promises() {
//!     let shared = Arc::new(EmbeddedIndex::new());
//!     conformance::check(384, async || Arc::clone(&shared)).await;
//! }
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
//! #     .block_on(keeps_what_every_index_promises());
//! ```
//!
//! An index that finds nothing breaks no caller and is worth nothing, so the checks ask for *hits*: what was put is there,
//! whole, as near as it is, until its time is up. Run them against the real server. They leave no entries behind, touch no
//! namespaces but their own (so several runs may share a server), and take some seconds, since a real server's time has to
//! pass. They put some four thousand entries. Checks of expiry look at tokio's clock; pause it only for an index that
//! follows it.
//!
//! An index that approximates may miss what is a little nearer than what it returns. So where many entries are tried, one is
//! much nearer than the rest.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Embedding;
use super::index::{Entry, Index, Near, New, Partition, QuestionHash};
use crate::clock;
use crate::store::BackendError;

mod apart;
mod busy;
mod kept;
mod near;
mod order;
#[cfg(test)]
mod tests;
mod times;

/// How long one check may take: an index that never answers fails too.
const PATIENCE: Duration = Duration::from_secs(120);
/// Long enough to outlast a check.
const LONG: Duration = Duration::from_secs(600);
/// Below a second: an index that counts seconds makes nothing of it, or too much.
const SHORT: Duration = Duration::from_millis(400);
/// How much later than due an entry may still be seen.
const GRACE: Duration = Duration::from_millis(100);
/// Longer ago than anything else that a check does.
const BEFORE: Duration = Duration::from_secs(60);
/// Longer than the way of an answer, mostly.
const A_MOMENT: Duration = Duration::from_millis(20);
/// Room for all that a check puts.
const ROOMY: usize = 10_000;
/// How far a similarity may be from the cosine: numbers of two bytes have to do.
const TOLERANCE: f32 = 1e-3;

/// A promise that an index does not keep.
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

/// Runs every check on an index of its own, made by `make`. Call it inside a tokio runtime with time enabled.
///
/// `dimensions`: of the embeddings that are put, at least 8. Those of other numbers of dimensions are tried besides; an index
/// may refuse to keep them, and must not compare them.
///
/// # Panics
/// When a check fails, with the list of all that did and what each saw.
pub async fn check<I: Index>(dimensions: usize, make: impl AsyncFn() -> I) {
    let failures = failures(dimensions, make).await;
    let list: Vec<_> = failures.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "the index does not keep {} of its promises:\n  {}", list.len(), list.join("\n  "));
}

/// Like [`check`], and returns what failed.
///
/// # Panics
/// When `dimensions` is below 8.
pub async fn failures<I: Index>(dimensions: usize, make: impl AsyncFn() -> I) -> Vec<Failure> {
    assert!(dimensions >= 8, "the checks need embeddings of at least 8 dimensions");
    let mut failures = Vec::new();
    for check in all() {
        failures.extend(failure(check, dimensions, Arc::new(make().await)).await);
    }
    failures
}

fn all() -> Vec<Check> {
    [kept::ALL, times::ALL, near::ALL, apart::ALL, order::ALL, busy::ALL].concat()
}

/// Runs one check.
async fn failure((check, run): Check, dimensions: usize, index: Arc<dyn Index>) -> Option<Failure> {
    let trial = Trial::new(check, dimensions, index);
    let outcome = tokio::time::timeout(PATIENCE, run(&trial)).await;
    let seen = outcome.unwrap_or_else(|_| Err(format!("no end within {PATIENCE:?}")));
    // Only tidying up: an index that cannot has been found out already.
    let _ = tokio::time::timeout(PATIENCE, trial.tidy()).await;
    seen.err().map(|seen| Failure { check, seen })
}

/// What a check says: nothing, or what it saw that should not be.
type Verdict = Result<(), String>;

/// A check that is running.
type Running<'a> = Pin<Box<dyn Future<Output = Verdict> + 'a>>;

/// A check and its name.
type Check = (&'static str, fn(&Trial) -> Running<'_>);

/// The checks of one file.
macro_rules! checks {
    ($($name:ident),* $(,)?) => {
        pub(super) const ALL: &[$crate::semantic::conformance::Check] =
            &[$((stringify!($name), |trial| Box::pin($name(trial)))),*];
    };
}
use checks;

/// The functions whose entries the checks put. Some are patterns: taken for one, each would clear others.
const FUNCTIONS: [&str; 9] = ["f", "f*", "fx", "f%", "f_", "F", "f\\", "f'", "f "];

/// One check's index, and namespaces that nobody else has.
struct Trial {
    index: Arc<dyn Index>,
    dimensions: usize,
    namespace: String,
}

impl Trial {
    fn new(check: &str, dimensions: usize, index: Arc<dyn Index>) -> Trial {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let namespace = format!("conformance::{check}::{nanos}-{}-{run}", std::process::id());
        Trial { index, dimensions, namespace }
    }

    /// The partition of a function that says nothing of tenants and has no other arguments.
    fn partition(&self, function: &str) -> Partition {
        Partition {
            namespace: format!("{}::{function}", self.namespace).into(),
            model: "model-1".into(),
            tenant: "".into(),
            arguments: [0; 32],
        }
    }

    /// A direction that has nothing to do with others.
    fn direction(&self, seed: u64) -> Embedding {
        embedding(&noise(seed, self.dimensions))
    }

    /// An embedding at a `cosine` to the direction of a seed; with another `aside`, away from it in another way.
    fn at(&self, seed: u64, cosine: f64, aside: u64) -> Embedding {
        let base = unit(noise(seed, self.dimensions));
        let mut away = noise(aside.wrapping_add(1 << 40), self.dimensions);
        let along: f64 = base.iter().zip(&away).map(|(base, away)| base * away).sum();
        for (away, base) in away.iter_mut().zip(&base) {
            *away -= along * base;
        }
        let sine = (1.0 - cosine * cosine).sqrt();
        let mixed: Vec<f64> = base.iter().zip(unit(away)).map(|(base, away)| cosine * base + sine * away).collect();
        embedding(&mixed)
    }

    async fn exact(&self, of: &Partition, name: &str) -> Result<Option<Entry>, String> {
        self.index.exact(of, &hash(name)).await.map_err(|error| format!("`exact` failed: {}", whole(&error)))
    }

    async fn nearest(&self, of: &Partition, to: &Embedding, limit: usize) -> Result<Vec<Near>, String> {
        self.index.nearest(of, to, limit).await.map_err(|error| format!("`nearest` failed: {}", whole(&error)))
    }

    /// Puts an entry under the hash of its name.
    async fn put(&self, of: &Partition, put: &Put<'_>) -> Result<bool, String> {
        let failed =
            |error| format!("`put` of {} bytes for {:?} failed: {}", put.response.len(), put.ttl, whole(&error));
        self.index.put(of, put.new_of()).await.map_err(failed)
    }

    /// Puts one that has to be kept. What began within the way of an answer from the index may count as begun before what that
    /// answered; a moment later it does not any more.
    async fn keep(&self, of: &Partition, put: &Put<'_>) -> Verdict {
        for moments in [0, 1, 4, 16] {
            if moments > 0 {
                tokio::time::sleep(A_MOMENT * moments).await;
            }
            if self.put(of, put).await? {
                return Ok(());
            }
        }
        Err(format!("`put` of `{}` said false, and nothing newer was there", put.name))
    }

    async fn remove(&self, of: &Partition, name: &str) -> Result<bool, String> {
        self.index.remove(of, &hash(name)).await.map_err(|error| format!("`remove` failed: {}", whole(&error)))
    }

    async fn remove_near(&self, of: &Partition, to: &Embedding, similarity: f32) -> Result<u64, String> {
        let failed = |error| format!("`remove_near` failed: {}", whole(&error));
        self.index.remove_near(of, to, similarity).await.map_err(failed)
    }

    async fn clear(&self, namespace: &str) -> Result<u64, String> {
        self.index.clear(namespace).await.map_err(|error| format!("`clear` failed: {}", whole(&error)))
    }

    async fn hit(&self, of: &Partition, name: &str) -> Verdict {
        self.index.hit(of, &hash(name)).await.map_err(|error| format!("`hit` failed: {}", whole(&error)))
    }

    /// Asks for exactly this answer to a question, or none.
    async fn expect(&self, of: &Partition, name: &str, response: Option<&str>, when: &str) -> Verdict {
        let seen = self.exact(of, name).await?;
        if seen.as_ref().is_some_and(|entry| entry.hash != hash(name)) {
            return Err(format!("{when}, `exact` of `{name}` gave an entry with another hash"));
        }
        let seen = seen.as_ref().map(|entry| entry.response.as_str());
        if seen == response {
            return Ok(());
        }
        let [name, seen, response] = [Some(name), seen, response].map(shown);
        Err(format!("{when}, `exact` of {name} gave {seen} instead of {response}"))
    }

    /// Asks for exactly these entries, nearest first.
    async fn expect_near(&self, of: &Partition, to: &Embedding, limit: usize, names: &[&str], when: &str) -> Verdict {
        let seen = self.nearest(of, to, limit).await?;
        let seen: Vec<&str> = seen.iter().map(|near| near.entry.question.as_str()).collect();
        if seen == names {
            return Ok(());
        }
        Err(format!("{when}, `nearest` with limit {limit} gave {seen:?} instead of {names:?}"))
    }

    /// Takes the entries of the check's own functions out.
    async fn tidy(&self) {
        for function in FUNCTIONS {
            let _ = self.index.clear(&self.partition(function).namespace).await;
        }
    }
}

/// What a check puts. The question is the name; its hash is the name's.
#[derive(Clone)]
struct Put<'a> {
    name: &'a str,
    embedding: Embedding,
    response: &'a str,
    ttl: Duration,
    retention: Duration,
    /// How long ago.
    began: Duration,
    capacity: usize,
}

/// How long each entry took to make, as it says.
const COST: Duration = Duration::from_millis(1500);

impl<'a> Put<'a> {
    /// One that is kept for long, with its name as its response.
    fn new(name: &'a str, embedding: &Embedding) -> Put<'a> {
        Put {
            name,
            embedding: embedding.clone(),
            response: name,
            ttl: LONG,
            retention: Duration::ZERO,
            began: Duration::ZERO,
            capacity: ROOMY,
        }
    }

    fn new_of(&self) -> New<'_> {
        let now = clock::instant().into_std();
        New {
            hash: hash(self.name),
            question: self.name,
            embedding: &self.embedding,
            response: self.response,
            ttl: self.ttl,
            retention: self.retention,
            cost: COST,
            began: now.checked_sub(self.began).unwrap_or(now),
            capacity: self.capacity,
        }
    }
}

fn hash(name: &str) -> QuestionHash {
    *blake3::hash(name.as_bytes()).as_bytes()
}

fn embedding(values: &[f64]) -> Embedding {
    #[expect(clippy::cast_possible_truncation, reason = "embeddings are of `f32`")]
    let values = values.iter().map(|&value| value as f32).collect();
    Embedding::new(values, 0).expect("noise has a direction")
}

/// So many numbers from -1 to 1, the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<f64> {
    let mut bytes = vec![0; length * 4];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    let number = |four: &[u8]| f64::from(i32::from_le_bytes(four.try_into().expect("they are four")));
    bytes.chunks_exact(4).map(|four| number(four) / f64::from(i32::MAX)).collect()
}

fn unit(mut values: Vec<f64>) -> Vec<f64> {
    let length = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    for value in &mut values {
        *value /= length;
    }
    values
}

/// An error with its causes.
fn whole(error: &BackendError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn shown(text: Option<&str>) -> String {
    match text {
        None => "a miss".to_owned(),
        Some(text) if text.len() <= 64 => format!("`{}`", text.escape_debug()),
        Some(text) => format!("{} bytes with digest {}", text.len(), &blake3::hash(text.as_bytes()).to_hex()[..8]),
    }
}
