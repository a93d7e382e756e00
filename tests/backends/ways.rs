//! With a backend, too: sync and attached functions, queues, callers who leave, runtimes that end, and `STAMPEDE_OFF`.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use stampede_runtime::store::{Codec, PAYLOAD_BYTES_MAX, Times, UnixMillis, encode};
use stampede_runtime::testing::{Fault, FaultyBackend, Verb, isolate_with};
use stampede_runtime::{Config, Settings, cached, configure, shutdown};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, advance};

use super::help::{
    Bell, Trouble, World, all, boarded, crowd, in_a_process_of_its_own, in_time, in_time_blocking, settle,
};
use super::process::{BUDGET, DOWN, Given, HOUR, SECOND, check, patient_process, process, process_with};

#[cached(ttl = "1h", backend = "main", skip(world))]
fn load(_key: u32, world: &World) -> usize {
    world.begin()
}

/// A body that may leave its caller.
#[cached(ttl = "10s", stale = "1h", backend = "main", skip(world))]
fn aged(_key: u32, world: Arc<World>) -> usize {
    world.begin()
}

fn config(fake: &FaultyBackend) -> Config {
    Config::builder().backend("main", fake.clone()).build().expect("the configuration is right")
}

/// A process that is no runtime, on a thread of its own. Waits until `done` holds before it ends.
fn threadbare<T: Send + 'static>(
    fake: &FaultyBackend,
    done: impl Fn() -> bool + Send + 'static,
    test: impl FnOnce() -> T + Send + 'static,
) -> T {
    let _ = UnixMillis::now();
    let config = config(fake);
    in_time_blocking(move || {
        let _isolated = isolate_with(config);
        let result = test();
        while !done() {
            thread::yield_now();
        }
        result
    })
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

#[test]
fn a_sync_function_needs_no_runtime() {
    let fake = FaultyBackend::new();
    for run in 1..=2 {
        threadbare(
            &fake,
            || load::stats().backend_writes + load::stats().backend_hits == 1,
            move || {
                let world = World::at_ease();
                let numbers = [load(1, &world), load(1, &world)];
                assert_eq!((numbers, world.runs()), ([1, 1], 2 - run));
                check(&load::stats(), 2);
                assert_eq!(load::stats().backend_hits, run as u64 - 1);
            },
        );
    }
    threadbare(
        &fake,
        || true,
        || {
            assert_eq!(load(1, &World::new()), 1);
            // Nobody awaits it. It is not read again, whether it has arrived or not.
            load::invalidate(1);
            let world = World::new();
            world.begin();
            assert_eq!(load(1, &world), 2);
            load::insert(1, 50);
            assert_eq!(load(1, &world), 50);
        },
    );
}

#[test]
fn an_invalidation_may_be_awaited_in_any_runtime() {
    let fake = FaultyBackend::new();
    threadbare(
        &fake,
        || true,
        || {
            load(1, &World::new());
            assert!(current_thread().block_on(load::invalidate(1).into_future()).is_ok());
            let world = World::new();
            world.begin();
            assert_eq!(load(1, &world), 2);
        },
    );
}

#[test]
fn a_sync_function_may_be_called_in_any_runtime() {
    for runtime in [current_thread as fn() -> Runtime, threads] {
        let fake = FaultyBackend::new();
        for run in 1..=2 {
            in_time_blocking({
                let fake = fake.clone();
                move || {
                    runtime().block_on(async {
                        let _isolated = isolate_with(config(&fake));
                        let world = World::at_ease();
                        assert_eq!((load(1, &world), load(1, &world)), (1, 1));
                        assert_eq!(world.runs(), 2 - run);
                        assert_eq!(shutdown(HOUR).await, 0);
                        check(&load::stats(), 2);
                        assert_eq!(load::stats().backend_hits, run as u64 - 1);
                        assert!(load::stats().backend_failures == 0);
                    });
                }
            });
        }
    }
}

#[test]
fn sync_callers_share_one_look_up() {
    let fake = FaultyBackend::new();
    for run in 0..2 {
        in_time_blocking({
            let fake = fake.clone();
            move || {
                threads().block_on(async {
                    let _isolated = isolate_with(config(&fake));
                    let world = World::new();
                    let call = || {
                        let world = Arc::clone(&world);
                        tokio::task::spawn_blocking(move || load(1, &world))
                    };
                    assert_eq!(all((0..10).map(|_| call()).collect()).await, [1; 10]);
                    assert_eq!(shutdown(HOUR).await, 0);
                    let stats = load::stats();
                    check(&stats, 10);
                    assert_eq!((stats.executions, stats.backend_hits), (1 - run, run));
                });
            }
        });
    }
    assert_eq!(fake.on(Verb::Set).asked(), 1);
}

#[test]
fn a_broken_backend_fails_no_sync_call() {
    for fault in [DOWN, Fault::Hang, Fault::Panic] {
        let fake = FaultyBackend::new();
        fake.always(fault.clone());
        in_time_blocking(move || {
            let settings = Settings::new().backend_timeout(Duration::from_millis(20));
            let config = Config::builder().backend("main", fake).defaults(settings).build().expect("it is right");
            let _isolated = isolate_with(config);
            let world = World::new();
            assert_eq!((load(1, &world), load(1, &world)), (1, 1), "{fault:?}");
            load::invalidate(1);
            assert_eq!(load(1, &world), 2, "{fault:?}");
            check(&load::stats(), 3);
        });
    }
}

#[test]
fn a_sync_function_refreshes_behind_what_it_found_old() {
    let fake = FaultyBackend::new();
    threadbare(&fake, || aged::stats().backend_writes == 1, || aged(1, World::new()));
    let made = UnixMillis::new(UnixMillis::now().get() - 15_000);
    let times = Times::new(made, 10 * SECOND, HOUR, Duration::ZERO);
    let old = encode(&7_usize, times, Codec::default(), PAYLOAD_BYTES_MAX).expect("it can be written");
    current_thread().block_on(fake.put(&old));
    threadbare(
        &fake,
        || aged::stats().backend_writes == 1,
        || {
            let world = World::new();
            assert_eq!(aged(1, Arc::clone(&world)), 7);
            while aged::stats().in_flight > 0 || aged::peek(1) == Some(7) {
                thread::yield_now();
            }
            assert_eq!(aged(1, Arc::clone(&world)), 1);
            let stats = aged::stats();
            check(&stats, 2);
            assert_eq!((stats.stale_hits, stats.refreshes, stats.led, world.runs()), (1, 1, 0, 1));
        },
    );
}

#[cached(ttl = "1h", attached, backend = "main", skip(world))]
async fn attached(_key: u32, world: &World) -> usize {
    world.body().await
}

fn attached_call(world: &Arc<World>) -> impl Future<Output = usize> + Send + use<> {
    let world = Arc::clone(world);
    async move { attached(1, &world).await }
}

#[tokio::test(start_paused = true)]
async fn an_attached_function_looks_outside_and_keeps_there() {
    let fake = FaultyBackend::new();
    for executions in [1, 0] {
        process(&fake, async {
            let world = World::at_ease();
            let calls = crowd(5, || attached_call(&world)).await;
            assert_eq!(all(calls).await, [1; 5]);
            let stats = attached::stats();
            check(&stats, 5);
            assert_eq!((stats.executions, stats.backend_hits, stats.in_flight), (executions, 1 - executions, 0));
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn when_an_attached_caller_leaves_its_look_up_another_begins_anew() {
    for found in [false, true] {
        let fake = FaultyBackend::new();
        if found {
            process(&fake, attached_call(&World::at_ease())).await;
        }
        patient_process(&fake, async {
            fake.on(Verb::Get).always(Fault::HoldCall);
            let world = World::at_ease();
            let mut calls = crowd(3, || attached_call(&world)).await;
            calls.remove(0).abort();
            settle().await;
            fake.on(Verb::Get).release();
            assert_eq!(all(calls).await, [1; 2]);
            assert_eq!(world.runs(), usize::from(!found));
            assert_eq!(attached::stats().in_flight, 0);
            let stats = attached::stats();
            assert_eq!(stats.cache_hits + stats.coalesce_hits, 2, "each who was answered once: {stats:?}");
            // And without anyone.
            fake.on(Verb::Get).always(Fault::Hang);
            let world = World::at_ease();
            attached::invalidate(1).await.expect("told");
            for call in crowd(3, || attached_call(&world)).await {
                call.abort();
                settle().await;
            }
            fake.on(Verb::Get).always(Fault::None);
            assert_eq!((attached::stats().in_flight, world.runs()), (0, 0));
            assert_eq!(attached_call(&world).await, 1);
        })
        .await;
    }
}

#[cached(ttl = "1h", max_concurrent = 1, backend = "main", skip(world))]
async fn narrow(_key: u32, world: Arc<World>) -> Result<usize, Trouble> {
    Ok(world.body().await)
}

#[tokio::test(start_paused = true)]
async fn a_look_up_needs_no_permit() {
    let fake = FaultyBackend::new();
    process(&fake, async { narrow(1, World::at_ease()).await.expect("no error") }).await;
    process(&fake, async {
        let world = World::new();
        let running = boarded(narrow(2, Arc::clone(&world))).await;
        let queued = boarded(narrow(3, Arc::clone(&world))).await;
        assert_eq!(world.runs(), 1);
        let found = crowd(3, || narrow(1, Arc::clone(&world))).await;
        for found in all(found).await {
            assert_eq!(found.expect("no error"), 1);
        }
        world.open_all();
        assert_eq!(running.await.expect("no panic").expect("no error"), 1);
        assert_eq!(queued.await.expect("no panic").expect("no error"), 2);
        let stats = narrow::stats();
        check(&stats, 5);
        assert_eq!((stats.led, stats.backend_hits, stats.refused, stats.executions), (2, 1, 0, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_leaves_a_look_up_before_a_queue_is_counted_once() {
    for leaves in 0..=3 {
        let fake = FaultyBackend::new();
        patient_process(&fake, async {
            fake.on(Verb::Get).always(Fault::HoldCall);
            let world = World::at_ease();
            let mut calls = crowd(3, || narrow(1, Arc::clone(&world))).await;
            for call in calls.drain(..leaves) {
                call.abort();
                settle().await;
            }
            fake.on(Verb::Get).release();
            for result in all(calls).await {
                assert_eq!(result.expect("no error"), 1);
            }
            settle().await;
            check(&narrow::stats(), 3);
            assert_eq!(narrow::stats().in_flight, 0);
        })
        .await;
    }
}

#[cached(ttl = "1h", backend = "main", skip(world))]
async fn plain(_key: u32, world: Arc<World>) -> usize {
    world.body().await
}

#[tokio::test(start_paused = true)]
async fn nobody_owns_a_look_up() {
    for found in [false, true] {
        let fake = FaultyBackend::new();
        if found {
            process(&fake, plain(1, World::at_ease())).await;
        }
        patient_process(&fake, async {
            fake.on(Verb::Get).always(Fault::HoldCall);
            let looks = fake.on(Verb::Get).asked();
            let world = World::at_ease();
            let mut parked = Box::pin(plain(1, Arc::clone(&world)));
            assert!(Bell::new().poll(parked.as_mut()).is_pending());
            let mut calls = crowd(3, || plain(1, Arc::clone(&world))).await;
            calls.remove(0).abort();
            drop(parked);
            settle().await;
            fake.on(Verb::Get).release();
            assert_eq!(all(calls).await, [1; 2]);
            assert_eq!((fake.on(Verb::Get).asked() - looks, world.runs()), (1, usize::from(!found)));
            check(&plain::stats(), 4);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_nobody_waits_for_ends_and_frees_its_key() {
    let fake = FaultyBackend::new();
    patient_process(&fake, async {
        fake.on(Verb::Get).always(Fault::HoldCall);
        let world = World::at_ease();
        for call in crowd(3, || plain(1, Arc::clone(&world))).await {
            call.abort();
        }
        settle().await;
        let stats = plain::stats();
        assert_eq!((stats.in_flight, stats.executions, stats.abandoned, world.runs()), (0, 0, 1, 0));
        fake.on(Verb::Get).release();
        assert_eq!(plain(1, Arc::clone(&world)).await, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_it_looks_outside_is_counted() {
    let fake = FaultyBackend::new();
    patient_process(&fake, async {
        fake.on(Verb::Get).always(Fault::HoldCall);
        let world = World::at_ease();
        for call in crowd(3, || plain(1, Arc::clone(&world))).await {
            call.abort();
        }
        settle().await;
        check(&plain::stats(), 3);
        let mut calls = crowd(3, || attached_call(&world)).await;
        calls.remove(0).abort();
        settle().await;
        fake.on(Verb::Get).release();
        all(calls).await;
        check(&attached::stats(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_to_finish_finishes_from_its_look_up_on() {
    #[cached(ttl = "1h", on_abandon = "finish", backend = "main", skip(world))]
    async fn finishing(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    let fake = FaultyBackend::new();
    let world = World::at_ease();
    patient_process(&fake, async {
        fake.on(Verb::Get).always(Fault::HoldCall);
        for call in crowd(2, || finishing(1, Arc::clone(&world))).await {
            call.abort();
        }
        settle().await;
        fake.on(Verb::Get).release();
        assert_eq!(shutdown(HOUR).await, 0);
        assert_eq!((world.runs(), finishing::peek(1)), (1, Some(1)));
        check(&finishing::stats(), 2);
    })
    .await;
    process(&fake, async { assert_eq!(finishing(1, Arc::clone(&world)).await, 1) }).await;
    assert_eq!(world.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_calls_itself_runs_through() {
    #[cached(ttl = "1h", backend = "main", skip(world, depth))]
    async fn within(key: u32, depth: u32, world: Arc<World>) -> usize {
        let number = world.body().await;
        if depth > 0 {
            return Box::pin(within(key, depth - 1, world)).await;
        }
        number
    }

    let fake = FaultyBackend::new();
    process(&fake, async {
        assert_eq!(within(1, 1, World::at_ease()).await, 2);
        let stats = within::stats();
        check(&stats, 2);
        assert_eq!((stats.led, stats.bypassed, fake.on(Verb::Get).asked()), (1, 1, 1));
    })
    .await;
}

#[test]
fn a_runtime_may_end_during_a_look_up_and_while_a_value_is_on_its_way() {
    for runtime in [current_thread as fn() -> Runtime, threads] {
        for (look, write) in [(Fault::Hang, Fault::None), (Fault::None, Fault::Hang)] {
            in_time_blocking(move || {
                let fake = FaultyBackend::new();
                fake.on(Verb::Get).always(look.clone());
                fake.on(Verb::Set).always(write.clone());
                let world = World::at_ease();
                let runtime = runtime();
                let isolated = runtime.block_on(async {
                    let isolated = isolate_with(config(&fake));
                    let first = boarded(plain(1, Arc::clone(&world))).await;
                    // With one caller who sees the end, and one who does not.
                    drop(first);
                    let _ = tokio::time::timeout(BUDGET / 100, plain(1, Arc::clone(&world))).await;
                    isolated
                });
                let handle = runtime.handle().clone();
                drop(runtime);
                let stats = {
                    let _guard = handle.enter();
                    plain::stats()
                };
                assert_eq!(stats.in_flight, 0, "{look:?} {write:?}");
                drop(isolated);
                // What the one process left behind does not disturb the next.
                fake.always(Fault::None);
                current_thread().block_on(async {
                    let _isolated = isolate_with(config(&fake));
                    assert!(in_time(plain(1, Arc::clone(&world))).await >= 1);
                });
            });
        }
    }
}

#[test]
fn who_waits_for_a_look_up_outlives_its_runtime() {
    in_a_process_of_its_own("backends::ways::outlives_the_runtime_of_a_look_up", &[]);
}

#[test]
#[ignore = "run in a process of its own, which is configured"]
fn outlives_the_runtime_of_a_look_up() {
    in_time_blocking(|| {
        let fake = FaultyBackend::new();
        fake.on(Verb::Get).always(Fault::HoldCall);
        let settings = Settings::new().backend_timeout(HOUR);
        let config = Config::builder().backend("main", fake.clone()).backend("other", FaultyBackend::new());
        assert_eq!(configure(config.defaults(settings).build().expect("it is right")), Ok(()));
        let (dying, living) = (threads(), threads());
        let world = World::at_ease();
        let mut first = Box::pin(plain(1, Arc::clone(&world)));
        assert!(dying.block_on(async { Bell::new().poll(first.as_mut()).is_pending() }));
        let mut second = Box::pin(plain(1, Arc::clone(&world)));
        assert!(living.block_on(async { Bell::new().poll(second.as_mut()).is_pending() }));
        drop(dying);
        fake.on(Verb::Get).release();
        living.block_on(async {
            // The first has lent its body to the runtime that is gone.
            assert_eq!(tokio::join!(second, first), (1, 1));
            assert_eq!(shutdown(HOUR).await, 0);
        });
        let stats = plain::stats();
        assert_eq!((world.runs(), stats.in_flight, stats.executions), (1, 0, 1));
        assert!(stats.requests <= 2 && stats.backend_writes == 1, "{stats:?}");
    });
}

#[test]
fn outside_of_any_runtime_an_async_function_says_so() {
    in_time_blocking(|| {
        let fake = FaultyBackend::new();
        let _isolated = isolate_with(config(&fake));
        let world = World::at_ease();
        let panics = [
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut call = pin!(plain(1, Arc::clone(&world)));
                let _ = Bell::new().poll(call.as_mut());
            })),
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut call = pin!(attached_call(&world));
                let _ = Bell::new().poll(call.as_mut());
            })),
        ];
        for panic in panics {
            let panic = panic.expect_err("there is no clock for the budget");
            let text = super::help::message(&*panic);
            assert!(text.contains("was called outside of a tokio runtime"), "{text}");
        }
        assert_eq!(fake.asked(), 0);
    });
}

#[test]
fn stampede_off_touches_no_backend() {
    in_a_process_of_its_own("backends::ways::touches_no_backend", &[("STAMPEDE_OFF", "1")]);
}

#[tokio::test(start_paused = true)]
#[ignore = "run in a process of its own, with STAMPEDE_OFF"]
async fn touches_no_backend() {
    let fake = FaultyBackend::new();
    process(&fake, async {
        let world = World::at_ease();
        for run in 1..=3 {
            assert_eq!(plain(1, Arc::clone(&world)).await, run);
        }
        assert_eq!(plain::refresh(1, Arc::clone(&world)).await, 4);
        plain::insert(1, 100);
        assert_eq!(plain::peek(1), None);
        assert_eq!(load(1, &world), 5);
        assert_eq!(attached_call(&world).await, 6);
        assert_eq!(fake.asked(), 0);
        let stats = plain::stats();
        check(&stats, 4);
        assert_eq!((stats.bypassed, stats.backend_misses), (4, 0));
        // Others may share: what they are to forget is told.
        assert!(plain::invalidate(1).await.is_ok());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn patience_is_for_the_whole_call() {
    #[cached(ttl = "1h", wait = "2s", backend = "main", skip(world))]
    async fn patient(_key: u32, world: Arc<World>) -> Result<usize, Trouble> {
        Ok(world.body().await)
    }

    let fake = FaultyBackend::new();
    process(&fake, async {
        fake.on(Verb::Get).always(Fault::Hang);
        let start = Instant::now();
        assert!(patient(1, World::new()).await.is_err());
        assert_eq!(start.elapsed(), 2 * SECOND, "the look-up is part of it");
        check(&patient::stats(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_look_up_is_no_reason_to_leave_memory_unasked() {
    #[cached(ttl = "10s", stale_if_error = "1h", soft_timeout = "100ms", backend = "main", skip(world))]
    async fn soft(_key: u32, world: Arc<World>) -> Result<usize, Trouble> {
        Ok(world.body().await)
    }

    let fake = FaultyBackend::new();
    process_with(Config::builder().backend("main", fake.clone()), async {
        let world = World::at_ease();
        assert!(matches!(soft(1, Arc::clone(&world)).await, Ok(1)));
        settle().await;
        advance(20 * SECOND).await;
        fake.on(Verb::Get).always(Fault::Hang);
        let start = Instant::now();
        assert!(matches!(soft(1, Arc::clone(&world)).await, Ok(1)), "the old one will do");
        assert_eq!(start.elapsed(), Duration::from_millis(100));
        assert_eq!(shutdown(HOUR).await, 0);
        check(&soft::stats(), 2);
    })
    .await;
}
