//! Who waits when a value ends, under a steady load. Answered: with `ttl` alone every caller of the body's 20 ms, which
//! all share one execution; with `stale` none; with `early` hardly ever one, and no value is older than its `ttl`. Early
//! executions are the price: more of them.
//!
//! One hot key. Each millisecond every variant is called once, by a task of its own, in an order that is turned by one
//! each time: so all see the same seconds of the same machine. In real time, since neither the peers' clocks nor our own
//! in an optimised build can be paused; but what is counted is exact all the same, because *waited* are those whose first
//! poll did not have the value, which no busy neighbour changes. Latencies are as the clock has them, and a value's age is
//! counted from its body's end. (Expiry follows the coarse clock: a grain of it, one to ten milliseconds, is no age.)

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::body;
use crate::measure::{Effort, quantile, runtime};
use crate::report::{Row, Section};

const TTL: Duration = Duration::from_millis(250);
const BODY: Duration = Duration::from_millis(20);
const EVERY: Duration = Duration::from_millis(1);

/// When it was made, and by whom.
#[derive(Clone, Copy)]
struct Made {
    at: u64,
    execution: u64,
}

/// Counts a variant's executions.
macro_rules! made {
    () => {{
        use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

        static EXECUTIONS: AtomicU64 = AtomicU64::new(0);
        let execution = EXECUTIONS.fetch_add(1, Relaxed);
        tokio::time::sleep(BODY).await;
        Made { at: body::now(), execution }
    }};
}

mod ours {
    use stampede_runtime::cached;

    use super::{BODY, Made, TTL, body};

    #[cached(ttl = TTL, companion = none)]
    pub(super) async fn ttl(key: u32) -> Made {
        _ = key;
        made!()
    }

    #[cached(ttl = TTL, stale = "1h", companion = none)]
    pub(super) async fn stale(key: u32) -> Made {
        _ = key;
        made!()
    }

    #[cached(ttl = TTL, early, companion = none)]
    pub(super) async fn early(key: u32) -> Made {
        _ = key;
        made!()
    }

    #[cached(ttl = TTL, stale = "1h", early, companion = none)]
    pub(super) async fn both(key: u32) -> Made {
        _ = key;
        made!()
    }
}

mod theirs {
    use std::sync::LazyLock;

    use cached::macros::cached;
    use moka::future::Cache;

    use super::{BODY, Made, TTL, body};

    #[cached(ttl_millis = 250)]
    pub(super) async fn plain(key: u32) -> Made {
        _ = key;
        made!()
    }

    #[cached(ttl_millis = 250, sync_writes = "by_key")]
    pub(super) async fn by_key(key: u32) -> Made {
        _ = key;
        made!()
    }

    pub(super) async fn moka(key: u32) -> Made {
        static CACHE: LazyLock<Cache<u32, Made>> = LazyLock::new(|| Cache::builder().time_to_live(TTL).build());
        CACHE.get_with(key, async { made!() }).await
    }
}

/// What became of one call.
struct Call {
    waited: bool,
    latency_millis: f64,
    /// How much older than `TTL` the value was.
    overdue_millis: f64,
    execution: u64,
}

async fn call(value: impl Future<Output = Made>) -> Call {
    let mut value = pin!(value);
    let begin = Instant::now();
    let at_once = poll_fn(|cx| Poll::Ready(value.as_mut().poll(cx))).await;
    let waited = at_once.is_pending();
    let made = match at_once {
        Poll::Ready(made) => made,
        Poll::Pending => value.await,
    };
    let age = Duration::from_nanos(body::now().saturating_sub(made.at));
    Call {
        waited,
        latency_millis: millis(begin.elapsed()),
        overdue_millis: millis(age.saturating_sub(TTL)),
        execution: made.execution,
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

type Spawn = fn() -> JoinHandle<Call>;

const VARIANTS: [(&str, Spawn); 7] = [
    ("stampede, ttl", || tokio::spawn(call(ours::ttl(1)))),
    ("stampede, ttl + stale", || tokio::spawn(call(ours::stale(1)))),
    ("stampede, ttl + early", || tokio::spawn(call(ours::early(1)))),
    ("stampede, ttl + stale + early", || tokio::spawn(call(ours::both(1)))),
    ("cached, ttl", || tokio::spawn(call(theirs::plain(1)))),
    ("cached, ttl + sync_writes = by_key", || tokio::spawn(call(theirs::by_key(1)))),
    ("moka get_with, ttl", || tokio::spawn(call(theirs::moka(1)))),
];

/// All variants, side by side, for so many `TTL`s.
async fn load(ttls: usize) -> [Vec<Call>; VARIANTS.len()] {
    // Not counted: the first value has no predecessor.
    for (_, spawn) in VARIANTS {
        spawn().await.expect("no body panics");
    }
    let ticks = ttls * usize::try_from(TTL.as_millis() / EVERY.as_millis()).expect("few");
    let mut calls = VARIANTS.map(|_| Vec::with_capacity(ticks));
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0..ticks {
        tick.tick().await;
        for turn in 0..VARIANTS.len() {
            let at = (turn + number) % VARIANTS.len();
            calls[at].push(VARIANTS[at].1());
        }
    }
    let mut ended = VARIANTS.map(|_| Vec::with_capacity(ticks));
    for (ended, calls) in ended.iter_mut().zip(calls) {
        for call in calls {
            ended.push(call.await.expect("no body panics"));
        }
    }
    ended
}

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    let ttls = effort.of(40, 8);
    let calls = runtime().block_on(load(ttls));
    let rows = VARIANTS.iter().zip(&calls).map(|((name, _), calls)| {
        let waited = calls.iter().filter(|call| call.waited).count() as f64;
        let executions = calls.iter().map(|call| call.execution).max().unwrap_or(0) as f64;
        let most = |figure: fn(&Call) -> f64, at| quantile(calls, figure, at);
        let figures = [
            waited / ttls as f64,
            waited / calls.len() as f64 * 100.0,
            executions / ttls as f64,
            most(|call| call.latency_millis, 0.99),
            most(|call| call.latency_millis, 1.0),
            most(|call| call.overdue_millis, 1.0),
        ];
        let mut row = Row::new(name, figures);
        if name.contains("stale") {
            row.goal("nobody waits", waited == 0.0);
        }
        row
    });
    vec![Section {
        name: "expiry",
        title: format!("a call a ms, body {BODY:?}, ttl {TTL:?}"),
        columns: vec!["waited/ttl", "waited %", "bodies/ttl", "p99 ms", "worst ms", "overdue ms"],
        rows: rows.collect(),
    }]
}
