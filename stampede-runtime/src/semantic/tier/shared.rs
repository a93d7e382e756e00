//! What a function asks its index and its embedder: within a budget, counted, and never in anybody's way.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use std::vec::IntoIter;

use tokio::time::Instant;

use super::own::Own;
use crate::blocking;
use crate::clock::{self, Moment, Stopwatch};
use crate::error::Error;
use crate::hooks::Keeping;
use crate::key::{Id, Question};
use crate::policy::Policy;
use crate::registry::Scope;
use crate::semantic::batch::Batcher;
use crate::semantic::index::{self, Entry, New, Partition};
use crate::semantic::live::Live;
use crate::semantic::rest::Rest;
use crate::semantic::{CANDIDATES, EmbedError, EmbedErrorKind, Embedding, Index};
use crate::stats::count;
use crate::store::{BackendError, Codec, Guarded, Storable, Verb, WHOLE};
use crate::tier::{Found, Kept, Life, Near, Origin, Source, Work};

/// As which bytes answers stand in an index.
pub(super) const CODEC: Codec = Codec::Json;

/// What all look-ups of a function share.
pub(super) struct Shared {
    pub(super) function: Arc<str>,
    pub(super) version: u32,
    pub(super) index: Arc<Guarded<dyn Index>>,
    /// It is of this process alone, beside a backend that all share.
    pub(super) own: Option<Own>,
    /// `None`: no meaning is compared.
    pub(super) embeds: Option<Embeds>,
    pub(super) policy: Policy,
    pub(super) live: Live,
}

pub(super) struct Embeds {
    pub(super) batcher: Batcher,
    pub(super) rest: Rest,
    /// The model, and how many dimensions it has.
    pub(super) model: Arc<str>,
}

impl Shared {
    pub(super) fn partition(&self, embeds: &Embeds, question: &Question) -> Partition {
        let arguments =
            blake3::Hasher::new().update(&self.version.to_le_bytes()).update(&question.arguments).finalize();
        Partition {
            namespace: Arc::clone(&self.function),
            model: Arc::clone(&embeds.model),
            tenant: Arc::from(&*question.tenant),
            arguments: *arguments.as_bytes(),
        }
    }

    /// Waits for the index within the budget.
    pub(super) async fn ask<T>(
        &self,
        verb: Verb,
        answer: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        self.ask_for(self.policy.backend_timeout, verb, answer).await
    }

    pub(super) async fn ask_for<T>(
        &self,
        budget: Duration,
        verb: Verb,
        answer: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let answer = self.index.ask(WHOLE, budget, answer).await;
        match &answer {
            Ok(_) => self.index.works(WHOLE, Some(verb)),
            Err(error) => {
                self.live.index_faults.count(error.kind());
                self.index.fails(WHOLE, verb, &self.function, error);
            }
        }
        answer
    }

    pub(super) async fn exact(&self, of: &Partition, question: &Question) -> Option<Entry> {
        let since = Instant::now();
        let entry = self.ask(Verb::Read, self.index.backend().exact(of, &question.hash)).await;
        self.live.index_exact_time.took(since.elapsed());
        let entry = entry.ok().flatten()?;
        self.note_hit(of, entry.hash);
        Some(entry)
    }

