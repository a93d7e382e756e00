//! The tiers of one function that compares meanings: exactly this question in a backend, exactly this one in an index, the
//! nearest one there.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::batch::Batcher;
use super::index::{Entry, New, Partition};
use super::live::Live;
use super::rest::Rest;
use super::{CANDIDATES, EmbedError, EmbedErrorKind, EmbeddedIndex, Embedding, Index};
use crate::blocking;
use crate::config::Config;
use crate::error::Error;
use crate::hooks::{Keeping, Place};
use crate::key::{Id, Question};
use crate::policy::Policy;
use crate::stats::{BackendState, Stats, count};
use crate::store::{BackendError, Codec, Guarded, Storable, Stored, Verb};
use crate::tier::{Answer, Found, Lease, Life, Look, Near, Origin, Tier, Told, Wanted, Work};

/// As which bytes answers stand in an index.
const CODEC: Codec = Codec::Json;
/// Names that a function need not say.
const BACKEND: &str = "redis";
const INDEX: &str = "pgvector";
/// Taking out all entries of a function may take so many times as long as one answer.
const CLEAR_BUDGETS: u32 = 20;

/// The tiers of a function whose values are `V`.
pub(crate) struct Meant<V> {
    /// Finds exactly the question, and gives out leases where it can.
    exact: Option<Arc<dyn Tier<V>>>,
    shared: Arc<Shared>,
}

/// What all look-ups of a function share.
struct Shared {
    function: Arc<str>,
    version: u32,
    index: Arc<Guarded<dyn Index>>,
    /// It is of this process alone: what others take out stays there.
    is_alone: bool,
    /// `None`: no meaning is compared.
    embeds: Option<Embeds>,
    policy: Policy,
    live: Live,
}

struct Embeds {
    batcher: Batcher,
    rest: Rest,
    /// The model, and how many dimensions it has.
    model: Arc<str>,
}

impl<V: Storable + Send + 'static> Meant<V> {
    /// The tiers of a function, as far as they are configured. Without an index there is one in this process.
    pub(crate) fn make(place: &Place<'_>, config: &Config) -> Option<Arc<dyn Tier<V>>> {
        let policy = place.policy;
        let function: Arc<str> = format!("{}::{}", place.namespace, place.function).into();
        let named = place.backend.filter(|name| match config.backends.unknown(name) {
            None => true,
            Some(problem) => {
                tracing::error!(target: "stampede", function = &*function, "{problem}; what is configured by default is used");
                false
            }
        });
        let backend = named.and_then(|name| config.backends.get(name)).or_else(|| config.backends.get(BACKEND));
        let index = named.and_then(|name| config.backends.index(name)).or_else(|| config.backends.index(INDEX));
        let embedder = place.embedder.cloned().or_else(|| config.embedder.get());
        if embedder.is_none() {
            tracing::warn!(
                target: "stampede", function = &*function,
                "no embedder is configured, so only equal questions are shared; name one with `embed = …` or in the configuration",
            );
        }
        let embeds = embedder.map(|embedder| {
            let (id, dimensions) = (embedder.model_id(), embedder.dimensions());
            let model = if dimensions == 0 { id.into() } else { format!("{id}@{dimensions}").into() };
            Embeds { batcher: Batcher::new(embedder, policy.embed_timeout), rest: Rest::default(), model }
        });
        let in_this_process = || Guarded::new("embedded".to_owned(), Arc::new(EmbeddedIndex::new()) as Arc<dyn Index>);
        let shared = Arc::new(Shared {
            function,
            version: place.version,
            is_alone: index.is_none(),
            index: index.unwrap_or_else(in_this_process),
            embeds,
            policy: policy.clone(),
            live: Live::default(),
        });
        let exact = backend.map(|backend| Stored::with(backend, place, true));
        Some(Arc::new(Meant { exact, shared }))
    }
}

