//! `cache_err`: an error is kept for a while, for those who call meanwhile.

use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Coalescer, Config, Settings, cached, coalesce};
use tokio::time::advance;

use super::help::{
    Mood, Service, Trouble, World, add_up, alone, boarded, crowd, ending, in_a_process_of_its_own, in_time,
    just_before, said, settle,
};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

#[cached(ttl = "1h", cache_err = "10s", timeout = "5s", skip(service))]
async fn load(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
    service.answer().await
}

/// A service that fails, and a kept error.
async fn failed() -> Arc<Service> {
    let service = Service::new();
    service.is(Mood::Failing);
    assert_eq!(said(load(1, Arc::clone(&service))).await, "fire");
    service
}

#[tokio::test(start_paused = true)]
async fn an_error_answers_later_calls_for_its_time() {
    alone(async {
        let service = failed().await;
        service.is(Mood::Well);
        advance(just_before(10 * SECOND)).await;
        for _ in 0..3 {
            assert_eq!(said(load(1, Arc::clone(&service))).await, "fire");
        }
        assert!(matches!(load::peek(1), Some(Err(Trouble::Fire))), "as a call would be answered");
        let stats = load::stats();
        add_up(&stats);
        assert_eq!((stats.cache_hits, stats.led, stats.errors, stats.cache_size), (3, 1, 1, 1));
        advance(MILLISECOND).await;
        assert!(load::peek(1).is_none());
        assert_eq!(said(load(1, Arc::clone(&service))).await, "value 2");
        service.is(Mood::Failing);
        advance(3599 * SECOND).await;
        assert_eq!(said(load(1, service)).await, "value 2", "a value is kept for its own time");
        assert_eq!(load::stats().cache_size, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_ttl_errors_alone_are_kept() {
    #[coalesce(cache_err = "10s", skip(service))]
    async fn only_errors(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer().await
    }

    alone(async {
        let service = Service::new();
        assert_eq!(said(only_errors(1, Arc::clone(&service))).await, "value 1");
        service.is(Mood::Failing);
        assert_eq!(said(only_errors(1, Arc::clone(&service))).await, "fire");
        service.is(Mood::Well);
        assert_eq!(said(only_errors(1, Arc::clone(&service))).await, "fire");
        assert_eq!((service.runs(), only_errors::stats().cache_hits), (2, 1));
        advance(10 * SECOND).await;
        assert_eq!(said(only_errors(1, service)).await, "value 3");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_time_may_depend_on_the_error() {
    #[cached(ttl = "1h", cache_err = |error: &u64| Duration::from_secs(*error), skip(world))]
    async fn fails_for(seconds: u64, world: Arc<World>) -> Result<usize, u64> {
        world.body().await;
        Err(seconds)
    }

    alone(async {
        let world = World::at_ease();
        for seconds in [0, 5, 10] {
            assert_eq!(fails_for(seconds, Arc::clone(&world)).await, Err(seconds));
        }
        assert_eq!((fails_for::peek(0), fails_for::peek(5)), (None, Some(Err(5))), "for a zero it is not kept");
        advance(5 * SECOND).await;
        assert_eq!((fails_for::peek(5), fails_for::peek(10)), (None, Some(Err(10))));
        assert_eq!(fails_for(0, Arc::clone(&world)).await, Err(0));
        assert_eq!(world.runs(), 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_and_a_panic_are_no_errors_of_the_body_and_are_not_kept() {
    alone(async {
        let service = Service::new();
        service.is(Mood::Hanging);
        assert_eq!(said(load(1, Arc::clone(&service))).await, "timeout");
        service.is(Mood::Panicking);
        assert_eq!(said(load(1, Arc::clone(&service))).await, "panic broken");
        service.is(Mood::Well);
        assert_eq!(said(load(1, service)).await, "value 3");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn invalidate_clear_insert_and_refresh_take_a_kept_error_out() {
    alone(async {
        let service = failed().await;
        assert_eq!(load::invalidate(1).removed(), 1);
        assert_eq!(said(load(1, Arc::clone(&service))).await, "fire");
        assert_eq!(load::clear().removed(), 1);
        assert_eq!(said(load(1, Arc::clone(&service))).await, "fire");
        assert_eq!(service.runs(), 3);
        load::insert(1, 100);
        assert_eq!(said(load(1, Arc::clone(&service))).await, "value 100");
        load::invalidate(1);
        assert_eq!(said(load(1, Arc::clone(&service))).await, "fire");
        service.is(Mood::Well);
        assert_eq!(said(load::refresh(1, Arc::clone(&service))).await, "value 5");
        assert_eq!(said(load(1, service)).await, "value 5");
        assert_eq!(load::stats().cache_size, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn while_an_error_is_refreshed_it_answers_and_its_successor_has_its_own_time() {
    alone(async {
        let service = failed().await;
        advance(6 * SECOND).await;
        service.world.open(1);
        let refresh = boarded(load::refresh(1, Arc::clone(&service))).await;
        assert_eq!(said(load(1, Arc::clone(&service))).await, "fire");
        service.world.open_all();
        assert_eq!(ending(refresh).await, "fire");
        advance(6 * SECOND).await;
        assert_eq!(said(load(1, Arc::clone(&service))).await, "fire");
        assert_eq!((service.runs(), load::stats().cache_size), (2, 1));
        advance(4 * SECOND).await;
        assert!(load::peek(1).is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_fresh_value_is_not_lost_to_the_error_of_its_refresh() {
    alone(async {
        let service = Service::new();
        said(load(1, Arc::clone(&service))).await;
        service.is(Mood::Failing);
        assert_eq!(said(load::refresh(1, Arc::clone(&service))).await, "fire");
        assert_eq!(said(load(1, service)).await, "value 1");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_during_the_execution_wins() {
    alone(async {
        let service = Service::new();
        service.is(Mood::Failing);
        service.world.open(0);
        let calls = crowd(3, || load(1, Arc::clone(&service))).await;
        load::invalidate(1);
        service.world.open_all();
        for call in calls {
            assert_eq!(ending(call).await, "fire");
        }
        assert!(load::peek(1).is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_old_value_is_better_than_a_kept_error() {
    #[cached(ttl = "10s", stale_if_error = "1m", cache_err = "1h", skip(service))]
    async fn both(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer().await
    }

    #[cached(ttl = "10s", stale = "1m", cache_err = "1h", skip(service))]
    async fn stale(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer().await
    }

    alone(async {
        let service = Service::new();
        said(both(1, Arc::clone(&service))).await;
        said(stale(1, Arc::clone(&service))).await;
        service.is(Mood::Failing);
        advance(10 * SECOND).await;
        for _ in 0..30 {
            assert_eq!(said(both(1, Arc::clone(&service))).await, "value 1");
            assert_eq!(said(stale(1, Arc::clone(&service))).await, "value 2");
            settle().await;
            advance(2 * SECOND).await;
        }
        // When none is left, the error is kept.
        assert_eq!(said(both(1, Arc::clone(&service))).await, "fire");
        assert_eq!(said(stale(1, Arc::clone(&service))).await, "fire");
        let runs = service.runs();
        advance(3599 * SECOND).await;
        assert_eq!(said(both(1, Arc::clone(&service))).await, "fire");
        assert_eq!(said(stale(1, Arc::clone(&service))).await, "fire");
        assert_eq!(service.runs(), runs);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn kept_errors_make_room_like_values() {
    #[cached(ttl = "1h", cache_err = "1h", capacity = 3)]
    async fn small(key: u32) -> Result<u32, u32> {
        if key.is_multiple_of(2) { Ok(key) } else { Err(key) }
    }

    alone(async {
        for key in 0..10 {
            let _ = small(key).await;
            assert!(small::stats().cache_size <= 3);
        }
        let stats = small::stats();
        assert_eq!((stats.cache_size, stats.evictions), (3, 7));
        assert_eq!((0..10).filter(|key| small::peek(*key).is_some()).count(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_viewed_error_is_kept_as_a_view() {
    #[cached(ttl = "1h", cache_err = |error| Duration::from_secs(error.to_string().len() as u64), skip(world))]
    async fn viewed(_key: u32, world: Arc<World>) -> anyhow::Result<usize> {
        world.body().await;
        anyhow::bail!("ten chars.")
    }

    alone(async {
        let world = World::at_ease();
        for _ in 0..3 {
            let error = viewed(1, Arc::clone(&world)).await.expect_err("it fails");
            assert_eq!(format!("{error:#}"), "ten chars.");
            advance(3 * SECOND).await;
        }
        assert_eq!(world.runs(), 1);
        advance(SECOND).await;
        viewed(1, Arc::clone(&world)).await.expect_err("it fails");
        assert_eq!(world.runs(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn attached_and_sync_functions_keep_errors_too() {
    #[cached(ttl = "1h", cache_err = "10s", attached, skip(world))]
    async fn attached(_key: u32, world: &World) -> Result<(), usize> {
        Err(world.body().await)
    }

    #[cached(ttl = "1h", cache_err = "10s", skip(world))]
    fn now(_key: u32, world: &World) -> Result<(), usize> {
        Err(world.begin())
    }

    alone(async {
        let world = World::at_ease();
        for _ in 0..2 {
            assert_eq!(attached(1, &world).await, Err(1));
            assert_eq!(now(1, &world), Err(2));
        }
        advance(10 * SECOND).await;
        assert_eq!((attached(1, &world).await, now(1, &world)), (Err(3), Err(4)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_can_be_configured() {
    #[cached(namespace = "cache_err::bare", ttl = "1h", skip(service))]
    async fn bare(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer().await
    }

    #[cached(namespace = "cache_err::closure", ttl = "1h", cache_err = |_| Duration::from_secs(100), skip(service))]
    async fn closure(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer().await
    }

    #[cached(namespace = "cache_err::never", ttl = "1h", cache_err = "100s", skip(service))]
    async fn never(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer().await
    }

    let config = Config::builder()
        .defaults(Settings::new().cache_err(10 * SECOND))
        .namespace("cache_err::closure", Settings::new().cache_err(10 * SECOND))
        .namespace("cache_err::never", Settings::new().cache_err(Duration::ZERO))
        .build()
        .expect("the configuration is right");
    let _isolated = isolate_with(config);
    in_time(async {
        let service = Service::new();
        service.is(Mood::Failing);
        said(bare(1, Arc::clone(&service))).await;
        said(closure(1, Arc::clone(&service))).await;
        said(never(1, Arc::clone(&service))).await;
        assert!(never::peek(1).is_none());
        advance(just_before(10 * SECOND)).await;
        assert!(bare::peek(1).is_some() && closure::peek(1).is_some());
        advance(MILLISECOND).await;
        assert!(bare::peek(1).is_none() && closure::peek(1).is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_coalescer_returns_kept_errors_where_the_configuration_keeps_them() {
    let config = Config::builder().defaults(Settings::new().cache_err(10 * SECOND)).build().expect("right");
    let _isolated = isolate_with(config);
    in_time(async {
        let named: Coalescer<u32, u32> = Coalescer::builder().name("failing").ttl(SECOND).build();
        for _ in 0..2 {
            assert_eq!(named.try_run(&1, || async { Err("no") }).await, Err("no"));
        }
    })
    .await;
}

#[test]
fn stampede_off_keeps_no_errors() {
    in_a_process_of_its_own("cache::err::off", &[("STAMPEDE_OFF", "1")]);
}

#[tokio::test(start_paused = true)]
#[ignore = "run in a process of its own, with STAMPEDE_OFF"]
async fn off() {
    let service = failed().await;
    service.is(Mood::Well);
    assert_eq!(said(load(1, service)).await, "value 2");
}
