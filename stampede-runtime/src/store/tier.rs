//! A backend as the tier of one function: with a budget for each wait, counted, and never in anybody's way.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::fleet::{Fleet, Leased};
use super::guard::{Verb, WHOLE};
use super::tokens::{self, Token, both};
use super::{
    BackendError, BackendErrorKind, Codec, CodecError, Guarded, Pending, Refused, Seen, Storable, StoreKey, Tags,
    Times, UnixMillis, envelope, key,
};
use crate::coalescer::Function;
use crate::config::Config;
use crate::error::Error;
use crate::hooks::{Keeping, Place};
use crate::key::Id;
use crate::pattern::Pattern;
use crate::stats::{BackendFaults, Stats, count};
use crate::tags::{Tag, Tagged};
use crate::tier::{Answer, Found, Given, Kept, Life, Look, Origin, Tier, Wanted, Work};

mod many;

/// A tier that values are read from and written to.
pub(crate) struct Stored<V> {
    shared: Arc<Shared>,
    values: PhantomData<fn() -> V>,
}

/// What a function needs to talk with its backend.
pub(super) struct Shared {
    pub(super) backend: Arc<Guarded>,
    pub(super) function: Arc<str>,
    place: key::Place,
    codec: Codec,
    pub(super) payload_bytes_max: usize,
    /// How long each wait for the backend may be.
    pub(super) budget: Duration,
    /// How long after its `ttl` a value may still be of use.
    retention: Duration,
    /// How long the token of a tag stays at least.
    token_life: Duration,
    /// How long a lease lasts, where there are any.
    pub(super) lease: Duration,
    pub(super) counters: Counters,
    /// The last one who looked has found a value.
    pub(super) expects_values: AtomicBool,
    /// The leases that this process has.
    pub(super) leased: Mutex<Leased>,
}

#[derive(Default)]
pub(super) struct Counters {
    hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) undecodable: AtomicU64,
    unencodable: AtomicU64,
    /// By [`BackendErrorKind`].
    faults: [AtomicU64; 8],
    pub(super) acquired: AtomicU64,
    pub(super) waited: AtomicU64,
    pub(super) taken_over: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) fenced: AtomicU64,
    pub(super) pushed: AtomicU64,
    pub(super) polled: AtomicU64,
}

/// How long the tokens of tags stay where nothing tells how long entries do, and at least.
const UNSAID_LIFE: Duration = Duration::from_secs(86_400);

/// Taking out all keys of a function takes many round trips: its budget is so many times that of one answer.
pub(crate) const CLEAR_BUDGETS: u32 = 20;

impl<V: Storable + Send + 'static> Stored<V> {
    /// The tier of a function, if the backend it names is configured.
    pub(crate) fn make(place: &Place<'_>, config: &Config) -> Option<Arc<dyn Tier<V>>> {
        let policy = place.policy;
        let name = place.backend.unwrap_or_default();
        let Some(backend) = config.backends.get(name) else {
            let problem = config.backends.no_backend(name);
            if policy.distributed
                && let Some(problem) = problem
            {
                say_that_it_is_alone(place, &problem);
            } else {
                tracing::error!(
                    target: "stampede",
                    function = format!("{}::{}", place.namespace, place.function),
                    "{}; what the function makes is kept in this process only",
                    problem.unwrap_or_else(|| "its backend could not be made".to_owned()),
                );
            }
            return None;
        };
        let shares_executions = policy.distributed;
        if shares_executions && backend.backend().leases().is_none() {
            tracing::warn!(
                target: "stampede", function = format!("{}::{}", place.namespace, place.function),
                "the backend has no leases: values are shared between processes, and executions are not",
            );
        }
        Some(Stored::with(backend, place, shares_executions))
    }

    /// The same with a backend that is there. `shares_executions`: as far as it has leases.
    pub(crate) fn with(backend: Arc<Guarded>, place: &Place<'_>, shares_executions: bool) -> Arc<dyn Tier<V>> {
        let policy = place.policy;
        let shared = Arc::new(Shared {
            backend,
            function: format!("{}::{}", place.namespace, place.function).into(),
            place: key::Place::new(place.namespace, place.function, place.version),
            codec: policy.codec,
            payload_bytes_max: policy.payload_bytes_max,
            budget: policy.backend_timeout,
            retention: policy.retention(),
            // Longer than entries do, unless each says for how long: then those that outlive it are of no use any more.
            token_life: policy.ttl.unwrap_or(UNSAID_LIFE).max(UNSAID_LIFE).saturating_add(policy.retention()),
            lease: policy.lease,
            counters: Counters::default(),
            expects_values: AtomicBool::new(false),
            leased: Mutex::default(),
        });
        if shares_executions && shared.backend.backend().leases().is_some() {
            return Arc::new(Fleet::new(shared));
        }
        Arc::new(Stored { shared, values: PhantomData })
    }
}

