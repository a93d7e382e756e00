//! `soft_timeout`: a caller that has waited so long gets an old value, and the execution goes on.

use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Config, Settings, cached};
use tokio::time::{Instant, advance};

use super::help::{Mood, Service, Trouble, add_up, alone, boarded, crowd, ending, in_time, just_before, said, settle};

const SECOND: Duration = Duration::from_secs(1);

#[cached(ttl = "10s", stale_if_error = "1m", soft_timeout = "2s", timeout = "30s", skip(service))]
async fn load(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
    service.answer().await
}

/// A value past its `ttl`, and the closed gate of a service.
async fn old() -> Arc<Service> {
    let service = Service::new();
    assert_eq!(said(load(1, Arc::clone(&service))).await, "value 1");
    service.world.open(1);
    advance(10 * SECOND).await;
    service
}

#[tokio::test(start_paused = true)]
async fn a_lone_caller_gets_the_old_value_and_the_new_one_is_kept() {
    alone(async {
        let service = old().await;
        let start = Instant::now();
        assert_eq!(said(load(1, Arc::clone(&service))).await, "value 1");
        assert_eq!(start.elapsed(), 2 * SECOND);
        let stats = load::stats();
        add_up(&stats);
        assert_eq!((stats.soft_timeouts, stats.led, stats.in_flight, stats.abandoned), (1, 2, 1, 0));
        service.world.open_all();
        settle().await;
        assert_eq!(said(load(1, Arc::clone(&service))).await, "value 2");
        let stats = load::stats();
        add_up(&stats);
        assert_eq!((stats.cache_hits, stats.executions, stats.fallbacks, stats.timeouts), (1, 2, 0, 0));
        // The life of the new value began when it was made.
        advance(just_before(10 * SECOND)).await;
        assert_eq!(load::peek(1).and_then(Result::ok), Some(2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn each_caller_has_its_own_patience() {
    alone(async {
        let service = old().await;
        let start = Instant::now();
        let first = boarded(load(1, Arc::clone(&service))).await;
        advance(SECOND).await;
        let second = boarded(load(1, Arc::clone(&service))).await;
        assert_eq!(ending(first).await, "value 1");
        assert_eq!(start.elapsed(), 2 * SECOND);
        assert!(!second.is_finished());
        assert_eq!(ending(second).await, "value 1");
        assert_eq!(start.elapsed(), 3 * SECOND);
        let third = boarded(load(1, Arc::clone(&service))).await;
        service.world.open_all();
        assert_eq!(ending(third).await, "value 2");
        let stats = load::stats();
        add_up(&stats);
        assert_eq!((stats.soft_timeouts, stats.led, stats.coalesce_hits, service.runs()), (2, 2, 2, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_execution_in_time_answers_with_the_new_value() {
    alone(async {
        let service = old().await;
        let call = boarded(load(1, Arc::clone(&service))).await;
        advance(just_before(2 * SECOND)).await;
        settle().await;
        assert!(!call.is_finished());
        service.world.open_all();
        assert_eq!(ending(call).await, "value 2");
        assert_eq!(load::stats().soft_timeouts, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_an_old_value_everyone_waits() {
    alone(async {
        let service = Service::new();
        service.world.open(0);
        let calls = crowd(3, || load(1, Arc::clone(&service))).await;
        advance(20 * SECOND).await;
        settle().await;
        assert!(calls.iter().all(|call| !call.is_finished()));
        service.world.open_all();
        for call in calls {
            assert_eq!(ending(call).await, "value 1");
        }
        assert_eq!(load::stats().soft_timeouts, 0);
        // One that is too old is none.
        service.world.open(1);
        advance(70 * SECOND).await;
        let call = boarded(load(1, Arc::clone(&service))).await;
        advance(3 * SECOND).await;
        settle().await;
        assert!(!call.is_finished());
        service.world.open_all();
        assert_eq!(ending(call).await, "value 2");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_beyond_the_life_of_the_old_value_waits_on() {
    alone(async {
        let service = old().await;
        advance(just_before(60 * SECOND)).await;
        let call = boarded(load(1, Arc::clone(&service))).await;
        advance(5 * SECOND).await;
        settle().await;
        assert!(!call.is_finished());
        service.world.open_all();
        assert_eq!(ending(call).await, "value 2");
        assert_eq!(load::stats().soft_timeouts, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_execution_left_behind_that_fails_leaves_the_old_value_at_rest() {
    alone(async {
        for (mood, named) in [(Mood::Failing, "errors"), (Mood::Hanging, "timeouts")] {
            load::clear();
            let before = load::stats();
            let service = old().await;
            assert_eq!(said(load(1, Arc::clone(&service))).await, "value 1");
            service.is(mood);
            service.world.open_all();
            settle().await;
            advance(28 * SECOND).await;
            settle().await;
            let stats = load::stats();
            let failed = (stats.errors - before.errors, stats.timeouts - before.timeouts);
            assert_eq!(failed, if named == "errors" { (1, 0) } else { (0, 1) }, "{named}");
            assert_eq!((stats.fallbacks, stats.in_flight), (0, 0), "nobody waited for it");
            if named == "timeouts" {
                // It has failed at this moment, and the rest begins.
                assert_eq!(said(load(1, Arc::clone(&service))).await, "value 1");
                assert_eq!(service.runs(), 2);
                advance(SECOND).await;
            }
            service.is(Mood::Well);
            assert_eq!(said(load(1, service)).await, "value 3");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_execution_left_behind_that_panics_reaches_nobody() {
    alone(async {
        let service = old().await;
        assert_eq!(said(load(1, Arc::clone(&service))).await, "value 1");
        service.is(Mood::Panicking);
        service.world.open_all();
        settle().await;
        assert_eq!((load::stats().panics, load::stats().in_flight), (1, 0));
        service.is(Mood::Well);
        assert_eq!(said(load(1, service)).await, "value 3");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_execution_left_behind_goes_on_when_all_others_leave() {
    alone(async {
        let service = old().await;
        let first = boarded(load(1, Arc::clone(&service))).await;
        advance(SECOND).await;
        let second = boarded(load(1, Arc::clone(&service))).await;
        assert_eq!(ending(first).await, "value 1");
        second.abort();
        settle().await;
        service.world.open_all();
        settle().await;
        assert_eq!(load::peek(1).and_then(Result::ok), Some(2));
        assert_eq!((load::stats().abandoned, service.runs()), (0, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_all_leave_before_that_ends() {
    alone(async {
        let service = old().await;
        let call = boarded(load(1, Arc::clone(&service))).await;
        advance(SECOND).await;
        call.abort();
        service.world.gone(2).await;
        assert_eq!((load::stats().abandoned, load::stats().in_flight), (1, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_while_it_goes_on_wins() {
    alone(async {
        let service = old().await;
        assert_eq!(said(load(1, Arc::clone(&service))).await, "value 1");
        assert_eq!(load::invalidate(1).removed(), 1);
        service.world.open(2);
        settle().await;
        assert!(load::peek(1).is_none());
        let call = boarded(load(1, Arc::clone(&service))).await;
        advance(3 * SECOND).await;
        settle().await;
        assert!(!call.is_finished(), "there is no old value any more");
        service.world.open_all();
        assert_eq!(ending(call).await, "value 3");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_while_a_caller_waits_takes_its_old_value_away() {
    alone(async {
        let service = old().await;
        let call = boarded(load(1, Arc::clone(&service))).await;
        load::clear();
        advance(3 * SECOND).await;
        settle().await;
        assert!(!call.is_finished());
        service.world.open_all();
        assert_eq!(ending(call).await, "value 2");
        assert_eq!(load::stats().soft_timeouts, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_explicit_refresh_has_more_patience() {
    alone(async {
        let service = old().await;
        let refresh = boarded(load::refresh(1, Arc::clone(&service))).await;
        let call = boarded(load(1, Arc::clone(&service))).await;
        assert_eq!(ending(call).await, "value 1", "who only joined has not");
        advance(10 * SECOND).await;
        settle().await;
        assert!(!refresh.is_finished());
        service.world.open_all();
        assert_eq!(ending(refresh).await, "value 2");
        assert_eq!(load::stats().soft_timeouts, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn patience_counts_in_the_queue_too() {
    #[cached(ttl = "10s", stale_if_error = "1m", soft_timeout = "2s", max_concurrent = 1, skip(service))]
    async fn narrow(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer().await
    }

    alone(async {
        let service = Service::new();
        said(narrow(1, Arc::clone(&service))).await;
        advance(10 * SECOND).await;
        service.world.open(1);
        let other = boarded(narrow(2, Arc::clone(&service))).await;
        assert_eq!(said(narrow(1, Arc::clone(&service))).await, "value 1");
        assert_eq!((service.runs(), narrow::stats().soft_timeouts), (2, 1));
        service.world.open_all();
        assert_eq!(ending(other).await, "value 2");
        settle().await;
        assert_eq!(said(narrow(1, service)).await, "value 3");
        let stats = narrow::stats();
        assert_eq!((stats.executions, stats.in_flight), (3, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_can_be_configured() {
    #[cached(namespace = "soft_timeout::bare", ttl = "10s", stale_if_error = "1m", skip(service))]
    async fn bare(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer().await
    }

    #[cached(namespace = "soft_timeout::attached", ttl = "10s", stale_if_error = "1m", attached, skip(service))]
    async fn attached(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer().await
    }

    let config = Config::builder()
        .defaults(Settings::new().soft_timeout(3 * SECOND))
        .build()
        .expect("the configuration is right");
    let _isolated = isolate_with(config);
    in_time(async {
        let service = Service::new();
        said(bare(1, Arc::clone(&service))).await;
        said(attached(1, Arc::clone(&service))).await;
        service.world.open(2);
        advance(10 * SECOND).await;
        let start = Instant::now();
        assert_eq!(said(bare(1, Arc::clone(&service))).await, "value 1");
        assert_eq!(start.elapsed(), 3 * SECOND);
        let call = boarded(attached(1, Arc::clone(&service))).await;
        advance(5 * SECOND).await;
        settle().await;
        assert!(!call.is_finished(), "an attached body would end with its caller");
        service.world.open_all();
        assert_eq!(ending(call).await, "value 4");
    })
    .await;
}
