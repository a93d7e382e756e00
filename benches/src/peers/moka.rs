//! moka's async cache, looked up with a borrowed key first.

use std::sync::Arc;

use foldhash::fast::RandomState;
use moka::future::Cache;

use super::{CAPACITY, Key, KeyRef, Peer, TTL};
use crate::body;

type Store = Cache<Key, Arc<str>, RandomState>;

#[derive(Clone, Copy)]
pub(crate) struct Moka {
    ready: &'static Store,
    slow: &'static Store,
}

impl Moka {
    pub(crate) fn new() -> Moka {
        let store = || {
            let builder = Cache::builder().max_capacity(CAPACITY as u64).time_to_live(TTL);
            &*Box::leak(Box::new(builder.build_with_hasher(RandomState::default())))
        };
        Moka { ready: store(), slow: store() }
    }
}

impl Peer for Moka {
    const NAME: &'static str = "moka future, borrowed key";

    async fn ready(self, topic: &str, number: u32) -> Arc<str> {
        if let Some(value) = self.ready.get(&KeyRef(topic, number)).await {
            return value;
        }
        self.ready.get_with(KeyRef(topic, number).to_key(), async { body::ready(topic, number) }).await
    }

    async fn slow(self, topic: &'static str, number: u32) -> Arc<str> {
        if let Some(value) = self.slow.get(&KeyRef(topic, number)).await {
            return value;
        }
        self.slow.get_with(KeyRef(topic, number).to_key(), body::slow(topic, number)).await
    }
}
