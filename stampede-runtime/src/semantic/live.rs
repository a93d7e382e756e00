//! The counters of one function that compares meanings, while it is in use.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::time::Duration;

use super::batch::Counted;
use super::{EmbedErrorKind, Guard};
use crate::stats::{BackendFaults, EmbedFaults, Refusals, Stats, TierTime, count};
use crate::store::BackendErrorKind;

/// At most so many notes of hits are under way at once; those beyond are not made.
const NOTES_MAX: usize = 16;

#[derive(Default)]
pub(crate) struct Live {
    pub(super) backend_exact_hits: AtomicU64,
    pub(super) index_exact_hits: AtomicU64,
    pub(super) refused: Refused,
    below: [AtomicU64; 20],
    pub(super) not_embedded: AtomicU64,
    pub(super) embedder_rested: AtomicU64,
    pub(super) index_writes: AtomicU64,
    pub(super) undecodable: AtomicU64,
    pub(super) unencodable: AtomicU64,
    pub(super) index_faults: Faults,
    pub(super) backend_time: Timed,
    pub(super) index_exact_time: Timed,
    pub(super) embed_time: Timed,
    pub(super) index_time: Timed,
    /// The last question could not be embedded.
    embedder_is_broken: AtomicBool,
    notes: Arc<AtomicUsize>,
    embed_faults: [AtomicU64; EmbedErrorKind::ALL.len()],
    /// What the embedder had done at the last reset: embeddings, calls.
    forgotten: [AtomicU64; 2],
}

/// How often each guard refused.
#[derive(Default)]
pub(crate) struct Refused([AtomicU64; Guard::ALL.len()]);

impl Refused {
    pub(super) fn count(&self, guard: Guard) {
        count(&self.0[guard as usize]);
    }

    pub(super) fn add_to(&self, refusals: &mut Refusals) {
        let of = |guard: Guard| self.0[guard as usize].load(Relaxed);
        refusals.numbers += of(Guard::Numbers);
        refusals.antonyms += of(Guard::Antonyms);
        refusals.negation += of(Guard::Negation);
        refusals.entities += of(Guard::Entities);
        refusals.quoted += of(Guard::Quoted);
    }

    pub(super) fn reset(&self) {
        self.0.iter().for_each(|counter| counter.store(0, Relaxed));
    }
}

/// Failures by kind.
#[derive(Default)]
pub(super) struct Faults([AtomicU64; 8]);

impl Faults {
    pub(super) fn count(&self, kind: BackendErrorKind) {
        count(&self.0[kind as usize]);
    }

    fn read(&self) -> BackendFaults {
        let of = |kind: BackendErrorKind| self.0[kind as usize].load(Relaxed);
        BackendFaults {
            unreachable: of(BackendErrorKind::Unreachable),
            timed_out: of(BackendErrorKind::TimedOut),
            refused: of(BackendErrorKind::Refused),
            read_only: of(BackendErrorKind::ReadOnly),
            out_of_memory: of(BackendErrorKind::OutOfMemory),
            too_large: of(BackendErrorKind::TooLarge),
            resting: of(BackendErrorKind::Resting),
            other: of(BackendErrorKind::Other),
        }
    }

    fn all(&self) -> u64 {
        self.0.iter().map(|fault| fault.load(Relaxed)).sum()
    }
}

/// How long something took.
#[derive(Default)]
pub(super) struct Timed {
    count: AtomicU64,
    total_nanos: AtomicU64,
    max_nanos: AtomicU64,
}

impl Timed {
    pub(super) fn took(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        count(&self.count);
        self.total_nanos.fetch_add(nanos, Relaxed);
        self.max_nanos.fetch_max(nanos, Relaxed);
    }

    pub(super) fn read(&self) -> TierTime {
        TierTime {
            count: self.count.load(Relaxed),
            total: Duration::from_nanos(self.total_nanos.load(Relaxed)),
            max: Duration::from_nanos(self.max_nanos.load(Relaxed)),
        }
    }

    pub(super) fn counters(&self) -> [&AtomicU64; 3] {
        [&self.count, &self.total_nanos, &self.max_nanos]
    }
}

