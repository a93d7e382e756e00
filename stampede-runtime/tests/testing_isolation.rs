//! What an isolated test has to itself, and on which threads; and when what goes on behind it has ended.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use stampede_runtime::testing::{self, Fault, FaultyBackend, Verb};
use stampede_runtime::{Coalescer, Config, Settings, all_stats, cached, coalesce};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

#[coalesce(ttl = 60)]
async fn shared(_id: u32) -> u32 {
    0
}

#[cached(ttl = 60)]
fn sync(_id: u32) -> u32 {
    0
}

/// With a `timeout` a sync body has a thread of its own.
#[cached(ttl = 60, timeout = "1h", skip(inner))]
fn leaves(id: u32, inner: fn(u32) -> u32) -> Result<u32, stampede_runtime::Error> {
    Ok(inner(id))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn all_threads_of_a_runtime_are_in_it() {
    let _isolated = testing::isolate();
    let counted = testing::count(shared::stats);
    let tasks: Vec<_> = (0..50).map(|_| tokio::spawn(shared(1))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let handle = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || handle.block_on(shared(1))).await.unwrap();
    tokio::task::spawn_blocking(|| sync(1)).await.unwrap();
    counted.assert(|since| (since.requests, since.executions), (51, 1));
    assert_eq!(sync::stats().executions, 1);
}

#[test]
fn bodies_of_sync_functions_on_threads_of_their_own_are_in_it() {
    let _isolated = testing::isolate();
    // What the body calls is counted here, though it runs elsewhere.
    leaves(1, sync).unwrap();
    assert_eq!((leaves::stats().executions, sync::stats().executions), (1, 1));
    assert_eq!(all_stats().len(), 2, "{:?}", all_stats().keys());
}

#[test]
fn other_threads_are_not_in_it_until_they_enter_and_after_they_have_left() {
    let isolated = testing::isolate();
    let handle = isolated.handle();
    thread::spawn(move || {
        // A thread of its own is another test's, so to say.
        let elsewhere = testing::isolate();
        sync(1);
        assert_eq!(sync::stats().requests, 1);
        let entered = handle.enter();
        assert_eq!(sync::stats().requests, 0);
        sync(1);
        sync(1);
        let again = handle.enter();
        drop(again);
        assert_eq!(sync::stats().requests, 2, "the outer stay goes on");
        drop(entered);
        assert_eq!(sync::stats().requests, 1);
        drop(elsewhere);
    })
    .join()
    .unwrap();
    assert_eq!(sync::stats().requests, 2);
}

#[test]
fn a_runtime_that_the_test_builds_enters() {
    let isolated = testing::isolate();
    let handle = isolated.handle();
    let enter = handle.clone();
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        // Until the thread ends.
        .on_thread_start(move || std::mem::forget(enter.enter()))
        .build()
        .unwrap();
    let entered = handle.enter();
    runtime.block_on(async {
        shared(1).await;
        tokio::spawn(shared(1)).await.unwrap();
        tokio::spawn(shared(1)).await.unwrap();
    });
    drop(entered);
    assert_eq!(shared::stats().requests, 3);
}

#[tokio::test]
async fn a_named_coalescer_made_in_it_is_listed_and_configured_there() {
    let settings = Settings::new().ttl(Duration::ZERO);
    let config = Config::builder().namespace("coalescer", settings).build().unwrap();
    let _isolated = testing::isolate_with(config);
    let make = || Coalescer::<u32, u32>::builder().name("users").ttl(Duration::from_secs(60)).build();
    let users = make();
    let counted = testing::count(|| users.stats());
    users.run(&1, || async { 1 }).await;
    users.run(&1, || async { 2 }).await;
    counted.assert_executions(2);
    assert_eq!(all_stats()["coalescer::users"].executions, 2);
    thread::spawn(move || {
        let _isolated = testing::isolate();
        let users = make();
        assert_eq!(all_stats()["coalescer::users"].executions, 0);
        drop(users);
    })
    .join()
    .unwrap();
}

#[tokio::test]
#[should_panic(expected = "this test is isolated already")]
async fn one_test_is_isolated_once() {
    let _isolated = testing::isolate();
    let _again = testing::isolate();
}

#[coalesce(ttl = 60, skip(gate), on_abandon = "finish")]
async fn gated(_id: u32, gate: oneshot::Receiver<()>) -> bool {
    gate.await.is_ok()
}

#[tokio::test]
async fn settled_waits_for_executions_that_nobody_awaits() {
    let _isolated = testing::isolate();
    let (open, gate) = oneshot::channel();
    let call = tokio::spawn(gated(1, gate));
    while gated::stats().in_flight == 0 {
        tokio::task::yield_now().await;
    }
    call.abort();
    let settled = tokio::spawn(testing::settled());
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
    assert!(!settled.is_finished());
    open.send(()).unwrap();
    settled.await.unwrap();
    assert_eq!((gated::stats().in_flight, gated::peek(1)), (0, Some(true)));
}

#[tokio::test]
async fn settled_returns_at_once_where_nothing_goes_on() {
    let _isolated = testing::isolate();
    testing::settled().await;
    shared(1).await;
    testing::settled().await;
}

#[cached(namespace = "testing_isolation", ttl = 60, backend = "main")]
async fn stored(_id: u32) -> u32 {
    0
}

#[tokio::test]
async fn settled_waits_for_what_is_on_its_way_to_a_backend() {
    let backend = FaultyBackend::new();
    let _isolated = testing::isolate_with(Config::builder().backend("main", backend.clone()).build().unwrap());
    backend.on(Verb::Set).always(Fault::HoldCall);
    stored(1).await;
    backend.on(Verb::Set).arrived(1).await;
    let settled = tokio::spawn(testing::settled());
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
    assert!(!settled.is_finished());
    backend.release();
    settled.await.unwrap();
    assert_eq!(stored::stats().backend_writes, 1);
}

/// Of a sync function nobody's runtime is around.
#[cached(ttl = 60, stale = 60, skip(gate))]
fn sync_gated(_id: u32, gate: std::sync::Arc<std::sync::Mutex<std::sync::mpsc::Receiver<()>>>) -> bool {
    gate.lock().unwrap().recv().is_ok()
}

#[test]
fn settled_blocks_until_a_refresh_on_a_thread_has_ended() {
    let isolated = testing::isolate();
    let (clock, handle) = (isolated.clock(), isolated.handle());
    let (open, gate) = channel();
    let gate = std::sync::Arc::new(std::sync::Mutex::new(gate));
    open.send(()).unwrap();
    sync_gated(1, gate.clone());
    clock.advance(Duration::from_secs(60));
    assert!(sync_gated(1, gate));
    let (done, is_done) = channel();
    let settled = thread::spawn(move || {
        let _entered = handle.enter();
        testing::settled_blocking();
        let refreshed = sync_gated::stats();
        let _ = done.send(());
        (refreshed.refreshes, refreshed.in_flight)
    });
    assert!(is_done.try_recv().is_err(), "the refresh waits for its gate");
    open.send(()).unwrap();
    assert_eq!(settled.join().unwrap(), (1, 0));
}
