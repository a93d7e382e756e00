//! `cached`: results over time, with every option beside every other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Config, Settings, all_stats, cached, ttl};
use tokio::time::{Instant, advance, sleep};

use super::help::{
    Mood, Service, Trouble, World, add_up, all, alone, boarded, crowd, ending, in_a_process_of_its_own, in_time,
    just_before, message, said, settle,
};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn it_shares_in_flight_and_in_time() {
    #[cached(ttl = "5m", skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    alone(async {
        let world = World::new();
        let calls = crowd(10, || load(1, Arc::clone(&world))).await;
        world.open_all();
        assert_eq!(all(calls).await, [1; 10]);
        advance(just_before(ttl::FIVE_MINUTES)).await;
        assert_eq!(load(1, Arc::clone(&world)).await, 1);
        advance(MILLISECOND).await;
        assert_eq!(load(1, Arc::clone(&world)).await, 2);
        let stats = load::stats();
        add_up(&stats);
        assert_eq!((stats.requests, stats.executions, stats.cache_hits, stats.coalesce_hits), (12, 2, 1, 9));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_error_is_shared_and_not_kept() {
    #[cached(ttl = "5m", skip(service))]
    async fn load(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer().await
    }

    alone(async {
        let service = Service::new();
        service.is(Mood::Failing);
        service.world.open(0);
        let calls = crowd(5, || load(1, Arc::clone(&service))).await;
        service.world.open_all();
        for call in calls {
            assert_eq!(ending(call).await, "fire");
        }
        service.is(Mood::Well);
        assert_eq!(said(load(1, Arc::clone(&service))).await, "value 2");
        assert_eq!(said(load(1, service)).await, "value 2");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn each_of_its_times_can_be_computed() {
    fn minute() -> Duration {
        ttl::MINUTE
    }
    static PART: f64 = 0.5;
    const MOST: usize = 2;

    #[cached(
        ttl = minute(),
        stale = minute(),
        stale_if_error = minute() * 2,
        none_ttl = minute() / 2,
        cache_err = minute() / 4,
        soft_timeout = minute() / 8,
        timeout = minute() / 4,
        wait = minute() / 2,
        early = PART,
        jitter = PART / 100.0,
        capacity = MOST * 5,
        max_concurrent = MOST
    )]
    async fn load(key: u32) -> Result<Option<u32>, Trouble> {
        match key {
            0 => Ok(None),
            1 => Err(Trouble::Fire),
            _ => Ok(Some(key)),
        }
    }

    alone(async {
        fastrand::seed(1);
        for key in 0..3 {
            let _ = load(key).await;
        }
        advance(ttl::MINUTE / 4).await;
        assert!(load::peek(1).is_none(), "the error");
        advance(ttl::MINUTE / 4 + ttl::MINUTE).await;
        assert!(load::peek(0).is_none(), "the `None`, stale as it was");
        assert!(load::peek(2).is_some(), "the value, which is stale");
        advance(ttl::MINUTE / 2).await;
        assert!(load::peek(2).is_none());
        for key in 10..30 {
            let _ = load(key).await;
        }
        assert_eq!(load::stats().cache_size, 10);
    })
    .await;
}

/// All that goes together, on one function.
#[cached(
    ttl = "10s",
    stale = "10s",
    stale_if_error = "1m",
    early = 0.001,
    jitter = "1%",
    cache_err = "2s",
    capacity = 3,
    weigh = |_| 1,
    cache_if = |number| *number != 13,
    timeout = "5s",
    soft_timeout = "1s",
    wait = "3s",
    max_concurrent = 2,
    on_abandon = "finish",
    namespace = "cached::all",
    skip(service)
)]
async fn everything(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
    sleep(MILLISECOND).await;
    service.answer().await
}

