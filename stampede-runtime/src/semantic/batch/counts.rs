//! What has been asked of an embedder.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::Answers;
use crate::semantic::EmbedErrorKind;

/// Each number by itself is right at any moment; together they may be a call apart.
#[derive(Default)]
pub(super) struct Counts {
    calls: AtomicU64,
    failures: [AtomicU64; EmbedErrorKind::ALL.len()],
    embeddings: AtomicU64,
    invalid: AtomicU64,
    refused: AtomicU64,
    nanos: AtomicU64,
}

/// What has been asked of an embedder, since the process began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Calls of the embedder that have ended.
    pub(crate) calls: u64,
    /// Those of them that brought no vectors, in the order of [`EmbedErrorKind::ALL`].
    pub(crate) failures: [u64; EmbedErrorKind::ALL.len()],
    /// Vectors that are embeddings.
    pub(crate) embeddings: u64,
    /// Vectors that are none.
    pub(crate) invalid: u64,
    /// Texts that were not asked for, since too many were waiting.
    pub(crate) refused: u64,
    /// How long the calls took together.
    pub(crate) time: Duration,
}

impl Counts {
    pub(super) fn called(&self, time: Duration, answers: &Answers) {
        self.calls.fetch_add(1, Relaxed);
        self.nanos.fetch_add(time.as_nanos().try_into().unwrap_or(u64::MAX), Relaxed);
        match answers {
            Ok(answers) => {
                let right = answers.iter().filter(|answer| answer.is_ok()).count();
                self.embeddings.fetch_add(right as u64, Relaxed);
                self.invalid.fetch_add((answers.len() - right) as u64, Relaxed);
            }
            Err(error) => {
                self.failures[error.kind() as usize].fetch_add(1, Relaxed);
            }
        }
    }

    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> Counted {
        Counted {
            calls: self.calls.load(Relaxed),
            failures: self.failures.each_ref().map(|count| count.load(Relaxed)),
            embeddings: self.embeddings.load(Relaxed),
            invalid: self.invalid.load(Relaxed),
            refused: self.refused.load(Relaxed),
            time: Duration::from_nanos(self.nanos.load(Relaxed)),
        }
    }
}

#[cfg(test)]
impl Counted {
    /// How many calls have failed in this way.
    pub(crate) fn failed(&self, kind: EmbedErrorKind) -> u64 {
        self.failures[kind as usize]
    }
}
