//! The index of this process alone, beside a backend that all share: what others take out there is taken out of it, too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::semantic::EmbeddedIndex;
use crate::semantic::index::{Partition, QuestionHash};

/// How many places are noted before those of what is gone are first looked for.
const NOTED_MIN: usize = 1_024;

pub(super) struct Own {
    index: Arc<EmbeddedIndex>,
    places: Mutex<Places>,
}

struct Places {
    /// Where the entry of a question is, by what the backend and its messages call it.
    by_question: HashMap<[u8; 32], Place>,
    sweep_at: usize,
}

struct Place {
    of: Partition,
    hash: QuestionHash,
    /// How many are putting it there. Until they have, nobody knows whether it is there.
    puts: usize,
}

/// An entry is being put, until this is dropped.
pub(super) struct Putting<'a> {
    own: &'a Own,
    question: [u8; 32],
}

impl Drop for Putting<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.own.places().by_question.get_mut(&self.question) {
            place.puts -= 1;
        }
    }
}

impl Own {
    pub(super) fn new(index: Arc<EmbeddedIndex>) -> Own {
        Own { index, places: Mutex::new(Places { by_question: HashMap::new(), sweep_at: NOTED_MIN }) }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An entry is about to be put.
    pub(super) fn put(&self, question: [u8; 32], of: &Partition, hash: QuestionHash) -> Putting<'_> {
        let mut places = self.places();
        if places.by_question.len() >= places.sweep_at {
            places.by_question.retain(|_, place| place.puts > 0 || self.index.hits(&place.of, &place.hash).is_some());
            places.sweep_at = NOTED_MIN.max(2 * places.by_question.len());
        }
        places.by_question.entry(question).or_insert_with(|| Place { of: of.clone(), hash, puts: 0 }).puts += 1;
        Putting { own: self, question }
    }

    /// Another process has taken a question out.
    pub(super) fn hear_one(&self, question: &[u8; 32]) {
        let mut places = self.places();
        let Some(place) = places.by_question.get(question) else { return };
        self.index.take_one(&place.of, &place.hash);
        if place.puts == 0 {
            places.by_question.remove(question);
        }
    }

    /// The same of all questions of a function, or nobody knows of which.
    pub(super) fn hear_all(&self, function: &str) {
        let mut places = self.places();
        self.index.take_all(function);
        places.by_question.retain(|_, place| place.puts > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_forgotten_and_what_is_being_put_is_not() {
        let own = Own::new(Arc::new(EmbeddedIndex::new()));
        let of = Partition { namespace: "f".into(), model: "m".into(), tenant: "".into(), arguments: [0; 32] };
        let question = |number: usize| *blake3::hash(&number.to_le_bytes()).as_bytes();
        let putting = own.put(question(0), &of, [0; 32]);
        for number in 1..=NOTED_MIN {
            drop(own.put(question(number), &of, question(number)));
        }
        let known = |number| own.places().by_question.contains_key(&question(number));
        assert_eq!([0, 1, NOTED_MIN].map(known), [true, false, true]);
        own.hear_one(&question(0));
        assert!(known(0), "it may be there in a moment");
        drop(putting);
        own.hear_all("f");
        assert_eq!([0, NOTED_MIN].map(known), [false; 2]);
    }
}
