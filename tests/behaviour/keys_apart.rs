//! Keys do not touch each other: none waits for another, and equal hashes are not equal keys.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use stampede_runtime::coalesce;
use tokio::sync::Barrier;

use super::help::{World, all, alone, boarded, settle};

#[coalesce(ttl = "1h", capacity = 20_000, skip(barrier))]
async fn meets(key: usize, barrier: Arc<Barrier>) -> usize {
    barrier.wait().await;
    key
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_keys_are_in_flight_at_once() {
    alone(async {
        // No body ends before all have begun.
        let barrier = Arc::new(Barrier::new(10_000));
        let calls = (0..10_000).map(|key| tokio::spawn(meets(key, Arc::clone(&barrier))));
        let results = all(calls.collect()).await;
        assert!(results.into_iter().eq(0..10_000));
        assert_eq!(meets::stats().executions, 10_000);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_keys_of_many_threads_are_in_flight_at_once() {
    alone(async {
        let barrier = Arc::new(Barrier::new(10_000));
        // Two callers a key: the second joins or is answered from memory.
        let calls = (0..20_000).map(|call| tokio::spawn(meets(call / 2, Arc::clone(&barrier))));
        let results = all(calls.collect()).await;
        assert!(results.into_iter().eq((0..20_000).map(|call| call / 2)));
        let stats = meets::stats();
        assert_eq!((stats.executions, stats.requests, stats.cache_size), (10_000, 20_000, 10_000));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn waiting_for_one_key_delays_no_other() {
    #[coalesce(ttl = "1h", skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    alone(async {
        let (slow, quick) = (World::new(), World::at_ease());
        let waiting = boarded(load(0, Arc::clone(&slow))).await;
        let more = boarded(load(0, Arc::clone(&slow))).await;
        for key in 1..100 {
            load(key, Arc::clone(&quick)).await;
        }
        settle().await;
        assert!(!waiting.is_finished() && !more.is_finished());
        slow.open_all();
        assert_eq!((waiting.await.expect("no panic"), more.await.expect("no panic")), (1, 1));
    })
    .await;
}

/// All of them have one hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Collides(u32);

impl Hash for Collides {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(7);
    }
}

#[coalesce(ttl = "1h", skip(world))]
async fn collides(key: Collides, world: Arc<World>) -> (u32, usize) {
    (key.0, world.body().await)
}

#[tokio::test(start_paused = true)]
async fn equal_hashes_never_mix_values() {
    alone(async {
        let world = World::new();
        let mut flights = Vec::new();
        for key in 0..100 {
            flights.push(boarded(collides(Collides(key), Arc::clone(&world))).await);
            flights.push(boarded(collides(Collides(key), Arc::clone(&world))).await);
        }
        assert_eq!(world.runs(), 100);
        collides::invalidate(Collides(50));
        world.open_all();
        for (at, (key, _)) in all(flights).await.into_iter().enumerate() {
            assert_eq!(key as usize, at / 2);
        }
        for key in 0..100 {
            let kept = collides::peek(Collides(key)).map(|(key, _)| key);
            assert_eq!(kept, (key != 50).then_some(key));
        }
        collides::invalidate(Collides(7));
        assert_eq!(collides::peek(Collides(7)), None);
        assert!(collides::peek(Collides(8)).is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn equal_hashes_never_mix_values_of_many_threads() {
    alone(async {
        let world = World::at_ease();
        let calls = (0..4_000_u32).map(|call| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let key = call * 7 % 40;
                if call % 5 == 0 {
                    collides::invalidate(Collides(key));
                }
                assert_eq!(collides(Collides(key), world).await.0, key);
            })
        });
        all(calls.collect()).await;
        let stats = collides::stats();
        assert_eq!((stats.requests, stats.in_flight), (4_000, 0));
        assert!(stats.cache_size <= 40, "{stats}");
    })
    .await;
}
