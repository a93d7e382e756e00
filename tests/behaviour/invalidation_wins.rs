//! What began before an invalidation goes to those already waiting and is never kept; who comes later begins anew.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;

use stampede_runtime::{clear_all, coalesce};
use tokio::task::yield_now;

use super::help::{World, all, alone, boarded, crowd, settle};

#[coalesce(ttl = "1h", skip(world))]
async fn load(_key: u32, world: Arc<World>) -> usize {
    world.body().await
}

/// What makes a flight in the air too old to be kept.
const ACTS: [(&str, fn()); 3] = [
    ("invalidate", || assert_eq!(load::invalidate(1).removed(), 1)),
    ("clear", || assert_eq!(load::clear().removed(), 1)),
    ("clear_all", || assert_eq!(clear_all(), 1)),
];

#[tokio::test(start_paused = true)]
async fn the_old_value_goes_to_those_who_wait_and_is_not_kept() {
    for (name, act) in ACTS {
        alone(async {
            let world = World::new();
            let waiting = crowd(3, || load(1, Arc::clone(&world))).await;
            act();
            world.open(1);
            assert_eq!(all(waiting).await, [1; 3], "{name}");
            assert_eq!(load::peek(1), None, "{name}: never kept");
            world.open(2);
            assert_eq!(load(1, Arc::clone(&world)).await, 2, "{name}");
            assert_eq!(load::peek(1), Some(2));
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_begins_a_new_flight() {
    for (name, act) in ACTS {
        alone(async {
            let world = World::new();
            let waiting = boarded(load(1, Arc::clone(&world))).await;
            act();
            let late = crowd(2, || load(1, Arc::clone(&world))).await;
            assert_eq!(world.runs(), 2, "{name}");
            world.open_all();
            assert_eq!(waiting.await.expect("no panic"), 1);
            assert_eq!(all(late).await, [2; 2], "{name}");
            settle().await;
            assert_eq!(load::peek(1), Some(2), "{name}: whichever landed last, only the new one is kept");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_flight_that_lands_does_not_remove_a_newer_one() {
    for (name, act) in ACTS {
        alone(async {
            let world = World::new();
            let first = boarded(load(1, Arc::clone(&world))).await;
            act();
            let second = boarded(load(1, Arc::clone(&world))).await;
            world.open(1);
            assert_eq!(first.await.expect("no panic"), 1);
            settle().await;
            // The second is still in the air: the third must join it.
            let third = boarded(load(1, Arc::clone(&world))).await;
            assert_eq!(world.runs(), 2, "{name}");
            world.open_all();
            assert_eq!((second.await.expect("no panic"), third.await.expect("no panic")), (2, 2));
            assert_eq!(load::peek(1), Some(2));
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_flight_that_lands_late_does_not_replace_a_newer_value() {
    #[coalesce(ttl = "1h", skip(own, world))]
    async fn apart(_key: u32, own: Arc<World>, world: Arc<World>) -> usize {
        let number = world.begin();
        own.body().await;
        number
    }

    alone(async {
        let (world, slow, quick) = (World::new(), World::new(), World::at_ease());
        let first = boarded(apart(1, Arc::clone(&slow), Arc::clone(&world))).await;
        assert_eq!(apart::invalidate(1).removed(), 1);
        assert_eq!(apart(1, quick, Arc::clone(&world)).await, 2);
        slow.open_all();
        assert_eq!(first.await.expect("no panic"), 1);
        assert_eq!(apart::peek(1), Some(2));
        assert_eq!(apart::stats().cache_size, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_old_flight_that_is_abandoned_or_fails_does_not_remove_a_newer_one() {
    #[coalesce(ttl = "1h", skip(own, world))]
    async fn apart(_key: u32, own: Arc<World>, world: Arc<World>) -> Result<usize, String> {
        let number = world.begin();
        own.body().await;
        if number == 1 { Err("failure".to_owned()) } else { Ok(number) }
    }

    alone(async {
        for abandon in [true, false] {
            let (world, old, new) = (World::new(), World::new(), World::new());
            let first = boarded(apart(1, Arc::clone(&old), Arc::clone(&world))).await;
            apart::invalidate(1);
            let second = boarded(apart(1, Arc::clone(&new), Arc::clone(&world))).await;
            if abandon {
                first.abort();
            } else {
                old.open_all();
                assert!(first.await.expect("no panic").is_err());
            }
            settle().await;
            let third = boarded(apart(1, Arc::clone(&new), Arc::clone(&world))).await;
            assert_eq!(world.runs(), 2);
            new.open_all();
            assert_eq!(second.await.expect("no panic"), Ok(2));
            assert_eq!(third.await.expect("no panic"), Ok(2));
            apart::clear();
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_of_one_key_leaves_the_others_alone() {
    alone(async {
        let world = World::new();
        let one = boarded(load(1, Arc::clone(&world))).await;
        let two = boarded(load(2, Arc::clone(&world))).await;
        assert_eq!(load::invalidate(1).removed(), 1);
        assert_eq!(load::invalidate(3).removed(), 0);
        world.open_all();
        assert_eq!((one.await.expect("no panic"), two.await.expect("no panic")), (1, 2));
        assert_eq!((load::peek(1), load::peek(2)), (None, Some(2)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_during_a_flight_is_an_invalidation_of_it() {
    alone(async {
        let world = World::new();
        let waiting = boarded(load(1, Arc::clone(&world))).await;
        let refresh = boarded(load::refresh(1, Arc::clone(&world))).await;
        assert_eq!(world.runs(), 2, "what began before the refresh was asked for is not what it asked for");
        let late = boarded(load(1, Arc::clone(&world))).await;
        world.open_all();
        assert_eq!(waiting.await.expect("no panic"), 1);
        assert_eq!(refresh.await.expect("no panic"), 2);
        assert_eq!(late.await.expect("no panic"), 2);
        settle().await;
        assert_eq!(load::peek(1), Some(2));
        assert_eq!(world.runs(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_during_a_refresh_wins_over_both_values() {
    alone(async {
        let world = World::new();
        world.open(1);
        assert_eq!(load(1, Arc::clone(&world)).await, 1);
        let refresh = boarded(load::refresh(1, Arc::clone(&world))).await;
        assert_eq!(load(1, Arc::clone(&world)).await, 1, "meanwhile the kept value is served");
        load::invalidate(1);
        assert_eq!(load::peek(1), None);
        world.open_all();
        assert_eq!(refresh.await.expect("no panic"), 2);
        assert_eq!(load::peek(1), None);
        assert_eq!(load(1, Arc::clone(&world)).await, 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_value_put_in_during_a_flight_wins_over_what_the_flight_brings() {
    alone(async {
        let world = World::new();
        let waiting = boarded(load(1, Arc::clone(&world))).await;
        load::insert(1, 100);
        assert_eq!(load(1, Arc::clone(&world)).await, 100);
        world.open_all();
        assert_eq!(waiting.await.expect("no panic"), 1);
        settle().await;
        assert_eq!(load(1, Arc::clone(&world)).await, 100);
        assert_eq!(load::stats().cache_size, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_may_invalidate_its_own_key() {
    #[coalesce(ttl = "1h", skip(world))]
    async fn undecided(key: u32, world: Arc<World>) -> usize {
        undecided::invalidate(key);
        world.body().await
    }

    alone(async {
        let world = World::at_ease();
        assert_eq!(undecided(1, Arc::clone(&world)).await, 1);
        assert_eq!(undecided::peek(1), None);
        assert_eq!(undecided(1, Arc::clone(&world)).await, 2);
    })
    .await;
}

/// The truth that callers must never see an older state of than they could have known.
static TRUTH: AtomicUsize = AtomicUsize::new(0);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_reads_what_was_invalidated_before_the_call() {
    #[coalesce(ttl = "1h")]
    async fn read(_key: u32) -> usize {
        let truth = TRUTH.load(SeqCst);
        // Between reading the truth and returning it there is time for it to change.
        for _ in 0..truth % 4 {
            yield_now().await;
        }
        truth
    }

    alone(async {
        let writer = tokio::spawn(async {
            for version in 1..=20_000 {
                TRUTH.store(version, SeqCst);
                let _ = if version % 8 == 0 { read::clear() } else { read::invalidate(1) };
                assert!(read::peek(1).is_none_or(|seen| seen >= version), "older than {version} and still kept");
                if version % 64 == 0 {
                    yield_now().await;
                }
            }
        });
        let readers = (0..3).map(|_| {
            tokio::spawn(async {
                let mut last = 0;
                while last < 20_000 {
                    let seen = read(1).await;
                    assert!(seen >= last, "{seen} after {last}");
                    last = seen;
                    yield_now().await;
                }
            })
        });
        all(readers.chain([writer]).collect()).await;
        assert_eq!(read(1).await, 20_000);
        assert_eq!(read::stats().in_flight, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_refresh_its_value_is_the_one_in_memory() {
    #[coalesce(ttl = "1h", skip(world))]
    async fn fresh(_key: usize, world: Arc<World>) -> usize {
        let number = world.begin();
        yield_now().await;
        number
    }

    alone(async {
        let world = World::new();
        fresh(1, Arc::clone(&world)).await;
        for _ in 0..5_000 {
            let mut refresh = pin!(fresh::refresh(1, Arc::clone(&world)));
            // Looks all the time, so that it sees the end as early as possible.
            let refreshed = poll_fn(|cx| {
                cx.waker().wake_by_ref();
                for _ in 0..50 {
                    if let Poll::Ready(number) = refresh.as_mut().poll(cx) {
                        return Poll::Ready(number);
                    }
                }
                Poll::Pending
            })
            .await;
            assert_eq!(fresh::peek(1), Some(refreshed));
        }
    })
    .await;
}
