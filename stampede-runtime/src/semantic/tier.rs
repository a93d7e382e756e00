//! The tiers of one function that compares meanings: exactly this question in a backend, exactly this one in an index, the
//! nearest one there.

mod own;
mod shared;

use std::marker::PhantomData;
use std::sync::{Arc, Weak};

use tokio::time::Instant;

use self::own::Own;
use self::shared::{CODEC, Embeds, Nearest, Shared};
use super::batch::Batcher;
use super::index::{INDEX, Partition, unfit};
use super::live::Live;
use super::rest::Rest;
use super::{EmbeddedIndex, Index};
use crate::coalescer::Function;
use crate::config::Config;
use crate::error::Error;
use crate::hooks::{Keeping, Place};
use crate::key::Id;
use crate::stats::{BackendState, Stats, count};
use crate::store::{Guarded, Storable, Stored, Verb};
use crate::tags::Tagged;
use crate::tier::{Answer, Heard, Kept, Lease, Life, Look, OrElse, Origin, Tier, Told, Wanted, Work};

/// A name that a function need not say, as [`INDEX`].
const BACKEND: &str = "redis";
/// Taking out all entries of a function may take so many times as long as one answer.
const CLEAR_BUDGETS: u32 = 20;

/// The tiers of a function whose values are `V`.
pub(crate) struct Meant<V> {
    /// Finds exactly the question, and gives out leases where it can.
    exact: Option<Arc<dyn Tier<V>>>,
    shared: Arc<Shared>,
}

