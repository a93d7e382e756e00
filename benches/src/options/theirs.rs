//! The same options of `cached` and moka, where they have them.

#![expect(clippy::unnecessary_wraps, reason = "bodies return what the options are about")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use super::{Column, Sample, later, now};
use crate::body::ready;
use crate::measure::Runner;
use crate::peers::{Key, KeyRef, TTL};

/// A value that says itself when it ends, as `cached` wants it.
#[derive(Clone)]
struct Ending(#[expect(dead_code, reason = "cloned by each hit")] Arc<str>, Instant);

impl cached::Expires for Ending {
    fn is_expired(&self) -> bool {
        self.1 <= Instant::now()
    }
}

fn ending(topic: &str, number: u32) -> Ending {
    Ending(ready(topic, number), Instant::now() + TTL)
}

/// Nobody makes one where values are kept.
#[derive(Clone, Debug)]
struct Told(#[expect(dead_code, reason = "cloned by each hit, as a value is")] Arc<str>);

fn fine(topic: &str, number: u32) -> Result<Arc<str>, Told> {
    Ok(ready(topic, number))
}

fn fails(topic: &str, number: u32) -> Result<Arc<str>, Told> {
    Err(Told(ready(topic, number)))
}

fn none(topic: &str, number: u32) -> Option<Arc<str>> {
    ready(topic, number);
    None
}

/// Modules with two functions each, and their cells of the table.
macro_rules! options {
    ($($row:literal $module:ident($($words:tt)*): $body:ident -> ($($output:tt)*);)*) => {
        $(
            #[allow(clippy::wildcard_imports, clippy::unused_async, reason = "as ours are written")]
            mod $module {
                use cached::macros::cached;
                use super::*;

                #[cached(
                    max_size = 1000,
                    $($words)*,
                    key = "(String, u32)",
                    convert = r#"{ (topic.to_owned(), number) }"#
                )]
                pub(super) async fn later(topic: &str, number: u32) -> $($output)* {
                    $body(topic, number)
                }

                #[cached(
                    max_size = 1000,
                    $($words)*,
                    key = "(String, u32)",
                    convert = r#"{ (topic.to_owned(), number) }"#
                )]
                pub(super) fn now(topic: &str, number: u32) -> $($output)* {
                    $body(topic, number)
                }
            }
        )*

        fn cached_cells() -> Vec<Runner<Sample>> {
            vec![$(
                later($row, Column::CachedAsync, $module::later),
                now($row, Column::CachedSync, $module::now),
            )*]
        }
    };
}

options! {
    "ttl" ttl(ttl_secs = 3600): ready -> (Arc<str>);
    "Result" result(ttl_secs = 3600): fine -> (Result<Arc<str>, Told>);
    "ttl = |value| …" expires(expires = true): ending -> (Ending);
    "stale_if_error" fallback(ttl_secs = 3600, result_fallback = true): fine -> (Result<Arc<str>, Told>);
    "none_ttl, None" nothing(ttl_secs = 3600, cache_none = true): none -> (Option<Arc<str>>);
    "cache_err, Err" error(ttl_secs = 3600, cache_err = true): fails -> (Result<Arc<str>, Told>);
    "shared in flight" by_key(ttl_secs = 3600, sync_writes = "by_key"): ready -> (Arc<str>);
}

/// Per-entry expiry, as moka wants it.
struct ByEntry;

impl moka::Expiry<Key, Arc<str>> for ByEntry {
    fn expire_after_create(&self, _: &Key, _: &Arc<str>, _: Instant) -> Option<Duration> {
        Some(TTL)
    }
}

/// A builder, of either kind of cache, with one option.
macro_rules! builder {
    ($kind:ident, ttl) => {
        moka::$kind::Cache::builder().max_capacity(1000).time_to_live(TTL)
    };
    ($kind:ident, expiry) => {
        moka::$kind::Cache::builder().max_capacity(1000).expire_after(ByEntry)
    };
    ($kind:ident, weigh) => {
        moka::$kind::Cache::builder()
            .max_capacity(100_000)
            .time_to_live(TTL)
            .weigher(|_: &Key, value: &Arc<str>| u32::try_from(value.len()).unwrap_or(u32::MAX))
    };
}

macro_rules! moka_future {
    ($row:literal, $option:ident) => {{
        let cache: moka::future::Cache<Key, Arc<str>, RandomState> =
            builder!(future, $option).build_with_hasher(RandomState::default());
        let cache = &*Box::leak(Box::new(cache));
        later($row, Column::MokaFuture, move |topic, number| async move {
            match cache.get(&KeyRef(topic, number)).await {
                Some(value) => value,
                None => cache.get_with(KeyRef(topic, number).to_key(), async { ready(topic, number) }).await,
            }
        })
    }};
}

macro_rules! moka_sync {
    ($row:literal, $option:ident) => {{
        let cache: moka::sync::Cache<Key, Arc<str>, RandomState> =
            builder!(sync, $option).build_with_hasher(RandomState::default());
        now($row, Column::MokaSync, move |topic, number| match cache.get(&KeyRef(topic, number)) {
            Some(value) => value,
            None => cache.get_with(KeyRef(topic, number).to_key(), || ready(topic, number)),
        })
    }};
}

pub(super) fn cells() -> Vec<Runner<Sample>> {
    let mut cells = cached_cells();
    cells.extend([
        moka_future!("ttl", ttl),
        moka_sync!("ttl", ttl),
        moka_future!("ttl = |value| …", expiry),
        moka_sync!("ttl = |value| …", expiry),
        moka_future!("capacity, weigh", weigh),
        moka_sync!("capacity, weigh", weigh),
    ]);
    cells
}
