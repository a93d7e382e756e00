//! `stale`: after its `ttl` an old value is answered at once, and one refresh makes the new one behind it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Config, Settings, cached, coalesce};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Barrier;
use tokio::time::advance;

use super::help::{
    Mood, Service, Trouble, World, add_up, all, alone, boarded, crowd, in_time, in_time_blocking, just_before, said,
    settle,
};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

#[cached(ttl = "10s", stale = "1m", skip(service))]
async fn load(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
    service.answer().await
}

/// Old for as long as any test.
#[cached(ttl = "10s", stale = "1d", timeout = "5s", skip(service))]
async fn patient(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
    service.answer().await
}

/// A kept value that is old, and the closed gate of a service.
async fn old() -> Arc<Service> {
    let service = Service::new();
    assert_eq!(said(load(1, Arc::clone(&service))).await, "value 1");
    service.world.open(1);
    advance(10 * SECOND).await;
    service
}

#[tokio::test(start_paused = true)]
async fn an_old_value_is_answered_at_once_and_renewed_behind() {
    alone(async {
        let service = old().await;
        for _ in 0..100 {
            // None of them waits: the gate is closed.
            assert_eq!(load(1, Arc::clone(&service)).await.ok(), Some(1));
        }
        let stats = load::stats();
        add_up(&stats);
        assert_eq!((stats.requests, stats.led, stats.stale_hits, stats.cache_hits), (101, 1, 100, 0));
        assert_eq!((stats.executions, stats.refreshes, stats.in_flight), (2, 1, 1));

        service.world.open_all();
        settle().await;
        assert_eq!(load(1, Arc::clone(&service)).await.ok(), Some(2));
        let stats = load::stats();
        add_up(&stats);
        assert_eq!((stats.stale_hits, stats.cache_hits, stats.refreshes, stats.in_flight), (100, 1, 1, 0));
        assert_eq!(stats.cache_size, 1);

        // A life of its own, which began when it was made.
        advance(just_before(10 * SECOND)).await;
        assert_eq!(load(1, Arc::clone(&service)).await.ok(), Some(2));
        assert_eq!(load::stats().stale_hits, 100);
        advance(MILLISECOND).await;
        assert_eq!(load(1, service).await.ok(), Some(2));
        assert_eq!(load::stats().stale_hits, 101);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn before_its_ttl_is_over_nothing_is_renewed() {
    alone(async {
        let service = Service::new();
        said(load(1, Arc::clone(&service))).await;
        advance(just_before(10 * SECOND)).await;
        assert_eq!(load(1, Arc::clone(&service)).await.ok(), Some(1));
        settle().await;
        assert_eq!((service.runs(), load::stats().cache_hits, load::stats().refreshes), (1, 1, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn after_the_window_a_call_waits() {
    alone(async {
        let service = old().await;
        advance(60 * SECOND).await;
        let call = boarded(load(1, Arc::clone(&service))).await;
        assert!(!call.is_finished(), "too old to be served");
        assert_eq!(load::peek(1).map(Result::ok), None);
        service.world.open_all();
        assert_eq!(call.await.expect("no panic").ok(), Some(2));
        let stats = load::stats();
        add_up(&stats);
        assert_eq!((stats.led, stats.stale_hits, stats.refreshes), (2, 0, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn at_the_end_of_the_window_the_old_value_still_answers() {
    alone(async {
        let service = old().await;
        advance(just_before(60 * SECOND)).await;
        assert_eq!(load(1, service).await.ok(), Some(1));
        assert_eq!(load::stats().stale_hits, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn after_the_window_a_call_joins_the_refresh_in_flight() {
    alone(async {
        let service = old().await;
        assert_eq!(load(1, Arc::clone(&service)).await.ok(), Some(1));
        advance(60 * SECOND).await;
        let calls = crowd(3, || load(1, Arc::clone(&service))).await;
        assert!(calls.iter().all(|call| !call.is_finished()));
        service.world.open_all();
        assert!(all(calls).await.into_iter().all(|result| result.ok() == Some(2)));
        let stats = load::stats();
        add_up(&stats);
        assert_eq!((stats.refreshes, stats.coalesce_hits, stats.executions), (1, 3, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_not_ended_by_those_who_joined_it_and_left() {
    alone(async {
        let service = old().await;
        said(load(1, Arc::clone(&service))).await;
        advance(60 * SECOND).await;
        let call = boarded(load(1, Arc::clone(&service))).await;
        call.abort();
        settle().await;
        service.world.open_all();
        settle().await;
        assert_eq!(load::peek(1).and_then(Result::ok), Some(2));
        assert_eq!((load::stats().abandoned, service.runs()), (0, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_goes_on_when_its_caller_is_gone() {
    alone(async {
        let service = old().await;
        let call = boarded(load(1, Arc::clone(&service))).await;
        service.world.begun(2).await;
        call.abort();
        drop(call);
        settle().await;
        service.world.open_all();
        settle().await;
        assert_eq!(load::peek(1).and_then(Result::ok), Some(2));
        assert_eq!(load::stats().abandoned, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_takes_the_arguments_of_the_caller_who_started_it() {
    #[cached(ttl = "10s", stale = "1m", skip(name, world))]
    async fn named(_key: u32, name: &str, world: Arc<World>) -> String {
        world.body().await;
        name.to_owned()
    }

    alone(async {
        let world = World::new();
        world.open(1);
        assert_eq!(named(1, "first", Arc::clone(&world)).await, "first");
        advance(10 * SECOND).await;
        assert_eq!(named(1, "second", Arc::clone(&world)).await, "first");
        assert_eq!(named(1, "third", Arc::clone(&world)).await, "first");
        world.open_all();
        settle().await;
        assert_eq!(named(1, "fourth", world).await, "second");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_refresh_leaves_the_old_value_and_is_tried_again_after_ever_longer_rests() {
    alone(async {
        let service = Service::new();
        said(patient(1, Arc::clone(&service))).await;
        service.is(Mood::Failing);
        advance(10 * SECOND).await;
        assert_eq!(said(patient(1, Arc::clone(&service))).await, "value 1");
        settle().await;
        for (runs, rest) in (2..).zip([1, 2, 4, 8, 16, 32, 60, 60, 60]) {
            assert_eq!(service.runs(), runs);
            advance(just_before(rest * SECOND)).await;
            assert_eq!(said(patient(1, Arc::clone(&service))).await, "value 1");
            settle().await;
            assert_eq!(service.runs(), runs, "it rests for {rest} s");
            advance(MILLISECOND).await;
            for _ in 0..3 {
                assert_eq!(said(patient(1, Arc::clone(&service))).await, "value 1", "nobody sees the error");
                settle().await;
            }
        }
        let stats = patient::stats();
        add_up(&stats);
        assert_eq!((stats.errors, stats.refreshes, stats.led, stats.fallbacks), (10, 10, 1, 0));
        assert_eq!((stats.cache_size, stats.in_flight), (1, 0));

        service.is(Mood::Well);
        advance(60 * SECOND).await;
        assert_eq!(said(patient(1, Arc::clone(&service))).await, "value 1");
        settle().await;
        assert_eq!(said(patient(1, Arc::clone(&service))).await, "value 12");
        // A new value has not failed yet.
        service.is(Mood::Failing);
        advance(10 * SECOND).await;
        said(patient(1, Arc::clone(&service))).await;
        settle().await;
        advance(SECOND).await;
        said(patient(1, Arc::clone(&service))).await;
        settle().await;
        assert_eq!(service.runs(), 14);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_refresh_does_not_prolong_the_window() {
    alone(async {
        let service = old().await;
        service.world.open_all();
        service.is(Mood::Failing);
        for _ in 0..59 {
            assert_eq!(said(load(1, Arc::clone(&service))).await, "value 1");
            settle().await;
            advance(SECOND).await;
        }
        // It rests beyond the end of the window.
        assert_eq!(said(load(1, Arc::clone(&service))).await, "value 1");
        advance(SECOND).await;
        assert_eq!(said(load(1, Arc::clone(&service))).await, "fire");
        assert_eq!(load::peek(1).map(Result::ok), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_panics_is_counted_and_reaches_nobody() {
    alone(async {
        let service = Service::new();
        said(patient(1, Arc::clone(&service))).await;
        service.is(Mood::Panicking);
        advance(10 * SECOND).await;
        assert_eq!(said(patient(1, Arc::clone(&service))).await, "value 1");
        settle().await;
        assert_eq!(said(patient(1, Arc::clone(&service))).await, "value 1");
        settle().await;
        let stats = patient::stats();
        assert_eq!((stats.panics, stats.refreshes, stats.in_flight, stats.stale_hits), (1, 1, 0, 2));
        // It rests like any other that failed.
        service.is(Mood::Well);
        advance(SECOND).await;
        assert_eq!(said(patient(1, Arc::clone(&service))).await, "value 1");
        settle().await;
        assert_eq!(said(patient(1, service)).await, "value 3");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_takes_too_long_is_ended_and_leaves_the_old_value() {
    alone(async {
        let service = Service::new();
        said(patient(1, Arc::clone(&service))).await;
        service.is(Mood::Hanging);
        advance(10 * SECOND).await;
        assert_eq!(said(patient(1, Arc::clone(&service))).await, "value 1");
        settle().await;
        assert_eq!(patient::stats().in_flight, 1);
        advance(5 * SECOND).await;
        service.world.gone(2).await;
        assert_eq!(said(patient(1, Arc::clone(&service))).await, "value 1");
        let stats = patient::stats();
        assert_eq!((stats.timeouts, stats.refreshes, stats.in_flight), (1, 1, 0), "it rests");
        service.is(Mood::Well);
        advance(SECOND).await;
        said(patient(1, Arc::clone(&service))).await;
        settle().await;
        assert_eq!(said(patient(1, service)).await, "value 3");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_during_a_refresh_wins() {
    alone(async {
        for clears in [false, true] {
            let service = old().await;
            assert_eq!(load(1, Arc::clone(&service)).await.ok(), Some(1));
            service.world.begun(2).await;
            let removed = if clears { load::clear().removed() } else { load::invalidate(1).removed() };
            assert_eq!(removed, 1, "one key, whose value was being refreshed");
            let call = boarded(load(1, Arc::clone(&service))).await;
            assert_eq!(service.runs(), 3, "what began before is not joined");
            service.world.open(2);
            settle().await;
            assert_eq!(load::peek(1).map(Result::ok), None, "what began before is not kept");
            service.world.open_all();
            assert_eq!(call.await.expect("no panic").ok(), Some(3));
            assert_eq!(said(load(1, service)).await, "value 3");
            load::clear();
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_just_before_a_refresh_wins() {
    /// Invalidates itself when it is copied, which happens between the look and the refresh.
    #[derive(Debug)]
    struct Fickle(u32, Arc<AtomicBool>);

    impl Clone for Fickle {
        fn clone(&self) -> Fickle {
            if self.1.swap(false, SeqCst) {
                assert_eq!(of_fickle::invalidate(Fickle(self.0, Arc::default())).removed(), 1);
            }
            Fickle(self.0, Arc::clone(&self.1))
        }
    }

    impl PartialEq for Fickle {
        fn eq(&self, other: &Fickle) -> bool {
            self.0 == other.0
        }
    }

    impl Eq for Fickle {}

    impl Hash for Fickle {
        fn hash<H: Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }

    #[cached(ttl = "10s", stale = "1m", skip(world))]
    async fn of_fickle(key: Fickle, world: Arc<World>) -> usize {
        drop(key);
        world.body().await
    }

    alone(async {
        let (armed, world) = (Arc::new(AtomicBool::new(false)), World::at_ease());
        of_fickle(Fickle(1, Arc::clone(&armed)), Arc::clone(&world)).await;
        advance(10 * SECOND).await;
        armed.store(true, SeqCst);
        assert_eq!(of_fickle(Fickle(1, Arc::clone(&armed)), Arc::clone(&world)).await, 1, "it had the value already");
        settle().await;
        assert!(!armed.load(SeqCst));
        assert_eq!((world.runs(), of_fickle::stats().refreshes, of_fickle::stats().in_flight), (1, 0, 0));
        assert_eq!(of_fickle::peek(Fickle(1, armed)), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_value_put_in_during_a_refresh_wins() {
    alone(async {
        let service = old().await;
        load(1, Arc::clone(&service)).await.expect("the old value");
        load::insert(1, 100);
        assert_eq!(load(1, Arc::clone(&service)).await.ok(), Some(100));
        service.world.open_all();
        settle().await;
        assert_eq!(load(1, service).await.ok(), Some(100));
        assert_eq!(load::stats().cache_size, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_whose_old_value_was_evicted_brings_its_own() {
    #[cached(ttl = "10s", stale = "1m", capacity = 1, skip(world))]
    async fn small(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    alone(async {
        let (world, ready) = (World::new(), World::at_ease());
        world.open(1);
        small(1, Arc::clone(&world)).await;
        advance(10 * SECOND).await;
        assert_eq!(small(1, Arc::clone(&world)).await, 1);
        for key in 2..10 {
            small(key, Arc::clone(&ready)).await;
        }
        assert_eq!(small::peek(1), None);
        // Who has no old value waits for the new one.
        let call = boarded(small(1, Arc::clone(&world))).await;
        world.open_all();
        assert_eq!(call.await.expect("no panic"), 2);
        assert_eq!((small::peek(1), world.runs(), small::stats().cache_size), (Some(2), 2, 1));
    })
    .await;
}

fn threads(number: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(number).enable_all().build().expect("a runtime can be made")
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
}

/// The first value is old as soon as it is there, the next ones are fresh.
fn only_the_first_is_old(number: usize) -> Duration {
    if number == 1 { Duration::from_nanos(1) } else { HOUR }
}

#[test]
fn a_refresh_whose_runtime_ends_is_begun_anew_by_the_next_caller() {
    #[cached(ttl = |number| only_the_first_is_old(*number), stale = "1d", skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    in_time_blocking(|| {
        for dying in [threads(1), current_thread()] {
            let living = threads(1);
            let before = load::stats();
            let world = World::new();
            world.open(1);
            assert_eq!(living.block_on(load(1, Arc::clone(&world))), 1);
            dying.block_on(async {
                assert_eq!(load(1, Arc::clone(&world)).await, 1);
                world.begun(2).await;
            });
            drop(dying);
            assert_eq!(living.block_on(load(1, Arc::clone(&world))), 1, "the old value is there");
            living.block_on(world.begun(3));
            world.open_all();
            living.block_on(world.gone(3));
            // What has left its body may still be on its way into memory.
            while load::stats().in_flight > 0 {
                std::thread::yield_now();
            }
            assert_eq!(living.block_on(load(1, Arc::clone(&world))), 3);
            let stats = load::stats();
            assert_eq!((stats.refreshes - before.refreshes, stats.abandoned - before.abandoned), (2, 1));
            load::clear();
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_find_an_old_value_at_once_one_refreshes_it() {
    #[cached(ttl = |number| only_the_first_is_old(*number), stale = "1d", skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    alone(async {
        for round in 0..20 {
            let world = World::new();
            world.open(1);
            load(round, Arc::clone(&world)).await;
            let barrier = Arc::new(Barrier::new(50));
            let calls = (0..50).map(|_| {
                let (world, barrier) = (Arc::clone(&world), Arc::clone(&barrier));
                tokio::spawn(async move {
                    barrier.wait().await;
                    load(round, world).await
                })
            });
            assert_eq!(all(calls.collect()).await, [1; 50]);
            world.begun(2).await;
            assert_eq!(world.runs(), 2);
            world.open_all();
        }
        while load::stats().in_flight > 0 {
            tokio::task::yield_now().await;
        }
        let stats = load::stats();
        add_up(&stats);
        assert_eq!((stats.refreshes, stats.stale_hits, stats.executions), (20, 1_000, 40));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_look_is_no_call() {
    alone(async {
        let service = old().await;
        assert_eq!(load::peek(1).and_then(Result::ok), Some(1));
        settle().await;
        assert_eq!((service.runs(), load::stats().requests), (1, 1));
        // Also while it is being refreshed.
        load(1, Arc::clone(&service)).await.expect("the old value");
        assert_eq!(load::peek(1).and_then(Result::ok), Some(1));
        advance(60 * SECOND).await;
        assert_eq!(load::peek(1).map(Result::ok), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_explicit_refresh_waits_for_the_new_value_and_says_how_it_failed() {
    alone(async {
        let service = old().await;
        service.world.open_all();
        service.is(Mood::Failing);
        assert_eq!(said(load::refresh(1, Arc::clone(&service))).await, "fire");
        assert_eq!(said(load(1, Arc::clone(&service))).await, "value 1");
        service.is(Mood::Well);
        assert_eq!(said(load::refresh(1, Arc::clone(&service))).await, "value 3");
        assert_eq!(said(load(1, service)).await, "value 3");
        let stats = load::stats();
        assert_eq!((stats.refreshes, stats.errors, stats.fallbacks), (2, 1, 0), "an old value stood in for nothing");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_explicit_refresh_is_not_answered_with_one_that_began_before() {
    alone(async {
        let service = old().await;
        load(1, Arc::clone(&service)).await.expect("the old value");
        let refresh = boarded(load::refresh(1, Arc::clone(&service))).await;
        assert_eq!(service.runs(), 3);
        service.world.open_all();
        let newest = refresh.await.expect("it is not aborted").expect("a value");
        settle().await;
        assert_eq!(said(load(1, service)).await, format!("value {newest}"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn while_an_explicit_refresh_is_under_way_none_begins_behind() {
    alone(async {
        let service = old().await;
        let refresh = boarded(load::refresh(1, Arc::clone(&service))).await;
        for _ in 0..3 {
            assert_eq!(load(1, Arc::clone(&service)).await.ok(), Some(1));
        }
        settle().await;
        assert_eq!((service.runs(), load::stats().stale_hits), (2, 3));
        // It ends with the only one who asked for it, and then the next caller begins one.
        refresh.abort();
        settle().await;
        assert_eq!(load(1, Arc::clone(&service)).await.ok(), Some(1));
        settle().await;
        assert_eq!(service.runs(), 3);
        service.world.open_all();
        settle().await;
        assert_eq!(said(load(1, service)).await, "value 3");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_queues_like_any_execution_and_its_callers_do_not() {
    #[cached(ttl = "10s", stale = "1d", max_concurrent = 1, skip(service))]
    async fn narrow(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer().await
    }

    alone(async {
        let service = Service::new();
        said(narrow(1, Arc::clone(&service))).await;
        advance(10 * SECOND).await;
        service.world.open(1);
        let other = boarded(narrow(2, Arc::clone(&service))).await;
        assert_eq!(narrow(1, Arc::clone(&service)).await.ok(), Some(1));
        settle().await;
        assert_eq!((service.runs(), narrow::stats().refreshes, narrow::stats().in_flight), (2, 0, 2));
        service.world.open(2);
        assert_eq!(other.await.expect("no panic").ok(), Some(2));
        settle().await;
        service.world.open_all();
        settle().await;
        assert_eq!(said(narrow(1, Arc::clone(&service))).await, "value 3");
        let stats = narrow::stats();
        add_up(&stats);
        assert_eq!((stats.led, stats.stale_hits, stats.cache_hits, stats.refreshes, stats.refused), (2, 1, 1, 1, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_value_that_is_not_to_be_kept_takes_the_old_one_with_it() {
    #[cached(ttl = "10s", stale = "1d", cache_if = |number| *number == 1, skip(world))]
    async fn picky(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    alone(async {
        let world = World::at_ease();
        picky(1, Arc::clone(&world)).await;
        advance(10 * SECOND).await;
        assert_eq!(picky(1, Arc::clone(&world)).await, 1);
        settle().await;
        assert_eq!(picky::peek(1), None);
        assert_eq!(picky(1, world).await, 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_calls_itself_while_it_refreshes_gets_the_old_value() {
    #[cached(ttl = "10s", stale = "1d", skip(world))]
    async fn sum(key: u32, world: Arc<World>) -> usize {
        let number = world.body().await;
        if number == 1 { 1 } else { number + Box::pin(sum(key, world)).await }
    }

    alone(async {
        let world = World::at_ease();
        sum(1, Arc::clone(&world)).await;
        advance(10 * SECOND).await;
        assert_eq!(sum(1, Arc::clone(&world)).await, 1);
        settle().await;
        assert_eq!((sum(1, Arc::clone(&world)).await, world.runs()), (3, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn each_instantiation_of_a_generic_function_has_its_own_old_values() {
    #[cached(ttl = "10s", stale = "1m", skip(world))]
    async fn count<T>(_key: u32, world: Arc<World>) -> T
    where
        T: From<u8> + Clone + Send + Sync + 'static,
    {
        T::from(u8::try_from(world.body().await).expect("few"))
    }

    alone(async {
        let world = World::at_ease();
        assert_eq!(count::<u32>(1, Arc::clone(&world)).await, 1);
        advance(10 * SECOND).await;
        assert_eq!(count::<u64>(1, Arc::clone(&world)).await, 2, "no old value of this type");
        assert_eq!(count::<u32>(1, Arc::clone(&world)).await, 1);
        settle().await;
        assert_eq!(count::<u32>(1, Arc::clone(&world)).await, 3);
        assert_eq!(count::<u64>(1, world).await, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_can_be_configured() {
    #[coalesce(namespace = "stale::bare", ttl = "10s", skip(world))]
    async fn bare(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    #[coalesce(namespace = "stale::attached", ttl = "10s", attached, skip(world))]
    async fn attached(_key: u32, world: &World) -> usize {
        world.body().await
    }

    #[cached(namespace = "stale::stays", ttl = "10s", skip(world))]
    fn stays(_key: u32, world: &World) -> usize {
        world.begin()
    }

    #[cached(namespace = "stale::never", ttl = "10s", stale = "1h", skip(world))]
    async fn never(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    let config = Config::builder()
        .defaults(Settings::new().stale(HOUR))
        .namespace("stale::never", Settings::new().stale(Duration::ZERO))
        .build()
        .expect("the configuration is right");
    let _isolated = isolate_with(config);
    in_time(async {
        let worlds = [(); 4].map(|()| World::at_ease());
        bare(1, Arc::clone(&worlds[0])).await;
        attached(1, &worlds[1]).await;
        stays(1, &worlds[2]);
        never(1, Arc::clone(&worlds[3])).await;
        advance(10 * SECOND).await;
        assert_eq!(bare(1, Arc::clone(&worlds[0])).await, 1);
        assert_eq!(attached(1, &worlds[1]).await, 2, "nothing goes on behind an attached call");
        assert_eq!(stays(1, &worlds[2]), 2, "nor behind one that keeps its body");
        assert_eq!(never(1, Arc::clone(&worlds[3])).await, 2, "a namespace can do without");
        settle().await;
        assert_eq!(bare(1, Arc::clone(&worlds[0])).await, 2);
    })
    .await;
}
