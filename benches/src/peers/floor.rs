//! What nobody can do much better: hand-written, and without what makes a cache safe to use.

use std::future::poll_fn;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::{Key, KeyRef, Peer, coarse_now, deadline};
use crate::body;

/// A hit: a fast hash, one look into a map that nobody writes to, a coarse clock, an `Arc` cloned. No lock.
#[derive(Clone, Copy)]
pub(crate) struct ReadOnly(&'static (RandomState, HashTable<Kept>));

struct Kept {
    key: Key,
    value: Arc<str>,
    deadline: u64,
}

impl ReadOnly {
    /// Keeps the values of these keys, for good.
    pub(crate) fn new<'a>(keys: impl Iterator<Item = (&'a str, u32)>) -> ReadOnly {
        let hasher = RandomState::default();
        let mut table = HashTable::new();
        for (topic, number) in keys {
            let (key, value) = (KeyRef(topic, number).to_key(), body::ready(topic, number));
            let entry = Kept { key, value, deadline: deadline() };
            table.insert_unique(hasher.hash_one(KeyRef(topic, number)), entry, |entry| hasher.hash_one(&entry.key));
        }
        ReadOnly(Box::leak(Box::new((hasher, table))))
    }
}

impl Peer for ReadOnly {
    const NAME: &'static str = "floor: read-only map, no lock";

    async fn ready(self, topic: &str, number: u32) -> Arc<str> {
        let (hasher, table) = self.0;
        let key = KeyRef(topic, number);
        match table.find(hasher.hash_one(key), |entry| key.is(&entry.key)) {
            Some(entry) if entry.deadline > coarse_now() => Arc::clone(&entry.value),
            _ => body::ready(topic, number),
        }
    }

    async fn slow(self, topic: &'static str, number: u32) -> Arc<str> {
        body::slow(topic, number).await
    }
}

/// A flight: a map of lists of wakers. A first caller that is dropped would hang the others.
#[derive(Clone, Copy)]
pub(crate) struct WakerList(&'static (RandomState, Mutex<Flights>));

type Flights = HashTable<(Key, Arc<Mutex<Flight>>)>;

#[derive(Default)]
struct Flight {
    value: Option<Arc<str>>,
    wakers: Vec<Waker>,
}

impl WakerList {
    pub(crate) fn new() -> WakerList {
        WakerList(Box::leak(Box::default()))
    }

    /// The flight of a key, and whether it has just begun.
    fn flight(self, key: KeyRef<'_>) -> (Arc<Mutex<Flight>>, bool) {
        let (hasher, flights) = self.0;
        let hash = hasher.hash_one(key);
        let rehash = |(key, _): &(Key, _)| hasher.hash_one(key);
        match lock(flights).entry(hash, |(there, _)| key.is(there), rehash) {
            Entry::Occupied(flight) => (Arc::clone(&flight.get().1), false),
            Entry::Vacant(place) => (Arc::clone(&place.insert((key.to_key(), Arc::default())).get().1), true),
        }
    }

    fn remove(self, key: KeyRef<'_>) {
        let (hasher, flights) = self.0;
        if let Ok(flight) = lock(flights).find_entry(hasher.hash_one(key), |(there, _)| key.is(there)) {
            flight.remove();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Peer for WakerList {
    const NAME: &'static str = "floor: bare waker list";

    async fn ready(self, topic: &str, number: u32) -> Arc<str> {
        body::ready(topic, number)
    }

    async fn slow(self, topic: &'static str, number: u32) -> Arc<str> {
        let (flight, begins) = self.flight(KeyRef(topic, number));
        if !begins {
            return poll_fn(|context| {
                let mut flight = lock(&flight);
                if let Some(value) = &flight.value {
                    return Poll::Ready(Arc::clone(value));
                }
                flight.wakers.push(context.waker().clone());
                Poll::Pending
            })
            .await;
        }
        let value = body::slow(topic, number).await;
        self.remove(KeyRef(topic, number));
        let wakers = {
            let mut flight = lock(&flight);
            flight.value = Some(Arc::clone(&value));
            std::mem::take(&mut flight.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
        value
    }
}
