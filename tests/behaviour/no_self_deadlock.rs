//! A body that calls its own function with its own key runs through instead of waiting for itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::{Error, coalesce};
use tokio::sync::Barrier;
use tokio::task::yield_now;
use tokio::time::Instant;

use super::help::{World, all, alone, boarded, crowd, panic_of, settle};

/// Calls itself with its own key so many times.
#[coalesce(ttl = "1h", skip(depth, world))]
async fn direct(key: u32, depth: u32, world: Arc<World>) -> u32 {
    world.begin();
    yield_now().await;
    if depth == 0 { 0 } else { 1 + Box::pin(direct(key, depth - 1, world)).await }
}

#[tokio::test(start_paused = true)]
async fn a_body_may_call_itself_with_its_own_key() {
    alone(async {
        let world = World::new();
        assert_eq!(direct(1, 1, Arc::clone(&world)).await, 1);
        assert_eq!(world.runs(), 2);
        let stats = direct::stats();
        assert_eq!((stats.led, stats.bypassed, stats.executions, stats.in_flight), (1, 1, 1, 0));
        // The value of the flight is kept, not that of the call inside.
        assert_eq!(direct::peek(1), Some(1));
        assert_eq!(direct(2, 5, Arc::clone(&world)).await, 5);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn others_join_the_flight_that_calls_itself() {
    alone(async {
        let world = World::new();
        let callers = crowd(3, || direct(1, 3, Arc::clone(&world))).await;
        assert_eq!(all(callers).await, [3; 3]);
        assert_eq!(world.runs(), 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn endless_recursion_ends_in_a_sentence() {
    #[coalesce]
    async fn endless(key: u32) -> Result<u32, Error> {
        yield_now().await;
        Box::pin(endless(key)).await
    }

    #[coalesce]
    async fn endless_panic(key: u32) -> u32 {
        Box::pin(endless_panic(key)).await
    }

    #[coalesce]
    async fn there(key: u32) -> Result<u32, Error> {
        Box::pin(and_back(key)).await
    }

    #[coalesce]
    async fn and_back(key: u32) -> Result<u32, Error> {
        Box::pin(there(key)).await
    }

    alone(async {
        for call in [boarded(endless(1)).await, boarded(there(1)).await] {
            let error = call.await.expect("no panic").expect_err("it has no end");
            assert!(error.to_string().contains("called itself with its own key"), "{error}");
        }
        // A function that cannot return an error says it by a panic.
        let text = panic_of(tokio::spawn(endless_panic(1))).await;
        assert!(text.contains("endless_panic` called itself with its own key"), "{text}");
        assert_eq!(endless::stats().in_flight + there::stats().in_flight + and_back::stats().in_flight, 0);
        assert_eq!(endless_panic::stats().in_flight, 0);
    })
    .await;
}

type Answer<'a> = Pin<Box<dyn Future<Output = String> + Send + 'a>>;

/// `a(key)` calls `b(key)` calls `a(key)`, which runs through. Only the outermost of them meets another at a barrier.
#[coalesce(ttl = "1h", skip(depth, barrier))]
async fn a(key: u32, depth: u32, barrier: Option<Arc<Barrier>>) -> String {
    if let Some(barrier) = &barrier {
        barrier.wait().await;
    }
    yield_now().await;
    if depth == 0 {
        return "a".to_owned();
    }
    let inner: Answer<'_> = Box::pin(b(key, depth - 1, None));
    format!("a{}", inner.await)
}

#[coalesce(ttl = "1h", skip(depth, barrier))]
async fn b(key: u32, depth: u32, barrier: Option<Arc<Barrier>>) -> String {
    if let Some(barrier) = &barrier {
        barrier.wait().await;
    }
    yield_now().await;
    if depth == 0 {
        return "b".to_owned();
    }
    let inner: Answer<'_> = Box::pin(a(key, depth - 1, None));
    format!("b{}", inner.await)
}

#[tokio::test(start_paused = true)]
async fn a_circle_through_another_function_runs_through() {
    alone(async {
        assert_eq!(a(1, 2, None).await, "aba");
        assert_eq!(a::stats().bypassed, 1);
        assert_eq!(b::peek(1), Some("ba".to_owned()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_circle_begun_from_both_ends_at_once_runs_through() {
    alone(async {
        for key in 0..50 {
            // Both bodies have begun before either calls the other.
            let both = Arc::new(Barrier::new(2));
            let first = tokio::spawn(a(key, 1, Some(Arc::clone(&both))));
            let second = tokio::spawn(b(key, 1, Some(both)));
            let results = (first.await.expect("no panic"), second.await.expect("no panic"));
            assert!(results.0.starts_with('a') && results.1.starts_with('b'), "{results:?}");
        }
        assert_eq!((a::stats().in_flight, b::stats().in_flight), (0, 0));
    })
    .await;
}

/// `ring(n)` calls `ring(n + 1 mod size)`, so that flights begun at different places close a circle.
#[coalesce(skip(size, steps))]
async fn ring(place: u32, size: u32, steps: u32) -> u32 {
    yield_now().await;
    if steps == 0 {
        return 0;
    }
    1 + Box::pin(ring((place + 1) % size, size, steps - 1)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn circles_of_any_size_begun_anywhere_at_once_run_through() {
    alone(async {
        for size in 1..=6 {
            for _ in 0..100 {
                let start = Arc::new(Barrier::new(size as usize));
                let calls = (0..size).map(|place| {
                    let start = Arc::clone(&start);
                    tokio::spawn(async move {
                        start.wait().await;
                        ring(place, size, size + 2).await
                    })
                });
                for steps in all(calls.collect()).await {
                    assert!(steps > 0);
                }
            }
        }
        assert_eq!(ring::stats().in_flight, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_waits_for_two_closes_circles_through_either() {
    #[coalesce(skip(world))]
    async fn left(_key: u32, world: Arc<World>) -> usize {
        world.begin();
        yield_now().await;
        Box::pin(both(1, world)).await
    }

    #[coalesce(skip(world))]
    async fn right(_key: u32, world: Arc<World>) -> usize {
        world.begin();
        yield_now().await;
        Box::pin(both(1, world)).await
    }

    #[coalesce(skip(world))]
    async fn both(_key: u32, world: Arc<World>) -> usize {
        if world.begin() > 6 {
            return 1;
        }
        yield_now().await;
        let sides = (Box::pin(left(1, Arc::clone(&world))), Box::pin(right(1, world)));
        let (left, right) = tokio::join!(sides.0, sides.1);
        left + right
    }

    alone(async {
        let world = World::new();
        let calls = (
            boarded(both(1, Arc::clone(&world))).await,
            boarded(left(1, Arc::clone(&world))).await,
            boarded(right(1, Arc::clone(&world))).await,
        );
        for call in [calls.0, calls.1, calls.2] {
            assert!(call.await.expect("no panic") > 0);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn waiting_in_line_is_not_a_circle() {
    #[coalesce(skip(world))]
    async fn outer(key: u32, world: Arc<World>) -> usize {
        inner(key % 2, world).await
    }

    #[coalesce(skip(world))]
    async fn inner(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    alone(async {
        let world = World::new();
        let mut calls = Vec::new();
        for key in 0..20 {
            calls.push(boarded(outer(key, Arc::clone(&world))).await);
        }
        settle().await;
        assert_eq!(world.runs(), 2, "nested calls are shared like any other");
        world.open_all();
        all(calls).await;
        let stats = inner::stats();
        assert_eq!((stats.requests, stats.executions, stats.coalesce_hits, stats.bypassed), (20, 2, 18, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_circle_survives_the_loss_of_its_first_caller() {
    alone(async {
        let both = Arc::new(Barrier::new(2));
        let first = tokio::spawn(a(1, 1, Some(Arc::clone(&both))));
        let follower = tokio::spawn(a(1, 1, Some(Arc::clone(&both))));
        settle().await;
        first.abort();
        let second = tokio::spawn(b(1, 1, Some(both)));
        assert!(follower.await.expect("no panic").starts_with('a'));
        assert!(second.await.expect("no panic").starts_with('b'));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_long_chain_of_keys_is_no_recursion() {
    /// Each of them calls the next, all are in flight at once.
    #[coalesce(ttl = "1h")]
    async fn chain(key: u64) -> u64 {
        if key == 0 { 0 } else { 1 + Box::pin(chain(key - 1)).await }
    }

    alone(async {
        assert_eq!(chain(300).await, 300);
        assert_eq!(chain::stats().executions, 301);
        assert_eq!(chain::stats().bypassed, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_may_refresh_its_own_key() {
    #[coalesce(ttl = "1h", skip(world))]
    async fn fickle(key: u32, world: Arc<World>) -> usize {
        let number = world.begin();
        if number == 1 { Box::pin(fickle::refresh(key, world)).await } else { number }
    }

    alone(async {
        let world = World::new();
        assert_eq!(fickle(1, Arc::clone(&world)).await, 2);
        assert_eq!(fickle(1, Arc::clone(&world)).await, 2);
        assert_eq!(fickle::stats().in_flight, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_circle_hidden_behind_a_task_is_ended_by_the_clock() {
    #[coalesce(timeout = "10s")]
    async fn hidden(key: u32) -> Result<u32, Error> {
        let inner = Box::pin(hidden(key)) as Pin<Box<dyn Future<Output = Result<u32, Error>> + Send>>;
        tokio::spawn(inner).await.expect("no panic")
    }

    #[coalesce(wait = "10s")]
    async fn waits(key: u32) -> Result<u32, Error> {
        let inner = Box::pin(waits(key)) as Pin<Box<dyn Future<Output = Result<u32, Error>> + Send>>;
        tokio::spawn(inner).await.expect("no panic")
    }

    alone(async {
        let start = Instant::now();
        assert!(matches!(hidden(1).await, Err(Error::Timeout { .. })));
        assert!(matches!(waits(1).await, Err(Error::WaitTimeout { .. })));
        assert_eq!(start.elapsed(), Duration::from_secs(20));
        settle().await;
        assert_eq!((hidden::stats().in_flight, waits::stats().in_flight), (0, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_needed_inside_a_turn_is_no_deadlock() {
    #[coalesce(max_concurrent = 1)]
    async fn narrow(key: u32) -> Result<u32, Error> {
        yield_now().await;
        if key == 0 { Ok(0) } else { Ok(1 + Box::pin(narrow(key - 1)).await?) }
    }

    alone(async {
        assert_eq!(narrow(3).await.expect("no refusal without `wait`"), 3);
        assert_eq!(narrow(0).await.expect("there is a turn again"), 0);
        assert_eq!(narrow::stats().in_flight, 0);
    })
    .await;
}
