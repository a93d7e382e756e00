//! Runtimes come and go: a flight whose runtime ends is begun anew by those who wait elsewhere.
//!
//! State is per runtime in an isolated test, and these tests are about calls from several runtimes: each has functions
//! of its own instead.

use std::pin::pin;
use std::sync::Arc;
use std::thread;

use stampede_runtime::coalesce;
use tokio::runtime::{Builder, Runtime};

use super::help::{
    Bell, Trouble, World, all, alone, boarded, crowd, ending, in_time, in_time_blocking, message, settle,
};

fn threads(number: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(number).enable_all().build().expect("threads can be had")
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("no resources are needed")
}

#[test]
fn a_flight_is_shared_between_runtimes() {
    #[coalesce(skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    in_time_blocking(|| {
        let (one, two) = (threads(1), threads(1));
        let world = World::new();
        let first = one.block_on(boarded(load(1, Arc::clone(&world))));
        let second = two.block_on(boarded(load(1, Arc::clone(&world))));
        world.open_all();
        assert_eq!(one.block_on(first).expect("no panic"), 1);
        assert_eq!(two.block_on(second).expect("no panic"), 1);
        assert_eq!(world.runs(), 1);
    });
}

#[test]
fn a_flight_whose_runtime_ends_is_begun_anew_by_those_who_wait_elsewhere() {
    // Kept, for those who are slow to learn that they have to begin anew.
    #[coalesce(ttl = "1h", skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    in_time_blocking(|| {
        for background in [true, false] {
            let (dying, living) = (threads(1), threads(2));
            let world = World::new();
            let lost = dying.block_on(boarded(load(1, Arc::clone(&world))));
            let waiting = living.block_on(crowd(5, || load(1, Arc::clone(&world))));
            assert_eq!(world.runs(), 1);
            if background {
                dying.shutdown_background();
            } else {
                drop(dying);
            }
            living.block_on(async {
                world.begun(2).await;
                world.open_all();
                for call in waiting {
                    assert_eq!(call.await.expect("no panic"), 2);
                }
                assert!(lost.await.is_err());
            });
            assert_eq!(world.runs(), 2, "the five share the new execution");
            load::clear();
        }
        let stats = load::stats();
        assert_eq!((stats.requests, stats.led, stats.retries, stats.coalesce_hits), (12, 2, 2, 10));
        assert_eq!((stats.executions, stats.abandoned, stats.in_flight), (4, 2, 0));
    });
}

#[test]
fn a_key_is_free_when_its_runtime_has_ended() {
    #[coalesce(skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    in_time_blocking(|| {
        let world = World::new();
        for runtime in [threads(1), current_thread()] {
            let call = runtime.block_on(boarded(load(1, Arc::clone(&world))));
            drop((runtime, call));
            assert_eq!(load::stats().in_flight, 0);
        }
        world.open_all();
        assert_eq!(current_thread().block_on(load(1, Arc::clone(&world))), 3);
    });
}

#[test]
fn a_runtime_that_is_not_driven_holds_up_nobody_elsewhere() {
    #[coalesce(ttl = "1h", skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    in_time_blocking(|| {
        let idle = current_thread();
        let world = World::new();
        let stuck = idle.block_on(boarded(load(1, Arc::clone(&world))));
        world.open_all();
        // Alive, and nobody polls its tasks.
        assert_eq!(threads(2).block_on(load(1, Arc::clone(&world))), 2);
        assert_eq!(current_thread().block_on(load(1, Arc::clone(&world))), 2, "the value is everybody's");
        load::invalidate(1);
        assert_eq!(current_thread().block_on(load(1, Arc::clone(&world))), 3);
        assert_eq!(idle.block_on(stuck).expect("no panic"), 1, "driven again, it ends");
        assert_eq!(load::peek(1), Some(3));
        assert_eq!(load::stats().in_flight, 0);
    });
}

#[test]
fn callers_of_one_current_thread_runtime_share() {
    in_time_blocking(|| {
        current_thread().block_on(async {
            #[coalesce(skip(world))]
            async fn load(_key: u32, world: Arc<World>) -> usize {
                world.body().await
            }

            let world = World::new();
            let calls = crowd(10, || load(1, Arc::clone(&world))).await;
            world.open_all();
            assert_eq!(all(calls).await, [1; 10]);
        });
    });
}

#[test]
fn a_value_kept_by_a_runtime_that_has_ended_is_still_there() {
    #[coalesce(ttl = "1h", skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    in_time_blocking(|| {
        let world = World::at_ease();
        assert_eq!(current_thread().block_on(load(1, Arc::clone(&world))), 1);
        assert_eq!(threads(1).block_on(load(1, Arc::clone(&world))), 1);
        // Memory answers without any runtime.
        let mut call = pin!(load(1, Arc::clone(&world)));
        assert!(Bell::new().poll(call.as_mut()).is_ready());
    });
}

#[test]
fn a_call_may_move_from_one_runtime_to_another() {
    #[coalesce(skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    in_time_blocking(|| {
        let (one, two) = (threads(1), threads(1));
        let world = World::new();
        let mut call = Box::pin(load(1, Arc::clone(&world)));
        assert!(one.block_on(async { Bell::new().poll(call.as_mut()).is_pending() }));
        let call = two.spawn(call);
        world.open_all();
        assert_eq!(two.block_on(call).expect("no panic"), 1);
    });
}