/// A distributed function for which nothing is configured works all the same, in each process for itself.
fn say_that_it_is_alone(place: &Place<'_>, problem: &str) {
    static IS_SAID: AtomicBool = AtomicBool::new(false);
    if !IS_SAID.swap(true, SeqCst) {
        tracing::warn!(
            target: "stampede", function = format!("{}::{}", place.namespace, place.function),
            "{problem}: executions are shared in this process only, of this function and of any other of its kind; configure \
             a backend for them to be shared between processes",
        );
    }
}

impl Shared {
    pub(super) fn key(&self, id: &Id) -> StoreKey {
        let id = match id {
            Id::Text(text) => key::Id::Text(text),
            Id::Digest(digest) => key::Id::Digest(*digest),
            #[cfg(feature = "semantic")]
            Id::Meaning(question) => key::Id::Digest(question.digest),
        };
        StoreKey::new(&self.place, id)
    }

    /// Waits for the backend within the budget, about a key.
    pub(super) async fn ask<T>(
        &self,
        key: &StoreKey,
        asked: Verb,
        answer: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        self.ask_part(self.backend.part(key), asked, answer).await
    }

    /// The same of one part of it.
    async fn ask_part<T>(
        &self,
        part: usize,
        asked: Verb,
        answer: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let answer = self.backend.ask(part, self.budget, answer).await;
        self.note(part, |_| Some(asked), asked, answer)
    }

    /// The same for what only writes if it comes to that.
    pub(super) async fn ask_to_write<T>(
        &self,
        key: &StoreKey,
        has_written: impl Fn(&T) -> bool,
        answer: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let part = self.backend.part(key);
        let answer = self.backend.ask(part, self.budget, answer).await;
        self.note(part, |answer| has_written(answer).then_some(Verb::Write), Verb::Write, answer)
    }

    /// The same for what goes through all of it.
    async fn ask_whole<T>(&self, answer: impl Future<Output = Result<T, BackendError>>) -> Result<T, BackendError> {
        let answer = self.backend.ask_whole(self.budget.saturating_mul(CLEAR_BUDGETS), answer).await;
        self.note(WHOLE, |_| Some(Verb::Remove), Verb::Remove, answer)
    }

    /// `worked`: what an answer shows to be well.
    fn note<T>(
        &self,
        part: usize,
        worked: impl Fn(&T) -> Option<Verb>,
        asked: Verb,
        answer: Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        match &answer {
            Ok(answer) => self.backend.works(part, worked(answer)),
            Err(error) => {
                count(&self.counters.faults[error.kind() as usize]);
                self.backend.fails(part, asked, &self.function, error);
            }
        }
        answer
    }

    async fn read<V: Storable + Send>(&self, key: &StoreKey, tagged: Option<&Tagged>) -> Option<Found<V>> {
        let of_call = tagged.map_or(&[][..], |tagged| &tagged.of_call);
        let get = self.ask(key, Verb::Read, async { self.backend.backend().get(key).await });
        let (entry, tokens) = both(get, self.tokens(of_call)).await;
        let (entry, tokens) = (entry.ok()?, tokens.ok()?);
        let Some(entry) = entry else {
            count(&self.counters.misses);
            return None;
        };
        self.understand(&entry, None, tagged, &tokens).await
    }

