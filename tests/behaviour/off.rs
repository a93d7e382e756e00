//! `STAMPEDE_OFF` switches all sharing off: every call runs its own body.

use std::sync::Arc;

use stampede_runtime::{Coalescer, coalesce, coalesce_by_content};
use tokio::sync::Barrier;

use super::help::{Trouble, World, all, in_a_process_of_its_own, in_time};

#[test]
fn stampede_off_switches_all_sharing_off() {
    for value in ["1", "true"] {
        in_a_process_of_its_own("behaviour::off::nothing_is_shared", &[("STAMPEDE_OFF", value)]);
    }
}

#[test]
fn stampede_off_can_say_no() {
    for value in ["", "0", "false"] {
        in_a_process_of_its_own("behaviour::off::everything_is_shared", &[("STAMPEDE_OFF", value)]);
    }
    in_a_process_of_its_own("behaviour::off::everything_is_shared", &[]);
}

#[coalesce(ttl = "1h", max_concurrent = 1, skip(world, barrier))]
async fn load(_key: u32, barrier: Arc<Barrier>, world: Arc<World>) -> Result<usize, Trouble> {
    barrier.wait().await;
    Ok(world.begin())
}

#[coalesce_by_content(ttl = "1h")]
async fn by_content(text: &str) -> String {
    text.to_owned()
}

#[coalesce(ttl = "1h", skip(world))]
async fn kept(_key: u32, world: Arc<World>) -> usize {
    world.begin()
}

#[tokio::test(start_paused = true)]
#[ignore = "run in a process of its own, with STAMPEDE_OFF"]
async fn nothing_is_shared() {
    in_time(async {
        let world = World::new();
        // None of the bodies ends before all have begun.
        let barrier = Arc::new(Barrier::new(3));
        let calls = (0..3).map(|_| tokio::spawn(load(1, Arc::clone(&barrier), Arc::clone(&world))));
        let results = all(calls.collect()).await;
        let mut numbers = results.into_iter().map(|result| result.expect("no error")).collect::<Vec<_>>();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2, 3]);
        let stats = load::stats();
        assert_eq!((stats.requests, stats.bypassed, stats.executions, stats.cache_size), (3, 3, 0, 0));
        assert!(stats.savings_rate.abs() < f64::EPSILON);

        assert_eq!(by_content("Text").await, "Text");
        assert_eq!(by_content("text").await, "text");
        let world = World::new();
        kept::insert(1, 100);
        assert_eq!(kept::peek(1), None);
        assert_eq!(kept(1, Arc::clone(&world)).await, 1);
        assert_eq!(kept(1, Arc::clone(&world)).await, 2);
        assert_eq!(kept::refresh(1, Arc::clone(&world)).await, 3);
        let coalescer: Coalescer<u32, u32> = Coalescer::builder().ttl(stampede_runtime::ttl::HOUR).build();
        assert_eq!(coalescer.run(&1, || async { 1 }).await, 1);
        assert_eq!(coalescer.run(&1, || async { 2 }).await, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
#[ignore = "run in a process of its own, with and without STAMPEDE_OFF"]
async fn everything_is_shared() {
    let world = World::new();
    assert_eq!(kept(1, Arc::clone(&world)).await, 1);
    assert_eq!(kept(1, world).await, 1);
}
