//! What became of calls that mean something.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::{BackendFaults, BackendState, seconds};
#[cfg(feature = "semantic")]
use crate::semantic::bound::{self, Labels};

/// What a `#[semantic_coalesce]` function did besides what every function does.
///
/// Counted once for each look-up, which concurrent calls with one question share, unless something else is said.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SemanticStats {
    /// The function compares meanings.
    #[serde(skip)]
    pub(crate) is_used: bool,
    /// Look-ups that found exactly their question in the backend of bytes (Redis).
    pub backend_exact_hits: u64,
    /// Look-ups that found exactly their question in the index.
    pub index_exact_hits: u64,
    /// Look-ups that found a near question in the index.
    pub index_hits: u64,
    /// Calls that memory answered with what a look-up had found for a near question before. Each counts.
    pub memory_hits: u64,
    /// Look-ups that found a near question whose execution was under way, or had just ended.
    pub joined: u64,
    /// Near questions that a guard refused.
    pub refused: Refusals,
    /// Look-ups whose nearest question was not near enough, by how near it was: the first field counts what is below 0.05 (also
    /// what is below 0), each next one 0.05 more, and the last what is from 0.95 to 1.
    pub below_threshold: [u64; 20],
    /// Times that the embedder was asked.
    pub embedding_batches: u64,
    /// What went wrong with it. The calls went on without it.
    pub embed_faults: EmbedFaults,
    /// Questions that are too long to have their meaning compared, or empty.
    pub not_embedded: u64,
    /// Entries written to the index.
    pub index_writes: u64,
    /// Times that the index failed or did not answer in time. The calls went on without it.
    pub index_failures: u64,
    /// The same by their kind.
    pub index_faults: BackendFaults,
    /// How the index stands now.
    pub index_state: BackendState,
    /// How long the backend of bytes was looked in.
    pub backend_time: TierTime,
    /// How long the index was asked for exactly a question.
    pub index_exact_time: TierTime,
    /// How long questions waited for their embeddings.
    pub embed_time: TierTime,
    /// How long the index was asked for what is near.
    pub index_time: TierTime,
    /// What `verify` said.
    pub verify: VerifyStats,
    /// What came of executing hits all the same.
    pub shadow: ShadowStats,
    /// What was learnt for `max_error`; `None` without it.
    pub bound: Option<BoundStats>,
}

/// What a function's `verify` said of near questions. Whatever it did not say was a miss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct VerifyStats {
    /// Near questions that mean the same.
    pub same: u64,
    /// Those that do not.
    pub different: u64,
    /// Those of which it had been said before.
    pub remembered: u64,
    /// It did not answer within `verify_timeout`.
    pub timed_out: u64,
    /// It returned an error.
    pub failed: u64,
    /// It panicked.
    pub panicked: u64,
    /// It was being asked about `verify_concurrent` others.
    pub saturated: u64,
    /// It had failed several times in a row, and was not asked.
    pub resting: u64,
    /// How long it took.
    pub time: TierTime,
}

/// What came of executing semantic hits all the same (`shadow`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ShadowStats {
    /// Executions whose value was compared with the one that was served.
    pub compared: u64,
    /// Those whose value was another.
    pub disagreed: u64,
    /// Executions that were not compared: they ended with an error, a panic, early, or `agree` panicked.
    pub failed: u64,
    /// Hits that were chosen and not executed: eight of the function were under way, the answer was gone again, or there was
    /// no runtime.
    pub skipped: u64,
    /// What follows of the rate of wrong hits; `None` before anything was compared.
    pub error: Option<ErrorRate>,
}

/// A rate of wrong hits, as far as it is known from so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ErrorRate {
    /// The part that was wrong.
    pub observed: f64,
    /// The ends of the interval of Clopper and Pearson: the true rate lies in it with a confidence of 95 %, or more.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// The upper bound of the same kind, one-sided: the true rate is at most that, with a confidence of 95 %, or more. This is
    /// the one to compare with what may be wrong. It holds for who looks once, at a moment chosen before.
    pub at_most: f64,
}

