//! `cost`: what values cost, what was spent on them, and what the calls saved that were given one.

use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::testing::{FaultyBackend, count, isolate};
use stampede_runtime::{
    Coalescer, Stats, all_stats, bypass, cached, coalesce, coalesce_by_content, distributed_coalesce, outcome, refresh,
    reset_stats, ttl,
};
use tokio::time::{advance, sleep};

use super::help::{Trouble, World, alone, boarded, crowd, settle};
use super::process::process;

const SECOND: Duration = Duration::from_secs(1);

/// Spent, saved, and for how long that would have run, in seconds.
#[expect(clippy::float_cmp, reason = "small whole numbers")]
fn check(stats: &Stats, spent: f64, saved: f64, seconds: u64) {
    let is = (stats.cost_spent, stats.cost_saved, stats.time_saved);
    assert!(stats.cost_spent == spent && stats.cost_saved == saved, "{is:?}, not {spent} and {saved}");
    // As exact as an `f32`.
    assert!(
        stats.time_saved.abs_diff(Duration::from_secs(seconds)) < Duration::from_millis(1),
        "{is:?}, not {seconds} s"
    );
}

/// A reply that takes two seconds and costs its number.
#[cached(ttl = "10s", stale = "10s", stale_if_error = "1h", cost = |cost| *cost, key(1))]
async fn ask(cost: f64) -> Result<f64, Trouble> {
    sleep(2 * SECOND).await;
    if cost < 0.0 { Err(Trouble::Fire) } else { Ok(cost) }
}

