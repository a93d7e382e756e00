//! Ours: one function for each option, async and sync.

#![expect(clippy::unnecessary_wraps, reason = "bodies return what the options are about")]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use stampede_runtime::{cached, coalesce_by_content};

use super::{Column, KEYS, Sample, calls, later, later_on, now};
use crate::body::{self, Runs, ready};
use crate::measure::{Runner, block_on, runtime};
use crate::peers::TTL;

/// Why a call failed; where a function can be refused, it has to say so somehow.
#[derive(Clone, Debug)]
struct Failure;

impl From<stampede_runtime::Error> for Failure {
    fn from(_: stampede_runtime::Error) -> Failure {
        Failure
    }
}

/// An error with a text.
#[derive(Clone, Debug)]
struct Told(#[expect(dead_code, reason = "cloned by each hit, as a value is")] Arc<str>);

fn fine(topic: &str, number: u32) -> Result<Arc<str>, Failure> {
    Ok(ready(topic, number))
}

fn told(topic: &str, number: u32) -> Result<Arc<str>, Told> {
    Ok(ready(topic, number))
}

fn fails(topic: &str, number: u32) -> Result<Arc<str>, Told> {
    Err(Told(ready(topic, number)))
}

fn some(topic: &str, number: u32) -> Option<Arc<str>> {
    Some(ready(topic, number))
}

fn none(topic: &str, number: u32) -> Option<Arc<str>> {
    body::number(number.into());
    _ = topic;
    None
}

/// Takes so long that all of a measurement is within the window of `early = 100`: 37 × 100 × 20 ms, which is 74 s. And of
/// `AGING`, which is 70 s, so much is left that no call renews the value: one of e³⁰ would after 10 s, one of e²⁰ after 30 s.
fn dear(topic: &str, number: u32) -> Arc<str> {
    thread::sleep(Duration::from_millis(20));
    ready(topic, number)
}

const AGING: Duration = Duration::from_secs(70);

/// Modules with two functions each, and their cells of the table. The arguments are named by the caller, whose words
/// mention them.
macro_rules! options {
    (($topic:ident, $number:ident): $($row:literal $module:ident: #[$attribute:ident($($words:tt)*)] $body:ident -> $output:ty;)*) => {
        $(
            mod $module {
                #[allow(clippy::wildcard_imports, reason = "bodies, types and constants")]
                use super::*;

                #[$attribute($($words)*, companion = none)]
                pub(super) async fn later($topic: &str, $number: u32) -> $output {
                    $body($topic, $number)
                }

                #[$attribute($($words)*, companion = none)]
                pub(super) fn now($topic: &str, $number: u32) -> $output {
                    $body($topic, $number)
                }
            }
        )*

        fn plain_cells() -> Vec<Runner<Sample>> {
            vec![$(
                later($row, Column::Async, $module::later),
                now($row, Column::Sync, $module::now),
            )*]
        }
    };
}

options! {
    (topic, number):
    "ttl" ttl: #[cached(ttl = TTL)] ready -> Arc<str>;
    "the same again" again: #[cached(ttl = TTL)] ready -> Arc<str>;
    "Result" result: #[cached(ttl = TTL)] fine -> Result<Arc<str>, Failure>;
    "Result, 24 bytes" long: #[cached(ttl = TTL)] told -> Result<Arc<str>, Told>;
    "ttl = |value| …" ttl_of_value: #[cached(ttl = |_| TTL)] ready -> Arc<str>;
    "stale, fresh hit" stale: #[cached(ttl = TTL, stale = "1h")] ready -> Arc<str>;
    "stale_if_error" stale_if_error: #[cached(ttl = TTL, stale_if_error = "1h")] fine -> Result<Arc<str>, Failure>;
    "early, before its window" early: #[cached(ttl = TTL, early)] ready -> Arc<str>;
    "early, in its window" aging: #[cached(ttl = AGING, early = 100)] dear -> Arc<str>;
    "jitter" jitter: #[cached(ttl = TTL, jitter = "10%")] ready -> Arc<str>;
    "none_ttl, Some" none_ttl: #[cached(ttl = TTL, none_ttl = "1h")] some -> Option<Arc<str>>;
    "none_ttl, None" nothing: #[cached(ttl = TTL, none_ttl = "1h")] none -> Option<Arc<str>>;
    "cache_if" cache_if: #[cached(ttl = TTL, cache_if = |value| !value.is_empty())] ready -> Arc<str>;
    "cache_err, Ok" cache_err: #[cached(ttl = TTL, cache_err = "1h")] told -> Result<Arc<str>, Told>;
    "cache_err, Err" error: #[cached(ttl = TTL, cache_err = "1h")] fails -> Result<Arc<str>, Told>;
    "timeout" timeout: #[cached(ttl = TTL, timeout = "5s")] fine -> Result<Arc<str>, Failure>;
    "soft_timeout" soft: #[cached(ttl = TTL, stale_if_error = "1h", soft_timeout = "1s")] fine
        -> Result<Arc<str>, Failure>;
    "wait" wait: #[cached(ttl = TTL, wait = "5s")] fine -> Result<Arc<str>, Failure>;
    "max_concurrent" max_concurrent: #[cached(ttl = TTL, max_concurrent = 8)] fine -> Result<Arc<str>, Failure>;
    "capacity, weigh" weigh: #[cached(ttl = TTL, capacity = 100_000, weigh = |value| value.len())] ready -> Arc<str>;
    "cost" cost: #[cached(ttl = TTL, cost = |value| value.len() as f64)] ready -> Arc<str>;
    "all of these" all: #[cached(
        ttl = |_| TTL,
        stale = "1m",
        stale_if_error = "1h",
        early,
        jitter = "10%",
        cache_if = |value| !value.is_empty(),
        cache_err = |_| TTL,
        capacity = 100_000,
        weigh = |value| value.len(),
        timeout = "5s",
        soft_timeout = "1s",
        wait = "6s",
        max_concurrent = 8,
        namespace = "options"
    )] fine -> Result<Arc<str>, Failure>;
    "namespace" namespace: #[cached(ttl = TTL, namespace = "options")] ready -> Arc<str>;
    "key(…)" key: #[cached(ttl = TTL, key(topic, number))] ready -> Arc<str>;
    "key = \"…\"" text: #[cached(ttl = TTL, key = "{topic}:{number}")] ready -> Arc<str>;
    "skip" skip: #[cached(ttl = TTL, skip(number))] ready -> Arc<str>;
    "by content" content: #[coalesce_by_content(ttl = TTL)] ready -> Arc<str>;
}