    /// The embedding of a question. An error: it has none, or it cannot be made now.
    pub(super) async fn embed<'a>(
        &self,
        embeds: &Embeds,
        question: &'a Question,
    ) -> Result<&'a Embedding, NotEmbedded> {
        if let Some(embedding) = question.embedding.get() {
            return Ok(embedding);
        }
        if question.text.is_empty() {
            count(&self.live.not_embedded);
            return Err(NotEmbedded::Ever);
        }
        if !embeds.rest.may_ask() {
            count(&self.live.embedder_rested);
            return Err(NotEmbedded::Now);
        }
        let since = Instant::now();
        let embedding = embed_aside(&embeds.batcher, &question.text).await;
        self.live.embed_time.took(since.elapsed());
        match embedding {
            Ok(embedding) => {
                embeds.rest.answered();
                self.live.embedder_works();
                // Somebody else may have been faster; it is the same.
                Ok(question.embedding.get_or_init(|| embedding))
            }
            Err(error) => {
                let is_of_text = error.kind() == EmbedErrorKind::Unsuitable;
                if is_of_text || error.kind() == EmbedErrorKind::Invalid {
                    embeds.rest.answered();
                } else {
                    embeds.rest.failed();
                }
                if self.live.embedder_fails(error.kind()) {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(
                        target: "stampede", function = &*self.function, %error, cause,
                        "questions are not embedded; calls go on without it",
                    );
                }
                Err(if is_of_text { NotEmbedded::Ever } else { NotEmbedded::Now })
            }
        }
    }

    /// The questions that are near enough, nearest first.
    pub(super) async fn nearest(&self, of: &Partition, question: &Question, embedding: &Embedding) -> Nearest {
        let since = Instant::now();
        let near = self.ask(Verb::Read, self.index.backend().nearest(of, embedding, CANDIDATES)).await;
        self.live.index_time.took(since.elapsed());
        let mut near = near.unwrap_or_default();
        let least = self.policy.threshold.max(question.least.unwrap_or(-1.0));
        if let Some(first) = near.first().filter(|first| first.similarity < least) {
            self.live.not_near_enough(first.similarity);
        }
        // What is no number is not near, either.
        near.retain(|near| near.similarity >= least);
        Nearest { near: near.into_iter(), since: clock::instant() }
    }

    /// The answer of the first of them that no guard refuses.
    pub(super) fn next_near<V: Storable>(
        self: &Arc<Self>,
        of: &Partition,
        question: &Question,
        Nearest { near, since }: &mut Nearest,
    ) -> Option<Found<V>> {
        for mut near in near {
            near.entry.grows_older(clock::instant().saturating_duration_since(*since));
            let refused = self.policy.guards.refuse(&question.text, &near.entry.question);
            if let Some(guard) = refused.filter(|_| near.entry.hash != question.hash) {
                self.live.refused.count(guard);
                continue;
            }
            let hash = near.entry.hash;
            if hash == question.hash {
                // Put there since it was looked for.
                let Some(found) = self.understand(near.entry, Origin::Index) else { continue };
                self.note_hit(of, hash);
                return Some(found);
            }
            let source = Question::digest_of(&question.partition, &hash);
            let origin = Origin::Near(Near { source, similarity: near.similarity, is_joined: false });
            let text = Arc::from(&*near.entry.question);
            let answer = *blake3::hash(near.entry.response.as_bytes()).as_bytes();
            let Some(mut found) = self.understand(near.entry, origin) else { continue };
            let (shared, of) = (Arc::clone(self), of.clone());
            let was_taken = Box::new(move || shared.note_hit(&of, hash));
            found.source = Some(Source { text, answer, was_taken });
            return Some(found);
        }
        None
    }

    /// Has the index count a hit, behind the call that had it.
    fn note_hit(&self, of: &Partition, hash: [u8; 32]) {
        let Some(noting) = self.live.noting() else { return };
        let (index, of) = (Arc::clone(&self.index), of.clone());
        let budget = self.policy.backend_timeout;
        blocking::helper().spawn(Scope::here().around(async move {
            // A hit that is not counted has been one all the same.
            let _ = index.ask(WHOLE, budget, index.backend().hit(&of, &hash)).await;
            drop(noting);
        }));
    }

    /// The value of an entry, if it is one.
    pub(super) fn understand<V: Storable>(&self, entry: Entry, origin: Origin) -> Option<Found<V>> {
        let Entry { response, age, fresh, past, cost, .. } = entry;
        let decoded = if response.len() <= self.policy.payload_bytes_max {
            CODEC.decode(response.as_bytes()).map_err(|error| error.to_string())
        } else {
            Err("it is too large".to_owned())
        };
        match decoded {
            Ok(value) => {
                let life = if fresh > Duration::ZERO { Life::Fresh(fresh) } else { Life::Past(past) };
                Some(Found::new(value, life, age, cost, origin))
            }
            Err(error) => {
                count(&self.live.undecodable);
                tracing::debug!(target: "stampede", function = &*self.function, error, "an answer is not understood");
                None
            }
        }
    }

    /// Puts an answer into the index. `None`: it is none that can be kept there.
    pub(super) fn put<V: Storable>(self: &Arc<Self>, id: &Arc<Id>, value: &V, keeping: &Keeping) -> Option<Work<Kept>> {
        self.embeds.as_ref()?;
        let (shared, id) = (Arc::clone(self), Arc::clone(id));
        let began = keeping.since.unwrap_or_else(Stopwatch::start).began();
        let (ends, cost) = (keeping.expires, keeping.cost);
        let encoded = CODEC.encode(value, self.policy.payload_bytes_max);
        let response = match encoded.map(String::from_utf8) {
            Ok(Ok(response)) => Some(response),
            other => {
                count(&self.live.unencodable);
                let error = other.err().map(|error| error.to_string());
                tracing::debug!(target: "stampede", function = &*self.function, error, "an answer is not kept in the index");
                None
            }
        };
        Some(Box::pin(async move {
            let (Some(embeds), Some(question)) = (&shared.embeds, id.question()) else { return Ok(()) };
            let of = shared.partition(embeds, question);
            let _putting = shared.own.as_ref().map(|own| own.put(question.digest, &of, question.hash));
            let put = async {
                let embedding = match question.not_embedded.get() {
                    Some(()) => question.embedding.get()?,
                    None => shared.embed(embeds, question).await.ok()?,
                };
                // Not before: what it takes to embed is no part of its time.
                let ttl = ends.since(Moment::now());
                let new = New {
                    hash: question.hash,
                    question: &question.text,
                    embedding,
                    response: response.as_deref().filter(|_| ttl > Duration::ZERO)?,
                    ttl,
                    retention: shared.policy.retention(),
                    cost,
                    began,
                    capacity: shared.policy.capacity,
                };
                Some(shared.ask(Verb::Write, shared.index.backend().put(&of, new)).await)
            };
            match put.await {
                Some(Ok(is_put)) => {
                    if is_put {
                        count(&shared.live.index_writes);
                    }
                    Ok(())
                }
                Some(Err(error)) => Err(Error::backend(error)),
                // What is there is older than what cannot be kept.
                None => {
                    let removed = shared.ask(Verb::Remove, shared.index.backend().remove(&of, &question.hash)).await;
                    removed.map(drop).map_err(Error::backend)
                }
            }
        }))
    }

    /// Takes out what answers a question: its own entry and, if that `goes_far`, those that are near enough.
    pub(super) async fn take_out(&self, id: &Id, goes_far: bool) -> Result<(), Error> {
        let (Some(embeds), Some(question)) = (&self.embeds, id.question()) else { return Ok(()) };
        let of = self.partition(embeds, question);
        let own = self.ask(Verb::Remove, self.index.backend().remove(&of, &question.hash)).await;
        let own = own.map(drop).map_err(Error::backend);
        if !goes_far {
            return own;
        }
        match self.embed(embeds, question).await {
            Ok(embedding) => {
                let near = self.index.backend().remove_near(&of, embedding, self.policy.threshold);
                own.and(self.ask(Verb::Remove, near).await.map(drop).map_err(Error::backend))
            }
            // Nothing is near to it.
            Err(NotEmbedded::Ever) => own,
            Err(NotEmbedded::Now) => own.and(Err(Error::unreached())),
        }
    }
}

/// Near questions that were found at a moment.
pub(super) struct Nearest {
    near: IntoIter<index::Near>,
    since: Instant,
}

/// Why a question has no embedding.
#[derive(Clone, Copy)]
pub(super) enum NotEmbedded {
    /// There is none of it.
    Ever,
    /// The embedder fails.
    Now,
}

/// An embedder is the user's, and may compute.
async fn embed_aside(batcher: &Batcher, text: &str) -> Result<Embedding, EmbedError> {
    let (batcher, text) = (batcher.clone(), text.to_owned());
    let embedding = blocking::in_workshop(async move { batcher.embed(&text).await }).await;
    embedding.unwrap_or_else(|| Err(EmbedError::new(EmbedErrorKind::Other, "the embedder has panicked")))
}