#[tokio::test(start_paused = true)]
async fn each_call_that_is_given_a_value_saves_its_cost() {
    alone(async {
        let calls = crowd(3, || ask(5.0)).await;
        for call in calls {
            call.await.unwrap().unwrap();
        }
        check(&ask::stats(), 5.0, 10.0, 4);
        // Hits, seen by somebody or not.
        ask(7.0).await.unwrap();
        outcome(ask(7.0)).await.0.unwrap();
        check(&ask::stats(), 5.0, 20.0, 8);
        // A stale one, and the execution behind it.
        advance(10 * SECOND).await;
        assert_eq!(ask(7.0).await.unwrap().to_bits(), 5.0_f64.to_bits());
        sleep(3 * SECOND).await;
        check(&ask::stats(), 12.0, 25.0, 10);
        assert_eq!(ask(1.0).await.unwrap().to_bits(), 7.0_f64.to_bits());
        check(&ask::stats(), 12.0, 32.0, 12);
        // Refreshes are no requests, and spend.
        refresh(ask(3.0)).await.unwrap();
        check(&ask::stats(), 15.0, 32.0, 12);
        // What is put in has cost nobody anything yet, and what is peeked at spares nobody.
        ask::insert(100.0);
        ask::peek();
        check(&ask::stats(), 15.0, 32.0, 12);
        ask(1.0).await.unwrap();
        check(&ask::stats(), 15.0, 132.0, 12);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_error_costs_nothing_and_an_old_value_in_its_place_spares_those_who_joined() {
    alone(async {
        ask(5.0).await.unwrap();
        advance(30 * SECOND).await;
        let calls = crowd(3, || ask(-1.0)).await;
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert_eq!((ask::stats().errors, ask::stats().fallbacks), (1, 1));
        check(&ask::stats(), 5.0, 10.0, 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_is_saved_by_those_who_join() {
    #[coalesce(cost = |cost: &f64| *cost, skip(world))]
    async fn ask(cost: f64, world: Arc<World>) -> f64 {
        world.body().await;
        cost
    }

    alone(async {
        let world = World::new();
        let calls = crowd(4, || ask(2.0, Arc::clone(&world))).await;
        // One that leaves is given nothing.
        calls[3].abort();
        advance(3 * SECOND).await;
        world.open_all();
        settle().await;
        check(&ask::stats(), 2.0, 4.0, 6);
        // Alone, it spends.
        bypass(ask(2.0, world)).await;
        check(&ask::stats(), 4.0, 4.0, 6);
        let text = ask::stats().to_string();
        assert!(text.contains("; cost 4.00 spent, 4.00 saved, 6.0s saved"), "{text}");
        let json = serde_json::to_value(ask::stats()).unwrap();
        assert_eq!((json["cost_spent"].as_f64(), json["time_saved"].as_f64()), (Some(4.0), Some(6.0)));
        reset_stats();
        check(&ask::stats(), 0.0, 0.0, 0);
        assert!(!ask::stats().to_string().contains("cost"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn of_a_value_from_elsewhere_the_cost_is_asked_anew() {
    #[cached(ttl = "1h", backend = "main", namespace = "call_cost", cost = |cost| f64::from(*cost))]
    async fn ask(cost: u32) -> u32 {
        sleep(2 * SECOND).await;
        cost
    }

    let fake = FaultyBackend::new();
    process(&fake, async {
        ask(5).await;
        check(&ask::stats(), 5.0, 0.0, 0);
        settle().await;
    })
    .await;
    process(&fake, async {
        ask(5).await;
        check(&ask::stats(), 0.0, 5.0, 2);
        ask(5).await;
        check(&ask::stats(), 0.0, 10.0, 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn every_attribute_takes_it() {
    #[expect(clippy::ptr_arg, reason = "it is asked about the value")]
    fn tokens(text: &String) -> f64 {
        text.len() as f64
    }

    #[coalesce(ttl = "1h", cost = tokens)]
    async fn coalesced(text: &str) -> String {
        text.to_owned()
    }

    #[coalesce_by_content(ttl = "1h", cost = tokens)]
    async fn by_content(text: &str) -> String {
        text.to_owned()
    }

    #[distributed_coalesce(cost = |text| text.len() as f64)]
    async fn distributed(text: &str) -> Result<String, Trouble> {
        Ok(text.to_owned())
    }

    #[stampede_runtime::semantic_coalesce(cost = tokens)]
    async fn semantic(text: &str) -> String {
        text.to_owned()
    }

    #[cached(ttl = "1h", cost = |text| text.len() as f64)]
    fn sync(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    trait Length {
        fn len(&self) -> usize;
    }
    impl Length for Option<String> {
        fn len(&self) -> usize {
            self.as_ref().map_or(0, String::len)
        }
    }

    alone(async {
        for _ in 0..3 {
            coalesced("four").await;
            by_content("four").await;
            distributed("four").await.unwrap();
            semantic("four").await;
            sync("four");
        }
        let all = all_stats();
        assert_eq!(all.len(), 5);
        for (name, stats) in all {
            assert_eq!(stats.cache_hits, 2, "{name}");
            check(&stats, 4.0, 8.0, 0);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn of_coalescers() {
    alone(async {
        let kept: Coalescer<u32, u32> = Coalescer::builder().ttl(ttl::HOUR).cost(|cost| f64::from(*cost)).build();
        for _ in 0..3 {
            kept.run(&1, || async { 6 }).await;
        }
        check(&kept.stats(), 6.0, 12.0, 0);
        // Work that ran because an error was not understood.
        let world = World::new();
        let (other, gate) = (kept.clone(), Arc::clone(&world));
        let first =
            async move { other.try_run(&2, || async move { Err::<u32, String>(gate.body().await.to_string()) }).await };
        let first = boarded(first).await;
        let other = kept.clone();
        // It has joined, so its own work is not begun yet.
        let second = boarded(async move { other.try_run(&2, || async { Err::<u32, u8>(1) }).await }).await;
        world.open_all();
        assert!(first.await.unwrap().is_err() && second.await.unwrap().is_err());
        check(&kept.stats(), 6.0, 12.0, 0);
    })
    .await;
}

#[test]
fn what_is_no_amount_counts_as_nothing() {
    #[cached(ttl = "1h", cost = |cost| *cost)]
    fn ask(number: u32) -> f64 {
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.5][number as usize]
    }

    let _isolated = isolate();
    for number in [0, 1, 2, 3, 4, 0, 1, 2, 3, 4] {
        ask(number);
    }
    check(&ask::stats(), 0.5, 0.5, 0);
}

#[test]
fn without_it_nothing_is_counted() {
    #[cached(ttl = "1h")]
    fn ask() -> u32 {
        std::thread::sleep(Duration::from_millis(1));
        1
    }

    let _isolated = isolate();
    ask();
    ask();
    check(&ask::stats(), 0.0, 0.0, 0);
    assert_eq!(ask::stats().cache_hits, 1);
}

#[test]
fn a_cost_that_panics_ends_the_call_that_asks() {
    #[cached(ttl = "1h", cost = |number| if *number == 1 { panic!("priceless") } else { 1.0 })]
    fn ask(number: u32) -> u32 {
        number
    }

    let _isolated = isolate();
    assert!(std::panic::catch_unwind(|| ask(1)).is_err());
    assert_eq!((ask(2), ask::stats().panics), (2, 1));
    check(&ask::stats(), 1.0, 0.0, 0);
}

#[test]
fn what_was_counted_in_between_is_a_difference() {
    #[cached(ttl = "1h", cost = |_| 1.5)]
    fn ask() -> u32 {
        1
    }

    let _isolated = isolate();
    ask();
    ask();
    let counted = count(ask::stats);
    ask();
    check(&counted.since(), 0.0, 1.5, 0);
}