#[test]
fn a_caller_with_little_patience_may_outlive_the_runtime_it_began_on() {
    #[coalesce(wait = "1h", skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> Result<usize, Trouble> {
        Ok(world.body().await)
    }

    in_time_blocking(|| {
        let (dying, living) = (threads(1), threads(1));
        let world = World::new();
        let first = living.block_on(boarded(load(1, Arc::clone(&world))));
        let mut moved = Box::pin(load(1, Arc::clone(&world)));
        assert!(dying.block_on(async { Bell::new().poll(moved.as_mut()).is_pending() }));
        drop(dying);
        // The flight has nothing to do with the runtime that is gone.
        let moved = living.block_on(boarded(moved));
        world.open_all();
        assert_eq!(living.block_on(ending(moved)), "value 1");
        assert_eq!(living.block_on(ending(first)), "value 1");
    });
}

#[test]
fn a_first_caller_that_outlives_the_runtime_of_its_body_gets_an_ending() {
    #[coalesce(skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> anyhow::Result<usize> {
        Ok(world.body().await)
    }

    in_time_blocking(|| {
        let (dying, living) = (threads(1), threads(1));
        let world = World::new();
        let mut call = Box::pin(load(1, Arc::clone(&world)));
        assert!(dying.block_on(async { Bell::new().poll(call.as_mut()).is_pending() }));
        let follower = living.block_on(boarded(load(1, Arc::clone(&world))));
        drop(dying);
        world.open_all();
        // The follower has brought a body of its own; the first caller's is lost, unless it joins the follower's.
        assert_eq!(living.block_on(follower).expect("no panic").expect("no error"), 2);
        let result = living.block_on(call);
        if let Err(error) = result {
            assert!(error.to_string().contains("shut down before it finished"), "{error}");
        }
        assert_eq!(load::stats().in_flight, 0);
    });
}

#[test]
fn callers_of_many_short_lived_runtimes_all_end() {
    #[coalesce(ttl = "1h", skip(world))]
    async fn load(key: usize, world: Arc<World>) -> usize {
        let number = world.begin();
        for _ in 0..number % 7 {
            tokio::task::yield_now().await;
        }
        key
    }

    in_time_blocking(|| {
        let world = World::new();
        let lives = (0..4).map(|life| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                for round in 0..40 {
                    let runtime = if (life + round) % 2 == 0 { threads(1) } else { current_thread() };
                    let kept = runtime.block_on(in_time(async {
                        for key in 0..10 {
                            boarded(load(key, Arc::clone(&world))).await;
                        }
                        load(round % 10, Arc::clone(&world)).await
                    }));
                    assert_eq!(kept, round % 10);
                    load::invalidate(round % 10);
                    // With flights in the air that others may be waiting for.
                    if life % 2 == 0 { runtime.shutdown_background() } else { drop(runtime) }
                }
            })
        });
        for life in lives.collect::<Vec<_>>() {
            life.join().expect("no panic");
        }
        // Runtimes shut down in the background may take a moment to let go.
        while load::stats().in_flight > 0 {
            thread::yield_now();
        }
    });
}

#[tokio::test(start_paused = true)]
async fn each_isolated_test_begins_cold() {
    #[coalesce(ttl = "1h", skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    let world = World::at_ease();
    for number in 1..=3 {
        alone(async {
            assert_eq!(load(1, Arc::clone(&world)).await, number);
            assert_eq!(load(1, Arc::clone(&world)).await, number);
            assert_eq!(load::stats().requests, 2);
        })
        .await;
        settle().await;
    }
}

#[test]
fn a_call_that_begins_anew_in_a_queue_is_counted_once() {
    #[coalesce(max_concurrent = 1, skip(world))]
    async fn narrow(_key: u32, world: Arc<World>) -> Result<usize, Trouble> {
        Ok(world.body().await)
    }

    in_time_blocking(|| {
        let (dying, living) = (threads(1), threads(1));
        let world = World::new();
        let running = living.block_on(boarded(narrow(1, Arc::clone(&world))));
        let lost = dying.block_on(boarded(narrow(2, Arc::clone(&world))));
        let mut again = Box::pin(narrow(2, Arc::clone(&world)));
        assert!(living.block_on(async { Bell::new().poll(again.as_mut()).is_pending() }));
        drop((dying, lost));
        // The call that has to begin anew finds a flight of another, who leaves before it is its turn.
        living.block_on(async {
            let other = boarded(narrow(2, Arc::clone(&world))).await;
            assert!(Bell::new().poll(again.as_mut()).is_pending());
            other.abort();
            assert!(other.await.is_err());
            world.open_all();
            assert_eq!(ending(running).await, "value 1");
            assert_eq!(again.await.expect("no error"), 2);
        });
        let stats = narrow::stats();
        assert_eq!((stats.executions, stats.in_flight), (2, 0));
        assert_eq!(stats.requests, 4, "{stats}");
    });
}

#[test]
fn who_joins_with_patience_needs_a_clock_and_says_so() {
    #[coalesce(wait = "1h", skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> Result<usize, Trouble> {
        Ok(world.body().await)
    }

    in_time_blocking(|| {
        let living = threads(1);
        let world = World::new();
        let first = living.block_on(boarded(load(1, Arc::clone(&world))));
        let joins = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut joins = Box::pin(load(1, Arc::clone(&world)));
            assert!(Bell::new().poll(joins.as_mut()).is_ready());
        }));
        let panic = joins.expect_err("no clock");
        let panic = message(&*panic);
        assert!(panic.contains("was called outside of a tokio runtime"), "{panic}");
        world.open_all();
        assert_eq!(living.block_on(ending(first)), "value 1");
    });
}
