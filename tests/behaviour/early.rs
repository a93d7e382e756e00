//! `early`: a hit before the end of the `ttl` refreshes the value with the probability that `XFetch` says.

use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Config, Settings, cached};
use tokio::time::{advance, sleep};

use super::help::{Mood, Service, Trouble, World, add_up, all, alone, boarded, in_time, just_before, said, settle};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const KEYS: u32 = 2_000;

/// How long each body takes.
const COST: Duration = Duration::from_secs(2);

/// With so much of a life left, as a multiple of the cost.
fn likely(left: f64, beta: f64) -> f64 {
    (-left / beta).exp()
}

/// Whether a number is what chance makes of a part of all keys: within five standard deviations.
fn is_about(number: u64, part: f64) -> bool {
    let mean = f64::from(KEYS) * part;
    (number as f64 - mean).abs() <= 5.0 * (mean * (1.0 - part)).sqrt() + 1e-9
}

#[cached(ttl = "100s", early, capacity = 4000)]
async fn usual(key: u32) -> u32 {
    sleep(COST).await;
    key
}

#[cached(ttl = "100s", early = 3, capacity = 4000)]
async fn eager(key: u32) -> u32 {
    sleep(COST).await;
    key
}

#[cached(ttl = "100s", early = 0.5, capacity = 4000)]
async fn reluctant(key: u32) -> u32 {
    sleep(COST).await;
    key
}