/// A hit that is being noted.
pub(super) struct Noting(Arc<AtomicUsize>);

impl Drop for Noting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Live {
    /// Counts a look-up whose nearest question is so near.
    pub(super) fn not_near_enough(&self, similarity: f32) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 20")]
        let step = (similarity.clamp(0.0, 1.0) * 20.0) as usize;
        count(&self.below[step.min(self.below.len() - 1)]);
    }

    pub(super) fn embedder_works(&self) {
        if self.embedder_is_broken.load(Relaxed) {
            self.embedder_is_broken.store(false, Relaxed);
        }
    }

    /// Returns whether that is news.
    pub(super) fn embedder_fails(&self, kind: EmbedErrorKind) -> bool {
        count(&self.embed_faults[kind as usize]);
        !self.embedder_is_broken.swap(true, Relaxed)
    }

    /// Whether one more hit may be noted now.
    pub(super) fn noting(&self) -> Option<Noting> {
        let noting = Noting(Arc::clone(&self.notes));
        (self.notes.fetch_add(1, SeqCst) < NOTES_MAX).then_some(noting)
    }

    pub(super) fn add_to(&self, stats: &mut Stats, of_embedder: Option<&Counted>) {
        stats.decode_errors += self.undecodable.load(Relaxed);
        stats.encode_errors += self.unencodable.load(Relaxed);
        let semantic = &mut stats.semantic;
        semantic.is_used = true;
        semantic.backend_exact_hits += self.backend_exact_hits.load(Relaxed);
        semantic.index_exact_hits += self.index_exact_hits.load(Relaxed);
        self.refused.add_to(&mut semantic.refused);
        for (sum, more) in semantic.below_threshold.iter_mut().zip(&self.below) {
            *sum += more.load(Relaxed);
        }
        semantic.not_embedded += self.not_embedded.load(Relaxed);
        semantic.index_writes += self.index_writes.load(Relaxed);
        semantic.index_failures += self.index_faults.all();
        semantic.index_faults.add(&self.index_faults.read());
        semantic.backend_time = self.backend_time.read();
        semantic.index_exact_time = self.index_exact_time.read();
        semantic.embed_time = self.embed_time.read();
        semantic.index_time = self.index_time.read();
        let of = |kind: EmbedErrorKind| self.embed_faults[kind as usize].load(Relaxed);
        semantic.embed_faults = EmbedFaults {
            unreachable: of(EmbedErrorKind::Unreachable),
            timed_out: of(EmbedErrorKind::TimedOut),
            refused: of(EmbedErrorKind::Refused),
            unsuitable: of(EmbedErrorKind::Unsuitable),
            rate_limited: of(EmbedErrorKind::RateLimited),
            invalid: of(EmbedErrorKind::Invalid),
            resting: self.embedder_rested.load(Relaxed),
            other: of(EmbedErrorKind::Other),
        };
        if let Some(counted) = of_embedder {
            let [embeddings, calls] = self.forgotten.each_ref().map(|forgotten| forgotten.load(Relaxed));
            stats.embeddings_generated += counted.embeddings.saturating_sub(embeddings);
            semantic.embedding_batches += counted.calls.saturating_sub(calls);
        }
    }

    pub(super) fn reset(&self, of_embedder: Option<&Counted>) {
        self.refused.reset();
        if let Some(counted) = of_embedder {
            self.forgotten[0].store(counted.embeddings, Relaxed);
            self.forgotten[1].store(counted.calls, Relaxed);
        }
        let plain = [
            &self.backend_exact_hits,
            &self.index_exact_hits,
            &self.not_embedded,
            &self.embedder_rested,
            &self.index_writes,
            &self.undecodable,
            &self.unencodable,
        ];
        let times = [&self.backend_time, &self.index_exact_time, &self.embed_time, &self.index_time];
        let times = times.into_iter().flat_map(Timed::counters);
        for counter in
            plain.into_iter().chain(&self.below).chain(&self.index_faults.0).chain(&self.embed_faults).chain(times)
        {
            counter.store(0, Relaxed);
        }
    }
}
