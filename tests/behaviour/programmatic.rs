//! `Coalescer`: the same promises without an attribute.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use stampede_runtime::ttl::HOUR;
use stampede_runtime::{Coalescer, all_stats, clear_all};
use tokio::time::advance;

use super::help::{Bell, World, all, alone, boarded, crowd, panic_of, settle};

fn plain() -> Coalescer<String, usize> {
    Coalescer::builder().build()
}

fn keeping() -> Coalescer<String, usize> {
    Coalescer::builder().ttl(HOUR).build()
}

/// A call that owns what it needs.
fn call(coalescer: &Coalescer<String, usize>, world: &Arc<World>) -> impl Future<Output = usize> + Send + use<> {
    let (coalescer, world) = (coalescer.clone(), Arc::clone(world));
    async move { coalescer.run("key", || async move { world.body().await }).await }
}

#[tokio::test(start_paused = true)]
async fn concurrent_calls_share_one_execution() {
    alone(async {
        let (coalescer, world) = (plain(), World::new());
        let calls = crowd(100, || call(&coalescer, &world)).await;
        world.open_all();
        assert_eq!(all(calls).await, [1; 100]);
        assert_eq!(call(&coalescer, &world).await, 2);
        let stats = coalescer.stats();
        assert_eq!((stats.requests, stats.executions, stats.coalesce_hits), (101, 2, 99));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_first_caller_may_leave_or_park() {
    alone(async {
        let (coalescer, world) = (plain(), World::new());
        let mut parked = pin!(call(&coalescer, &world));
        assert!(Bell::new().poll(parked.as_mut()).is_pending());
        let mut calls = crowd(3, || call(&coalescer, &world)).await;
        calls.remove(0).abort();
        world.open_all();
        assert_eq!(all(calls).await, [1; 2]);
        assert_eq!(parked.await, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn work_outlives_the_handle() {
    alone(async {
        let (coalescer, world) = (plain(), World::new());
        let first = boarded(call(&coalescer, &world)).await;
        let second = boarded(call(&coalescer, &world)).await;
        drop(coalescer);
        first.abort();
        world.open_all();
        assert_eq!(second.await.expect("no panic"), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn errors_are_shared_and_not_stored() {
    alone(async {
        let (coalescer, world) = (keeping(), World::new());
        let calls = crowd(3, || {
            let (coalescer, world) = (coalescer.clone(), Arc::clone(&world));
            async move {
                let work = || async move { Err::<usize, _>(format!("failure {}", world.body().await)) };
                coalescer.try_run("key", work).await
            }
        });
        let calls = calls.await;
        world.open_all();
        assert_eq!(all(calls).await, vec![Err("failure 1".to_owned()); 3]);
        assert_eq!(call(&coalescer, &world).await, 2);
        let kept = coalescer.try_run("key", || async { Err::<usize, _>("not run") }).await;
        assert_eq!(kept, Ok(2), "values are shared whatever the error");
        let stats = coalescer.stats();
        assert_eq!((stats.errors, stats.executions, stats.cache_size), (1, 2, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn callers_with_another_error_run_their_own_work_and_are_counted_once() {
    alone(async {
        let (coalescer, world) = (plain(), World::new());
        let first = boarded({
            let (coalescer, world) = (coalescer.clone(), Arc::clone(&world));
            async move {
                let work = || async move {
                    world.body().await;
                    Err::<usize, _>("text")
                };
                coalescer.try_run("key", work).await
            }
        });
        let first = first.await;
        let second = boarded({
            let coalescer = coalescer.clone();
            async move { coalescer.try_run("key", || async { Err::<usize, _>(7_u32) }).await }
        });
        let second = second.await;
        world.open_all();
        assert_eq!(first.await.expect("no panic"), Err("text"));
        assert_eq!(second.await.expect("no panic"), Err(7));
        let stats = coalescer.stats();
        assert_eq!(stats.requests, 2, "a call is counted once: {stats}");
        assert_eq!(stats.in_flight, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn panics_reach_everyone() {
    alone(async {
        let (coalescer, world) = (plain(), World::new());
        let calls = crowd(3, || {
            let (coalescer, world) = (coalescer.clone(), Arc::clone(&world));
            async move {
                let work = || async move { panic!("panic {}", world.body().await) };
                coalescer.run("key", work).await
            }
        });
        let calls = calls.await;
        world.open_all();
        for call in calls {
            assert_eq!(panic_of(call).await, "panic 1");
        }
        assert_eq!(call(&coalescer, &world).await, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn forget_wins_over_what_is_in_the_air() {
    alone(async {
        for all_keys in [false, true] {
            let (coalescer, world) = (keeping(), World::new());
            let old = boarded(call(&coalescer, &world)).await;
            if all_keys {
                assert_eq!(coalescer.forget_all(), 1);
            } else {
                assert!(coalescer.forget("key"));
                assert!(!coalescer.forget("key"));
            }
            let new = boarded(call(&coalescer, &world)).await;
            world.open(1);
            assert_eq!(old.await.expect("no panic"), 1);
            settle().await;
            // Go's TestForget: the third joins the second.
            let third = boarded(call(&coalescer, &world)).await;
            world.open_all();
            assert_eq!((new.await.expect("no panic"), third.await.expect("no panic")), (2, 2));
            assert_eq!(call(&coalescer, &world).await, 2);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn values_live_as_long_as_they_should() {
    alone(async {
        let coalescer: Coalescer<u32, u32> =
            Coalescer::builder().ttl(HOUR).capacity(2).cache_if(|value| *value != 13).build();
        for key in [1, 2, 3, 13] {
            assert_eq!(coalescer.run(&key, || async move { key }).await, key);
        }
        let stats = coalescer.stats();
        assert_eq!((stats.cache_size, stats.evictions), (2, 1));
        advance(HOUR * 2).await;
        assert_eq!(coalescer.run(&3, || async { 33 }).await, 33);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn work_that_is_to_finish_finishes() {
    alone(async {
        let coalescer: Coalescer<String, usize> = Coalescer::builder().ttl(HOUR).finish_abandoned().build();
        let world = World::new();
        boarded(call(&coalescer, &world)).await.abort();
        settle().await;
        world.open_all();
        world.gone(1).await;
        settle().await;
        assert_eq!(call(&coalescer, &world).await, 1);
        assert_eq!(world.runs(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_name_is_listed() {
    alone(async {
        let named: Coalescer<String, usize> = Coalescer::builder().name("users").ttl(HOUR).build();
        let world = World::at_ease();
        call(&named, &world).await;
        call(&plain(), &world).await;
        assert_eq!(all_stats().into_keys().collect::<Vec<_>>(), ["coalescer::users"]);
        assert_eq!(clear_all(), 1);
        assert_eq!(call(&named, &world).await, 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_circle_through_coalescers_runs_through() {
    alone(async {
        let (one, two) = (plain(), plain());
        let outer = {
            let (one, two) = (one.clone(), two.clone());
            move || async move {
                let inner = || async move { Box::pin(one.run("key", || async { 1 })).await + 1 };
                Box::pin(two.run("key", inner)).await + 1
            }
        };
        assert_eq!(one.run("key", outer).await, 3);
        assert_eq!((one.stats().bypassed, two.stats().bypassed), (1, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_increment_is_lost() {
    alone(async {
        let coalescer: Coalescer<u64, u64> = Coalescer::builder().build();
        let executions = Arc::new(AtomicU64::new(0));
        let calls = (0..2_000_u64).map(|number| {
            let (coalescer, executions) = (coalescer.clone(), Arc::clone(&executions));
            tokio::spawn(async move {
                let work = || async move {
                    tokio::task::yield_now().await;
                    executions.fetch_add(1, SeqCst)
                };
                coalescer.run(&(number % 3), work).await
            })
        });
        all(calls.collect()).await;
        let stats = coalescer.stats();
        assert_eq!(stats.executions, executions.load(SeqCst));
        assert_eq!(stats.requests, 2_000);
        assert_eq!(stats.executions + stats.coalesce_hits, 2_000);
    })
    .await;
}