/// What a function with `max_error` has learnt by now.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BoundStats {
    /// What may be wrong of the hits.
    pub max_error: f64,
    /// From which similarity on near questions are served; `None`: from none, as yet.
    pub threshold: Option<f32>,
    /// Near questions of which it is known whether the answer was right, and which still count.
    pub labels: u64,
    /// Those whose answer was a wrong one.
    pub wrong: u64,
    /// How many of those are wrong that are near enough to be served.
    pub served: Option<ErrorRate>,
    /// Hits that were served for being near enough.
    pub hits: u64,
    /// Near questions that were not near enough for that: they were verified, or executed.
    pub unproven: u64,
    /// How often everything learnt was forgotten because hits had become far worse.
    pub resets: u64,
    /// The labels by similarity, the nearest first; none before there are enough.
    pub levels: Vec<LevelStats>,
}

/// Near questions of about one similarity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LevelStats {
    /// From which similarity on, up to that of the level before.
    pub from: f32,
    /// How many labels there are.
    pub labels: u64,
    /// How many of them are of wrong answers.
    pub wrong: u64,
    /// Whether hits are served from here.
    pub is_served: bool,
}

#[cfg(feature = "semantic")]
impl ErrorRate {
    pub(crate) fn of(labels: Labels) -> ErrorRate {
        ErrorRate {
            observed: labels.wrong as f64 / labels.all.max(1) as f64,
            low: bound::at_least(labels, 0.025),
            high: bound::at_most(labels, 0.025),
            at_most: bound::at_most(labels, 0.05),
        }
    }
}

impl VerifyStats {
    /// All that kept it from saying anything.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.timed_out + self.failed + self.panicked + self.saturated + self.resting
    }

    fn add(&mut self, other: &VerifyStats) {
        self.same += other.same;
        self.different += other.different;
        self.remembered += other.remembered;
        self.timed_out += other.timed_out;
        self.failed += other.failed;
        self.panicked += other.panicked;
        self.saturated += other.saturated;
        self.resting += other.resting;
        self.time.add(&other.time);
    }
}

impl ShadowStats {
    fn add(&mut self, other: &ShadowStats) {
        self.compared += other.compared;
        self.disagreed += other.disagreed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl BoundStats {
    /// The sums of several, and what the one has learnt that has most labels.
    fn add(&mut self, other: &BoundStats) {
        let (hits, unproven, resets) =
            (self.hits + other.hits, self.unproven + other.unproven, self.resets + other.resets);
        if other.labels > self.labels {
            *self = other.clone();
        }
        (self.hits, self.unproven, self.resets) = (hits, unproven, resets);
    }
}

/// How often each guard refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Refusals {
    /// Other numbers.
    pub numbers: u64,
    /// Opposite words.
    pub antonyms: u64,
    /// One is negated.
    pub negation: u64,
    /// Other names.
    pub entities: u64,
    /// Other quotations.
    pub quoted: u64,
}

/// What went wrong with an embedder, by question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EmbedFaults {
    /// There was no connection, or it broke.
    pub unreachable: u64,
    /// It did not answer in time.
    pub timed_out: u64,
    /// It did not want to.
    pub refused: u64,
    /// It did not take the question, which may be too long for it.
    pub unsuitable: u64,
    /// It had been asked too often.
    pub rate_limited: u64,
    /// Its answer was no embedding.
    pub invalid: u64,
    /// It had failed several times in a row, and was not asked.
    pub resting: u64,
    /// Anything else.
    pub other: u64,
}

/// How long a tier took, all look-ups together. Serialised in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TierTime {
    /// How many look-ups there were.
    pub count: u64,
    /// All of them together.
    #[serde(serialize_with = "seconds")]
    pub total: Duration,
    /// The longest.
    #[serde(serialize_with = "seconds")]
    pub max: Duration,
}

impl TierTime {
    /// The average; zero without look-ups.
    #[must_use]
    pub fn mean(&self) -> Duration {
        u32::try_from(self.count).ok().and_then(|count| self.total.checked_div(count)).unwrap_or_default()
    }

    fn add(&mut self, other: &TierTime) {
        self.count += other.count;
        self.total += other.total;
        self.max = self.max.max(other.max);
    }
}

impl SemanticStats {
    /// All that went wrong with the embedder.
    #[must_use]
    pub fn embed_failures(&self) -> u64 {
        let EmbedFaults { unreachable, timed_out, refused, unsuitable, rate_limited, invalid, resting, other } =
            self.embed_faults;
        unreachable + timed_out + refused + unsuitable + rate_limited + invalid + resting + other
    }