impl<V: Storable + Send + 'static> Tier<V> for Meant<V> {
    fn look(&self, id: &Arc<Id>, look: Look) -> Work<Answer<V>> {
        let seeker = Seeker { shared: Arc::clone(&self.shared), id: Arc::clone(id), look, values: PhantomData };
        let exact = self.exact.as_ref().map(|exact| exact.look(id, look));
        Box::pin(async move {
            let Some(exact) = exact else { return seeker.go_on(Answer::Nothing).await };
            let since = Instant::now();
            let answer = exact.await;
            seeker.shared.live.backend_time.took(since.elapsed());
            seeker.go_on(answer).await
        })
    }

    fn keep(&self, id: &Arc<Id>, value: &V, keeping: &Keeping) -> Option<Work<bool>> {
        let put = self.shared.put(id, value, keeping);
        match &self.exact {
            None => put,
            Some(exact) => {
                let kept = exact.keep(id, value, keeping)?;
                Some(Box::pin(async move {
                    let is_kept = kept.await;
                    match put {
                        Some(put) => put.await && is_kept,
                        None => is_kept,
                    }
                }))
            }
        }
    }

    fn keep_unleased(&self, id: &Arc<Id>, value: &V, keeping: &Keeping) -> Option<Work<()>> {
        let put = self.shared.put(id, value, keeping)?;
        Some(Box::pin(async move {
            put.await;
        }))
    }

    fn take_back(&self, id: &Arc<Id>) -> Work<Result<(), Error>> {
        self.forget_it(id, false)
    }

    fn forget(&self, id: &Arc<Id>) -> Work<Result<(), Error>> {
        self.forget_it(id, true)
    }

    fn forget_all(&self) -> Work<Result<(), Error>> {
        let shared = Arc::clone(&self.shared);
        let exact = self.exact.as_ref().map(|exact| exact.forget_all());
        Box::pin(async move {
            // The index first, as in `forget`.
            let clear = shared.index.backend().clear(&shared.function);
            let cleared = shared.ask_for(shared.policy.backend_timeout * CLEAR_BUDGETS, Verb::Remove, clear).await;
            let forgotten = match exact {
                Some(exact) => exact.await,
                None => Ok(()),
            };
            cleared.map(drop).map_err(Error::backend).and(forgotten)
        })
    }

    /// Executions cost more than that.
    fn settles(&self) -> bool {
        true
    }

    fn has_leases(&self) -> bool {
        self.exact.as_ref().is_some_and(|exact| exact.has_leases())
    }

    fn give_back(&self) -> Vec<Work<()>> {
        self.exact.as_ref().map(|exact| exact.give_back()).unwrap_or_default()
    }

    fn add_stats(&self, stats: &mut Stats) {
        if let Some(exact) = &self.exact {
            exact.add_stats(stats);
        }
        let of_embedder = self.shared.embeds.as_ref().map(|embeds| embeds.batcher.counted());
        self.shared.live.add_to(stats, of_embedder.as_ref());
        stats.semantic.index_state = match &self.shared.embeds {
            Some(_) => self.shared.index.state(),
            None => BackendState::Missing,
        };
        stats.derive();
    }

    fn reset_stats(&self) {
        if let Some(exact) = &self.exact {
            exact.reset_stats();
        }
        let of_embedder = self.shared.embeds.as_ref().map(|embeds| embeds.batcher.counted());
        self.shared.live.reset(of_embedder.as_ref());
    }
}

impl<V: Storable + Send + 'static> Meant<V> {
    /// `goes_far`: with all that is near enough to answer it.
    fn forget_it(&self, id: &Arc<Id>, goes_far: bool) -> Work<Result<(), Error>> {
        let (shared, id) = (Arc::clone(&self.shared), Arc::clone(id));
        let exact = self.exact.as_ref().map(|exact| exact.forget(&id));
        Box::pin(async move {
            // The index first: who is given a lease before that is told by the backend that it ends, and who is given one after
            // it finds nothing there.
            let taken_out = shared.take_out(&id, goes_far).await;
            let forgotten = match exact {
                Some(exact) => exact.await,
                None => Ok(()),
            };
            taken_out.and(forgotten)
        })
    }
}

