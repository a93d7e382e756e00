//! Value, error, panic, timeout: each reaches every caller once, nobody hangs, and the key is free afterwards.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::{coalesce, shutdown};
use tokio::time::advance;

use super::help::{Bell, Trouble, World, alone, boarded, crowd, ending, in_time_blocking, message, settle};

/// Ends as it is told.
#[coalesce(timeout = "10s", skip(how, world))]
async fn ends(_key: u32, how: &'static str, world: Arc<World>) -> Result<usize, Trouble> {
    let number = world.body().await;
    match how {
        "value" => Ok(number),
        "error" => Err(Trouble::Fire),
        "panic" => panic!("the disk is on fire"),
        _ => pending().await,
    }
}

#[tokio::test(start_paused = true)]
async fn every_ending_reaches_every_caller_and_frees_the_key() {
    alone(async {
        let all =
            [("value", "value 1"), ("error", "fire"), ("panic", "panic the disk is on fire"), ("hang", "timeout")];
        for (how, expected) in all {
            let world = World::new();
            let callers = crowd(20, || ends(1, how, Arc::clone(&world))).await;
            world.open_all();
            for caller in callers {
                assert_eq!(ending(caller).await, expected);
            }
            assert_eq!(world.runs(), 1);
            assert_eq!(ends::stats().in_flight, 0);
            let next = boarded(ends(1, "value", Arc::clone(&world))).await;
            assert_eq!(ending(next).await, "value 2", "after {how} the key is free");
        }
        let stats = ends::stats();
        assert_eq!((stats.errors, stats.panics, stats.timeouts, stats.abandoned), (1, 1, 1, 0));
        assert_eq!(stats.executions, 8);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn endings_in_the_first_poll_are_endings_too() {
    alone(async {
        let endings = [("value", "value 1"), ("error", "fire"), ("panic", "panic the disk is on fire")];
        for (how, expected) in endings {
            let world = World::at_ease();
            assert_eq!(ending(tokio::spawn(ends(1, how, Arc::clone(&world)))).await, expected);
            assert_eq!(ends::stats().in_flight, 0);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_panics_before_it_is_a_future_ends_like_any_other() {
    #[derive(Debug)]
    struct Cursed;

    impl Clone for Cursed {
        fn clone(&self) -> Cursed {
            panic!("this cannot be copied")
        }
    }

    #[coalesce(skip(cursed))]
    async fn unlucky(_key: u32, cursed: &Cursed) -> usize {
        format!("{cursed:?}").len()
    }

    alone(async {
        for _ in 0..2 {
            let call = tokio::spawn(unlucky(1, &Cursed));
            assert!(call.await.expect_err("it panics").is_panic());
        }
        let stats = unlucky::stats();
        assert_eq!((stats.in_flight, stats.panics, stats.executions), (0, 2, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn callers_are_woken_once() {
    alone(async {
        for how in ["value", "error", "panic"] {
            let world = World::new();
            let mut first = pin!(ends(1, how, Arc::clone(&world)));
            let mut second = pin!(ends(1, how, Arc::clone(&world)));
            let bells = [Bell::new(), Bell::new()];
            assert!(bells[0].poll(first.as_mut()).is_pending());
            assert!(bells[1].poll(second.as_mut()).is_pending());
            settle().await;
            assert_eq!(bells.each_ref().map(|bell| bell.rings()), [0, 0]);
            world.open_all();
            world.gone(1).await;
            settle().await;
            assert_eq!(bells.each_ref().map(|bell| bell.rings()), [1, 1], "{how}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_returned_says_so_when_polled_again() {
    alone(async {
        let world = World::at_ease();
        let mut call = pin!(ends(1, "value", world));
        let first = (&mut call).await;
        assert!(matches!(first, Ok(1)));
        let again = catch_unwind(AssertUnwindSafe(|| Bell::new().poll(call.as_mut())));
        assert!(again.is_err(), "a future is used up by its result");
    })
    .await;
}

#[test]
fn outside_of_any_runtime_a_call_panics_with_one_sentence() {
    in_time_blocking(|| {
        let _isolated = stampede_runtime::testing::isolate();
        let mut call = pin!(ends(1, "value", World::at_ease()));
        let panic =
            catch_unwind(AssertUnwindSafe(|| Bell::new().poll(call.as_mut()))).expect_err("there is no runtime");
        let text = message(&*panic);
        assert!(text.contains("ends` was called outside of a tokio runtime"), "{text}");
        assert_eq!(ends::stats().in_flight, 0);
    });
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_the_last_flight() {
    alone(async {
        let world = World::new();
        let call = boarded(ends(1, "value", Arc::clone(&world))).await;
        assert_eq!(shutdown(Duration::from_secs(1)).await, 1, "one flight is still under way");
        let waiting = tokio::spawn(shutdown(Duration::from_secs(5)));
        settle().await;
        assert!(!waiting.is_finished());
        world.open_all();
        assert_eq!(waiting.await.expect("no panic"), 0);
        assert_eq!(ending(call).await, "value 1");
        advance(Duration::from_secs(1)).await;
        assert_eq!(shutdown(Duration::ZERO).await, 0);
    })
    .await;
}