    pub(crate) fn add(&mut self, other: &SemanticStats) {
        self.is_used |= other.is_used;
        self.backend_exact_hits += other.backend_exact_hits;
        self.index_exact_hits += other.index_exact_hits;
        self.index_hits += other.index_hits;
        self.memory_hits += other.memory_hits;
        self.joined += other.joined;
        self.refused.add(&other.refused);
        for (sum, more) in self.below_threshold.iter_mut().zip(other.below_threshold) {
            *sum += more;
        }
        self.embedding_batches += other.embedding_batches;
        self.embed_faults.add(&other.embed_faults);
        self.not_embedded += other.not_embedded;
        self.index_writes += other.index_writes;
        self.index_failures += other.index_failures;
        self.index_faults.add(&other.index_faults);
        self.index_state = self.index_state.max(other.index_state);
        self.backend_time.add(&other.backend_time);
        self.index_exact_time.add(&other.index_exact_time);
        self.embed_time.add(&other.embed_time);
        self.index_time.add(&other.index_time);
        self.verify.add(&other.verify);
        self.shadow.add(&other.shadow);
        match (&mut self.bound, &other.bound) {
            (Some(bound), Some(other)) => bound.add(other),
            (bound @ None, other) => bound.clone_from(other),
            (Some(_), None) => (),
        }
    }

    /// Fills in what follows from the rest.
    #[cfg(feature = "semantic")]
    pub(super) fn derive(&mut self) {
        let ShadowStats { compared, disagreed, .. } = self.shadow;
        let labels = Labels { all: compared, wrong: disagreed };
        self.shadow.error = (compared > 0).then(|| ErrorRate::of(labels));
    }
}

impl Refusals {
    fn add(&mut self, other: &Refusals) {
        self.numbers += other.numbers;
        self.antonyms += other.antonyms;
        self.negation += other.negation;
        self.entities += other.entities;
        self.quoted += other.quoted;
    }

    /// All together.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.numbers + self.antonyms + self.negation + self.entities + self.quoted
    }
}

impl EmbedFaults {
    fn add(&mut self, other: &EmbedFaults) {
        self.unreachable += other.unreachable;
        self.timed_out += other.timed_out;
        self.refused += other.refused;
        self.unsuitable += other.unsuitable;
        self.rate_limited += other.rate_limited;
        self.invalid += other.invalid;
        self.resting += other.resting;
        self.other += other.other;
    }
}

impl fmt::Display for SemanticStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "meaning: {} exact in the backend, {} exact in the index, {} near in the index, {} near in memory, {} joined, \
             {} refused by guards, {} not near enough, {} embedder failures; index {}: {} writes, {} failures",
            self.backend_exact_hits,
            self.index_exact_hits,
            self.index_hits,
            self.memory_hits,
            self.joined,
            self.refused.all(),
            self.below_threshold.iter().sum::<u64>(),
            self.embed_failures(),
            self.index_state,
            self.index_writes,
            self.index_failures,
        )?;
        let VerifyStats { same, different, remembered, .. } = self.verify;
        if same + different + remembered + self.verify.failures() > 0 {
            let failures = self.verify.failures();
            write!(f, "; verified: {same} same, {different} different, {remembered} remembered, {failures} not said")?;
        }
        if let ShadowStats { compared, disagreed, error: Some(error), .. } = self.shadow {
            let [observed, low, high] = [error.observed, error.low, error.high].map(|rate| rate * 100.0);
            write!(
                f,
                "; shadow: {disagreed} of {compared} disagree, {observed:.2}% wrong (95% interval {low:.2}% to {high:.2}%)"
            )?;
        }
        let Some(BoundStats { max_error, threshold, labels, wrong, hits, .. }) = &self.bound else { return Ok(()) };
        write!(f, "; at most {:.2}% wrong: {labels} labels, {wrong} wrong, {hits} hits ", max_error * 100.0)?;
        match threshold {
            Some(threshold) => write!(f, "from {threshold:.3} on"),
            None => f.write_str("from nowhere yet"),
        }
    }
}
