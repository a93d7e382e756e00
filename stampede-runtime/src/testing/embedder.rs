//! An embedder whose texts lie where a test puts them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::key::Steps;
use crate::semantic::{EmbedError, EmbedErrorKind, Embedded, Embedder};

/// An embedder for tests of `#[semantic_coalesce]` functions: a test says how near two texts are, and texts of which it says
/// nothing are near to none.
///
/// Its vectors are the same in each run. Clones are the same embedder, so that the configuration has one and the test another.
/// Texts are told apart as questions are: without regard to case and white space.
///
/// ```
/// use stampede_runtime::testing::{self, PlacedEmbedder};
/// use stampede_runtime::{Config, semantic_coalesce};
///
/// #[semantic_coalesce(namespace = "geography", threshold = 0.92)]
/// async fn ask(text: &str) -> String {
///     format!("an answer to {text}")
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), stampede_runtime::ConfigError> {
/// let embedder = PlacedEmbedder::new();
/// embedder.near("capital of France?", "What is the capital of France?", 0.95);
/// let _isolated = testing::isolate_with(Config::builder().embedder(embedder.clone()).build()?);
///
/// let counted = testing::count(ask::stats);
/// ask("What is the capital of France?").await;
/// testing::settled().await;
/// ask("capital of France?").await; // the same answer
/// ask("What is the capital of Norway?").await; // of which nothing was said
/// counted.assert(|since| (since.executions, since.semantic_hits), (2, 1));
/// # Ok(())
/// # }
/// ```
///
/// Vectors: 256 numbers, of length 1. Texts of which nothing was said have a cosine similarity of less than 0.4 in size.
///
/// **Limits**: the last 10,000 texts are written down.
#[derive(Clone, Default)]
pub struct PlacedEmbedder(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By their normal forms.
    placed: HashMap<String, Vec<f32>>,
    asked: VecDeque<String>,
    fails: Option<EmbedErrorKind>,
}

const DIMENSIONS: usize = 256;

/// How many texts are written down.
const TEXTS_MAX: usize = 10_000;

impl PlacedEmbedder {
    /// One that knows of no nearness.
    #[must_use]
    pub fn new() -> PlacedEmbedder {
        PlacedEmbedder::default()
    }

    /// Puts a text near to another one, which stays where it is.
    ///
    /// `similarity`: their cosine similarity from now on, in `[-1, 1]`, to about 0.000001. What was said of `text` before is
    /// forgotten; what was put near to it stays where it is.
    ///
    /// # Panics
    /// When `similarity` is not in its range, or both texts are one.
    pub fn near(&self, text: &str, other: &str, similarity: f32) {
        assert!((-1.0..=1.0).contains(&similarity), "a similarity of {similarity}: it is in -1..=1");
        let [text, other] = [text, other].map(normal);
        assert!(text != other, "`{text}` is one text, and similar to itself");
        let mut state = self.state();
        let towards = state.vector(&other);
        let own = direction(&text);
        // What of its own direction is at a right angle to the other text.
        let along = dot(&own, &towards);
        let across = normalised(own.iter().zip(&towards).map(|(own, towards)| own - along * towards).collect());
        let rest = (1.0 - similarity * similarity).sqrt();
        let between = towards.iter().zip(&across).map(|(towards, across)| similarity * towards + rest * across);
        let vector = normalised(between.collect());
        state.placed.insert(text, vector);
    }

    /// Answers with such an error from now on.
    pub fn fail(&self, kind: EmbedErrorKind) {
        self.state().fails = Some(kind);
    }

    /// Answers with vectors again.
    pub fn heal(&self) {
        self.state().fails = None;
    }

    /// The texts that it was asked for, in order. The last 10,000.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.state().asked.iter().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn vector(&self, normal: &str) -> Vec<f32> {
        self.placed.get(normal).cloned().unwrap_or_else(|| direction(normal))
    }
}

impl Embedder for PlacedEmbedder {
    fn model_id(&self) -> &'static str {
        "placed"
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> Embedded<'a> {
        Box::pin(async move {
            let mut state = self.state();
            for text in texts {
                if state.asked.len() == TEXTS_MAX {
                    state.asked.pop_front();
                }
                state.asked.push_back(text.clone());
            }
            match state.fails {
                Some(kind) => Err(EmbedError::new(kind, "the test says so")),
                None => Ok(texts.iter().map(|text| state.vector(&normal(text))).collect()),
            }
        })
    }
}

impl fmt::Debug for PlacedEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("PlacedEmbedder").field("placed", &state.placed.len()).finish_non_exhaustive()
    }
}

/// Texts that are one question have one.
fn normal(text: &str) -> String {
    Steps::ALL.apply(text).into_owned()
}

/// Where a text lies of which nothing was said. In so many dimensions two random directions are all but at a right angle.
fn direction(normal: &str) -> Vec<f32> {
    let mut bytes = [0; DIMENSIONS * 2];
    blake3::Hasher::new().update(normal.as_bytes()).finalize_xof().fill(&mut bytes);
    let numbers = bytes.chunks_exact(2).map(|two| f32::from(i16::from_le_bytes([two[0], two[1]])));
    normalised(numbers.collect())
}

fn dot(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

fn normalised(mut vector: Vec<f32>) -> Vec<f32> {
    let length = dot(&vector, &vector).sqrt();
    for number in &mut vector {
        *number /= length;
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    fn similarity(embedder: &PlacedEmbedder, one: &str, other: &str) -> f32 {
        let state = embedder.state();
        dot(&state.vector(&normal(one)), &state.vector(&normal(other)))
    }

    #[test]
    fn texts_are_as_near_as_was_said() {
        let embedder = PlacedEmbedder::new();
        for said in [-1.0, -0.3, 0.0, 0.5, 0.92, 0.999, 1.0] {
            embedder.near("one", "other", said);
            let found = similarity(&embedder, "One ", "other");
            assert!((found - said).abs() < 1e-6, "said {said}, found {found}");
        }
        embedder.near("third", "one", 0.9);
        assert!((similarity(&embedder, "third", "one") - 0.9).abs() < 1e-6, "from where it was put");
    }

    #[test]
    fn other_texts_are_near_to_none() {
        let embedder = PlacedEmbedder::new();
        let texts: Vec<_> = (0..200).map(|number| format!("question {number}")).collect();
        for (at, one) in texts.iter().enumerate() {
            for other in &texts[..at] {
                assert!(similarity(&embedder, one, other).abs() < 0.4, "{one}, {other}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "a similarity of 1.5: it is in -1..=1")]
    fn a_similarity_beyond_one_is_refused() {
        PlacedEmbedder::new().near("one", "other", 1.5);
    }

    #[test]
    #[should_panic(expected = "`one` is one text, and similar to itself")]
    fn a_text_is_not_put_near_to_itself() {
        PlacedEmbedder::new().near("one", " ONE", 0.5);
    }
}
