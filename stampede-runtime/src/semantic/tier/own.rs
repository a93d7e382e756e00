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
    by_question: HashMap<[u8; 32], (Partition, QuestionHash)>,
    sweep_at: usize,
}

impl Own {
    pub(super) fn new(index: Arc<EmbeddedIndex>) -> Own {
        Own { index, places: Mutex::new(Places { by_question: HashMap::new(), sweep_at: NOTED_MIN }) }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An entry is about to be put.
    pub(super) fn note(&self, question: [u8; 32], of: &Partition, hash: QuestionHash) {
        let mut places = self.places();
        if places.by_question.len() >= places.sweep_at {
            // The one that is noted here is put after that.
            places.by_question.retain(|_, (of, hash)| self.index.hits(of, hash).is_some());
            places.sweep_at = NOTED_MIN.max(2 * places.by_question.len());
        }
        places.by_question.insert(question, (of.clone(), hash));
    }

    /// Another process has taken a question out.
    pub(super) fn hear_one(&self, question: &[u8; 32]) {
        let place = self.places().by_question.remove(question);
        if let Some((of, hash)) = place {
            self.index.take_one(&of, &hash);
        }
    }

    /// The same of all questions of a function, or nobody knows of which.
    pub(super) fn hear_all(&self, function: &str) {
        self.places().by_question.clear();
        self.index.take_all(function);
    }
}