    /// The value of an entry, if it is one and still of use. `left`: for how long the backend keeps it, which says how old it is
    /// whatever the clocks of hosts show. `tokens`: those of the call's tags.
    pub(super) async fn understand<V: Storable + Send>(
        &self,
        entry: &[u8],
        left: Option<Duration>,
        tagged: Option<&Tagged>,
        tokens: &[Option<Token>],
    ) -> Option<Found<V>> {
        let (found, tags) = self.decode(entry, left)?;
        if !self.is_believed(tags, tagged, tokens).await {
            count(&self.counters.misses);
            return None;
        }
        count(&self.counters.hits);
        Some(found)
    }

    /// The value of an entry and its tags, if it is one and still of use. Counted if it is not.
    fn decode<'a, V: Storable>(&self, entry: &'a [u8], left: Option<Duration>) -> Option<(Found<V>, Tags<'a>)> {
        let decoded = super::decode_tagged::<V>(entry, self.payload_bytes_max, UnixMillis::default()).and_then(
            |(value, times, tags)| {
                let now = left.map_or_else(UnixMillis::now, |left| times.when(left));
                if times.is_of_use(now) { Ok((value, times, tags, now)) } else { Err(Refused::Expired) }
            },
        );
        match decoded {
            Ok((value, times, tags, now)) => {
                let age = if times.is_fresh(now) {
                    Life::Fresh(times.fresh_until().since(now))
                } else {
                    Life::Past(now.since(times.fresh_until()))
                };
                let made = now.since(times.made());
                let mut found = Found::new(value, age, made, times.cost(), Origin::Backend);
                found.tags = tags.iter().map(|(tag, _)| Tag::from(tag)).collect();
                Some((found, tags))
            }
            Err(Refused::Expired) => {
                count(&self.counters.misses);
                None
            }
            Err(refused) => {
                count(&self.counters.undecodable);
                tracing::debug!(target: "stampede", function = &*self.function, %refused, "an entry is not understood");
                None
            }
        }
    }

    /// The tokens of tags, each asked for where it is.
    pub(super) async fn tokens(&self, tags: &[Tag]) -> Result<Vec<Option<Token>>, BackendError> {
        if tags.is_empty() {
            return Ok(Vec::new());
        }
        let keys = keys_of(tags);
        let parts = self.backend.by_part(keys.iter());
        if let [(part, _)] = parts[..] {
            return self.ask_part(part, Verb::Read, tokens::read(self.backend.backend(), &keys)).await;
        }
        let asked = parts.iter().map(|(part, places)| -> Pending<'_, _> {
            let some: Vec<StoreKey> = places.iter().map(|at| keys[*at].clone()).collect();
            let read = async move { tokens::read(self.backend.backend(), &some).await };
            Box::pin(self.ask_part(*part, Verb::Read, read))
        });
        let told = tokens::at_once(asked.collect()).await?;
        let mut all = vec![None; tags.len()];
        for ((_, places), tokens) in parts.iter().zip(told) {
            for (at, token) in places.iter().zip(tokens) {
                all[*at] = token;
            }
        }
        Ok(all)
    }

    /// The same, made where there is none.
    pub(super) async fn agree(&self, tags: &[Tag]) -> Result<Seen, BackendError> {
        let keys = keys_of(tags);
        let parts = self.backend.by_part(keys.iter());
        let part = match parts[..] {
            [] => WHOLE,
            [(part, _)] => part,
            _ => {
                let asked = parts.iter().map(|(part, places)| -> Pending<'_, _> {
                    let some = places.iter().map(|at| keys[*at].clone()).collect();
                    Box::pin(self.ask_part(*part, Verb::Write, self.agree_some(some)))
                });
                let told = tokens::at_once(asked.collect()).await?;
                return Ok(Seen::merged(tags.len(), parts.iter().map(|(_, places)| &**places).zip(told)));
            }
        };
        self.ask_part(part, Verb::Write, self.agree_some(keys)).await
    }

    async fn agree_some(&self, keys: Vec<StoreKey>) -> Result<Seen, BackendError> {
        tokens::agree(self.backend.backend(), &keys, self.token_life).await
    }

    /// Whether everything that this process has said of a call's tags has arrived, if need be after a while.
    pub(super) async fn is_settled(&self, tagged: Option<&Arc<Tagged>>) -> bool {
        match tagged {
            Some(tagged) if !self.backend.said.is_known(tagged.of_call.iter()) => {
                tokens::settle(&self.backend, &tagged.of_call, self.budget).await
            }
            _ => true,
        }
    }

    /// Whether an entry is not older than an invalidation of one of its tags.
    async fn is_believed(&self, tags: Tags<'_>, tagged: Option<&Tagged>, known: &[Option<Token>]) -> bool {
        let of_call = tagged.map_or(&[][..], |tagged| &tagged.of_call);
        // One that lacks a tag of the call was made by another version of the program.
        if of_call.iter().any(|tag| tags.iter().all(|(other, _)| *other != **tag)) {
            return false;
        }
        let (mut others, mut expected) = (Vec::new(), Vec::new());
        for (tag, token) in tags.iter() {
            match of_call.iter().position(|other| **other == *tag) {
                Some(at) if known.get(at) == Some(&Some(token)) => (),
                Some(_) => return false,
                None => {
                    others.push(Tag::from(tag));
                    expected.push(Some(token));
                }
            }
        }
        if others.is_empty() {
            return true;
        }
        let is_settled =
            self.backend.said.is_known(others.iter()) || tokens::settle(&self.backend, &others, self.budget).await;
        is_settled && self.tokens(&others).await.is_ok_and(|tokens| tokens == expected)
    }

    /// Writes its tags into an entry. `false`: one of them was invalidated after the execution began, or nobody can tell.
    pub(super) async fn tag(&self, entry: &mut Vec<u8>, tagged: Option<&Arc<Tagged>>, cost: Duration) -> bool {
        let Some(tagged) = tagged else { return true };
        let seen = match tagged.given {
            None => tagged.seen.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Some(given) => {
                let ago = u64::try_from(given.elapsed().as_micros()).unwrap_or(u64::MAX / 4);
                let seen = self.agree(&tagged.of_call).await.ok();
                // What was invalidated since it was given has a token that is newer than that.
                let seen = seen.map(|seen| Seen { began: seen.began.saturating_sub(2 * ago), ..seen });
                seen.filter(|seen| seen.tokens.iter().all(|token| tokens::is_older(*token, seen.began)))
            }
        };
        let Some(seen) = seen else { return false };
        if seen.losses != tokens::losses(self.backend.backend()) {
            // An invalidation may have been told to nobody here, where the value is kept, too.
            let now = self.tokens(&tagged.of_call).await;
            if !now.is_ok_and(|now| now.into_iter().eq(seen.tokens.iter().map(|token| Some(*token)))) {
                return false;
            }
        }
        let of_value: Vec<Tag> = {
            let of_value = tagged.of_value.get().into_iter().flatten();
            of_value.filter(|tag| !tagged.of_call.contains(tag)).map(Arc::clone).collect()
        };
        let mut of_value_tokens = Vec::new();
        if !of_value.is_empty() {
            let Ok(now) = self.agree(&of_value).await else { return false };
            of_value_tokens = now.tokens;
            let is_older = |token: &Token| tokens::is_older(*token, seen.began) && cost < tokens::INVALIDATED_FOR;
            if !of_value_tokens.iter().all(is_older) {
                return false;
            }
        }
        if !self.backend.said.is_known(tagged.of_call.iter().chain(&of_value)) {
            return false;
        }
        let of_call = tagged.of_call.iter().zip(seen.tokens);
        envelope::tag(entry, of_call.chain(of_value.iter().zip(of_value_tokens)).map(|(tag, token)| (&**tag, token)));
        true
    }

    /// When a value that is kept so ends.
    pub(super) fn times(&self, keeping: &Keeping) -> Times {
        Times::new(UnixMillis::now(), keeping.fresh_for(), self.retention, keeping.cost)
    }

    /// The entry of a value, if it can be one.
    pub(super) fn entry<V: Storable>(&self, value: &V, times: Times) -> Option<Vec<u8>> {
        let told = |error: CodecError| {
            count(&self.counters.unencodable);
            tracing::debug!(target: "stampede", function = &*self.function, %error, "a value is not stored");
        };
        super::encode(value, times, self.codec, self.payload_bytes_max).map_err(told).ok()
    }

    pub(super) async fn forget(&self, key: &StoreKey) -> Result<bool, Error> {
        let removed = self.ask(key, Verb::Remove, async { self.backend.backend().remove(key).await }).await;
        removed.map_err(Error::backend)
    }

    pub(super) async fn forget_all(&self) -> Result<(), Error> {
        let prefix = self.place.prefix_of_all_versions();
        let clear = async { self.backend.backend().clear(&prefix).await };
        self.ask_whole(clear).await.map(drop).map_err(Error::backend)
    }

    pub(super) async fn forget_matching(&self, pattern: &Pattern) -> Result<(), Error> {
        let prefix = self.place.prefix_of_all_versions();
        let clear = async { self.backend.backend().clear_matching(&prefix, pattern).await };
        self.ask_whole(clear).await.map(drop).map_err(Error::backend)
    }

    pub(super) fn tells_news(&self) -> bool {
        self.backend.backend().news().is_some()
    }

    pub(super) fn listen(&self, function: Weak<dyn Function>) {
        if let Some(news) = self.backend.backend().news() {
            news.listen(self.place.clone(), function);
        }
    }

    pub(super) fn add_stats(&self, stats: &mut Stats) {
        let Counters { hits, misses, writes, undecodable, unencodable, faults, .. } = &self.counters;
        stats.backend_hits += hits.load(Relaxed);
        stats.backend_misses += misses.load(Relaxed);
        stats.backend_writes += writes.load(Relaxed);
        stats.decode_errors += undecodable.load(Relaxed);
        stats.encode_errors += unencodable.load(Relaxed);
        let of = |kind: BackendErrorKind| faults[kind as usize].load(Relaxed);
        stats.backend_failures += faults.iter().map(|fault| fault.load(Relaxed)).sum::<u64>();
        stats.backend_faults.add(&BackendFaults {
            unreachable: of(BackendErrorKind::Unreachable),
            timed_out: of(BackendErrorKind::TimedOut),
            refused: of(BackendErrorKind::Refused),
            read_only: of(BackendErrorKind::ReadOnly),
            out_of_memory: of(BackendErrorKind::OutOfMemory),
            too_large: of(BackendErrorKind::TooLarge),
            resting: of(BackendErrorKind::Resting),
            other: of(BackendErrorKind::Other),
        });
        stats.backend_state = self.backend.state();
        let Counters { acquired, waited, taken_over, lost, fenced, pushed, polled, .. } = &self.counters;
        stats.lock_acquired += acquired.load(Relaxed);
        stats.lock_waited += waited.load(Relaxed);
        stats.lock_taken_over += taken_over.load(Relaxed);
        stats.lock_lost += lost.load(Relaxed);
        stats.fenced_writes += fenced.load(Relaxed);
        stats.push_wakeups += pushed.load(Relaxed);
        stats.poll_wakeups += polled.load(Relaxed);
    }

    pub(super) fn reset_stats(&self) {
        let Counters { hits, misses, writes, undecodable, unencodable, .. } = &self.counters;
        let Counters { acquired, waited, taken_over, lost, fenced, pushed, polled, .. } = &self.counters;
        let of_values = [hits, misses, writes, undecodable, unencodable];
        let of_leases = [acquired, waited, taken_over, lost, fenced, pushed, polled];
        for counter in of_values.into_iter().chain(of_leases).chain(&self.counters.faults) {
            counter.store(0, Relaxed);
        }
    }
}

