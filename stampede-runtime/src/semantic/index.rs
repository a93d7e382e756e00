//! Where questions are kept with their embeddings and their answers, as far as stampede needs it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Embedder, Embedding};
use crate::store::{Guarded, Pending};

/// The name of the index that functions find by themselves.
pub(crate) const INDEX: &str = "pgvector";

/// All that has to be equal for one question to be answered as another was. Compared exactly.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Partition {
    /// Whose: `namespace::function`.
    pub namespace: Arc<str>,
    /// The model of the embeddings.
    pub model: Arc<str>,
    /// What `tenant = …` says; empty where nothing does.
    pub tenant: Arc<str>,
    /// The digest of the function's `version` and of all arguments but the question.
    pub arguments: [u8; 32],
}

/// What is the user's is not shown.
impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partition")
            .field("namespace", &self.namespace)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// The digest of a question in its normal form.
pub type QuestionHash = [u8; 32];

/// A question and its answer, to be kept.
#[derive(Clone, Copy)]
pub struct New<'a> {
    /// What tells the question from others of its partition.
    pub hash: QuestionHash,
    /// The question, in its normal form but for its case. Without the character NUL.
    pub question: &'a str,
    /// Its meaning.
    pub embedding: &'a Embedding,
    /// The answer, as JSON.
    pub response: &'a str,
    /// For how long it is fresh, more than zero.
    pub ttl: Duration,
    /// For how long after that it is still kept, for calls that may be answered with what is old.
    pub retention: Duration,
    /// How long it took to make.
    pub cost: Duration,
    /// When its making began. What began before the last [`remove`](Index::remove) or [`clear`](Index::clear) of it,
    /// before a [`remove_near`](Index::remove_near) that it is near enough to, or before what is kept, is not put.
    pub began: Instant,
    /// How many entries its partition keeps, at least 1. Those that were made first make room.
    pub capacity: usize,
}

/// A question and its answer, as it is kept.
#[derive(Clone, PartialEq)]
pub struct Entry {
    /// What tells the question from others of its partition.
    pub hash: QuestionHash,
    /// The question.
    pub question: String,
    /// The answer.
    pub response: String,
    /// How long ago it was put.
    pub age: Duration,
    /// For how long it is fresh from now on; zero: it is not any more.
    pub fresh: Duration,
    /// For how long it has not been fresh.
    pub past: Duration,
    /// How long it took to make.
    pub cost: Duration,
}

impl Entry {
    /// So much time has passed since it was found.
    pub(super) fn grows_older(&mut self, by: Duration) {
        self.age = self.age.saturating_add(by);
        self.past = self.past.saturating_add(by.saturating_sub(self.fresh));
        self.fresh = self.fresh.saturating_sub(by);
    }
}

/// Without what is in it.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("age", &self.age).field("fresh", &self.fresh).finish_non_exhaustive()
    }
}

/// An entry and how near it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Near {
    /// What is near.
    pub entry: Entry,
    /// The cosine of the angle between the embeddings, from -1 to 1.
    pub similarity: f32,
}

/// Questions with their answers, found by their hash or by their meaning.
///
/// As a [`Backend`](crate::store::Backend), an index decides nothing and retries nothing: a call that finds it broken goes on
/// without it. Every verb ends within a time of its own, which its maker sets.
///
/// **Cancel**: any future here may be dropped at any point; what it was doing has then been done or not.
///
/// **Errors**: [`BackendError`](crate::store::BackendError). Nothing panics for what a store answered. `Debug` shows neither
/// secrets nor texts.
pub trait Index: fmt::Debug + Send + Sync + 'static {
    /// The entry of exactly this question, while it is kept.
    fn exact<'a>(&'a self, of: &'a Partition, hash: &'a QuestionHash) -> Pending<'a, Option<Entry>>;

    /// The nearest *fresh* entries of a partition, at most `limit`, nearest first, however near they are. None of an
    /// embedding with another number of dimensions.
    fn nearest<'a>(&'a self, of: &'a Partition, to: &'a Embedding, limit: usize) -> Pending<'a, Vec<Near>>;

    /// Keeps an entry in place of an earlier one of the same question. Whether it was put: see [`New::began`].
    fn put<'a>(&'a self, of: &'a Partition, new: New<'a>) -> Pending<'a, bool>;

    /// Notes that an entry has answered a call. An index that does not count does nothing.
    fn hit<'a>(&'a self, of: &'a Partition, hash: &'a QuestionHash) -> Pending<'a, ()>;

    /// Takes a question's entry out; whether there was one.
    fn remove<'a>(&'a self, of: &'a Partition, hash: &'a QuestionHash) -> Pending<'a, bool>;

    /// Takes out all entries of a partition that are at least so near; how many there were. What is near and being made is
    /// refused when it is put: see [`New::began`].
    fn remove_near<'a>(&'a self, of: &'a Partition, to: &'a Embedding, similarity: f32) -> Pending<'a, u64>;

    /// Takes out all entries of a function, whatever their partition; how many there were.
    fn clear<'a>(&'a self, namespace: &'a str) -> Pending<'a, u64>;

    /// Whether it answers.
    fn ping(&self) -> Pending<'_, ()>;

    /// How many dimensions the embeddings have that it keeps. 0: any.
    fn dimensions(&self) -> usize {
        0
    }
}

/// What to say of an index that keeps no embeddings of an embedder.
pub(crate) fn unfit(index: &Guarded<dyn Index>, embedder: &dyn Embedder) -> Option<String> {
    let [kept, made] = [index.backend().dimensions(), embedder.dimensions()];
    (kept != made && kept != 0 && made != 0).then(|| {
        format!(
            "the index `{}` keeps embeddings of {kept} dimensions, and `{}` makes them of {made}; give the index, and its \
             table, {made} dimensions, or take another embedder",
            index.name(),
            embedder.model_id(),
        )
    })
}

impl<I: Index + ?Sized> Index for Arc<I> {
    fn exact<'a>(&'a self, of: &'a Partition, hash: &'a QuestionHash) -> Pending<'a, Option<Entry>> {
        (**self).exact(of, hash)
    }

    fn nearest<'a>(&'a self, of: &'a Partition, to: &'a Embedding, limit: usize) -> Pending<'a, Vec<Near>> {
        (**self).nearest(of, to, limit)
    }

    fn put<'a>(&'a self, of: &'a Partition, new: New<'a>) -> Pending<'a, bool> {
        (**self).put(of, new)
    }

    fn hit<'a>(&'a self, of: &'a Partition, hash: &'a QuestionHash) -> Pending<'a, ()> {
        (**self).hit(of, hash)
    }

    fn remove<'a>(&'a self, of: &'a Partition, hash: &'a QuestionHash) -> Pending<'a, bool> {
        (**self).remove(of, hash)
    }

    fn remove_near<'a>(&'a self, of: &'a Partition, to: &'a Embedding, similarity: f32) -> Pending<'a, u64> {
        (**self).remove_near(of, to, similarity)
    }

    fn clear<'a>(&'a self, namespace: &'a str) -> Pending<'a, u64> {
        (**self).clear(namespace)
    }

    fn ping(&self) -> Pending<'_, ()> {
        (**self).ping()
    }

    fn dimensions(&self) -> usize {
        (**self).dimensions()
    }
}
