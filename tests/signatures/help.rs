//! What a row of the table is held to.

use std::cell::Cell;
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use stampede_runtime::testing;
use tokio::task::yield_now;

thread_local! {
    /// Each test has a thread and a current-thread runtime of its own, so a body of its runs here.
    static RUNS: Cell<usize> = const { Cell::new(0) };
}

/// The work of every body: counts the run, and waits once, so that calls at the same time meet it in the air.
pub(super) async fn work() {
    RUNS.set(RUNS.get() + 1);
    yield_now().await;
}

/// How many bodies have run in this test.
pub(super) fn runs() -> usize {
    RUNS.get()
}

/// Two equal calls at once make one execution, and a call with another key makes its own.
pub(super) async fn shares<T: Debug + PartialEq>(
    one: impl Future<Output = T>,
    equal: impl Future<Output = T>,
    other: impl Future<Output = T>,
) {
    let _isolated = testing::isolate();
    let before = runs();
    let (one, equal, other) = in_time(async { tokio::join!(one, equal, other) }).await;
    assert_eq!(one, equal);
    assert_ne!(one, other);
    assert_eq!(runs() - before, 2, "two calls are equal and one is not");
}

/// Equal calls at once make one execution, whatever they return.
pub(super) async fn shares_all<T>(one: impl Future<Output = T>, equal: impl Future<Output = T>) -> (T, T) {
    let _isolated = testing::isolate();
    let before = runs();
    let results = in_time(async { tokio::join!(one, equal) }).await;
    assert_eq!(runs() - before, 1, "two calls are equal");
    results
}

/// Calls that share nothing.
pub(super) async fn shares_nothing<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let _isolated = testing::isolate();
    let before = runs();
    let results = in_time(async { tokio::join!(one, other) }).await;
    assert_eq!(runs() - before, 2, "no two calls are equal");
    results
}

/// Ends a test that hangs: with paused time, as soon as nothing else can move.
async fn in_time<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(3600), test).await.expect("nothing moves any more")
}