/// A flight that looks for an answer to its question, or to one that is near.
struct Seeker<V> {
    shared: Arc<Shared>,
    id: Arc<Id>,
    look: Look,
    values: PhantomData<fn() -> V>,
}

impl<V: Storable + Send + 'static> Seeker<V> {
    /// Goes on from what the backend has answered.
    async fn go_on(self, answer: Answer<V>) -> Answer<V> {
        match answer {
            Answer::Nothing => self.look_in_index(None).await,
            Answer::Lead(lease) => self.look_in_index(Some(lease)).await,
            Answer::Found(mut found) => {
                count(&self.shared.live.backend_exact_hits);
                found.or_else = found.or_else.map(|or_else| self.then(or_else));
                Answer::Found(found)
            }
            Answer::Told(told, or_else) => Answer::Told(told, self.then(or_else)),
            Answer::Busy(fence) => Answer::Busy(fence),
        }
    }

    /// Goes on from what the backend will answer, asked once more.
    fn then(self, or_else: crate::tier::OrElse<V>) -> crate::tier::OrElse<V> {
        Box::new(move || Box::pin(async move { self.go_on(or_else().await).await }))
    }

    /// `lease`: the right to make the answer, if the backend gave it.
    async fn look_in_index(self, lease: Option<Arc<dyn Lease<V>>>) -> Answer<V> {
        let shared = Arc::clone(&self.shared);
        let Some((embeds, question)) = shared.embeds.as_ref().zip(self.id.question()) else {
            return self.lead(lease);
        };
        if self.look.wanted == Wanted::Any
            && let Some(entry) = shared.exact(&shared.partition(embeds, question), question).await
            && let Some(mut found) = shared.understand(entry, Origin::Index)
        {
            count(&shared.live.index_exact_hits);
            found.lease = lease.as_ref().map(|lease| self.wrap(lease));
            if matches!(found.age, Life::Past(_)) {
                found.or_else = Some(Box::new(move || Box::pin(self.look_near(lease))));
            }
            return Answer::Found(found);
        }
        self.look_near(lease).await
    }

    async fn look_near(self, lease: Option<Arc<dyn Lease<V>>>) -> Answer<V> {
        let shared = Arc::clone(&self.shared);
        let Some((embeds, question)) = shared.embeds.as_ref().zip(self.id.question()) else {
            return self.lead(lease);
        };
        // Also for what is to be newer than anything there: it is kept with it.
        let Ok(embedding) = shared.embed(embeds, question).await else { return self.lead(lease) };
        if self.look.wanted == Wanted::Any
            && let Some(mut found) = shared.nearest(&shared.partition(embeds, question), question, embedding).await
        {
            found.lease = lease.as_ref().map(|lease| self.wrap(lease));
            return Answer::Found(found);
        }
        self.lead(lease)
    }

    /// There is nothing of use.
    fn lead(self, lease: Option<Arc<dyn Lease<V>>>) -> Answer<V> {
        match lease {
            Some(lease) => Answer::Lead(self.wrap(&lease)),
            None => Answer::Nothing,
        }
    }

    fn wrap(&self, lease: &Arc<dyn Lease<V>>) -> Arc<dyn Lease<V>> {
        Arc::new(Indexed { lease: Arc::clone(lease), shared: Arc::clone(&self.shared), id: Arc::clone(&self.id) })
    }
}

/// A lease whose value goes to the index, too.
struct Indexed<V> {
    lease: Arc<dyn Lease<V>>,
    shared: Arc<Shared>,
    id: Arc<Id>,
}