/// A value whose tags have no tokens that it could carry.
pub(super) fn untagged() -> Error {
    Error::backend("one of its tags was invalidated meanwhile, or could not be asked for")
}

fn keys_of(tags: &[Tag]) -> Vec<StoreKey> {
    tags.iter().map(|tag| StoreKey::of_tag(tag)).collect()
}

impl<V: Storable + Send + 'static> Tier<V> for Stored<V> {
    fn look(&self, id: &Arc<Id>, look: Look) -> Work<Answer<V>> {
        let (shared, key) = (Arc::clone(&self.shared), self.shared.key(id));
        Box::pin(async move {
            let tagged = look.tagged.as_ref();
            if !shared.is_settled(tagged).await {
                return Answer::Nothing;
            }
            if look.wanted == Wanted::Any
                && let Some(found) = shared.read(&key, tagged.map(|tagged| &**tagged)).await
            {
                return Answer::Found(found);
            }
            if let Some(tagged) = tagged {
                tagged.begin(shared.agree(&tagged.of_call).await.ok());
            }
            Answer::Nothing
        })
    }

    fn keep(&self, id: &Arc<Id>, value: &V, keeping: &Keeping, tagged: Option<&Arc<Tagged>>) -> Option<Work<Kept>> {
        let shared = Arc::clone(&self.shared);
        let times = shared.times(keeping);
        let mut entry = shared.entry(value, times)?;
        let (key, tagged, cost) = (shared.key(id), tagged.map(Arc::clone), keeping.cost);
        Some(Box::pin(async move {
            if !shared.tag(&mut entry, tagged.as_ref(), cost).await {
                return Err(untagged());
            }
            let ttl = times.left(UnixMillis::now());
            let backend = shared.backend.backend();
            let set = async {
                match backend.leases() {
                    // Tells others, if there was one.
                    Some(leases) => leases.overwrite(&key, &entry, ttl).await,
                    None => backend.set(&key, &entry, ttl).await,
                }
            };
            shared.ask(&key, Verb::Write, set).await.map_err(Error::backend)?;
            count(&shared.counters.writes);
            Ok(())
        }))
    }

    fn look_many(&self, ids: &[Arc<Id>]) -> Work<Vec<Option<Found<V>>>> {
        let (shared, keys) = (Arc::clone(&self.shared), ids.iter().map(|id| self.shared.key(id)).collect());
        Box::pin(async move { shared.read_many(keys).await })
    }

    fn keep_many(&self, values: &[Given<'_, V>]) -> Work<Vec<Kept>> {
        let (shared, entries) = (Arc::clone(&self.shared), values.iter().map(|it| self.shared.given(it)).collect());
        Box::pin(async move { shared.write_many(entries).await })
    }

    fn touch(&self, id: &Arc<Id>, ttl: Duration) -> Work<Result<bool, Error>> {
        let (shared, key) = (Arc::clone(&self.shared), self.shared.key(id));
        Box::pin(async move { shared.touch(&key, ttl).await })
    }

    fn forget(&self, id: &Arc<Id>) -> Work<Result<bool, Error>> {
        let (shared, key) = (Arc::clone(&self.shared), self.shared.key(id));
        Box::pin(async move { shared.forget(&key).await })
    }

    fn forget_all(&self) -> Work<Result<(), Error>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.forget_all().await })
    }

    fn forget_matching(&self, pattern: &Pattern) -> Work<Result<(), Error>> {
        let (shared, pattern) = (Arc::clone(&self.shared), pattern.clone());
        Box::pin(async move { shared.forget_matching(&pattern).await })
    }

    fn tells_news(&self) -> bool {
        self.shared.tells_news()
    }

    fn listen(&self, function: Weak<dyn Function>) {
        self.shared.listen(function);
    }

    fn has_leases(&self) -> bool {
        false
    }

    fn add_stats(&self, stats: &mut Stats) {
        self.shared.add_stats(stats);
    }

    fn reset_stats(&self) {
        self.shared.reset_stats();
    }
}
