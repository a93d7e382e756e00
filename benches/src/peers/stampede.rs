//! Ours.

use std::future::Future;
use std::sync::Arc;

use stampede_runtime::__private as p;

use super::{CAPACITY, Peer, TTL};
use crate::body;

/// Why a call failed; none does.
#[derive(Clone, Debug)]
pub(crate) struct Never;

macro_rules! by_hand {
    ($name:ident, $topic:ident, $number:ident, $ret:ty, $body:expr) => {
        fn $name<'a>($topic: &'a str, $number: u32) -> impl Future<Output = $ret> + Send + p::Captures<'a> {
            static SITE: p::Site =
                p::Site::new(module_path!(), stringify!($name), || p::Options::new().ttl(TTL).capacity(CAPACITY));
            async move {
                p::board(p::Here::new(&SITE, &|| ()), p::share!($ret), p::key!($topic, &$number))
                    .fly(p::Hooks::new(), move || {
                        let owned = (p::own($topic), $number);
                        async move {
                            let $topic: &str = p::Borrow::borrow(&owned.0);
                            let $number = owned.1;
                            $body
                        }
                    })
                    .await
            }
        }
    };
}

by_hand!(ready, topic, number, Arc<str>, body::ready(topic, number));
by_hand!(ready_result, topic, number, Result<Arc<str>, Never>, Ok(body::ready(topic, number)));
by_hand!(slow, topic, number, Arc<str>, body::slow(topic, number).await);

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