#[tokio::test(start_paused = true)]
async fn a_hit_refreshes_as_often_as_the_formula_says() {
    alone(async {
        macro_rules! follows {
            ($function:ident, $beta:expr, $seed:expr) => {
                fastrand::seed($seed);
                for left in [0.1, 0.5, 1.0, 2.0, 4.0, 8.0] {
                    $function::clear();
                    all((0..KEYS).map(|key| tokio::spawn($function(key))).collect()).await;
                    let before = $function::stats();
                    advance((100 * SECOND).saturating_sub(COST.mul_f64(left))).await;
                    for key in 0..KEYS {
                        assert_eq!($function(key).await, key);
                    }
                    settle().await;
                    let stats = $function::stats();
                    let refreshes = stats.refreshes - before.refreshes;
                    let part = likely(left, $beta);
                    assert!(is_about(refreshes, part), "{} {refreshes} {part} {left}", stringify!($function));
                    assert_eq!(stats.cache_hits - before.cache_hits, u64::from(KEYS), "the value was fresh");
                    assert_eq!((stats.led, stats.stale_hits), (before.led, 0));
                }
            };
        }
        follows!(usual, 1.0, 1);
        follows!(eager, 3.0, 2);
        follows!(reluctant, 0.5, 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn long_before_the_end_nothing_is_refreshed() {
    alone(async {
        all((0..KEYS).map(|key| tokio::spawn(usual(key))).collect()).await;
        // 49 times the cost: less likely than anything that happens.
        advance(SECOND).await;
        for _ in 0..10 {
            for key in 0..KEYS {
                usual(key).await;
            }
        }
        settle().await;
        assert_eq!((usual::stats().refreshes, usual::stats().cache_hits), (0, 10 * u64::from(KEYS)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_it_nothing_is_refreshed() {
    #[cached(ttl = "100s", capacity = 4000)]
    async fn never(key: u32) -> u32 {
        sleep(COST).await;
        key
    }

    alone(async {
        all((0..KEYS).map(|key| tokio::spawn(never(key))).collect()).await;
        advance(just_before(100 * SECOND)).await;
        for key in 0..KEYS {
            never(key).await;
        }
        settle().await;
        assert_eq!(never::stats().refreshes, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_value_that_cost_nothing_is_not_refreshed_early() {
    alone(async {
        usual::insert(1, 7);
        advance(just_before(100 * SECOND)).await;
        for _ in 0..1_000 {
            assert_eq!(usual(1).await, 7);
        }
        settle().await;
        assert_eq!(usual::stats().refreshes, 0);
    })
    .await;
}

/// Took so long that with a millisecond left its refresh is as good as certain.
#[cached(ttl = "100s", early = 100, timeout = "1m", skip(service))]
async fn certain(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
    sleep(20 * SECOND).await;
    service.answer().await
}

/// A kept value that the next hit refreshes, and the closed gate of a service.
async fn nearly_over() -> Arc<Service> {
    fastrand::seed(4);
    let service = Service::new();
    assert_eq!(said(certain(1, Arc::clone(&service))).await, "value 1");
    service.world.open(1);
    advance((100 * SECOND).saturating_sub(10 * MILLISECOND)).await;
    service
}

#[tokio::test(start_paused = true)]
async fn one_refreshes_and_all_get_the_fresh_value_at_once() {
    alone(async {
        let service = nearly_over().await;
        for _ in 0..100 {
            assert_eq!(certain(1, Arc::clone(&service)).await.ok(), Some(1));
        }
        settle().await;
        let stats = certain::stats();
        add_up(&stats);
        assert_eq!((stats.cache_hits, stats.stale_hits, stats.refreshes, stats.in_flight), (100, 0, 1, 1));
        advance(9 * MILLISECOND).await;
        assert_eq!(certain(1, Arc::clone(&service)).await.ok(), Some(1));
        // Its life is over, so the next one waits for the refresh.
        advance(MILLISECOND).await;
        let call = boarded(certain(1, Arc::clone(&service))).await;
        assert!(!call.is_finished());
        service.world.open_all();
        assert_eq!(call.await.expect("no panic").ok(), Some(2));
        let stats = certain::stats();
        add_up(&stats);
        assert_eq!((stats.refreshes, stats.coalesce_hits, stats.led, service.runs()), (1, 1, 1, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_new_value_has_a_life_of_its_own() {
    alone(async {
        let service = nearly_over().await;
        service.world.open_all();
        said(certain(1, Arc::clone(&service))).await;
        // Sleeps while the body does.
        sleep(20 * SECOND).await;
        settle().await;
        assert_eq!(certain::peek(1).and_then(Result::ok), Some(2));
        assert_eq!(certain::stats().cache_size, 1);
        // It ends a hundred seconds after it was made, which is twenty after the first would have.
        advance((100 * SECOND).saturating_sub(20 * MILLISECOND)).await;
        assert_eq!(certain::peek(1).and_then(Result::ok), Some(2));
        advance(20 * MILLISECOND).await;
        assert_eq!(certain::peek(1).map(Result::ok), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_early_refresh_that_fails_reaches_nobody_and_rests() {
    alone(async {
        for (mood, counts) in [(Mood::Failing, (1, 0)), (Mood::Panicking, (0, 1))] {
            certain::clear();
            let before = certain::stats();
            fastrand::seed(5);
            let service = Service::new();
            said(certain(1, Arc::clone(&service))).await;
            service.is(mood);
            // A fifth of what its refresh takes, after which it would still be fresh.
            advance(70 * SECOND).await;
            assert_eq!(said(certain(1, Arc::clone(&service))).await, "value 1");
            sleep(20 * SECOND).await;
            settle().await;
            let stats = certain::stats();
            assert_eq!((stats.errors - before.errors, stats.panics - before.panics), counts);
            advance(just_before(SECOND)).await;
            for _ in 0..50 {
                assert_eq!(said(certain(1, Arc::clone(&service))).await, "value 1");
            }
            assert_eq!(service.runs(), 2, "it rests for a second");
            advance(MILLISECOND).await;
            for _ in 0..50 {
                assert_eq!(said(certain(1, Arc::clone(&service))).await, "value 1");
            }
            let refreshes = certain::stats().refreshes - before.refreshes;
            assert_eq!(refreshes, 2, "and then it is tried again");
            // That one ends before the next begins.
            sleep(21 * SECOND).await;
        }
        assert_eq!(certain::stats().fallbacks, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_during_an_early_refresh_wins() {
    alone(async {
        let service = nearly_over().await;
        said(certain(1, Arc::clone(&service))).await;
        sleep(MILLISECOND).await;
        certain::invalidate(1);
        service.world.open_all();
        sleep(20 * SECOND).await;
        settle().await;
        assert_eq!(service.runs(), 2);
        assert_eq!(certain::peek(1).map(Result::ok), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_early_refresh_goes_on_when_its_caller_is_gone() {
    alone(async {
        let service = nearly_over().await;
        service.world.open_all();
        let call = boarded(certain(1, Arc::clone(&service))).await;
        call.abort();
        drop(call);
        sleep(21 * SECOND).await;
        assert_eq!(certain::peek(1).and_then(Result::ok), Some(2));
        assert_eq!(certain::stats().abandoned, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_an_early_refresh_costs_is_the_measure_of_the_next() {
    #[cached(ttl = "100s", early, skip(seconds, world))]
    async fn slower(_key: u32, seconds: u32, world: Arc<World>) -> usize {
        sleep(seconds * SECOND).await;
        world.body().await
    }

    alone(async {
        fastrand::seed(6);
        let world = World::at_ease();
        slower(1, 1, Arc::clone(&world)).await;
        advance(60 * SECOND).await;
        for _ in 0..100 {
            slower(1, 1, Arc::clone(&world)).await;
        }
        settle().await;
        assert_eq!(slower::stats().refreshes, 0, "40 times what it took are left");
        slower::refresh(1, 40, Arc::clone(&world)).await;
        advance(60 * SECOND).await;
        for _ in 0..100 {
            slower(1, 1, Arc::clone(&world)).await;
        }
        settle().await;
        assert_eq!(slower::stats().refreshes, 2, "as much as it took is left");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_can_be_configured() {
    #[cached(namespace = "early::bare", ttl = "100s", capacity = 4000)]
    async fn bare(key: u32) -> u32 {
        sleep(COST).await;
        key
    }

    #[cached(namespace = "early::never", ttl = "100s", early = 100)]
    async fn never(key: u32) -> u32 {
        sleep(COST).await;
        key
    }

    #[cached(namespace = "early::attached", ttl = "100s", attached)]
    async fn attached(key: u32) -> u32 {
        sleep(COST).await;
        key
    }

    #[cached(namespace = "early::stays", ttl = "100s", skip(world))]
    fn stays(_key: u32, world: &World) -> usize {
        world.begin()
    }

    let config = Config::builder()
        .defaults(Settings::new().early(1.0))
        .namespace("early::never", Settings::new().early(0.0))
        .build()
        .expect("the configuration is right");
    let _isolated = isolate_with(config);
    in_time(async {
        fastrand::seed(7);
        all((0..KEYS).map(|key| tokio::spawn(bare(key))).collect()).await;
        advance((100 * SECOND).saturating_sub(COST)).await;
        for key in 0..KEYS {
            bare(key).await;
        }
        assert!(is_about(bare::stats().in_flight as u64, likely(1.0, 1.0)), "{}", bare::stats());

        let world = World::new();
        never(1).await;
        attached(1).await;
        stays(1, &world);
        // It ended two seconds earlier than that of the others.
        advance(just_before((100 * SECOND).saturating_sub(COST))).await;
        for _ in 0..100 {
            never(1).await;
            attached(1).await;
            assert_eq!(stays(1, &world), 1);
        }
        settle().await;
        assert_eq!((never::stats().refreshes, attached::stats().refreshes, stays::stats().refreshes), (0, 0, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn with_stale_an_early_refresh_is_still_one() {
    #[cached(ttl = "100s", early = 100, stale = "1h", skip(world))]
    async fn both(_key: u32, world: Arc<World>) -> usize {
        sleep(20 * SECOND).await;
        world.body().await
    }

    alone(async {
        fastrand::seed(8);
        let world = World::new();
        world.open(1);
        both(1, Arc::clone(&world)).await;
        advance(just_before(100 * SECOND)).await;
        assert_eq!(both(1, Arc::clone(&world)).await, 1);
        advance(HOUR.saturating_sub(SECOND)).await;
        for _ in 0..10 {
            assert_eq!(both(1, Arc::clone(&world)).await, 1);
        }
        let stats = both::stats();
        add_up(&stats);
        assert_eq!((stats.refreshes, stats.cache_hits, stats.stale_hits), (1, 1, 10));
        world.open_all();
        sleep(20 * SECOND).await;
        settle().await;
        assert_eq!(both(1, world).await, 2);
    })
    .await;
}
