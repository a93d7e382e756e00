//! `outcome`: what became of a call, for every way that a call can go.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::testing::FaultyBackend;
use stampede_runtime::testing::isolate_with;
use stampede_runtime::{
    Coalescer, Config, Outcome, Settings, Tier, bypass, cached, coalesce, outcome, outcome_now, ttl,
};
use tokio::time::{advance, sleep};

use super::help::{Mood, Service, Trouble, World, alone, boarded, in_a_process_of_its_own, in_time, settle};
use super::process::process;

const SECOND: Duration = Duration::from_secs(1);

const JOINED: Outcome = Outcome::Joined { similarity: 1.0 };

fn hit(age: Duration) -> Outcome {
    Outcome::Hit { tier: Tier::Memory, is_stale: false, age }
}

fn stale_hit(age: Duration) -> Outcome {
    Outcome::Hit { tier: Tier::Memory, is_stale: true, age }
}

/// What became of a call.
async fn of<R>(call: impl Future<Output = R>) -> Outcome {
    outcome(call).await.1.expect("a shared function was called")
}

#[cached(ttl = "10s", stale = "20s", stale_if_error = "1m", skip(service))]
async fn load(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
    service.answer().await
}

#[tokio::test(start_paused = true)]
async fn executed_joined_and_hit() {
    alone(async {
        let service = Service::new();
        service.world.open(0);
        let first = boarded(outcome(load(1, Arc::clone(&service)))).await;
        let second = boarded(outcome(load(1, Arc::clone(&service)))).await;
        service.world.open_all();
        assert_eq!(first.await.unwrap().1, Some(Outcome::Executed));
        assert_eq!(second.await.unwrap().1, Some(JOINED));
        assert_eq!(of(load(1, Arc::clone(&service))).await, hit(Duration::ZERO));
        advance(7 * SECOND).await;
        assert_eq!(of(load(1, Arc::clone(&service))).await, hit(7 * SECOND));
        load::insert(2, 5);
        advance(2 * SECOND).await;
        assert_eq!(of(load(2, service)).await, hit(2 * SECOND), "what was put in was made then");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn errors_panics_and_timeouts_are_executions_and_shared_ones_joined() {
    #[coalesce(timeout = "5s", skip(service))]
    async fn load(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer().await
    }

    alone(async {
        for mood in [Mood::Failing, Mood::Hanging] {
            let service = Service::new();
            service.is(mood);
            service.world.open(0);
            let first = boarded(outcome(load(1, Arc::clone(&service)))).await;
            let second = boarded(outcome(load(1, Arc::clone(&service)))).await;
            service.world.open_all();
            let (first, second) = (first.await.unwrap(), second.await.unwrap());
            assert!(first.0.is_err() && second.0.is_err());
            assert_eq!((first.1, second.1), (Some(Outcome::Executed), Some(JOINED)), "{mood:?}");
        }
        let service = Service::new();
        service.is(Mood::Panicking);
        assert!(boarded(outcome(load(1, service))).await.await.unwrap_err().is_panic());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_a_stale_hit_and_as_old_as_it_is() {
    alone(async {
        let service = Service::new();
        of(load(1, Arc::clone(&service))).await;
        advance(12 * SECOND).await;
        service.world.open(1);
        // Who refreshes it gets it as well as those who come meanwhile.
        assert_eq!(of(load(1, Arc::clone(&service))).await, stale_hit(12 * SECOND));
        assert_eq!(load::stats().refreshes, 1);
        assert_eq!(of(load(1, Arc::clone(&service))).await, stale_hit(12 * SECOND));
        service.world.open_all();
        settle().await;
        assert_eq!(of(load(1, service)).await, hit(Duration::ZERO));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_renewed_early_is_a_fresh_hit() {
    #[cached(ttl = "1m", early = 100.0)]
    async fn load(_key: u32) -> u32 {
        sleep(SECOND).await;
        1
    }

    alone(async {
        assert_eq!(of(load(1)).await, Outcome::Executed);
        // Each call may be the one.
        while load::stats().refreshes == 0 {
            assert_eq!(of(load(1)).await, hit(Duration::ZERO));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_kept_error_is_a_hit() {
    #[cached(ttl = "1m", cache_err = "10s")]
    async fn load(_key: u32) -> Result<u32, String> {
        Err("no".to_owned())
    }

    alone(async {
        assert_eq!(of(load(1)).await, Outcome::Executed);
        advance(3 * SECOND).await;
        assert_eq!(of(load(1)).await, hit(3 * SECOND));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_old_value_in_the_place_of_an_error_is_a_fallback() {
    alone(async {
        let service = Service::new();
        of(load(1, Arc::clone(&service))).await;
        advance(31 * SECOND).await;
        service.is(Mood::Failing);
        service.world.open(1);
        let first = boarded(outcome(load(1, Arc::clone(&service)))).await;
        let second = boarded(outcome(load(1, Arc::clone(&service)))).await;
        service.world.open_all();
        let fallback = |has_led| Some(Outcome::Fallback { age: 31 * SECOND, has_led });
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        assert_eq!((first.0.unwrap(), first.1), (1, fallback(true)));
        assert_eq!((second.0.unwrap(), second.1), (1, fallback(false)));
        assert!(!first.1.unwrap().is_saved() && second.1.unwrap().is_saved());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_old_value_for_those_who_waited_long_enough_is_a_fallback() {
    #[cached(ttl = "10s", stale_if_error = "1m", soft_timeout = "2s", skip(world))]
    async fn soft(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    #[cached(ttl = "10s", stale_if_error = "1m", wait = "2s", skip(service))]
    async fn wait(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer().await
    }

    alone(async {
        let (world, service) = (World::at_ease(), Service::new());
        soft(1, Arc::clone(&world)).await;
        wait(1, Arc::clone(&service)).await.unwrap();
        advance(10 * SECOND).await;
        world.open(1);
        service.world.open(1);
        let fallback = |has_led| Outcome::Fallback { age: 12 * SECOND, has_led };
        let joined = boarded(async { 1 }).await;
        let first = boarded(outcome(soft(1, Arc::clone(&world)))).await;
        let second = boarded(outcome(soft(1, world))).await;
        let third = boarded(outcome(wait(1, service))).await;
        joined.await.unwrap();
        assert_eq!(first.await.unwrap(), (1, Some(fallback(true))));
        assert_eq!(second.await.unwrap(), (1, Some(fallback(false))));
        assert_eq!(third.await.unwrap().1, Some(fallback(true)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_is_refused() {
    #[coalesce(wait = "2s", max_concurrent = 1, skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> Result<usize, Trouble> {
        Ok(world.body().await)
    }

    alone(async {
        let world = World::new();
        let leads = boarded(outcome(load(1, Arc::clone(&world)))).await;
        let queues = boarded(outcome(load(2, Arc::clone(&world)))).await;
        let (leads, queues) = (leads.await.unwrap(), queues.await.unwrap());
        assert!(leads.0.is_err() && queues.0.is_err());
        assert_eq!((leads.1, queues.1), (Some(Outcome::Refused), Some(Outcome::Refused)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_from_inside_its_own_execution_is_bypassed() {
    // One key, whatever the depth is.
    #[coalesce(key(1))]
    async fn again(depth: u32) -> Option<Outcome> {
        if depth < 1 { Box::pin(outcome(again(depth + 1))).await.1 } else { None }
    }

    alone(async {
        let (inner, outer) = outcome(again(0)).await;
        assert_eq!((inner, outer), (Some(Outcome::Bypassed), Some(Outcome::Executed)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_value_of_the_backend_says_so_and_is_as_old_as_there() {
    #[cached(ttl = "1h", stale = "1h", backend = "main", namespace = "call_outcomes", skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    let found = |is_stale, age| Outcome::Hit { tier: Tier::Backend, is_stale, age };
    let (fake, world) = (FaultyBackend::new(), World::at_ease());
    process(&fake, async { of(load(1, Arc::clone(&world))).await }).await;
    process(&fake, async {
        advance(100 * SECOND).await;
        assert_eq!(of(load(1, Arc::clone(&world))).await, found(false, 100 * SECOND));
        advance(SECOND).await;
        assert_eq!(of(load(1, Arc::clone(&world))).await, hit(101 * SECOND), "and is in memory from then on");
    })
    .await;
    process(&fake, async {
        advance(3_600 * SECOND).await;
        world.open(world.runs());
        assert_eq!(of(load(1, Arc::clone(&world))).await, found(true, 3_701 * SECOND));
        world.open_all();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_body_calls_and_what_is_spawned_is_not_meant() {
    #[coalesce(ttl = "1h", key(key))]
    async fn inner(key: u32) -> u32 {
        tokio::task::yield_now().await;
        key
    }

    #[coalesce(skip(seen))]
    async fn outer(_key: u32, seen: Arc<std::sync::Mutex<Option<Outcome>>>) {
        inner(1).await;
        *seen.lock().unwrap() = outcome(inner(1)).await.1;
    }

    alone(async {
        let seen = Arc::default();
        inner(1).await;
        assert_eq!(of(outer(1, Arc::clone(&seen))).await, Outcome::Executed, "not the hit inside");
        assert_eq!(*seen.lock().unwrap(), Some(hit(Duration::ZERO)), "a body has scopes of its own");
        assert_eq!(outcome(tokio::spawn(inner(1))).await.1, None);
        assert_eq!(outcome(async { 1 }).await, (1, None));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn of_several_calls_the_last_to_end_is_meant_wherever_they_pause() {
    alone(async {
        let service = Service::new();
        load(1, Arc::clone(&service)).await.unwrap();
        service.world.open(1);
        let both = {
            let service = Arc::clone(&service);
            async move { tokio::join!(load(2, Arc::clone(&service)), load(1, Arc::clone(&service))) }
        };
        let both = boarded(outcome(both)).await;
        service.world.open_all();
        assert_eq!(both.await.unwrap().1, Some(Outcome::Executed));
        let after = async {
            load(3, Arc::clone(&service)).await.unwrap();
            tokio::task::yield_now().await;
            let inner = of(load(3, Arc::clone(&service))).await;
            (inner, load(1, Arc::clone(&service)).await.is_ok())
        };
        let ((inner, _), outer) = outcome(after).await;
        assert_eq!((inner, outer), (hit(Duration::ZERO), Some(hit(Duration::ZERO))));
        // A call that was made before and is awaited in here is not made in here.
        let early = boarded(load(4, service)).await;
        assert_eq!(outcome(early).await.1, None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nobody_elses_calls_are_meant() {
    alone(async {
        let service = Service::new();
        load(1, Arc::clone(&service)).await.unwrap();
        service.world.open(1);
        let watched = boarded(outcome(load(2, Arc::clone(&service)))).await;
        // Its scope is not there while it is not polled.
        load(1, Arc::clone(&service)).await.unwrap();
        service.world.open_all();
        assert_eq!(watched.await.unwrap().1, Some(Outcome::Executed));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_an_isolation_it_is_the_same() {
    #[cached(ttl = "1h")]
    async fn alike(key: u32) -> u32 {
        key
    }

    #[cached(ttl = "1h")]
    async fn of_any<T: std::fmt::Debug + Clone + std::hash::Hash + Eq + Send + Sync + 'static>(key: T) -> String {
        format!("{key:?}")
    }

    in_time(async {
        assert_eq!((alike(1).await, of(alike(1)).await, alike(1).await), (1, hit(Duration::ZERO), 1));
        // The instantiation that was called first is at hand, and the other is not.
        for _ in 0..2 {
            of_any(1).await;
            of_any("one").await;
        }
        assert_eq!((of(of_any(1)).await, of(of_any("one")).await), (hit(Duration::ZERO), hit(Duration::ZERO)));
        assert_eq!((of(of_any(2)).await, of(of_any("two")).await), (Outcome::Executed, Outcome::Executed));
        assert_eq!((alike::stats().requests, of_any::stats::<u32>().requests), (3, 0));
        assert_eq!(of_any::stats::<&'static str>().requests, 4);
    })
    .await;
}

#[test]
fn of_sync_functions() {
    #[cached(ttl = "1h")]
    fn load(key: u32) -> Option<Outcome> {
        // What a body calls is not meant.
        if key == 1 { outcome_now(|| load(2)).1 } else { None }
    }

    let _isolated = isolate_with(Config::default());
    assert_eq!(outcome_now(|| load(1)), (Some(Outcome::Executed), Some(Outcome::Executed)));
    assert!(matches!(outcome_now(|| load(2)).1, Some(Outcome::Hit { tier: Tier::Memory, is_stale: false, .. })));
    assert_eq!(outcome_now(|| std::thread::spawn(|| load(2)).join().unwrap()).1, None);
    assert_eq!(outcome_now(|| 1), (1, None));
}

#[tokio::test(start_paused = true)]
async fn of_coalescers() {
    alone(Box::pin(async {
        let kept: Coalescer<u32, u32> = Coalescer::builder().ttl(ttl::HOUR).build();
        assert_eq!(of(kept.run(&1, || async { 1 })).await, Outcome::Executed);
        advance(SECOND).await;
        assert_eq!(of(kept.run(&1, || async { 2 })).await, hit(SECOND));
        assert_eq!(outcome(bypass(kept.run(&1, || async { 3 }))).await, (3, Some(Outcome::Bypassed)));
        // An error of another type is not understood: the call runs its own work.
        let world = World::new();
        let gate = Arc::clone(&world);
        let other = kept.clone();
        let first = tokio::spawn(async move {
            other.try_run(&2, || async move { Err::<u32, String>(gate.body().await.to_string()) }).await
        });
        settle().await;
        let other = kept.clone();
        let second = boarded(outcome(async move { other.try_run(&2, || async { Err::<u32, u8>(7) }).await })).await;
        world.open_all();
        assert_eq!(first.await.unwrap(), Err("1".to_owned()));
        assert_eq!(second.await.unwrap(), (Err(7), Some(Outcome::Executed)));
    }))
    .await;
}

#[test]
fn with_sharing_switched_off_every_call_is_bypassed() {
    let test = "behaviour::call_outcomes::all_are_bypassed";
    in_a_process_of_its_own(test, &[("STAMPEDE_OFF", "1")]);
}

#[tokio::test(start_paused = true)]
#[ignore = "run in a process of its own, with STAMPEDE_OFF"]
async fn all_are_bypassed() {
    let service = Service::new();
    for _ in 0..2 {
        assert_eq!(of(load(1, Arc::clone(&service))).await, Outcome::Bypassed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_keeps_nothing_shows() {
    let config = Config::builder().namespace(module_path!(), Settings::new().ttl(Duration::ZERO)).build().unwrap();
    let _isolated = isolate_with(config);
    in_time(async {
        let service = Service::new();
        for _ in 0..2 {
            assert_eq!(of(load(1, Arc::clone(&service))).await, Outcome::Executed);
        }
    })
    .await;
}

#[test]
fn an_outcome_says_what_it_is() {
    let (tier, age) = (Tier::Backend, 1500 * Duration::from_millis(1));
    let fallback = Outcome::Fallback { age, has_led: true };
    for (outcome, text, is_saved) in [
        (Outcome::Executed, "executed", false),
        (Outcome::Bypassed, "bypassed", false),
        (Outcome::Refused, "refused", false),
        (JOINED, "joined", true),
        (Outcome::Joined { similarity: 0.5 }, "joined, similarity 0.500", true),
        (Outcome::Hit { tier, is_stale: false, age }, "hit in the backend, 1.5s old", true),
        (Outcome::Hit { tier, is_stale: true, age }, "stale hit in the backend, 1.5s old", true),
        (fallback, "fallback, 1.5s old", false),
    ] {
        assert_eq!((outcome.to_string().as_str(), outcome.is_saved()), (text, is_saved));
    }
    assert_eq!((fallback.tier(), fallback.age(), JOINED.age()), (Some(Tier::Memory), Some(age), None));
}
