//! Several keys at once.

use std::collections::{HashMap, HashSet};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use super::batch::{Absent, Batch, batches};
use super::{Cache, Entry, Written};
use crate::call;
use crate::fly::Boarding;
use crate::key::Plain;
use crate::share::{Fault, Shareable};
use crate::stats::count;

impl<V: Shareable, L, W> Cache<V, L, W> {
    /// The values of several keys: those that are there. Memory is looked into first; the backend is asked for all the others
    /// at once, in one round trip for every thousand.
    ///
    /// Each key is counted as a [`get`](Self::get) of it, one that is named twice once.
    pub async fn get_many<K: AsRef<str>>(&self, keys: impl IntoIterator<Item = K>) -> HashMap<String, V> {
        let keys = distinct(keys);
        let values = self.state().look_up_many(&keys).await;
        keys.into_iter().zip(values).filter_map(|(key, value)| Some((key, value?))).collect()
    }

    /// Keeps several values, each as [`set`](Self::set) does. The backend is told of all at once, in one round trip for every
    /// thousand. Where a key comes twice, the last stays.
    ///
    /// **Errors**: the first of those that the backend could not keep. The others may be there.
    pub fn set_many<K: AsRef<str>>(&self, values: impl IntoIterator<Item = (K, V)>) -> Written {
        self.set_many_with(values, &Entry::new())
    }

    /// The same with a `ttl` and tags for all of them.
    pub fn set_many_with<K: AsRef<str>>(&self, values: impl IntoIterator<Item = (K, V)>, entry: &Entry) -> Written {
        let mut last = HashMap::new();
        for (key, value) in values {
            last.insert(key.as_ref().to_owned(), value);
        }
        let (written, then) = Written::new((), |(), ()| ());
        // The keys have to be somewhere while they are looked at.
        let (keys, values): (Vec<String>, Vec<V>) = last.into_iter().unzip();
        let gifts = keys.iter().zip(values);
        let gifts = gifts.map(|(key, value)| (Plain(key), (value, entry.ttl, entry.tags.clone())));
        self.state().give_many(gifts, then);
        written
    }

