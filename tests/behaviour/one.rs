//! Any number of concurrent callers of a key: exactly one execution.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use stampede_runtime::coalesce;
use tokio::sync::Barrier;

use super::help::{World, all, alone, crowd};

#[coalesce(skip(world))]
async fn shared(_key: u32, world: Arc<World>) -> usize {
    world.body().await
}

#[coalesce(ttl = "1h", skip(world))]
async fn kept(_key: u32, world: Arc<World>) -> usize {
    world.body().await
}

#[tokio::test(start_paused = true)]
async fn a_value_passes_through() {
    alone(async {
        assert_eq!(shared(1, World::at_ease()).await, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_make_one_execution() {
    alone(async {
        let world = World::new();
        let callers = crowd(1000, || shared(1, Arc::clone(&world))).await;
        world.open_all();
        assert!(all(callers).await.iter().all(|number| *number == 1));
        assert_eq!(world.runs(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_ttl_nothing_is_kept() {
    alone(async {
        let world = World::at_ease();
        assert_eq!(shared(1, Arc::clone(&world)).await, 1);
        assert_eq!(shared(1, Arc::clone(&world)).await, 2);
        assert_eq!(shared::stats().cache_size, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_comes_late_joins_the_same_execution() {
    alone(async {
        let world = World::new();
        let first = crowd(1, || shared(1, Arc::clone(&world))).await;
        world.begun(1).await;
        let late = crowd(5, || shared(1, Arc::clone(&world))).await;
        world.open_all();
        assert_eq!(all(first).await, [1]);
        assert_eq!(all(late).await, [1; 5]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_of_many_threads_make_one_execution() {
    alone(async {
        for key in 0..200 {
            let world = World::new();
            let start = Arc::new(Barrier::new(8));
            let callers = (0..8).map(|_| {
                let (world, start) = (Arc::clone(&world), Arc::clone(&start));
                tokio::spawn(async move {
                    start.wait().await;
                    shared(key, world).await
                })
            });
            let callers = callers.collect();
            world.begun(1).await;
            // A second execution would get a number of its own, and the gate would keep it.
            while shared::stats().requests < 8 * (u64::from(key) + 1) {
                tokio::task::yield_now().await;
            }
            world.open(1);
            assert_eq!(all(callers).await, [1; 8]);
            assert_eq!(world.runs(), 1);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn there_is_no_gap_between_stored_and_landed() {
    #[coalesce(ttl = "1h", skip(runs))]
    async fn quick(_key: usize, runs: Arc<AtomicUsize>) -> usize {
        let number = runs.fetch_add(1, SeqCst) + 1;
        tokio::task::yield_now().await;
        number
    }

    alone(async {
        for key in 0..500 {
            let runs = Arc::new(AtomicUsize::new(0));
            let start = Arc::new(Barrier::new(4));
            let callers = (0..4).map(|_| {
                let (runs, start) = (Arc::clone(&runs), Arc::clone(&start));
                tokio::spawn(async move {
                    start.wait().await;
                    // Some arrive before the value is there, some while it is being stored, some after.
                    for _ in 0..20 {
                        assert_eq!(quick(key, Arc::clone(&runs)).await, 1);
                    }
                })
            });
            all(callers.collect()).await;
            assert_eq!(runs.load(SeqCst), 1, "the key {key} was executed again although its value is kept");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_kept_value_answers_later_callers() {
    alone(async {
        let world = World::at_ease();
        assert_eq!(kept(1, Arc::clone(&world)).await, 1);
        assert_eq!(kept(1, Arc::clone(&world)).await, 1);
        assert_eq!(kept(2, Arc::clone(&world)).await, 2);
        assert_eq!(world.runs(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn functions_with_equal_arguments_share_nothing() {
    #[coalesce(ttl = "1h")]
    async fn other(key: u32) -> String {
        format!("other {key}")
    }

    alone(async {
        assert_eq!(kept(1, World::at_ease()).await, 1);
        assert_eq!(other(1).await, "other 1");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn instantiations_of_a_generic_function_share_nothing() {
    #[coalesce(ttl = "1h")]
    async fn default_of<T>(_key: u32) -> T
    where
        T: Default + Clone + Send + Sync + 'static,
    {
        T::default()
    }

    alone(async {
        assert_eq!(default_of::<String>(1).await, "");
        assert_eq!(default_of::<u64>(1).await, 0);
        assert_eq!(default_of::<String>(1).await, "");
        assert!(default_of::<Vec<u8>>(1).await.is_empty());
        assert_eq!(default_of::stats::<String>().requests, 2);
        assert_eq!(default_of::stats::<u64>().requests, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_threads_than_lanes_still_share() {
    const THREADS: usize = 400;

    alone(async {
        let world = World::new();
        let runtime = tokio::runtime::Handle::current();
        let here = Arc::new(std::sync::Barrier::new(THREADS));
        let callers = (0..THREADS).map(|_| {
            let (runtime, world, here) = (runtime.clone(), Arc::clone(&world), Arc::clone(&here));
            std::thread::spawn(move || {
                // All threads are alive at once.
                here.wait();
                let first = runtime.block_on(kept(1, Arc::clone(&world)));
                let second = runtime.block_on(kept(1, Arc::clone(&world)));
                kept::invalidate(2);
                here.wait();
                (first, second)
            })
        });
        let callers = callers.collect::<Vec<_>>();
        world.begun(1).await;
        while kept::stats().requests < THREADS as u64 {
            tokio::task::yield_now().await;
        }
        world.open_all();
        let results = tokio::task::spawn_blocking(|| {
            callers.into_iter().map(|caller| caller.join().expect("no panic")).collect::<HashSet<_>>()
        });
        assert_eq!(results.await.expect("no panic"), HashSet::from([(1, 1)]));
        assert_eq!(world.runs(), 1);
        let stats = kept::stats();
        assert_eq!((stats.requests, stats.executions, stats.in_flight), (2 * THREADS as u64, 1, 0));
    })
    .await;
}
