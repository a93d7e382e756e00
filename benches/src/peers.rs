//! One room per peer: the same two functions, shared or cached in that peer's way.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ::quick_cache::Equivalent;

use crate::body;

pub(crate) mod cached;
pub(crate) mod floor;
pub(crate) mod foyer;
pub(crate) mod moka;
pub(crate) mod quick_cache;
pub(crate) mod shared;
pub(crate) mod singleflight;
pub(crate) mod stampede;

/// How many values a peer keeps.
pub(crate) const CAPACITY: usize = 20_000;
/// Long enough that nothing expires while it is measured; it is checked at each hit all the same.
pub(crate) const TTL: Duration = Duration::from_secs(3600);

/// A cached function of a text and a number, in some peer's way.
pub(crate) trait Peer: Copy + Send + Sync + 'static {
    /// As it stands in the table.
    const NAME: &'static str;

    /// With a body that is ready at once.
    fn ready(self, topic: &str, number: u32) -> impl Future<Output = Arc<str>> + Send;

    /// With a body that takes `body::PAUSE`.
    fn slow(self, topic: &'static str, number: u32) -> impl Future<Output = Arc<str>> + Send;
}

/// No cache: what the bodies and the loops cost by themselves.
#[derive(Clone, Copy)]
pub(crate) struct Bare;

impl Peer for Bare {
    const NAME: &'static str = "body alone, no cache";

    async fn ready(self, topic: &str, number: u32) -> Arc<str> {
        body::ready(topic, number)
    }

    async fn slow(self, topic: &'static str, number: u32) -> Arc<str> {
        body::slow(topic, number).await
    }
}

/// A moment that stands in a cache beside a value.
pub(crate) fn deadline() -> u64 {
    coarse_now() + coarsetime::Duration::from(TTL).as_ticks()
}

/// The kernel's coarse clock.
fn coarse_now() -> u64 {
    coarsetime::Instant::now_without_cache_update().as_ticks()
}

/// An owned key, and the same borrowed. Both hash alike.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key(String, u32);

#[derive(Clone, Copy, Hash)]
pub(crate) struct KeyRef<'a>(pub(crate) &'a str, pub(crate) u32);

impl KeyRef<'_> {
    pub(crate) fn to_key(self) -> Key {
        Key(self.0.to_owned(), self.1)
    }

    fn is(self, key: &Key) -> bool {
        self.1 == key.1 && self.0 == key.0
    }
}

/// What moka, foyer and `quick_cache` look up with.
impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.is(key)
    }
}