#[tokio::test(start_paused = true)]
async fn all_options_together_keep_their_promises() {
    alone(async {
        fastrand::seed(2);
        let service = Service::new();
        // An error is kept for its time.
        service.is(Mood::Failing);
        assert_eq!(said(everything(1, Arc::clone(&service))).await, "fire");
        assert_eq!(said(everything(1, Arc::clone(&service))).await, "fire");
        assert_eq!(service.runs(), 1);
        advance(2 * SECOND).await;
        service.is(Mood::Well);
        assert_eq!(said(everything(1, Arc::clone(&service))).await, "value 2");
        // First stale, and renewed behind.
        advance(10 * SECOND).await;
        assert_eq!(said(everything(1, Arc::clone(&service))).await, "value 2");
        sleep(2 * MILLISECOND).await;
        assert_eq!(said(everything(1, Arc::clone(&service))).await, "value 3");
        // Then too old for that: a slow execution is left behind.
        advance(20 * SECOND).await;
        service.world.open(3);
        let start = Instant::now();
        assert_eq!(said(everything(1, Arc::clone(&service))).await, "value 3");
        assert_eq!(start.elapsed(), SECOND);
        service.is(Mood::Failing);
        service.world.open_all();
        settle().await;
        // It failed, so the old value rests; and errors do not take its place.
        assert_eq!(said(everything(1, Arc::clone(&service))).await, "value 3");
        assert_eq!(service.runs(), 4);
        advance(SECOND).await;
        assert_eq!(said(everything(1, Arc::clone(&service))).await, "value 3");
        assert_eq!(service.runs(), 5);
        let stats = everything::stats();
        add_up(&stats);
        assert_eq!((stats.fallbacks, stats.soft_timeouts, stats.errors, stats.refreshes), (1, 1, 3, 1));
        // Nobody waits for it, and it is finished and kept.
        service.is(Mood::Well);
        boarded(everything(2, Arc::clone(&service))).await.abort();
        sleep(2 * MILLISECOND).await;
        assert_eq!(everything::peek(2).and_then(Result::ok), Some(6));
        // Room for three.
        for key in 3..10 {
            said(everything(key, Arc::clone(&service))).await;
        }
        // Number 13 is not kept.
        assert_eq!((service.runs(), everything::peek(9).map(Result::ok)), (13, None));
        let stats = everything::stats();
        add_up(&stats);
        assert_eq!((stats.cache_size, stats.in_flight, stats.abandoned), (3, 0, 0));
        // And two turns.
        service.world.open(13);
        let calls = [20, 21, 22].map(|key| everything(key, Arc::clone(&service)));
        let mut running = Vec::new();
        for call in calls {
            running.push(boarded(call).await);
        }
        sleep(2 * MILLISECOND).await;
        assert_eq!(service.runs(), 15);
        let mut ends = Vec::new();
        for call in running {
            ends.push(ending(call).await);
        }
        assert_eq!(ends, ["wait", "wait", "refused"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_what_the_attribute_says_is_one_of_the_body() {
    #[cached(ttl = "1h", cache_if = |key| panic!("cache_if {key}"))]
    async fn choosing(key: u32) -> u32 {
        key
    }

    #[cached(ttl = "1h", weigh = |key| panic!("weigh {key}"))]
    async fn weighing(key: u32) -> u32 {
        key
    }

    #[cached(ttl = |key| panic!("ttl {key}"))]
    async fn timing(key: u32) -> u32 {
        key
    }

    #[cached(ttl = "1h", cache_err = |key| panic!("cache_err {key}"))]
    async fn failing(key: u32) -> Result<u32, u32> {
        Err(key)
    }

    alone(async {
        for _ in 0..2 {
            let panics = [
                ("cache_if 1", tokio::spawn(choosing(1)).await.err()),
                ("weigh 1", tokio::spawn(weighing(1)).await.err()),
                ("ttl 1", tokio::spawn(timing(1)).await.err()),
                ("cache_err 1", tokio::spawn(failing(1)).await.err()),
            ];
            for (text, error) in panics {
                assert_eq!(message(&*error.expect("a panic").into_panic()), text);
            }
        }
        for (name, stats) in all_stats() {
            add_up(&stats);
            assert_eq!((stats.panics, stats.in_flight, stats.cache_size), (2, 0, 0), "{name}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_what_the_attribute_says_leaves_the_old_value_of_a_refresh() {
    #[cached(ttl = "10s", stale = "1d", cache_if = |number| *number < 2 || panic!("expected"), skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    alone(async {
        let world = World::at_ease();
        load(1, Arc::clone(&world)).await;
        advance(10 * SECOND).await;
        for _ in 0..3 {
            assert_eq!(load(1, Arc::clone(&world)).await, 1);
            settle().await;
        }
        assert_eq!((load::stats().panics, load::stats().refreshes, load::stats().in_flight), (1, 1, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn instantiations_have_policies_and_values_of_their_own() {
    trait Life: Clone + Send + Sync + 'static {
        const LIFE: Duration;
        fn new() -> Self;
    }
    #[derive(Clone, Debug, PartialEq)]
    struct Short;
    #[derive(Clone, Debug, PartialEq)]
    struct Long;
    impl Life for Short {
        const LIFE: Duration = SECOND;
        fn new() -> Short {
            Short
        }
    }
    impl Life for Long {
        const LIFE: Duration = ttl::HOUR;
        fn new() -> Long {
            Long
        }
    }

    #[cached(ttl = T::LIFE, stale_if_error = T::LIFE, capacity = 2)]
    async fn make<T: Life>(_key: u32) -> T {
        T::new()
    }

    alone(async {
        for key in 0..4 {
            assert_eq!((make::<Short>(key).await, make::<Long>(key).await), (Short, Long));
        }
        assert_eq!((make::stats::<Short>().cache_size, make::stats::<Long>().cache_size), (2, 2));
        advance(2 * SECOND).await;
        make::<Short>(3).await;
        make::<Long>(3).await;
        assert_eq!((make::stats::<Short>().cache_hits, make::stats::<Long>().cache_hits), (0, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_is_overridden_option_by_option() {
    #[cached(namespace = "cached::overridden", ttl = "1h", stale = "1h", capacity = 10, skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    let config = Config::builder()
        .defaults(Settings::new().ttl(ttl::DAY).stale(ttl::DAY).capacity(1))
        .namespace("cached::overridden", Settings::new().ttl(10 * SECOND))
        .build()
        .expect("the configuration is right");
    let _isolated = isolate_with(config);
    in_time(async {
        let world = World::at_ease();
        for key in 0..20 {
            load(key, Arc::clone(&world)).await;
        }
        assert_eq!(load::stats().cache_size, 10, "the attribute's");
        let kept = (0..20).find(|key| load::peek(*key).is_some()).expect("ten are");
        advance(10 * SECOND).await;
        load(kept, Arc::clone(&world)).await;
        assert_eq!(load::stats().stale_hits, 1, "the override's end");
        settle().await;
        advance(ttl::HOUR + 10 * SECOND).await;
        assert_eq!(load::peek(kept), None, "and the attribute's after it");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_popular_is_kept_also_when_it_is_an_error() {
    #[cached(ttl = "1h", capacity = 50)]
    async fn values(key: u32) -> Result<u32, u32> {
        Ok(key)
    }

    #[cached(ttl = "1h", cache_err = "1h", capacity = 50)]
    async fn errors(key: u32) -> Result<u32, u32> {
        Err(key)
    }

    alone(async {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            // A tenth as popular is ten times as far away.
            let most = 1 << random.u32(..11);
            let key = random.u32(..most);
            let (value, error) = (values(key).await, errors(key).await);
            assert_eq!((value, error), (Ok(key), Err(key)));
        }
        let (values, errors) = (values::stats(), errors::stats());
        assert!((values.cache_hit_rate - errors.cache_hit_rate).abs() < 0.02, "{values}\n{errors}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_what_goes_on_behind() {
    #[cached(ttl = "10s", stale = "1h", skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    alone(async {
        let world = World::new();
        world.open(1);
        load(1, Arc::clone(&world)).await;
        advance(10 * SECOND).await;
        load(1, Arc::clone(&world)).await;
        assert_eq!(stampede_runtime::shutdown(SECOND).await, 1, "it is not done yet");
        let shutdown = tokio::spawn(stampede_runtime::shutdown(60 * SECOND));
        settle().await;
        assert!(!shutdown.is_finished());
        world.open_all();
        assert_eq!(shutdown.await.expect("no panic"), 0);
        assert_eq!(load::peek(1), Some(2));
    })
    .await;
}

#[test]
fn stampede_off_switches_every_option_off() {
    in_a_process_of_its_own("behaviour::cached::off", &[("STAMPEDE_OFF", "1")]);
}

#[tokio::test(start_paused = true)]
#[ignore = "run in a process of its own, with STAMPEDE_OFF"]
async fn off() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);

    #[cached(ttl = "10s", stale = "1h", early = 100, none_ttl = "1h", jitter = 1)]
    async fn old(_key: u32) -> Option<usize> {
        sleep(SECOND).await;
        Some(RUNS.fetch_add(1, SeqCst))
    }

    in_time(async {
        let service = Service::new();
        for number in 1..=3 {
            assert_eq!(said(everything(1, Arc::clone(&service))).await, format!("value {number}"));
            assert_eq!(old(1).await, Some(number - 1));
            advance(10 * SECOND).await;
        }
        service.is(Mood::Failing);
        assert_eq!(said(everything(1, Arc::clone(&service))).await, "fire");
        service.is(Mood::Hanging);
        let hanging = boarded(everything(1, Arc::clone(&service))).await;
        advance(100 * SECOND).await;
        settle().await;
        assert!(!hanging.is_finished(), "nothing ends a body that runs by itself");
        hanging.abort();
        for stats in [everything::stats(), old::stats()] {
            add_up(&stats);
            assert_eq!((stats.bypassed, stats.executions, stats.cache_size), (stats.requests, 0, 0));
        }
        assert_eq!((old::stats().stale_hits, everything::stats().soft_timeouts), (0, 0));
    })
    .await;
}
