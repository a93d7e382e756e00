//! The attributes of `cached`.

#![allow(clippy::unused_async, reason = "the bodies are ready at once; the functions are still called as async ones")]

use std::sync::Arc;

use cached::macros::{cached, concurrent_cached};

use super::Peer;
use crate::body;

#[cached(max_size = 20_000, ttl_secs = 3600, key = "(String, u32)", convert = r#"{ (topic.to_owned(), number) }"#)]
async fn plain(topic: &str, number: u32) -> Arc<str> {
    body::ready(topic, number)
}

#[cached(
    max_size = 20_000,
    ttl_secs = 3600,
    sync_writes = "by_key",
    key = "(String, u32)",
    convert = r#"{ (topic.to_owned(), number) }"#
)]
async fn by_key(topic: &str, number: u32) -> Arc<str> {
    body::ready(topic, number)
}

#[cached(
    max_size = 20_000,
    ttl_secs = 3600,
    sync_writes = "by_key",
    key = "(String, u32)",
    convert = r#"{ (topic.to_owned(), number) }"#
)]
async fn slow_by_key(topic: &str, number: u32) -> Arc<str> {
    body::slow(topic, number).await
}

#[concurrent_cached(
    max_size = 20_000,
    ttl_secs = 3600,
    key = "(String, u32)",
    convert = r#"{ (topic.to_owned(), number) }"#
)]
async fn concurrent(topic: &str, number: u32) -> Arc<str> {
    body::ready(topic, number)
}

/// As most people write it; shares nothing in flight.
#[derive(Clone, Copy)]
pub(crate) struct Cached;

impl Peer for Cached {
    const NAME: &'static str = "cached #[cached]";

    async fn ready(self, topic: &str, number: u32) -> Arc<str> {
        plain(topic, number).await
    }

    async fn slow(self, topic: &'static str, number: u32) -> Arc<str> {
        body::slow(topic, number).await
    }
}

/// Shares what is in flight.
#[derive(Clone, Copy)]
pub(crate) struct CachedByKey;

impl Peer for CachedByKey {
    const NAME: &'static str = "cached #[cached(sync_writes = by_key)]";

    async fn ready(self, topic: &str, number: u32) -> Arc<str> {
        by_key(topic, number).await
    }

    async fn slow(self, topic: &'static str, number: u32) -> Arc<str> {
        slow_by_key(topic, number).await
    }
}

/// Sharded; shares nothing in flight.
#[derive(Clone, Copy)]
pub(crate) struct CachedConcurrent;

impl Peer for CachedConcurrent {
    const NAME: &'static str = "cached #[concurrent_cached]";

    async fn ready(self, topic: &str, number: u32) -> Arc<str> {
        concurrent(topic, number).await
    }

    async fn slow(self, topic: &'static str, number: u32) -> Arc<str> {
        body::slow(topic, number).await
    }
}
