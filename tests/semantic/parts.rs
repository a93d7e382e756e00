//! An embedder whose vectors are written into the questions: `@30 …` is at 30 degrees, and so is `@d`, where numbers count.
//! What says nothing is at 0. An index that does as it is told. Processes that have them.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stampede_runtime::semantic::index::{Entry, Near, New, Partition, QuestionHash};
use stampede_runtime::semantic::{EmbedError, EmbedErrorKind, Embedded, EmbeddedIndex, Embedder, Embedding, Index};
use stampede_runtime::store::Pending;
use stampede_runtime::testing::{Fault, Script, isolate_with};
use stampede_runtime::{Config, ConfigBuilder, Outcome, Settings, Stats, Tier};
use tokio::sync::watch;

use super::help::in_time;
use super::process::{HOUR, process_with};

/// What the embedder does with those who ask.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Temper {
    #[default]
    Well,
    Fails(EmbedErrorKind),
    /// Takes all texts but those that have this word.
    Picky(&'static str),
    Hangs,
    Panics,
    /// Answers when the gate is open.
    Waits,
    /// Answers with so many vectors, whatever the number of texts.
    Vectors(usize),
    /// Says that of every text.
    Says(&'static [f32]),
}

/// Counts what it is asked. Its clones are the same.
#[derive(Clone, Default)]
pub(super) struct Compass(Arc<Needle>);

#[derive(Default)]
struct Needle {
    batches: AtomicUsize,
    texts: AtomicUsize,
    temper: Mutex<Temper>,
    gate: watch::Sender<bool>,
}

impl Compass {
    pub(super) fn texts(&self) -> usize {
        self.0.texts.load(SeqCst)
    }

    pub(super) fn batches(&self) -> usize {
        self.0.batches.load(SeqCst)
    }

    pub(super) fn is(&self, temper: Temper) {
        *locked(&self.0.temper) = temper;
        self.0.gate.send_replace(false);
    }

    /// Lets go of those who wait, and of those to come.
    pub(super) fn open(&self) {
        self.0.gate.send_replace(true);
    }
}

/// Where a question points to.
pub(super) fn direction(text: &str) -> Vec<f32> {
    let degrees = |word: &str| match word.as_bytes() {
        [letter @ (b'a'..=b'z' | b'A'..=b'Z')] => Some(f32::from(letter.to_ascii_lowercase() - b'a') * 10.0),
        _ => word.parse::<f32>().ok(),
    };
    let degrees = text.split_whitespace().find_map(|word| degrees(word.strip_prefix('@')?));
    let radians = degrees.unwrap_or_default().to_radians();
    vec![radians.cos(), radians.sin(), 0.0]
}

/// How near two questions are that are so many degrees apart.
pub(super) fn cosine(degrees: f32) -> f32 {
    degrees.to_radians().cos()
}

impl Embedder for Compass {
    fn model_id(&self) -> &'static str {
        "compass"
    }

    fn dimensions(&self) -> usize {
        3
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> Embedded<'a> {
        self.0.batches.fetch_add(1, SeqCst);
        self.0.texts.fetch_add(texts.len(), SeqCst);
        let temper = *locked(&self.0.temper);
        Box::pin(async move {
            let directions = || texts.iter().map(|text| direction(text)).collect::<Vec<_>>();
            match temper {
                Temper::Fails(kind) => Err(EmbedError::new(kind, "expected")),
                Temper::Picky(word) if texts.iter().any(|text| text.contains(word)) => {
                    Err(EmbedError::new(EmbedErrorKind::Unsuitable, "expected"))
                }
                Temper::Well | Temper::Picky(_) => Ok(directions()),
                Temper::Hangs => std::future::pending().await,
                Temper::Panics => panic!("expected"),
                Temper::Waits => {
                    self.0.gate.subscribe().wait_for(|is_open| *is_open).await.expect("the sender is borrowed");
                    Ok(directions())
                }
                Temper::Vectors(number) => Ok(vec![direction(""); number]),
                Temper::Says(vector) => Ok(vec![vector.to_vec(); texts.len()]),
            }
        })
    }
}

/// An [`EmbeddedIndex`] whose verbs can be told to misbehave.
#[derive(Default)]
pub(super) struct FakeIndex {
    pub(super) kept: EmbeddedIndex,
    pub(super) exact: Script,
    pub(super) nearest: Script,
    pub(super) put: Script,
    pub(super) hit: Script,
    pub(super) remove: Script,
    pub(super) remove_near: Script,
    pub(super) clear: Script,
    pub(super) ping: Script,
    /// What becomes of what it answers.
    lie: Mutex<Option<fn(&mut Entry)>>,
    /// How near it says that everything is.
    similarity: Mutex<Option<f32>>,
    /// Those that it says it keeps.
    pub(super) dimensions: AtomicUsize,
}

impl FakeIndex {
    pub(super) fn new() -> Arc<FakeIndex> {
        Arc::default()
    }

    /// All verbs do their work like that.
    #[expect(clippy::needless_pass_by_value, reason = "as that of a backend")]
    pub(super) fn always(&self, fault: Fault) {
        for verb in self.verbs() {
            verb.always(fault.clone());
        }
    }

    pub(super) fn release(&self) {
        for verb in self.verbs() {
            verb.release();
        }
    }

    fn verbs(&self) -> [&Script; 8] {
        let FakeIndex { exact, nearest, put, hit, remove, remove_near, clear, ping, .. } = self;
        [exact, nearest, put, hit, remove, remove_near, clear, ping]
    }