impl<V: Storable + Send + 'static> Lease<V> for Indexed<V> {
    fn fence(&self) -> u64 {
        self.lease.fence()
    }

    fn is_lost(&self) -> bool {
        self.lease.is_lost()
    }

    fn commit(&self, value: &V, keeping: &Keeping) -> Option<Work<bool>> {
        if self.shared.is_alone && keeping.origin == Origin::Index {
            // Others may have taken it out.
            let end = self.lease.end(None)?;
            return Some(Box::pin(async move {
                end.await;
                false
            }));
        }
        let commit = self.lease.commit(value, keeping)?;
        let put = if keeping.origin == Origin::Made { self.shared.put(&self.id, value, keeping) } else { None };
        Some(Box::pin(async move {
            let is_refused = commit.await;
            // Somebody else has the right to say what the answer is.
            if let Some(put) = put.filter(|_| !is_refused) {
                put.await;
            }
            is_refused
        }))
    }

    fn end(&self, told: Option<Told<&V>>) -> Option<Work<()>> {
        self.lease.end(told)
    }
}

impl Shared {
    fn partition(&self, embeds: &Embeds, question: &Question) -> Partition {
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
    async fn ask<T>(
        &self,
        verb: Verb,
        answer: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        self.ask_for(self.policy.backend_timeout, verb, answer).await
    }

    async fn ask_for<T>(
        &self,
        budget: Duration,
        verb: Verb,
        answer: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let answer = self.index.ask(budget, answer).await;
        match &answer {
            Ok(_) => self.index.works(Some(verb)),
            Err(error) => {
                self.live.index_faults.count(error.kind());
                self.index.fails(verb, &self.function, error);
            }
        }
        answer
    }

    async fn exact(&self, of: &Partition, question: &Question) -> Option<Entry> {
        let since = Instant::now();
        let entry = self.ask(Verb::Read, self.index.backend().exact(of, &question.hash)).await;
        self.live.index_exact_time.took(since.elapsed());
        let entry = entry.ok().flatten()?;
        self.note_hit(of, &entry);
        Some(entry)
    }

    /// The embedding of a question. An error: it has none, or it cannot be made now.
    async fn embed<'a>(&self, embeds: &Embeds, question: &'a Question) -> Result<&'a Embedding, NotEmbedded> {
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
        let embedding = embed_elsewhere(&embeds.batcher, &question.text).await;
        self.live.embed_time.took(since.elapsed());
        match embedding {
            Ok(embedding) => {
                embeds.rest.answered();
                self.live.embedder_works();
                // Somebody else may have been faster; it is the same.
                Ok(question.embedding.get_or_init(|| embedding))
            }
            Err(error) => {
                let is_of_text = matches!(error.kind(), EmbedErrorKind::Unsuitable | EmbedErrorKind::Invalid);
                if is_of_text {
                    embeds.rest.answered()
                } else {
                    embeds.rest.failed()
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

    /// The answer of the nearest question that is near enough, and that no guard refuses.
    async fn nearest<V: Storable>(
        &self,
        of: &Partition,
        question: &Question,
        embedding: &Embedding,
    ) -> Option<Found<V>> {
        let since = Instant::now();
        let near = self.ask(Verb::Read, self.index.backend().nearest(of, embedding, CANDIDATES)).await;
        self.live.index_time.took(since.elapsed());
        let near = near.ok()?;
        let least = self.policy.threshold.max(question.least.unwrap_or(-1.0));
        if let Some(first) = near.first().filter(|first| first.similarity < least) {
            self.live.not_near_enough(first.similarity);
        }
        for near in near {
            // What is no number is not near, either.
            if !matches!(
                near.similarity.partial_cmp(&least),
                Some(std::cmp::Ordering::Greater | std::cmp::Ordering::Equal)
            ) {
                continue;
            }
            let refused = self.policy.guards.refuse(&question.text, &near.entry.question);
            if let Some(guard) = refused.filter(|_| near.entry.hash != question.hash) {
                self.live.refused.count(guard);
                continue;
            }
            let hash = near.entry.hash;
            let origin = if hash == question.hash {
                // Put there since it was looked for.
                Origin::Index
            } else {
                let source = Question::digest_of(&question.partition, &hash);
                Origin::Near(Near { source, similarity: near.similarity, is_joined: false })
            };
            let Some(found) = self.understand(near.entry, origin) else { continue };
            self.note_hit_of(of, hash);
            return Some(found);
        }
        None
    }

    fn note_hit(&self, of: &Partition, entry: &Entry) {
        self.note_hit_of(of, entry.hash);
    }

    /// Has the index count a hit, behind the call that had it.
    fn note_hit_of(&self, of: &Partition, hash: [u8; 32]) {
        let Some(noting) = self.live.noting() else { return };
        let (index, of) = (Arc::clone(&self.index), of.clone());
        let budget = self.policy.backend_timeout;
        blocking::helper().spawn(async move {
            // A hit that is not counted has been one all the same.
            let _ = index.ask(budget, index.backend().hit(&of, &hash)).await;
            drop(noting);
        });
    }

    /// The value of an entry, if it is one.
    fn understand<V: Storable>(&self, entry: Entry, origin: Origin) -> Option<Found<V>> {
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
    fn put<V: Storable>(self: &Arc<Self>, id: &Arc<Id>, value: &V, keeping: &Keeping) -> Option<Work<bool>> {
        self.embeds.as_ref()?;
        let (shared, id) = (Arc::clone(self), Arc::clone(id));
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
        let (ends, cost, landed) = (keeping.expires, keeping.cost, Instant::now());
        Some(Box::pin(async move {
            let (Some(embeds), Some(question)) = (&shared.embeds, id.question()) else { return true };
            let of = shared.partition(embeds, question);
            let ttl = ends.since(crate::clock::Moment::now());
            let put = async {
                let embedding = shared.embed(embeds, question).await.ok()?;
                let new = New {
                    hash: question.hash,
                    question: &question.text,
                    embedding,
                    response: response.as_deref().filter(|_| ttl > Duration::ZERO)?,
                    ttl,
                    retention: shared.policy.retention(),
                    cost,
                    began: cost + landed.elapsed(),
                    capacity: shared.policy.capacity,
                };
                Some(shared.ask(Verb::Write, shared.index.backend().put(&of, new)).await)
            };
            match put.await {
                Some(Ok(is_put)) => {
                    if is_put {
                        count(&shared.live.index_writes);
                    }
                    true
                }
                Some(Err(_)) => false,
                // What is there is older than what cannot be kept.
                None => shared.ask(Verb::Remove, shared.index.backend().remove(&of, &question.hash)).await.is_ok(),
            }
        }))
    }

    /// Takes out what answers a question: its own entry and, if that `goes_far`, those that are near enough.
    async fn take_out(&self, id: &Id, goes_far: bool) -> Result<(), Error> {
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

/// Why a question has no embedding.
#[derive(Clone, Copy)]
enum NotEmbedded {
    /// There is none of it.
    Ever,
    /// The embedder fails.
    Now,
}

/// An embedder is the user's, and may compute: not where leases are lengthened and answers of backends come in.
async fn embed_elsewhere(batcher: &Batcher, text: &str) -> Result<Embedding, EmbedError> {
    if tokio::runtime::Handle::current().id() != blocking::helper().id() {
        return batcher.embed(text).await;
    }
    let (batcher, text) = (batcher.clone(), text.to_owned());
    let mut task = JoinSet::new();
    task.spawn_on(async move { batcher.embed(&text).await }, blocking::workshop());
    let embedding = task.join_next().await.and_then(Result::ok);
    embedding.unwrap_or_else(|| Err(EmbedError::new(EmbedErrorKind::Other, "the embedder has panicked")))
}