/// For as long as the bodies of `stale_hit` still come to an end.
static ENDS: AtomicBool = AtomicBool::new(true);
/// Set when nothing is measured any more.
static OVER: OnceLock<()> = OnceLock::new();

mod stale_hit {
    use super::{Arc, ENDS, OVER, Relaxed, cached, ready};

    #[cached(ttl = super::SHORT, stale = "1h", companion = none)]
    pub(super) async fn later(topic: &str, number: u32) -> Arc<str> {
        let value = ready(topic, number);
        if !ENDS.load(Relaxed) {
            std::future::pending::<()>().await;
        }
        value
    }

    #[cached(ttl = super::SHORT, stale = "1h", companion = none)]
    pub(super) fn now(topic: &str, number: u32) -> Arc<str> {
        let value = ready(topic, number);
        if !ENDS.load(Relaxed) {
            OVER.wait();
        }
        value
    }
}

const SHORT: Duration = Duration::from_millis(10);

/// Old values, each with a refresh under way that does not end.
fn stale_cells() -> Vec<Runner<Sample>> {
    const ROW: &str = "stale, stale hit";
    let runtime = runtime();
    let call_all = || {
        for (topic, number) in calls(KEYS) {
            block_on(&runtime, stale_hit::later(topic, number));
            stale_hit::now(topic, number);
        }
    };
    call_all();
    thread::sleep(10 * SHORT);
    let before = Runs::so_far();
    ENDS.store(false, Relaxed);
    call_all();
    while Runs::since(before).started < 2 * KEYS as u64 {
        block_on(&runtime, async { tokio::time::sleep(SHORT).await });
    }
    vec![later_on(runtime, ROW, Column::Async, stale_hit::later), now(ROW, Column::Sync, stale_hit::now)]
}

#[cached(ttl = TTL, attached, companion = none)]
async fn attached(topic: &str, number: u32) -> Arc<str> {
    ready(topic, number)
}

/// All cells, the two of the plain `ttl` first.
pub(super) fn cells() -> Vec<Runner<Sample>> {
    let mut cells = plain_cells();
    let fresh = cells.iter().position(|cell| cell.name == "stale, fresh hit").expect("named above");
    cells.splice(fresh + 2..fresh + 2, stale_cells());
    cells.push(later("attached", Column::Async, attached));
    cells
}

/// Lets the bodies end that wait for it.
pub(super) fn end() {
    OVER.get_or_init(|| ());
}
