//! What became of calls that mean something.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::{BackendFaults, BackendState, seconds};

/// What a `#[semantic_coalesce]` function did besides what every function does.
///
/// Counted once for each look-up, which concurrent calls with one question share.
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
            "meaning: {} exact in the backend, {} exact in the index, {} near in the index, {} joined, {} refused by guards, \
             {} not near enough, {} embedder failures; index {}: {} writes, {} failures",
            self.backend_exact_hits,
            self.index_exact_hits,
            self.index_hits,
            self.joined,
            self.refused.all(),
            self.below_threshold.iter().sum::<u64>(),
            self.embed_failures(),
            self.index_state,
            self.index_writes,
            self.index_failures,
        )
    }
}
