//! A test's own clock: expiry without sleeping, for every kind of function, thread and runtime.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use stampede_runtime::testing::{self, Clock, Fault, FaultyBackend, Verb};
use stampede_runtime::{BackendState, Config, cached};
use tokio::runtime::Runtime;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// A minute has not passed yet.
const JUST_BEFORE: Duration = Duration::from_millis(59_999);
/// A backend rests no longer.
const LONGEST_REST: Duration = Duration::from_secs(2);

#[cached(ttl = "60s")]
async fn plain(_id: u32) -> u32 {
    0
}

/// The last moment of a minute, and its end.
async fn a_minute_passes(clock: &Clock) {
    plain::clear();
    let counted = testing::count(plain::stats);
    plain(1).await;
    clock.advance(JUST_BEFORE);
    plain(1).await;
    counted.assert(|since| (since.executions, since.cache_hits), (1, 1));
    clock.advance(Duration::from_millis(1));
    plain(1).await;
    counted.assert(|since| (since.executions, since.cache_hits), (2, 1));
}

#[tokio::test]
async fn values_expire_on_a_current_thread_runtime() {
    let isolated = testing::isolate();
    a_minute_passes(&isolated.clock()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_expire_on_every_thread_of_a_runtime() {
    let isolated = testing::isolate();
    let clock = isolated.clock();
    tokio::spawn(async move { a_minute_passes(&clock).await }).await.unwrap();
    let clock = isolated.clock();
    let handle = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || handle.block_on(a_minute_passes(&clock))).await.unwrap();
}

#[cached(ttl = "60s")]
fn sync(_id: u32) -> u32 {
    0
}

#[test]
fn values_of_sync_functions_expire_without_a_runtime() {
    let isolated = testing::isolate();
    let clock = isolated.clock();
    let counted = testing::count(sync::stats);
    sync(1);
    clock.advance(JUST_BEFORE);
    sync(1);
    counted.assert_executions(1);
    clock.advance(Duration::from_millis(1));
    sync(1);
    counted.assert_executions(2);
}

#[test]
fn other_threads_that_enter_see_the_same_clock() {
    let isolated = testing::isolate();
    let (clock, handle) = (isolated.clock(), isolated.handle());
    let counted = testing::count(sync::stats);
    let elsewhere = || {
        let handle = handle.clone();
        std::thread::spawn(move || {
            let _entered = handle.enter();
            sync(1)
        })
        .join()
        .unwrap()
    };
    elsewhere();
    elsewhere();
    counted.assert_executions(1);
    clock.advance(MINUTE);
    elsewhere();
    counted.assert_executions(2);
}

/// The other test's clock stands where it stood.
#[test]
fn each_test_has_its_own_clock() {
    let test = || {
        let isolated = testing::isolate();
        sync(1);
        isolated
    };
    let mine = test();
    mine.clock().advance(59 * SECOND);
    std::thread::spawn(move || {
        let theirs = test();
        theirs.clock().advance(2 * MINUTE);
        let counted = testing::count(sync::stats);
        sync(1);
        counted.assert_executions(1);
    })
    .join()
    .unwrap();
    let counted = testing::count(sync::stats);
    sync(1);
    counted.assert(|since| since.cache_hits, 1);
}

#[tokio::test]
async fn a_clock_taken_twice_is_the_same_and_one_of_an_earlier_test_is_not() {
    let isolated = testing::isolate();
    isolated.clock().advance(59 * SECOND);
    plain(1).await;
    isolated.clock().advance(59 * SECOND);
    plain(1).await;
    assert_eq!(plain::stats().executions, 1);
    isolated.clock().advance(SECOND);
    plain(1).await;
    assert_eq!(plain::stats().executions, 2);
    let old = isolated.clock();
    drop(isolated);
    let isolated = testing::isolate();
    let clock = isolated.clock();
    plain(1).await;
    old.advance(MINUTE);
    plain(1).await;
    assert_eq!(plain::stats().executions, 1);
    clock.advance(MINUTE);
    plain(1).await;
    assert_eq!(plain::stats().executions, 2);
}

#[tokio::test(start_paused = true)]
async fn tokios_time_governs_expiry_until_a_clock_is_taken() {
    let isolated = testing::isolate();
    let counted = testing::count(plain::stats);
    plain(1).await;
    tokio::time::advance(MINUTE).await;
    plain(1).await;
    counted.assert_executions(2);
    let clock = isolated.clock();
    tokio::time::advance(MINUTE).await;
    plain(1).await;
    counted.assert_executions(2);
    clock.advance(MINUTE);
    plain(1).await;
    counted.assert_executions(3);
}

#[test]
#[should_panic(expected = "the clock cannot be moved by")]
fn what_an_instant_cannot_hold_is_refused() {
    testing::isolate().clock().advance(Duration::MAX);
}

static DOWN: AtomicBool = AtomicBool::new(false);

/// Only one test uses it, since whether it is down is the process's affair.
#[cached(ttl = "60s", stale = "30s", stale_if_error = "1h")]
async fn rate(_currency: &str) -> Result<u32, String> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let call = CALLS.fetch_add(1, SeqCst) + 1;
    if DOWN.load(SeqCst) { Err("down".to_owned()) } else { Ok(call) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_values_and_their_rests_follow_it() {
    let isolated = testing::isolate();
    let clock = isolated.clock();
    let counted = testing::count(rate::stats);
    assert_eq!(rate("EUR").await, Ok(1));
    clock.advance(70 * SECOND);
    assert_eq!(rate("EUR").await, Ok(1), "past its ttl");
    testing::settled().await;
    counted.assert(|since| (since.stale_hits, since.refreshes), (1, 1));
    assert_eq!(rate("EUR").await, Ok(2), "refreshed behind the call");
    DOWN.store(true, SeqCst);
    clock.advance(100 * SECOND);
    assert_eq!(rate("EUR").await, Ok(2), "instead of the error");
    assert_eq!(rate("EUR").await, Ok(2), "it rests");
    counted.assert(|since| (since.fallbacks, since.errors, since.executions), (1, 1, 3));
    clock.advance(2 * SECOND);
    assert_eq!(rate("EUR").await, Ok(2), "tried again");
    counted.assert(|since| (since.fallbacks, since.errors, since.executions), (2, 2, 4));
    clock.advance(3_600 * SECOND);
    assert_eq!(rate("EUR").await, Err("down".to_owned()), "its time is over");
}

#[cached(ttl = "60s", cache_err = "5s")]
async fn failing(_id: u32) -> Result<u32, String> {
    Err("always".to_owned())
}

#[tokio::test]
async fn kept_errors_follow_it() {
    let isolated = testing::isolate();
    let clock = isolated.clock();
    let counted = testing::count(failing::stats);
    let _ = failing(1).await;
    clock.advance(4 * SECOND);
    let _ = failing(1).await;
    counted.assert_executions(1);
    clock.advance(SECOND);
    let _ = failing(1).await;
    counted.assert_executions(2);
}

#[cached(ttl = "60s", early = 1.0, skip(clock))]
async fn hot(_id: u32, clock: Clock) -> u32 {
    // What it takes, as far as anybody can tell.
    clock.advance(10 * SECOND);
    0
}

#[tokio::test]
async fn early_refreshes_follow_it() {
    let isolated = testing::isolate();
    let clock = isolated.clock();
    let counted = testing::count(hot::stats);
    hot(1, clock.clone()).await;
    assert_eq!(hot::stats().execution_time.max.as_secs(), 10);
    hot(1, clock.clone()).await;
    testing::settled().await;
    counted.assert(|since| since.refreshes, 0);
    // A thousandth of a second before its end, one that took ten is all but certain to be refreshed.
    clock.advance(JUST_BEFORE);
    hot(1, clock.clone()).await;
    testing::settled().await;
    counted.assert(|since| (since.cache_hits, since.refreshes), (2, 1));
}

#[cached(ttl = "60s", stale = "60s")]
fn sync_stale(_id: u32) -> u32 {
    0
}

#[test]
fn refreshes_of_sync_functions_follow_it_on_their_own_threads() {
    let isolated = testing::isolate();
    let clock = isolated.clock();
    let counted = testing::count(sync_stale::stats);
    sync_stale(1);
    for refreshes in 1..=3 {
        clock.advance(MINUTE);
        sync_stale(1);
        testing::settled_blocking();
        counted.assert(
            |since| (since.executions, since.refreshes, since.stale_hits),
            (refreshes + 1, refreshes, refreshes),
        );
        // Made on a thread of its own, and fresh on this one.
        sync_stale(1);
        counted.assert(|since| since.cache_hits, refreshes);
    }
}

#[cached(namespace = "testing_clock", ttl = "60s", stale = "60s", backend = "main")]
async fn stored(_id: u32) -> u32 {
    0
}

#[cached(namespace = "testing_clock", ttl = "60s", backend = "main")]
fn sync_stored(_id: u32) -> u32 {
    0
}

fn with(backend: &FaultyBackend) -> Config {
    Config::builder().backend("main", backend.clone()).build().unwrap()
}

#[tokio::test]
async fn what_a_memory_backend_keeps_follows_it() {
    let backend = FaultyBackend::new();
    let isolated = testing::isolate_with(with(&backend));
    let (clock, counted) = (isolated.clock(), testing::count(stored::stats));
    stored(1).await;
    testing::settled().await;
    stampede_runtime::clear_all();
    clock.advance(59 * SECOND);
    stored(1).await;
    counted.assert(|since| (since.executions, since.backend_hits, since.cache_hits), (1, 1, 1));
    stampede_runtime::clear_all();
    clock.advance(2 * SECOND);
    stored(1).await;
    testing::settled().await;
    counted.assert(|since| (since.backend_hits, since.stale_hits, since.refreshes), (2, 1, 1));
    stampede_runtime::clear_all();
    clock.advance(2 * MINUTE);
    stored(1).await;
    testing::settled().await;
    counted.assert(|since| (since.executions, since.backend_hits, since.backend_misses), (3, 2, 2));
}

/// What sync functions ask of a backend is asked on a thread that is no test's.
#[test]
fn what_a_memory_backend_keeps_follows_it_for_sync_functions() {
    let backend = FaultyBackend::new();
    let isolated = testing::isolate_with(with(&backend));
    let (clock, counted) = (isolated.clock(), testing::count(sync_stored::stats));
    clock.advance(24 * 60 * MINUTE);
    sync_stored(1);
    testing::settled_blocking();
    assert_eq!(backend.on(Verb::Set).asked(), 1);
    let kept = |backend: &FaultyBackend| {
        use stampede_runtime::store::Backend;
        let key = backend.calls().into_iter().rev().find_map(|call| call.key).unwrap();
        Runtime::new().unwrap().block_on(async { backend.inner().get(&key).await.unwrap().is_some() })
    };
    // From a runtime that is nobody's: it looks at the real time, where that is yesterday's and not over.
    assert!(kept(&backend));
    stampede_runtime::clear_all();
    clock.advance(59 * SECOND);
    sync_stored(1);
    counted.assert(|since| (since.executions, since.backend_hits), (1, 1));
    stampede_runtime::clear_all();
    clock.advance(SECOND);
    sync_stored(1);
    counted.assert(|since| (since.executions, since.backend_hits, since.backend_misses), (2, 1, 2));
    testing::settled_blocking();
}

#[tokio::test]
async fn a_resting_backend_is_tried_when_the_clock_says_so() {
    let backend = FaultyBackend::new();
    let isolated = testing::isolate_with(with(&backend));
    let clock = isolated.clock();
    backend.always(Fault::Fail(stampede_runtime::store::BackendErrorKind::Unreachable));
    backend.on(Verb::Ping).next(1, Fault::Fail(stampede_runtime::store::BackendErrorKind::Unreachable));
    for id in 0..3 {
        stored(id).await;
        testing::settled().await;
    }
    assert_eq!(stored::stats().backend_state, BackendState::Open);
    backend.always(Fault::None);
    let asked = backend.on(Verb::Get).asked();
    stored(100).await;
    assert_eq!((backend.on(Verb::Get).asked(), backend.on(Verb::Ping).asked()), (asked, 0), "it rests");
    clock.advance(LONGEST_REST);
    testing::settled().await;
    assert_eq!(backend.on(Verb::Ping).asked(), 1, "tried, and still down");
    assert_eq!(stored::stats().backend_state, BackendState::Open);
    clock.advance(LONGEST_REST);
    testing::settled().await;
    assert_eq!(backend.on(Verb::Ping).asked(), 2);
    assert_eq!(stored::stats().backend_state, BackendState::Closed);
    stored(101).await;
    assert_eq!(backend.on(Verb::Get).asked(), asked + 1);
    testing::settled().await;
}