impl<V: Storable + Send + 'static> Meant<V> {
    /// The tiers of a function, as far as they are configured. Without an index there is one in this process.
    #[expect(clippy::unnecessary_wraps, reason = "other functions have none if it is not configured")]
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
        let of_index = index.as_ref().map_or(0, |index| index.backend().dimensions());
        let embedder = embedder.filter(|embedder| {
            let problem = index.as_ref().and_then(|index| unfit(index, embedder));
            if let Some(problem) = &problem {
                tracing::error!(target: "stampede", function = &*function, "{problem}; only equal questions are shared");
            }
            problem.is_none()
        });
        let embeds = embedder.map(|embedder| {
            let (id, dimensions) = (embedder.model_id(), embedder.dimensions());
            let model = if dimensions == 0 { id.into() } else { format!("{id}@{dimensions}").into() };
            Embeds { batcher: Batcher::new(embedder, of_index, policy.embed_timeout), rest: Rest::default(), model }
        });
        let (index, own) = index.map_or_else(
            || {
                let index = Arc::new(EmbeddedIndex::new());
                let own = backend.is_some().then(|| Own::new(Arc::clone(&index)));
                (Guarded::new("embedded".to_owned(), index as Arc<dyn Index>), own)
            },
            |index| (index, None),
        );
        let shared = Arc::new(Shared {
            function,
            version: place.version,
            own,
            index,
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
        let exact = self.exact.as_ref().map(|exact| exact.look(id, look.clone()));
        let seeker = Seeker { shared: Arc::clone(&self.shared), id: Arc::clone(id), look, values: PhantomData };
        Box::pin(async move {
            let Some(exact) = exact else { return seeker.go_on(Answer::Nothing).await };
            let since = Instant::now();
            let answer = exact.await;
            seeker.shared.live.backend_time.took(since.elapsed());
            seeker.go_on(answer).await
        })
    }

    fn keep(&self, id: &Arc<Id>, value: &V, keeping: &Keeping, tagged: Option<&Arc<Tagged>>) -> Option<Work<Kept>> {
        let put = self.shared.put(id, value, keeping);
        match &self.exact {
            None => put,
            Some(exact) => {
                let kept = exact.keep(id, value, keeping, tagged)?;
                Some(Box::pin(async move {
                    let is_kept = kept.await;
                    match put {
                        Some(put) => put.await.and(is_kept),
                        None => is_kept,
                    }
                }))
            }
        }
    }

    fn keep_unleased(&self, id: &Arc<Id>, value: &V, keeping: &Keeping) -> Option<Work<()>> {
        let put = self.shared.put(id, value, keeping)?;
        Some(Box::pin(async move {
            // Counted and logged there.
            let _ = put.await;
        }))
    }

    fn take_back(&self, id: &Arc<Id>) -> Work<Result<bool, Error>> {
        self.forget_it(id, false)
    }

    fn forget(&self, id: &Arc<Id>) -> Work<Result<bool, Error>> {
        self.forget_it(id, true)
    }

    fn forget_all(&self) -> Work<Result<(), Error>> {
        let shared = Arc::clone(&self.shared);
        let exact = self.exact.as_ref().map(|exact| exact.forget_all());
        Box::pin(async move {
            // The index first, as in `forget`.
            let clear = shared.index.backend().clear(&shared.function);
            let budget = shared.policy.backend_timeout.saturating_mul(CLEAR_BUDGETS);
            let cleared = shared.ask_for(budget, Verb::Remove, clear).await;
            let forgotten = match exact {
                Some(exact) => exact.await,
                None => Ok(()),
            };
            cleared.map(drop).map_err(Error::backend).and(forgotten)
        })
    }

    fn digest(&self, value: &V) -> Option<[u8; 32]> {
        let bytes = CODEC.encode(value, self.shared.policy.payload_bytes_max).ok()?;
        Some(*blake3::hash(&bytes).as_bytes())
    }

    /// Executions cost more than that.
    fn settles(&self) -> bool {
        true
    }

    fn tells_news(&self) -> bool {
        self.exact.as_ref().is_some_and(|exact| exact.tells_news())
    }

    fn listen(&self, function: Weak<dyn Function>) {
        if let Some(exact) = &self.exact {
            exact.listen(function);
        }
    }

    fn hear(&self, heard: Heard) {
        match (&self.shared.own, heard) {
            (None, _) => {}
            (Some(own), Heard::One(question)) => own.hear_one(&question),
            (Some(own), Heard::All) => own.hear_all(&self.shared.function),
        }
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
    fn forget_it(&self, id: &Arc<Id>, goes_far: bool) -> Work<Result<bool, Error>> {
        let (shared, id) = (Arc::clone(&self.shared), Arc::clone(id));
        let exact = self.exact.as_ref().map(|exact| exact.forget(&id));
        Box::pin(async move {
            // The index first: who is given a lease before that is told by the backend that it ends, and who is given one after
            // it finds nothing there.
            let taken_out = shared.take_out(&id, goes_far).await;
            let forgotten = match exact {
                Some(exact) => exact.await,
                None => Ok(false),
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
    fn then(self, or_else: OrElse<V>) -> OrElse<V> {
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
        let Ok(embedding) = shared.embed(embeds, question).await else {
            let _ = question.not_embedded.set(());
            return self.lead(lease);
        };
        if self.look.wanted != Wanted::Any {
            return self.lead(lease);
        }
        let of = shared.partition(embeds, question);
        let near = shared.nearest(&of, question, embedding).await;
        self.next_near(of, near, lease)
    }

    /// The nearest one, and a way on to the next.
    fn next_near(self, of: Partition, mut near: Nearest, lease: Option<Arc<dyn Lease<V>>>) -> Answer<V> {
        let found = self.id.question().and_then(|question| self.shared.next_near(&of, question, &mut near));
        let Some(mut found) = found else { return self.lead(lease) };
        found.lease = lease.as_ref().map(|lease| self.wrap(lease));
        found.or_else = Some(Box::new(move || Box::pin(async move { self.next_near(of, near, lease) })));
        Answer::Found(found)
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

    fn commit(&self, value: &V, keeping: &Keeping, tagged: Option<&Arc<Tagged>>) -> Option<Work<bool>> {
        if self.shared.own.is_some() && keeping.origin == Origin::Index {
            // Others may have taken it out.
            let end = self.lease.end(None)?;
            return Some(Box::pin(async move {
                end.await;
                false
            }));
        }
        let commit = self.lease.commit(value, keeping, tagged)?;
        let put = if keeping.origin == Origin::Made { self.shared.put(&self.id, value, keeping) } else { None };
        Some(Box::pin(async move {
            let is_refused = commit.await;
            // Somebody else has the right to say what the answer is.
            if let Some(put) = put.filter(|_| !is_refused) {
                // Counted and logged there.
                let _ = put.await;
            }
            is_refused
        }))
    }

    fn end(&self, told: Option<Told<&V>>) -> Option<Work<()>> {
        self.lease.end(told)
    }
}