    pub(super) fn lies(&self, lie: Option<fn(&mut Entry)>) {
        *locked(&self.lie) = lie;
    }

    pub(super) fn says(&self, similarity: Option<f32>) {
        *locked(&self.similarity) = similarity;
    }

    fn told(&self, mut entry: Entry) -> Entry {
        if let Some(lie) = *locked(&self.lie) {
            lie(&mut entry);
        }
        entry
    }
}

impl fmt::Debug for FakeIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeIndex").finish_non_exhaustive()
    }
}

impl Index for FakeIndex {
    fn exact<'a>(&'a self, of: &'a Partition, hash: &'a QuestionHash) -> Pending<'a, Option<Entry>> {
        Box::pin(self.exact.act(async { Ok(self.kept.exact(of, hash).await?.map(|entry| self.told(entry))) }))
    }

    fn nearest<'a>(&'a self, of: &'a Partition, to: &'a Embedding, limit: usize) -> Pending<'a, Vec<Near>> {
        Box::pin(self.nearest.act(async move {
            let similarity = *locked(&self.similarity);
            let near = Index::nearest(&self.kept, of, to, limit).await?.into_iter();
            Ok(near
                .map(|near| Near { entry: self.told(near.entry), similarity: similarity.unwrap_or(near.similarity) })
                .collect())
        }))
    }

    fn put<'a>(&'a self, of: &'a Partition, new: New<'a>) -> Pending<'a, bool> {
        Box::pin(self.put.act(Index::put(&self.kept, of, new)))
    }

    fn hit<'a>(&'a self, of: &'a Partition, hash: &'a QuestionHash) -> Pending<'a, ()> {
        Box::pin(self.hit.act(self.kept.hit(of, hash)))
    }

    fn remove<'a>(&'a self, of: &'a Partition, hash: &'a QuestionHash) -> Pending<'a, bool> {
        Box::pin(self.remove.act(self.kept.remove(of, hash)))
    }

    fn remove_near<'a>(&'a self, of: &'a Partition, to: &'a Embedding, similarity: f32) -> Pending<'a, u64> {
        Box::pin(self.remove_near.act(Index::remove_near(&self.kept, of, to, similarity)))
    }

    fn clear<'a>(&'a self, namespace: &'a str) -> Pending<'a, u64> {
        Box::pin(self.clear.act(Index::clear(&self.kept, namespace)))
    }

    fn ping(&self) -> Pending<'_, ()> {
        Box::pin(self.ping.act(self.kept.ping()))
    }

    fn dimensions(&self) -> usize {
        self.dimensions.load(SeqCst)
    }
}

/// An embedder and an index.
pub(super) struct Parts {
    pub(super) compass: Compass,
    pub(super) index: Arc<FakeIndex>,
}

impl Parts {
    pub(super) fn new() -> Parts {
        Parts { compass: Compass::default(), index: FakeIndex::new() }
    }

    pub(super) fn config(&self) -> ConfigBuilder {
        Config::builder().embedder(self.compass.clone()).index("pgvector", Arc::clone(&self.index))
    }
}

/// A process of its own with these. Their budgets are ones that no test exhausts: time that stands still jumps to the next
/// timer when all wait.
pub(super) fn patient<'a, T: 'a>(parts: &Parts, test: impl Future<Output = T> + 'a) -> InProcess<'a, T> {
    let settings = Settings::new().backend_timeout(24 * HOUR).embed_timeout(24 * HOUR);
    Box::pin(process_with(parts.config().defaults(settings), test))
}

/// The same with usual budgets.
pub(super) fn hasty<'a, T: 'a>(parts: &Parts, test: impl Future<Output = T> + 'a) -> InProcess<'a, T> {
    Box::pin(process_with(parts.config(), test))
}

/// The same, which may end while threads of their own still try to tell the index something: their time does not stand still.
pub(super) fn hasty_and_brief<'a, T: 'a>(parts: &Parts, test: impl Future<Output = T> + 'a) -> InProcess<'a, T> {
    let config = parts.config().build().expect("the configuration is right");
    Box::pin(async {
        let _isolated = isolate_with(config);
        in_time(test).await
    })
}

/// A test in a process, in a box: tests are large.
pub(super) type InProcess<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The sums that hold at every moment.
pub(super) fn add_up(stats: &Stats, calls: u64) {
    super::process::check(stats, calls);
    assert!(stats.exact_hits + stats.semantic_hits == stats.cache_hits + stats.stale_hits, "{stats}");
    assert!(stats.semantic_hits <= stats.cache_hits, "{stats}");
    assert_eq!(stats.semantic_hits, stats.semantic.index_hits + stats.semantic.memory_hits, "{stats}");
    assert!((0.0..=1.0).contains(&stats.semantic_rate), "{stats}");
}

/// Whether a call joined an execution, or found what one had made, of another question.
pub(super) fn is_near(outcome: Option<Outcome>) -> bool {
    match outcome {
        Some(Outcome::Joined { similarity }) => similarity < 1.0,
        Some(Outcome::Semantic { .. }) => true,
        _ => false,
    }
}

/// Where an answer was to exactly its question, and fresh.
pub(super) fn exact(outcome: Option<Outcome>) -> Option<Tier> {
    match outcome {
        Some(Outcome::Hit { tier, is_stale: false, .. }) => Some(tier),
        _ => None,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
