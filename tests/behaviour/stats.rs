//! Every call is counted once, savings never count an execution, and the sums hold at every moment.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

use stampede_runtime::{Stats, all_stats, coalesce, reset_stats};
use tokio::task::yield_now;
use tokio::time::advance;

use super::help::{Trouble, World, all, alone, boarded, crowd, ending, settle};

#[coalesce(namespace = "stats", ttl = "1h", capacity = 3, skip(world))]
async fn load(_key: u32, world: Arc<World>) -> usize {
    world.body().await
}

/// What must be true of every snapshot of a function that does not queue.
fn check(stats: &Stats) {
    check_requests(stats);
    assert_eq!(stats.executions, stats.led + stats.refreshes + stats.retries, "{stats}");
}

/// What must be true of every snapshot. An execution that left the queue without the caller who brought it has its
/// leader counted among the others, when one of them ends.
fn check_requests(stats: &Stats) {
    let saved = stats.cache_hits + stats.stale_hits + stats.coalesce_hits;
    assert_eq!(stats.requests, saved + stats.led + stats.bypassed + stats.refused, "{stats}");
    let rate = |part: u64| if stats.requests == 0 { 0.0 } else { part as f64 / stats.requests as f64 };
    for (shown, part) in [
        (stats.cache_hit_rate, stats.cache_hits),
        (stats.coalesce_rate, stats.coalesce_hits),
        (stats.savings_rate, saved),
    ] {
        assert!((shown - rate(part)).abs() < 1e-12 && (0.0..=1.0).contains(&shown), "{stats}");
    }
}

