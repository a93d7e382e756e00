//! Several entries at once, and a new `ttl` for one that is there.

use std::collections::HashMap;
use std::time::Duration;

use super::{CodecError, Shared, Storable, Verb, untagged};
use crate::error::Error;
use crate::stats::count;
use crate::store::tokens::{self, at_once};
use crate::store::{Envelope, KEYS_MAX, Pending, StoreKey, Times, UnixMillis, envelope};
use crate::tags::Tag;
use crate::tier::{Found, Given, Kept};

/// An entry on its way, or why there is none.
pub(super) type Ready = Result<Entry, Error>;

pub(super) struct Entry {
    key: StoreKey,
    bytes: Vec<u8>,
    times: Times,
    tags: Vec<Tag>,
}

impl Shared {
    /// The values under several keys. One question for every [`KEYS_MAX`] of them, and one more where any has tags.
    pub(super) async fn read_many<V: Storable + Send>(&self, keys: Vec<StoreKey>) -> Vec<Option<Found<V>>> {
        let mut entries: Vec<Option<Vec<u8>>> = Vec::new();
        entries.resize_with(keys.len(), || None);
        let parts = self.backend.by_part(keys.iter());
        let asked = parts.iter().map(|(part, places)| -> Pending<'_, _> {
            let some: Vec<StoreKey> = places.iter().map(|at| keys[*at].clone()).collect();
            Box::pin(async move { Ok(self.get_some(*part, &some).await) })
        });
        for ((_, places), some) in parts.iter().zip(at_once(asked.collect()).await.unwrap_or_default()) {
            for (at, entry) in places.iter().zip(some) {
                entries[*at] = entry;
            }
        }
        self.understand_many(&entries).await
    }

    /// The entries under several keys that are in one part of the backend, or nothing.
    async fn get_some(&self, part: usize, keys: &[StoreKey]) -> Vec<Option<Vec<u8>>> {
        let mut all = Vec::with_capacity(keys.len());
        for some in keys.chunks(KEYS_MAX) {
            let entries = self.ask_part(part, Verb::Read, async { self.backend.backend().get_many(some).await }).await;
            let mut entries = entries.unwrap_or_default();
            if entries.len() != some.len() {
                // Of a store that tells too little, or too much, nothing is believed.
                entries.clear();
            }
            entries.resize_with(some.len(), || None);
            all.extend(entries);
        }
        all
    }

    async fn understand_many<V: Storable + Send>(&self, entries: &[Option<Vec<u8>>]) -> Vec<Option<Found<V>>> {
        let mut tags = Vec::new();
        let mut decoded = Vec::with_capacity(entries.len());
        for entry in entries {
            let Some(entry) = entry else {
                count(&self.counters.misses);
                decoded.push(None);
                continue;
            };
            let one = self.decode::<V>(entry, None).map(|(found, of_entry)| {
                tags.extend(found.tags.iter().map(Tag::clone));
                let tokens: Vec<_> = of_entry.iter().map(|(_, token)| token).collect();
                (found, tokens)
            });
            decoded.push(one);
        }
        let known = self.known(tags).await;
        let believed = decoded.into_iter().map(|one| {
            let (found, tokens) = one?;
            let is_believed = found.tags.iter().zip(&tokens).all(|(tag, token)| known.get(tag) == Some(token));
            count(if is_believed { &self.counters.hits } else { &self.counters.misses });
            is_believed.then_some(found)
        });
        believed.collect()
    }

    /// The tokens of tags, as far as there are any and this process waits for no word on them.
    async fn known(&self, mut tags: Vec<Tag>) -> HashMap<Tag, u64> {
        tags.sort_unstable();
        tags.dedup();
        if !self.backend.said.is_known(tags.iter()) && !tokens::settle(&self.backend, &tags, self.budget).await {
            return HashMap::new();
        }
        let tokens = self.tokens(&tags).await.unwrap_or_default();
        tags.into_iter().zip(tokens).filter_map(|(tag, token)| Some((tag, token?))).collect()
    }

    /// The entry of a value that is given.
    pub(super) fn given<V: Storable>(&self, it: &Given<'_, V>) -> Ready {
        let times = self.times(it.keeping);
        let bytes = self.entry(it.value, times).ok_or_else(Error::unwritable)?;
        let mut tags: Vec<Tag> = it.tagged.into_iter().flat_map(|tagged| tagged.all()).map(Tag::clone).collect();
        tags.sort_unstable();
        tags.dedup();
        Ok(Entry { key: self.key(it.id), bytes, times, tags })
    }

    /// Writes several. One question for every [`KEYS_MAX`] of them, and one for each of their tags.
    pub(super) async fn write_many(&self, entries: Vec<Ready>) -> Vec<Kept> {
        let mut tags: Vec<Tag> = entries.iter().flatten().flat_map(|entry| entry.tags.iter().map(Tag::clone)).collect();
        tags.sort_unstable();
        tags.dedup();
        let mut known = HashMap::new();
        if !tags.is_empty()
            && let Ok(seen) = self.agree(&tags).await
            && self.backend.said.is_known(tags.iter())
        {
            known = tags.into_iter().zip(seen.tokens).collect();
        }
        let mut kept = Vec::with_capacity(entries.len());
        let mut ready = Vec::new();
        for entry in entries {
            let tagged = entry.and_then(|mut entry| {
                let tokens: Option<Vec<_>> = entry.tags.iter().map(|tag| known.get(tag).copied()).collect();
                let tokens = tokens.ok_or_else(untagged)?;
                envelope::tag(&mut entry.bytes, entry.tags.iter().zip(tokens).map(|(tag, token)| (&**tag, token)));
                Ok(entry)
            });
            kept.push(tagged.map(|entry| {
                let ttl = entry.times.left(UnixMillis::now());
                ready.push((entry.key, entry.bytes, ttl));
            }));
        }
        let places: Vec<usize> = (0..kept.len()).filter(|at| kept[*at].is_ok()).collect();
        let parts = self.backend.by_part(ready.iter().map(|(key, ..)| key));
        let mut ready: Vec<_> = ready.into_iter().map(Some).collect();
        let asked: Vec<Pending<'_, Vec<Kept>>> = parts
            .iter()
            .map(|(part, some)| -> Pending<'_, _> {
                let some: Vec<_> = some.iter().filter_map(|at| ready[*at].take()).collect();
                Box::pin(async move { Ok(self.put_part(*part, &some).await) })
            })
            .collect();
        for ((_, some), put) in parts.iter().zip(at_once(asked).await.unwrap_or_default()) {
            for (at, put) in some.iter().zip(put) {
                kept[places[*at]] = put;
            }
        }
        kept
    }

    /// Puts several into one part of the backend. What became of each.
    async fn put_part(&self, part: usize, all: &[(StoreKey, Vec<u8>, Duration)]) -> Vec<Kept> {
        let mut kept = Vec::with_capacity(all.len());
        for some in all.chunks(KEYS_MAX) {
            let put = self.ask_part(part, Verb::Write, self.put_some(some)).await.map_err(Error::backend);
            for _ in some {
                if put.is_ok() {
                    count(&self.counters.writes);
                }
                kept.push(put.clone());
            }
        }
        kept
    }

    async fn put_some(&self, some: &[(StoreKey, Vec<u8>, Duration)]) -> Result<(), super::BackendError> {
        let backend = self.backend.backend();
        match backend.leases() {
            // Tells others, where there was one.
            Some(leases) => leases.overwrite_many(some).await,
            None => backend.set_many(some).await,
        }
    }

    /// Gives an entry another `ttl`. The bytes of the value stay as they are, and so do its tags.
    pub(super) async fn touch(&self, key: &StoreKey, ttl: Duration) -> Result<bool, Error> {
        let get = self.ask(key, Verb::Read, async { self.backend.backend().get(key).await });
        let Some(entry) = get.await.map_err(Error::backend)? else { return Ok(false) };
        let now = UnixMillis::now();
        let Some((again, times)) = self.again(&entry, now, ttl) else { return Ok(false) };
        let replace = async { self.backend.backend().replace(key, &entry, &again, times.left(now)).await };
        self.ask(key, Verb::Write, replace).await.map_err(Error::backend)
    }

    /// An entry with other times, if it is one and fresh.
    fn again(&self, entry: &[u8], now: UnixMillis, ttl: Duration) -> Option<(Vec<u8>, Times)> {
        let envelope = Envelope::decode(entry, self.payload_bytes_max).ok()?;
        if !envelope.times.is_fresh(now) {
            return None;
        }
        let times = envelope.times.again(now, ttl, self.retention);
        let encoded: Result<_, CodecError> = Envelope { times, ..envelope }.encode();
        Some((encoded.ok()?, times))
    }
}
