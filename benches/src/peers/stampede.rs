//! Ours.

use std::future::Future;
use std::sync::Arc;

use stampede_runtime::coalesce;

use super::{Peer, TTL};
use crate::body;

/// Why a call failed; none does.
#[derive(Clone, Debug)]
pub(crate) struct Never;

#[coalesce(ttl = TTL, capacity = 20_000)]
async fn ready(topic: &str, number: u32) -> Arc<str> {
    body::ready(topic, number)
}

#[coalesce(ttl = TTL, capacity = 20_000)]
async fn ready_result(topic: &str, number: u32) -> Result<Arc<str>, Never> {
    Ok(body::ready(topic, number))
}

#[coalesce(ttl = TTL, capacity = 20_000)]
async fn slow(topic: &str, number: u32) -> Arc<str> {
    body::slow(topic, number).await
}

#[derive(Clone, Copy)]
pub(crate) struct Stampede;

impl Peer for Stampede {
    const NAME: &'static str = "stampede #[coalesce(ttl)]";

    fn ready(self, topic: &str, number: u32) -> impl Future<Output = Arc<str>> + Send {
        ready(topic, number)
    }

    fn slow(self, topic: &'static str, number: u32) -> impl Future<Output = Arc<str>> + Send {
        slow(topic, number)
    }
}

/// The same with a `Result`.
#[derive(Clone, Copy)]
pub(crate) struct StampedeResult;

impl Peer for StampedeResult {
    const NAME: &'static str = "stampede #[coalesce(ttl)], Result";

    async fn ready(self, topic: &str, number: u32) -> Arc<str> {
        ready_result(topic, number).await.expect("the body never fails")
    }

    async fn slow(self, topic: &'static str, number: u32) -> Arc<str> {
        slow(topic, number).await
    }
}