    /// The values of several keys, those that are missing made by one call of `loader`, which is told which these are and returns
    /// them as pairs.
    ///
    /// Each key is a flight of its own. So of a key that two callers miss at once there is one load: the one who begins it has it
    /// among its missing keys, and the other waits for that; and who asks for it by [`get_or_set`](Self::get_or_set) waits too. A
    /// caller may be dropped, and the load goes on for those who wait for any of its keys.
    ///
    /// What the loader leaves out is not in the result, and nothing is kept of it. To whoever waits for that key elsewhere it is
    /// an error of another type, so `get_or_set` runs its own work; and where the policy has `stale_if_error`, the old value is
    /// returned. To keep that there is nothing, use a `Cache<Option<T>>`. What it returns for other keys is dropped.
    ///
    /// `loader` is called once, or not at all; again, for a key each, only where a load of somebody else's that this call waited
    /// for was abandoned or ended with an error of another type than `E`. [`Stats::executions`](crate::Stats::executions) counts keys.
    ///
    /// **Cancel**: gives up this caller's places. **Panic**: reaches every caller who waits for one of the keys.
    /// **Errors**: that of the load, of which nothing is kept. Values that were found are lost with it, to this call.
    /// **Limits**: the backend is asked as by [`get_many`](Self::get_many); what is loaded goes there key by key.
    ///
    /// ```
    /// # use std::collections::HashMap;
    /// # use stampede_runtime::Cache;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), std::fmt::Error> {
    /// let squares: Cache<usize> = Cache::builder("squares").build();
    /// squares.set("2", 4);
    /// let found = squares
    ///     .get_or_set_many(["1", "2", "3"], |missing: Vec<String>| async move {
    ///         assert_eq!(missing, ["1", "3"]);
    ///         Ok(missing.into_iter().map(|key| (key.clone(), key.parse::<usize>().unwrap().pow(2))))
    ///     })
    ///     .await?;
    /// assert_eq!((found["1"], found["2"], found["3"]), (1, 4, 9));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_or_set_many<K, F, R, I, E>(
        &self,
        keys: impl IntoIterator<Item = K>,
        loader: F,
    ) -> Result<HashMap<String, V>, E>
    where
        K: AsRef<str>,
        F: Fn(Vec<String>) -> R,
        R: Future<Output = Result<I, E>> + Send + 'static,
        I: IntoIterator<Item = (String, V)>,
        E: Clone + Send + Sync + 'static,
    {
        let state = self.state();
        let keys = distinct(keys);
        let (mut found, mut missing) = (HashMap::with_capacity(keys.len()), Vec::new());
        // Said of this call, and not of what it awaits.
        let values =
            if call::may_be_kept() { state.look_for_many(&keys).await } else { keys.iter().map(|_| None).collect() };
        for (key, value) in keys.into_iter().zip(values) {
            match value {
                Some(value) => _ = found.insert(key, value),
                None => missing.push(key),
            }
        }
        let has_tags = state.hooks.has_tags();
        // Flights first, so that there is one load of each: who is to make what is decided here.
        let boarded: Vec<_> = missing
            .into_iter()
            .map(|key| {
                let boarded = self.board(&key).map_err(|boarding| boarding.asked(has_tags));
                (key, boarded)
            })
            .collect();
        let is_mine = |boarded: &Result<_, Boarding<_, _>>| boarded.as_ref().is_err_and(Boarding::is_to_run);
        let mine: Vec<String> =
            boarded.iter().filter(|(_, boarded)| is_mine(boarded)).map(|(key, _)| key.clone()).collect();
        let batches = self.inner.batches.get_or_init(|| batches(state));
        let load = &|keys| Batch::new(batches, loader(keys));
        let batch = (!mine.is_empty()).then(|| load(mine));
        let fly = |(key, boarded): (String, Result<_, Boarding<_, _>>)| {
            let shared = batch.as_ref().filter(|_| is_mine(&boarded)).map(Arc::clone);
            let step = match boarded {
                Ok(hit) => Step::Ended(hit),
                Err(boarding) => {
                    let key = key.clone();
                    // Otherwise a load of somebody else's was abandoned.
                    let body = move || shared.unwrap_or_else(|| load(vec![key.clone()])).value(key);
                    Step::Flying(boarding.fly(body))
                }
            };
            (key, step)
        };
        let mut steps: Vec<_> = boarded.into_iter().map(fly).collect();
        // All of them take off before the first is waited for.
        poll_fn(|cx| {
            for (_, step) in &mut steps {
                if let Step::Flying(call) = step
                    && let Poll::Ready(ended) = Pin::new(call).poll(cx)
                {
                    *step = Step::Ended(ended);
                }
            }
            Poll::Ready(())
        })
        .await;
        for (key, step) in steps {
            let fault = match step.end().await {
                Ok(value) => {
                    found.insert(key, value);
                    continue;
                }
                Err(fault) => fault,
            };
            if let Some(error) = fault.downcast_ref::<E>() {
                return Err(error.clone());
            }
            if !fault.is::<Absent>() {
                // Another caller's error of another type: this one's own loader says what it has to say, unshared.
                count(&state.counters.retries);
                let own = call::in_body(loader(vec![key.clone()])).await?;
                found.extend(own.into_iter().find(|(other, _)| *other == key));
            }
        }
        Ok(found)
    }
}

/// A call of one key.
enum Step<V: Shareable, C> {
    Ended(Result<V, Fault>),
    Flying(C),
}

impl<V: Shareable, C: Future<Output = Result<V, Fault>>> Step<V, C> {
    async fn end(self) -> Result<V, Fault> {
        match self {
            Step::Ended(ended) => ended,
            Step::Flying(call) => call.await,
        }
    }
}

fn distinct<K: AsRef<str>>(keys: impl IntoIterator<Item = K>) -> Vec<String> {
    let mut seen = HashSet::new();
    let keys = keys.into_iter().map(|key| key.as_ref().to_owned());
    keys.filter(|key| seen.insert(key.clone())).collect()
}
