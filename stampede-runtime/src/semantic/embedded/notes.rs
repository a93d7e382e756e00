//! What was removed, and when: so that an execution that began before cannot bring it back.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::semantic::Embedding;
use crate::semantic::index::{Partition, QuestionHash};

/// How many removals are remembered.
const COUNT_MAX: usize = 10_000;
/// How many of those that take out whatever is near: each is compared with all that is put.
const NEAR_COUNT_MAX: usize = 1_000;
/// For how long.
const AGE_MAX: Duration = Duration::from_secs(600);

/// Removals that are remembered.
///
/// What is forgotten, because there are too many or because it is long ago, is forgotten on the safe side: from then on
/// nothing is put that began before it, whatever it is.
#[derive(Default)]
pub(super) struct Notes {
    by_what: HashMap<What, Instant>,
    /// In the order of their time. What was noted again is here twice.
    by_time: VecDeque<(Instant, What)>,
    /// Those of meanings, in the order of their time.
    near: VecDeque<Near>,
    /// When the last one was made of those that are forgotten.
    forgotten: Option<Instant>,
}

/// All that is near enough was removed.
struct Near {
    at: Instant,
    of: Partition,
    to: Embedding,
    similarity: f32,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum What {
    Question(Partition, QuestionHash),
    Function(Arc<str>),
}

impl Notes {
    pub(super) fn removed(&mut self, of: &Partition, hash: QuestionHash, now: Instant) {
        self.note(What::Question(of.clone(), hash), now);
    }

    pub(super) fn cleared(&mut self, namespace: &str, now: Instant) {
        self.note(What::Function(namespace.into()), now);
    }

    pub(super) fn removed_near(&mut self, of: &Partition, to: &Embedding, similarity: f32, now: Instant) {
        self.near.push_back(Near { at: now, of: of.clone(), to: to.clone(), similarity });
        while self.near.len() > NEAR_COUNT_MAX || self.near.front().is_some_and(|note| is_over(note.at, now)) {
            self.forgotten = self.forgotten.max(self.near.pop_front().map(|note| note.at));
        }
    }

    fn note(&mut self, what: What, now: Instant) {
        self.by_what.insert(what.clone(), now);
        self.by_time.push_back((now, what));
        while self.by_time.len() > COUNT_MAX || self.by_time.front().is_some_and(|(at, _)| is_over(*at, now)) {
            let Some((at, what)) = self.by_time.pop_front() else { break };
            self.forgotten = self.forgotten.max(Some(at));
            // It may have been noted again since.
            if self.by_what.get(&what) == Some(&at) {
                self.by_what.remove(&what);
            }
        }
    }

    /// Whether something was removed after its making `began`; `None`: before all that the clock can count.
    pub(super) fn refuse(
        &self,
        of: &Partition,
        hash: &QuestionHash,
        meaning: &Embedding,
        began: Option<Instant>,
    ) -> bool {
        let removed = self.by_what.get(&What::Question(of.clone(), *hash)).copied();
        let cleared = self.by_what.get(&What::Function(Arc::clone(&of.namespace))).copied();
        let is_near = |note: &Near| {
            began < Some(note.at) && note.of == *of && note.to.similarity(meaning) >= Some(note.similarity)
        };
        // `None` is less than all others: no removal refuses nothing.
        began < removed.max(cleared).max(self.forgotten) || self.near.iter().any(is_near)
    }
}

fn is_over(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) > AGE_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition() -> Partition {
        Partition { namespace: "f".into(), model: "m".into(), tenant: "".into(), arguments: [0; 32] }
    }

    fn east() -> Embedding {
        Embedding::new(vec![1.0, 0.0], 2).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_near_is_refused_whatever_its_question() {
        let (mut notes, of) = (Notes::default(), partition());
        let before = Some(Instant::now());
        tokio::time::advance(Duration::from_secs(1)).await;
        let to = Embedding::new(vec![1.0, 0.5], 2).unwrap();
        notes.removed_near(&of, &to, 0.85, Instant::now());
        let north = Embedding::new(vec![0.0, 1.0], 2).unwrap();
        assert!(notes.refuse(&of, &[1; 32], &east(), before));
        assert!(!notes.refuse(&of, &[1; 32], &north, before), "it is not near");
        assert!(!notes.refuse(&of, &[1; 32], &east(), Some(Instant::now())), "it began later");
        let other = Partition { tenant: "another".into(), ..of.clone() };
        assert!(!notes.refuse(&other, &[1; 32], &east(), before));
        for _ in 0..NEAR_COUNT_MAX {
            tokio::time::advance(Duration::from_nanos(1)).await;
            notes.removed_near(&of, &north, 0.99, Instant::now());
        }
        assert_eq!(notes.near.len(), NEAR_COUNT_MAX);
        assert!(notes.refuse(&other, &[1; 32], &east(), before), "what is forgotten is refused as a whole");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_forgotten_is_refused_as_a_whole() {
        let (mut notes, of) = (Notes::default(), partition());
        let started = Instant::now();
        notes.removed(&of, [1; 32], started);
        tokio::time::advance(Duration::from_secs(1)).await;
        let later = Some(Instant::now());
        assert!(!notes.refuse(&of, &[1; 32], &east(), later));
        assert!(!notes.refuse(&of, &[2; 32], &east(), None), "another question");
        tokio::time::advance(AGE_MAX).await;
        notes.removed(&of, [3; 32], Instant::now());
        assert_eq!(notes.by_what.len(), 1, "the first is forgotten");
        assert!(notes.refuse(&of, &[1; 32], &east(), started.checked_sub(Duration::from_millis(1))));
        assert!(notes.refuse(&of, &[2; 32], &east(), started.checked_sub(Duration::from_millis(1))));
        assert!(!notes.refuse(&of, &[2; 32], &east(), later));
    }

    #[tokio::test(start_paused = true)]
    async fn they_are_limited() {
        let (mut notes, of) = (Notes::default(), partition());
        for number in 0..3 * u64::try_from(COUNT_MAX).unwrap() {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&(number % 15_000).to_le_bytes());
            notes.removed(&of, hash, Instant::now());
            notes.cleared("f", Instant::now());
            tokio::time::advance(Duration::from_nanos(1)).await;
        }
        assert_eq!(notes.by_time.len(), COUNT_MAX);
        assert!(notes.by_what.len() <= COUNT_MAX);
        assert!(notes.refuse(&of, &[9; 32], &east(), None));
    }
}
