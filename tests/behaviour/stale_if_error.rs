//! `stale_if_error`: an old value stands in for an error or a timeout, and never for longer than was said.

use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Config, Settings, cached};
use tokio::time::advance;

use super::help::{
    Mood, Service, Trouble, World, add_up, alone, boarded, crowd, ending, in_time, just_before, said, settle,
};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

#[cached(ttl = "10s", stale_if_error = "1m", timeout = "5s", skip(service))]
async fn load(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
    service.answer().await
}

/// The same for as long as any test.
#[cached(ttl = "10s", stale_if_error = "1d", skip(service))]
async fn patient(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
    service.answer().await
}

/// A kept value that is past its `ttl`, and its service.
async fn old() -> Arc<Service> {
    let service = Service::new();
    assert_eq!(said(load(1, Arc::clone(&service))).await, "value 1");
    advance(10 * SECOND).await;
    service
}

#[tokio::test(start_paused = true)]
async fn all_callers_of_a_failing_execution_get_the_old_value() {
    alone(async {
        let service = old().await;
        service.is(Mood::Failing);
        service.world.open(1);
        let calls = crowd(5, || load(1, Arc::clone(&service))).await;
        assert!(calls.iter().all(|call| !call.is_finished()), "they wait for the new one first");
        service.world.open_all();
        for call in calls {
            assert_eq!(ending(call).await, "value 1");
        }
        let stats = load::stats();
        add_up(&stats);
        assert_eq!((stats.led, stats.coalesce_hits, stats.stale_hits), (2, 4, 0));
        assert_eq!((stats.errors, stats.fallbacks), (1, 1), "fallbacks are counted by execution");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn all_callers_of_an_execution_that_takes_too_long_get_the_old_value() {
    alone(async {
        let service = old().await;
        service.is(Mood::Hanging);
        let calls = crowd(3, || load(1, Arc::clone(&service))).await;
        for call in calls {
            assert_eq!(ending(call).await, "value 1");
        }
        let stats = load::stats();
        assert_eq!((stats.timeouts, stats.errors, stats.fallbacks, stats.in_flight), (1, 0, 1, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_panic_and_the_old_value_is_still_there_for_an_error() {
    alone(async {
        let service = old().await;
        service.is(Mood::Panicking);
        service.world.open(1);
        let calls = crowd(3, || load(1, Arc::clone(&service))).await;
        service.world.open_all();
        for call in calls {
            assert_eq!(ending(call).await, "panic broken");
        }
        assert_eq!((load::stats().fallbacks, load::stats().panics), (0, 1));
        // No rest either: the next call is one like any other.
        service.is(Mood::Failing);
        assert_eq!(said(load(1, Arc::clone(&service))).await, "value 1");
        assert_eq!((service.runs(), load::stats().fallbacks), (3, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_good_execution_replaces_the_old_value() {
    alone(async {
        let service = old().await;
        assert_eq!(said(load(1, Arc::clone(&service))).await, "value 2");
        service.is(Mood::Failing);
        assert_eq!(said(load(1, Arc::clone(&service))).await, "value 2");
        let stats = load::stats();
        assert_eq!((stats.led, stats.cache_hits, stats.stale_hits, stats.fallbacks), (2, 1, 0, 0));
        assert_eq!(stats.cache_size, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_old_value_rests_ever_longer_between_two_tries() {
    alone(async {
        let service = Service::new();
        said(patient(1, Arc::clone(&service))).await;
        advance(10 * SECOND).await;
        service.is(Mood::Failing);
        assert_eq!(said(patient(1, Arc::clone(&service))).await, "value 1");
        let (mut runs, mut stale_hits) = (2, 0);
        for rest in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            advance(just_before(rest * SECOND)).await;
            for _ in 0..3 {
                assert_eq!(said(patient(1, Arc::clone(&service))).await, "value 1");
                assert_eq!(patient::peek(1).and_then(Result::ok), Some(1), "as a call would be answered");
            }
            stale_hits += 3;
            assert_eq!((service.runs(), patient::stats().stale_hits), (runs, stale_hits), "it rests for {rest} s");
            advance(MILLISECOND).await;
            assert_eq!(said(patient(1, Arc::clone(&service))).await, "value 1");
            runs += 1;
            assert_eq!(service.runs(), runs);
        }
        let stats = patient::stats();
        add_up(&stats);
        assert_eq!((stats.led, stats.errors, stats.fallbacks, stats.refreshes), (11, 10, 10, 0));

        // The first good value ends it, and begins anew.
        service.is(Mood::Well);
        advance(60 * SECOND).await;
        assert_eq!(said(patient(1, Arc::clone(&service))).await, "value 12");
        service.is(Mood::Failing);
        advance(10 * SECOND).await;
        said(patient(1, Arc::clone(&service))).await;
        advance(SECOND).await;
        said(patient(1, Arc::clone(&service))).await;
        assert_eq!(service.runs(), 14);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn errors_never_prolong_the_life_of_an_old_value() {
    alone(async {
        let service = old().await;
        service.is(Mood::Failing);
        for _ in 0..59 {
            assert_eq!(said(load(1, Arc::clone(&service))).await, "value 1");
            advance(SECOND).await;
        }
        advance(just_before(SECOND)).await;
        // The rest that it is in would end later than it does.
        assert_eq!(said(load(1, Arc::clone(&service))).await, "value 1");
        advance(MILLISECOND).await;
        assert_eq!(load::peek(1).map(Result::ok), None);
        assert_eq!(said(load(1, Arc::clone(&service))).await, "fire");
        assert_eq!(said(load(1, service)).await, "fire");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_ends_after_the_window_ends_with_its_error() {
    alone(async {
        let service = old().await;
        advance(59 * SECOND).await;
        service.world.open(1);
        service.is(Mood::Failing);
        let call = boarded(load(1, Arc::clone(&service))).await;
        advance(SECOND).await;
        service.world.open_all();
        assert_eq!(ending(call).await, "fire");
        assert_eq!(load::stats().fallbacks, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_an_old_value_an_error_is_an_error() {
    alone(async {
        let service = Service::new();
        service.is(Mood::Failing);
        assert_eq!(said(load(1, Arc::clone(&service))).await, "fire");
        service.is(Mood::Well);
        assert_eq!(said(load(1, Arc::clone(&service))).await, "value 2");
        service.is(Mood::Failing);
        assert_eq!(said(load(2, Arc::clone(&service))).await, "fire", "another key's value is no help");
        advance(10 * SECOND).await;
        assert_eq!(load::invalidate(1).removed(), 1, "an old value is there to be taken out");
        assert_eq!(said(load(1, service)).await, "fire");
        assert_eq!(load::stats().fallbacks, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_during_the_execution_wins() {
    alone(async {
        for clears in [false, true] {
            let service = old().await;
            service.world.open(1);
            service.is(Mood::Failing);
            let call = boarded(load(1, Arc::clone(&service))).await;
            if clears {
                load::clear().removed()
            } else {
                load::invalidate(1).removed()
            };
            service.world.open_all();
            assert_eq!(ending(call).await, "fire", "what was taken out stands in for nothing");
            assert_eq!(said(load(1, service)).await, "fire");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_explicit_refresh_reports_the_error_itself() {
    alone(async {
        let service = Service::new();
        said(load(1, Arc::clone(&service))).await;
        service.is(Mood::Failing);
        assert_eq!(said(load::refresh(1, Arc::clone(&service))).await, "fire");
        assert_eq!(said(load(1, Arc::clone(&service))).await, "value 1", "the fresh value stays");
        assert_eq!((load::stats().cache_hits, service.runs()), (1, 2));
        advance(10 * SECOND).await;
        assert_eq!(said(load::refresh(1, Arc::clone(&service))).await, "fire");
        service.is(Mood::Hanging);
        assert_eq!(said(load::refresh(1, Arc::clone(&service))).await, "timeout");
        // And calls get the old value.
        assert_eq!(said(load(1, service)).await, "value 1");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_reports_its_error_is_no_fallback() {
    alone(async {
        let service = Service::new();
        said(load(1, Arc::clone(&service))).await;
        service.is(Mood::Failing);
        assert_eq!(said(load::refresh(1, Arc::clone(&service))).await, "fire");
        assert_eq!(load::stats().fallbacks, 0, "nobody received an old value");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_joined_an_explicit_refresh_gets_the_old_value_and_the_refresh_the_error() {
    alone(async {
        let service = old().await;
        service.world.open(1);
        service.is(Mood::Failing);
        let refresh = boarded(load::refresh(1, Arc::clone(&service))).await;
        let call = boarded(load(1, Arc::clone(&service))).await;
        service.world.open_all();
        assert_eq!((ending(refresh).await, ending(call).await), ("fire".to_owned(), "value 1".to_owned()));
        assert_eq!((service.runs(), load::stats().fallbacks), (2, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_execution_has_not_failed() {
    alone(async {
        let service = old().await;
        service.world.open(1);
        boarded(load(1, Arc::clone(&service))).await.abort();
        service.world.gone(2).await;
        settle().await;
        // It does not rest: the next call executes.
        let call = boarded(load(1, Arc::clone(&service))).await;
        assert_eq!(service.runs(), 3);
        service.is(Mood::Failing);
        service.world.open_all();
        assert_eq!(ending(call).await, "value 1", "and the old value is still there");
        let stats = load::stats();
        assert_eq!((stats.abandoned, stats.fallbacks, stats.stale_hits), (1, 1, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_nobody_waits_for_falls_back_for_nobody() {
    #[cached(ttl = "10s", stale_if_error = "1m", on_abandon = "finish", skip(service))]
    async fn finishing(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer().await
    }

    alone(async {
        let service = Service::new();
        said(finishing(1, Arc::clone(&service))).await;
        advance(10 * SECOND).await;
        service.world.open(1);
        service.is(Mood::Failing);
        boarded(finishing(1, Arc::clone(&service))).await.abort();
        settle().await;
        service.world.open_all();
        settle().await;
        let stats = finishing::stats();
        assert_eq!((stats.errors, stats.fallbacks, stats.abandoned), (1, 0, 0));
        // It has failed all the same, so the old value rests.
        assert_eq!(said(finishing(1, service)).await, "value 1");
        assert_eq!(finishing::stats().stale_hits, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_evicted_value_stands_in_for_nothing() {
    #[cached(ttl = "10s", stale_if_error = "1m", capacity = 1, skip(service))]
    async fn small(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer().await
    }

    alone(async {
        let service = Service::new();
        said(small(1, Arc::clone(&service))).await;
        advance(10 * SECOND).await;
        for key in 2..5 {
            said(small(key, Arc::clone(&service))).await;
        }
        assert_eq!((small::stats().cache_size, small::stats().evictions), (1, 3));
        service.is(Mood::Failing);
        assert_eq!(said(small(1, service)).await, "fire");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn first_it_is_stale_and_then_it_stands_in_for_errors() {
    #[cached(ttl = "10s", stale = "10s", stale_if_error = "1m", skip(service))]
    async fn both(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer().await
    }

    alone(async {
        let service = Service::new();
        said(both(1, Arc::clone(&service))).await;
        service.is(Mood::Failing);
        advance(10 * SECOND).await;
        assert_eq!(said(both(1, Arc::clone(&service))).await, "value 1");
        settle().await;
        let stats = both::stats();
        assert_eq!((stats.stale_hits, stats.refreshes, stats.errors, stats.fallbacks), (1, 1, 1, 0));
        advance(10 * SECOND).await;
        // Past `stale`, a call waits for its execution first.
        service.world.open(2);
        let call = boarded(both(1, Arc::clone(&service))).await;
        assert!(!call.is_finished());
        service.world.open_all();
        assert_eq!(ending(call).await, "value 1");
        assert_eq!(both::stats().fallbacks, 1);
        advance(just_before(50 * SECOND)).await;
        assert_eq!(said(both(1, Arc::clone(&service))).await, "value 1");
        advance(MILLISECOND).await;
        assert_eq!(said(both(1, service)).await, "fire");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_attached_call_falls_back_too() {
    #[cached(ttl = "10s", stale_if_error = "1m", attached, timeout = "5s", skip(service))]
    async fn attached(_key: u32, service: &Service) -> Result<usize, Trouble> {
        service.answer().await
    }
    async fn call(service: Arc<Service>) -> Result<usize, Trouble> {
        attached(1, &service).await
    }

    alone(async {
        let service = Service::new();
        said(call(Arc::clone(&service))).await;
        advance(10 * SECOND).await;
        service.is(Mood::Failing);
        service.world.open(1);
        let first = boarded(call(Arc::clone(&service))).await;
        let second = boarded(call(Arc::clone(&service))).await;
        let third = boarded(call(Arc::clone(&service))).await;
        // One of the others begins anew, and its error is all that there is.
        first.abort();
        settle().await;
        service.world.open_all();
        assert_eq!((ending(second).await, ending(third).await), ("value 1".to_owned(), "value 1".to_owned()));
        assert_eq!(said(call(Arc::clone(&service))).await, "value 1");
        let stats = attached::stats();
        add_up(&stats);
        assert_eq!((stats.fallbacks, stats.retries, stats.abandoned, stats.stale_hits), (1, 1, 1, 1));
        service.is(Mood::Hanging);
        advance(SECOND).await;
        assert_eq!(said(call(service)).await, "value 1");
        assert_eq!((attached::stats().timeouts, attached::stats().fallbacks), (1, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_only_viewed_is_replaced_too() {
    #[cached(ttl = "10s", stale_if_error = "1m", skip(world))]
    async fn viewed(_key: u32, world: Arc<World>) -> anyhow::Result<usize> {
        let number = world.body().await;
        anyhow::ensure!(number == 1, "no second time");
        Ok(number)
    }

    alone(async {
        let world = World::at_ease();
        assert_eq!(viewed(1, Arc::clone(&world)).await.expect("the first"), 1);
        advance(10 * SECOND).await;
        assert_eq!(viewed(1, Arc::clone(&world)).await.expect("the old one"), 1);
        assert!(viewed::refresh(1, world).await.expect_err("the error").to_string().contains("no second time"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_can_be_configured() {
    #[cached(namespace = "stale_if_error::bare", ttl = "10s", skip(service))]
    async fn bare(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer().await
    }

    #[cached(namespace = "stale_if_error::never", ttl = "10s", stale_if_error = "1m", skip(service))]
    async fn never(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer().await
    }

    let config = Config::builder()
        .defaults(Settings::new().stale_if_error(HOUR))
        .namespace("stale_if_error::never", Settings::new().stale_if_error(Duration::ZERO))
        .build()
        .expect("the configuration is right");
    let _isolated = isolate_with(config);
    in_time(async {
        let service = Service::new();
        said(bare(1, Arc::clone(&service))).await;
        said(never(1, Arc::clone(&service))).await;
        advance(10 * SECOND).await;
        service.is(Mood::Failing);
        assert_eq!(said(bare(1, Arc::clone(&service))).await, "value 1");
        assert_eq!(said(never(1, service)).await, "fire");
    })
    .await;
}
