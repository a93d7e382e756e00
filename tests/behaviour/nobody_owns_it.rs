//! A flight belongs to none of its callers: whoever leaves, the others get the result of the same execution.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use stampede_runtime::coalesce;
use tokio::sync::{Barrier, oneshot};
use tokio::task::yield_now;

use super::help::{Bell, World, all, alone, boarded, crowd, settle};

#[coalesce(skip(world))]
async fn shared(_key: u32, world: Arc<World>) -> usize {
    world.body().await
}

/// Waits so many times before it ends.
#[coalesce(ttl = "1h", skip(world, awaits))]
async fn stepwise(_key: usize, awaits: usize, world: Arc<World>) -> usize {
    let number = world.begin();
    for _ in 0..awaits {
        yield_now().await;
    }
    world.gate(number).await;
    number
}

#[tokio::test(start_paused = true)]
async fn the_first_caller_may_leave_after_any_number_of_polls() {
    const AWAITS: usize = 6;

    alone(async {
        for polls in 1..=2 * AWAITS {
            let world = World::new();
            let mut first = Box::pin(stepwise(polls, AWAITS, Arc::clone(&world)));
            // The first poll begins the flight, and only then are there others to let down.
            assert!(poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending())).await);
            let others = crowd(3, || stepwise(polls, AWAITS, Arc::clone(&world))).await;
            for _ in 1..polls {
                assert!(poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending())).await);
                yield_now().await;
            }
            drop(first);
            world.open_all();
            assert_eq!(all(others).await, [1; 3], "the first caller left after {polls} polls");
            assert_eq!(world.runs(), 1);
            assert_eq!(stepwise::peek(polls), Some(1), "the result of the same execution is kept");
        }
        assert_eq!(stepwise::stats().abandoned, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_first_caller_may_be_aborted_at_any_moment() {
    alone(async {
        for key in 0..300 {
            let world = World::new();
            let start = Arc::new(Barrier::new(4));
            let first = boarded(stepwise(key, 3, Arc::clone(&world))).await;
            let others = (0..3).map(|_| {
                let (world, start) = (Arc::clone(&world), Arc::clone(&start));
                tokio::spawn(async move {
                    let call = boarded(stepwise(key, 3, world)).await;
                    start.wait().await;
                    call.await.expect("nobody ends this call")
                })
            });
            let others = others.collect();
            start.wait().await;
            first.abort();
            world.open_all();
            assert_eq!(all(others).await, [1; 3]);
            assert_eq!(world.runs(), 1);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn any_caller_may_leave() {
    alone(async {
        let world = World::new();
        let mut callers = crowd(50, || shared(1, Arc::clone(&world))).await;
        let last = callers.pop().expect("there are fifty");
        for caller in &callers {
            caller.abort();
            yield_now().await;
        }
        settle().await;
        world.open_all();
        assert_eq!(last.await.expect("nobody ends this call"), 1);
        assert_eq!((world.runs(), world.ended()), (1, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_may_time_out_by_itself() {
    alone(async {
        let world = World::new();
        let mut first = pin!(shared(1, Arc::clone(&world)));
        assert!(tokio::time::timeout(Duration::from_millis(1), first.as_mut()).await.is_err());
        let other = boarded(shared(1, Arc::clone(&world))).await;
        assert!(tokio::time::timeout(Duration::from_millis(1), first.as_mut()).await.is_err());
        world.open_all();
        assert_eq!(other.await.expect("no panic"), 1);
        assert_eq!(first.await, 1);
        assert_eq!(world.runs(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_parked_first_caller_holds_nobody_up() {
    alone(async {
        let world = World::new();
        let mut parked = pin!(shared(1, Arc::clone(&world)));
        let bell = Bell::new();
        assert!(bell.poll(parked.as_mut()).is_pending());
        let others = crowd(5, || shared(1, Arc::clone(&world))).await;
        let rung_before = bell.rings();
        world.open_all();
        assert_eq!(all(others).await, [1; 5]);
        assert_eq!(bell.rings(), rung_before + 1, "the parked caller is told once");
        // Looked at again in the end, it has its result too.
        assert_eq!(parked.await, 1);
        assert_eq!(world.runs(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_parked_follower_holds_nobody_up() {
    alone(async {
        let world = World::new();
        let first = boarded(shared(1, Arc::clone(&world))).await;
        let mut parked = pin!(shared(1, Arc::clone(&world)));
        assert!(Bell::new().poll(parked.as_mut()).is_pending());
        world.open_all();
        assert_eq!(first.await.expect("no panic"), 1);
        assert_eq!(shared(1, Arc::clone(&world)).await, 2, "the key is free");
        assert_eq!(parked.await, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn work_ends_when_nobody_waits_any_more() {
    alone(async {
        let world = World::new();
        let callers = crowd(3, || shared(1, Arc::clone(&world))).await;
        for caller in &callers {
            assert_eq!(shared::stats().in_flight, 1);
            caller.abort();
            settle().await;
        }
        world.gone(1).await;
        assert_eq!(world.ended(), 0);
        let stats = shared::stats();
        assert_eq!((stats.in_flight, stats.abandoned, stats.executions), (0, 1, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_key_is_free_at_once() {
    alone(async {
        let world = World::new();
        let mut first = Box::pin(shared(1, Arc::clone(&world)));
        assert!(Bell::new().poll(first.as_mut()).is_pending());
        drop(first);
        // The old body has had no chance to end yet.
        let second = boarded(shared(1, Arc::clone(&world))).await;
        assert_eq!(world.runs(), 2);
        world.open_all();
        assert_eq!(second.await.expect("no panic"), 2);
        world.gone(2).await;
        assert_eq!(world.ended(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_an_abandoned_body_still_returns_is_not_kept() {
    #[coalesce(ttl = "1h", skip(world, finish))]
    async fn stubborn(_key: u32, world: Arc<World>, finish: oneshot::Receiver<()>) -> usize {
        let number = world.begin();
        let _ = finish.await;
        number
    }

    alone(async {
        let world = World::new();
        let (finish, finished) = oneshot::channel();
        let mut first = Box::pin(stubborn(1, Arc::clone(&world), finished));
        assert!(Bell::new().poll(first.as_mut()).is_pending());
        // Ready to end, and abandoned before it does.
        finish.send(()).expect("the body listens");
        drop(first);
        settle().await;
        assert_eq!(stubborn::peek(1), None);
        assert_eq!(stubborn::stats().cache_size, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn on_abandon_finish_keeps_what_nobody_waited_for() {
    #[coalesce(ttl = "1h", on_abandon = "finish", skip(world))]
    async fn finishing(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    alone(async {
        let world = World::new();
        let callers = crowd(2, || finishing(1, Arc::clone(&world))).await;
        for caller in &callers {
            caller.abort();
        }
        settle().await;
        assert_eq!(finishing::stats().in_flight, 1);
        let late = boarded(finishing(1, Arc::clone(&world))).await;
        late.abort();
        settle().await;
        world.open_all();
        world.gone(1).await;
        settle().await;
        assert_eq!(finishing::peek(1), Some(1));
        assert_eq!(finishing(1, Arc::clone(&world)).await, 1);
        assert_eq!(world.runs(), 1);
        let stats = finishing::stats();
        assert_eq!((stats.in_flight, stats.abandoned, stats.executions), (0, 0, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_polls_with_a_new_waker_is_woken_by_it() {
    alone(async {
        let world = World::new();
        let mut first = pin!(shared(1, Arc::clone(&world)));
        let mut follower = pin!(shared(1, Arc::clone(&world)));
        let (old, new) = (Bell::new(), Bell::new());
        assert!(old.poll(first.as_mut()).is_pending());
        assert!(old.poll(follower.as_mut()).is_pending());
        assert!(new.poll(first.as_mut()).is_pending());
        assert!(new.poll(follower.as_mut()).is_pending());
        settle().await;
        let rung_before = (old.rings(), new.rings());
        world.open_all();
        world.gone(1).await;
        settle().await;
        assert_eq!(new.rings(), rung_before.1 + 2, "both are told by the waker they came with last");
        assert_eq!(old.rings(), rung_before.0, "and by no other");
        assert_eq!((first.await, follower.await), (1, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_place_of_one_who_left_wakes_the_one_who_took_it() {
    alone(async {
        let world = World::new();
        let mut first = pin!(shared(1, Arc::clone(&world)));
        assert!(Bell::new().poll(first.as_mut()).is_pending());
        for _ in 0..10 {
            let bells = [Bell::new(), Bell::new(), Bell::new()];
            let mut calls = bells.each_ref().map(|_| Box::pin(shared(1, Arc::clone(&world))));
            for (bell, call) in bells.iter().zip(&mut calls) {
                assert!(bell.poll(call.as_mut()).is_pending());
            }
        }
        let bells = [Bell::new(), Bell::new(), Bell::new()];
        let mut calls = bells.each_ref().map(|_| Box::pin(shared(1, Arc::clone(&world))));
        for (bell, call) in bells.iter().zip(&mut calls) {
            assert!(bell.poll(call.as_mut()).is_pending());
        }
        world.open_all();
        world.gone(1).await;
        settle().await;
        assert_eq!(bells.map(|bell| bell.rings()), [1; 3]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_never_polled_is_nothing() {
    alone(async {
        let world = World::new();
        drop(shared(1, Arc::clone(&world)));
        assert_eq!(world.runs(), 0);
        assert_eq!(shared::stats().requests, 0);
    })
    .await;
}
