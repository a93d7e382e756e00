//! `foyer`'s cache in memory, with a borrowed key and a deadline by hand.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use foldhash::fast::RandomState;
use foyer_memory::{Cache, CacheBuilder, S3FifoConfig};

use super::{CAPACITY, Key, KeyRef, Peer, coarse_now, deadline};
use crate::body;

type Store = Cache<Key, (Arc<str>, u64), RandomState>;

#[derive(Clone, Copy)]
pub(crate) struct Foyer {
    ready: &'static Store,
    slow: &'static Store,
}

impl Foyer {
    pub(crate) fn new() -> Foyer {
        let store = || {
            let builder = CacheBuilder::new(CAPACITY).with_eviction_config(S3FifoConfig::default());
            &*Box::leak(Box::new(builder.with_hash_builder(RandomState::default()).build()))
        };
        Foyer { ready: store(), slow: store() }
    }
}

/// The body is spawned, so it owns what it works with.
async fn call<B>(store: &Store, key: KeyRef<'_>, body: impl FnOnce(Key) -> B) -> Arc<str>
where
    B: Future<Output = Arc<str>> + Send + 'static,
{
    if let Some(entry) = store.get(&key).filter(|entry| entry.1 > coarse_now()) {
        return Arc::clone(&entry.0);
    }
    let key = key.to_key();
    let body = || {
        let body = body(key.clone());
        async { Ok::<_, Infallible>((body.await, deadline())) }
    };
    let entry = store.get_or_fetch(&key, body).await.expect("the body never fails");
    Arc::clone(&entry.0)
}

impl Peer for Foyer {
    const NAME: &'static str = "foyer, borrowed key, ttl by hand";

    async fn ready(self, topic: &str, number: u32) -> Arc<str> {
        call(self.ready, KeyRef(topic, number), |key| async move { body::ready(&key.0, key.1) }).await
    }

    async fn slow(self, topic: &'static str, number: u32) -> Arc<str> {
        call(self.slow, KeyRef(topic, number), |_| body::slow(topic, number)).await
    }
}