#[tokio::test(start_paused = true)]
async fn five_at_once_and_one_later_save_five_of_six() {
    alone(async {
        let world = World::new();
        let callers = crowd(5, || load(1, Arc::clone(&world))).await;
        let stats = load::stats();
        assert_eq!((stats.requests, stats.in_flight, stats.cache_size), (5, 1, 0));
        world.open_all();
        all(callers).await;
        load(1, world).await;
        let stats = load::stats();
        check(&stats);
        assert_eq!((stats.requests, stats.led, stats.coalesce_hits, stats.cache_hits), (6, 1, 4, 1));
        assert_eq!((stats.executions, stats.in_flight, stats.cache_size), (1, 0, 1));
        assert!((stats.savings_rate - 5.0 / 6.0).abs() < 1e-12);
        assert!(stats.to_string().contains("83.3%"), "{stats}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn before_the_first_call_everything_is_zero() {
    alone(async {
        assert_eq!(load::stats(), Stats::default());
        assert!(all_stats().is_empty());
        check(&Stats::default());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn every_function_is_listed_from_its_first_call() {
    #[coalesce]
    async fn unnamed() {}

    alone(async {
        let world = World::new();
        let call = boarded(load(1, Arc::clone(&world))).await;
        unnamed().await;
        let names = all_stats().into_keys().collect::<Vec<_>>();
        assert_eq!(names, [&format!("{}::unnamed", module_path!()), "stats::load"]);
        assert_eq!(all_stats()["stats::load"], load::stats());
        world.open_all();
        call.await.expect("no panic");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn refreshes_are_executions_and_no_requests() {
    alone(async {
        let world = World::at_ease();
        load(1, Arc::clone(&world)).await;
        load::refresh(1, Arc::clone(&world)).await;
        load::refresh(2, Arc::clone(&world)).await;
        let stats = load::stats();
        check(&stats);
        assert_eq!((stats.requests, stats.led, stats.refreshes, stats.executions), (1, 1, 2, 3));
        assert_eq!(world.runs(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn evictions_and_sizes_are_counted() {
    alone(async {
        let world = World::at_ease();
        for key in 0..10 {
            load(key, Arc::clone(&world)).await;
            assert!(load::stats().cache_size <= 3);
        }
        let stats = load::stats();
        assert_eq!((stats.cache_size, stats.evictions), (3, 7));
        assert_eq!(load::clear().removed(), 3);
        let stats = load::stats();
        assert_eq!((stats.cache_size, stats.evictions), (0, 7), "an invalidation is no eviction");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_time_of_executions_is_summed_up() {
    #[coalesce(skip(seconds))]
    async fn takes(_key: u32, seconds: u64) -> Result<(), u64> {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        if seconds == 3 { Err(3) } else { Ok(()) }
    }

    alone(async {
        for seconds in [1, 2, 3] {
            let _ = takes(1, seconds).await;
        }
        boarded(takes(1, 100)).await.abort();
        settle().await;
        advance(Duration::from_secs(200)).await;
        let time = takes::stats().execution_time;
        assert_eq!(time.count, 3);
        assert_eq!(time.total, Duration::from_secs(6));
        assert_eq!(time.mean, Duration::from_secs(2));
        assert_eq!(time.max, Duration::from_secs(3));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reset_forgets_counts_and_nothing_else() {
    alone(async {
        let world = World::new();
        world.open(1);
        load(1, Arc::clone(&world)).await;
        load(1, Arc::clone(&world)).await;
        let call = boarded(load(2, Arc::clone(&world))).await;
        let joined = boarded(load(2, Arc::clone(&world))).await;
        reset_stats();
        let stats = load::stats();
        check(&stats);
        assert_eq!((stats.requests, stats.executions), (0, 0));
        assert_eq!((stats.in_flight, stats.cache_size), (1, 1));
        world.open_all();
        all(vec![call, joined]).await;
        load(1, Arc::clone(&world)).await;
        let stats = load::stats();
        assert_eq!((stats.requests, stats.cache_hits, stats.in_flight, stats.cache_size), (1, 1, 0, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stats_can_be_serialised() {
    alone(async {
        let world = World::at_ease();
        load(1, Arc::clone(&world)).await;
        load(1, world).await;
        let json = serde_json::to_value(load::stats()).expect("plain data");
        assert_eq!((json["requests"].as_u64(), json["savings_rate"].as_f64()), (Some(2), Some(0.5)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_execution_begun_without_its_first_caller_is_counted() {
    #[coalesce(max_concurrent = 1, wait = "1h", skip(world))]
    async fn narrow(_key: u32, world: Arc<World>) -> Result<usize, Trouble> {
        Ok(world.body().await)
    }

    alone(async {
        let world = World::new();
        let running = boarded(narrow(1, Arc::clone(&world))).await;
        let first = boarded(narrow(2, Arc::clone(&world))).await;
        let others = crowd(3, || narrow(2, Arc::clone(&world))).await;
        first.abort();
        settle().await;
        world.open(1);
        assert_eq!(ending(running).await, "value 1");
        world.begun(2).await;
        check_requests(&narrow::stats());
        assert_eq!(narrow::stats().executions, 2, "under way, whoever will be counted for it");
        world.open_all();
        for call in others {
            assert_eq!(ending(call).await, "value 2");
        }
        let stats = narrow::stats();
        check(&stats);
        assert_eq!((stats.requests, stats.executions, stats.coalesce_hits, stats.refused), (5, 2, 2, 1));
    })
    .await;
}

/// What four tasks do to a function while a fifth reads its statistics.
async fn hammer<F>(
    call: impl Fn(u64, Arc<AtomicU64>) -> F + Clone + Send + 'static,
    stats: fn() -> Stats,
    check: fn(&Stats),
) where
    F: Future<Output: Send> + Send + 'static,
{
    let (begun, ended, bodies) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (begun, ended, done) = (Arc::clone(&begun), Arc::clone(&ended), Arc::clone(&done));
        tokio::spawn(async move {
            let mut before = 0;
            while !done.load(SeqCst) {
                let at_least = ended.load(SeqCst);
                let stats = stats();
                let at_most = begun.load(SeqCst);
                check(&stats);
                assert!(at_least <= stats.requests, "{at_least} calls have ended: {stats}");
                assert!(stats.requests <= at_most, "{at_most} calls have begun: {stats}");
                assert!(before <= stats.requests, "{before} requests before: {stats}");
                before = stats.requests;
                yield_now().await;
            }
        })
    };
    let tasks = (0..4_u64).map(|task| {
        let (call, begun, ended, bodies) = (call.clone(), Arc::clone(&begun), Arc::clone(&ended), Arc::clone(&bodies));
        tokio::spawn(async move {
            for round in 0..3_000 {
                begun.fetch_add(1, SeqCst);
                let call = call((round * 7 + task) % 11, Arc::clone(&bodies));
                if round % 3 == 0 {
                    // Boards, and leaves a moment later.
                    let mut call = Box::pin(call);
                    poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_ready())).await;
                    for _ in 0..round % 4 {
                        yield_now().await;
                    }
                } else {
                    let _ = tokio::spawn(call).await;
                }
                ended.fetch_add(1, SeqCst);
            }
        })
    });
    all(tasks.collect()).await;
    done.store(true, SeqCst);
    reader.await.expect("the sums hold");

    // What nobody waits for may go on for a moment.
    while stats().in_flight > 0 {
        yield_now().await;
    }
    let stats = stats();
    check(&stats);
    assert_eq!(stats.requests, begun.load(SeqCst), "every call is counted once: {stats}");
    assert_eq!(stats.executions, bodies.load(SeqCst), "every execution is counted once: {stats}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_sums_hold_at_every_moment() {
    #[coalesce(ttl = "1h", capacity = 4, skip(bodies))]
    async fn busy(key: u64, bodies: Arc<AtomicU64>) -> Result<u64, String> {
        bodies.fetch_add(1, SeqCst);
        for _ in 0..key % 4 {
            yield_now().await;
        }
        if key.is_multiple_of(5) { Err("failure".to_owned()) } else { Ok(key) }
    }

    alone(hammer(busy, busy::stats, check)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_sums_hold_for_functions_that_queue() {
    #[coalesce(max_concurrent = 2, skip(bodies))]
    async fn narrow(key: u64, bodies: Arc<AtomicU64>) -> Result<u64, Trouble> {
        bodies.fetch_add(1, SeqCst);
        for _ in 0..key % 4 {
            yield_now().await;
        }
        if key.is_multiple_of(5) { Err(Trouble::Fire) } else { Ok(key) }
    }

    alone(hammer(narrow, narrow::stats, check_requests)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_sums_hold_for_functions_that_finish_in_any_case() {
    #[coalesce(ttl = "1h", capacity = 4, on_abandon = "finish", max_concurrent = 2, skip(bodies))]
    async fn thorough(key: u64, bodies: Arc<AtomicU64>) -> Result<u64, Trouble> {
        bodies.fetch_add(1, SeqCst);
        for _ in 0..key % 4 {
            yield_now().await;
        }
        Ok(key)
    }

    alone(hammer(thorough, thorough::stats, check_requests)).await;
}
