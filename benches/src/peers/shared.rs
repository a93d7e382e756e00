//! `futures::future::Shared` in a map.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

use super::{Key, KeyRef, Peer};
use crate::body;

#[derive(Clone, Copy)]
pub(crate) struct FuturesShared(&'static Flights);

type Flights = Mutex<std::collections::HashMap<Key, Shared<BoxFuture<'static, Arc<str>>>, RandomState>>;

impl FuturesShared {
    pub(crate) fn new() -> FuturesShared {
        FuturesShared(Box::leak(Box::default()))
    }
}

impl Peer for FuturesShared {
    const NAME: &'static str = "futures Shared in a map";

    async fn ready(self, topic: &str, number: u32) -> Arc<str> {
        body::ready(topic, number)
    }

    async fn slow(self, topic: &'static str, number: u32) -> Arc<str> {
        let flight = {
            let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let begin = || {
                let body = async move {
                    let value = body::slow(topic, number).await;
                    self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&KeyRef(topic, number).to_key());
                    value
                };
                body.boxed().shared()
            };
            flights.entry(KeyRef(topic, number).to_key()).or_insert_with(begin).clone()
        };
        flight.await
    }
}
