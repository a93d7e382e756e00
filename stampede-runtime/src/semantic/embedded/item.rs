//! A question with its answer, as it is kept here.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use crate::semantic::index::{Entry, New, QuestionHash};

/// What never changes of an entry, and how often it has answered.
pub(super) struct Item {
    /// Counts what is put: later ones have greater numbers.
    pub(super) number: u64,
    pub(super) hash: QuestionHash,
    question: Box<str>,
    response: Box<str>,
    pub(super) dimensions: usize,
    put_at: Instant,
    pub(super) began: Instant,
    pub(super) stale_at: Instant,
    pub(super) gone_at: Instant,
    cost: Duration,
    hits: AtomicU64,
}

/// What an entry takes besides its texts and numbers, about: itself, and its places in three maps.
const OVERHEAD: usize = 400;

impl Item {
    pub(super) fn new(number: u64, new: &New<'_>, now: Instant) -> Item {
        let stale_at = end(now, new.ttl);
        Item {
            number,
            hash: new.hash,
            question: new.question.into(),
            response: new.response.into(),
            dimensions: new.embedding.dimensions(),
            put_at: now,
            began: Instant::from_std(new.began),
            stale_at,
            gone_at: end(stale_at, new.retention),
            cost: new.cost,
            hits: AtomicU64::new(0),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.question.len() + self.response.len() + self.dimensions * size_of::<f32>() + OVERHEAD
    }

    pub(super) fn is_kept(&self, now: Instant) -> bool {
        now < self.gone_at
    }

    pub(super) fn hit(&self) {
        self.hits.fetch_add(1, Relaxed);
    }

    pub(super) fn hits(&self) -> u64 {
        self.hits.load(Relaxed)
    }

    pub(super) fn entry(&self, now: Instant) -> Entry {
        Entry {
            hash: self.hash,
            question: self.question.to_string(),
            response: self.response.to_string(),
            age: now.saturating_duration_since(self.put_at),
            fresh: self.stale_at.saturating_duration_since(now),
            past: now.saturating_duration_since(self.stale_at),
            cost: self.cost,
        }
    }
}

/// A moment after another. What the clock cannot count ends in a thousand years.
fn end(from: Instant, span: Duration) -> Instant {
    const THOUSAND_YEARS: Duration = Duration::from_secs(1000 * 365 * 86_400);
    from.checked_add(span.min(THOUSAND_YEARS)).unwrap_or(from)
}
