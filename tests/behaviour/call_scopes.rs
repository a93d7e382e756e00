//! `refresh` and `bypass`: what may answer the calls of a future, and which calls are meant.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use stampede_runtime::testing::isolate;
use stampede_runtime::testing::{FaultyBackend, Verb};
use stampede_runtime::{Coalescer, bypass, bypass_now, cached, coalesce, refresh, refresh_now, ttl};
use tokio::task::yield_now;
use tokio::time::advance;

use super::help::{Bell, Mood, Service, Trouble, World, add_up, all, alone, boarded, crowd, in_time, said, settle};
use super::process::process;

const SECOND: Duration = Duration::from_secs(1);

#[cached(ttl = "10s", stale = "1m", stale_if_error = "1h", skip(service))]
async fn load(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
    service.answer().await
}

#[cached(ttl = "1h", skip(world))]
fn now(_key: u32, world: &World) -> usize {
    world.begin()
}

#[tokio::test(start_paused = true)]
async fn a_refresh_reads_nothing_and_keeps_what_it_makes() {
    alone(async {
        let service = Service::new();
        let call = || load(1, Arc::clone(&service));
        assert_eq!((call().await.unwrap(), refresh(call()).await.unwrap(), call().await.unwrap()), (1, 2, 2));
        // Over pauses, and for each call that it makes.
        let twice = refresh(async {
            let first = call().await.unwrap();
            yield_now().await;
            (first, call().await.unwrap(), load(2, Arc::clone(&service)).await.unwrap())
        });
        assert_eq!(twice.await, (3, 4, 5));
        assert_eq!((call().await.unwrap(), load::peek(2).unwrap().unwrap()), (4, 5));
        let stats = load::stats();
        add_up(&stats);
        assert_eq!((stats.requests, stats.refreshes, stats.executions), (3, 4, 5), "refreshes are no requests");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_joins_a_refresh_and_not_what_began_before() {
    alone(async {
        let service = Service::new();
        service.world.open(0);
        let older = boarded(load(1, Arc::clone(&service))).await;
        let refreshes = crowd(3, || refresh(load(1, Arc::clone(&service)))).await;
        let by_companion = boarded(load::refresh(1, Arc::clone(&service))).await;
        let ordinary = boarded(load(1, Arc::clone(&service))).await;
        assert_eq!(service.runs(), 2);
        service.world.open_all();
        assert_eq!(older.await.unwrap().unwrap(), 1);
        assert!(all(refreshes).await.into_iter().all(|result| result.unwrap() == 2));
        assert_eq!((by_companion.await.unwrap().unwrap(), ordinary.await.unwrap().unwrap()), (2, 2));
        assert_eq!(load(1, service).await.unwrap(), 2, "the older one is not kept");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_says_so_and_leaves_the_kept_value() {
    alone(async {
        let service = Service::new();
        assert_eq!(said(load(1, Arc::clone(&service))).await, "value 1");
        service.is(Mood::Failing);
        assert_eq!(said(refresh(load(1, Arc::clone(&service)))).await, "fire");
        assert_eq!(said(load(1, Arc::clone(&service))).await, "value 1");
        advance(100 * SECOND).await;
        assert_eq!(said(refresh(load(1, Arc::clone(&service)))).await, "fire", "no old value stands in");
        assert_eq!(said(load(1, service)).await, "value 1");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_bypasses_shares_nothing() {
    alone(async {
        let service = Service::new();
        let call = || load(1, Arc::clone(&service));
        assert_eq!(call().await.unwrap(), 1);
        assert_eq!((bypass(call()).await.unwrap(), call().await.unwrap()), (2, 1), "nothing is read or kept");
        service.world.open(2);
        let calls = crowd(3, || bypass(call())).await;
        service.world.begun(5).await;
        let kept = boarded(load(2, Arc::clone(&service))).await;
        let beside = boarded(bypass(load(2, Arc::clone(&service)))).await;
        assert_eq!(service.runs(), 7, "nor is anything joined");
        service.world.open_all();
        let mut numbers = all(calls).await.into_iter().map(Result::unwrap).collect::<Vec<_>>();
        numbers.sort_unstable();
        assert_eq!(numbers, [3, 4, 5]);
        assert_eq!((kept.await.unwrap().unwrap(), beside.await.unwrap().unwrap()), (6, 7));
        let stats = load::stats();
        add_up(&stats);
        assert_eq!((stats.bypassed, stats.executions, stats.cache_size), (5, 2, 2));
        // Its errors are its own, and its panics.
        for (mood, end) in [(Mood::Failing, "fire"), (Mood::Panicking, "panic broken")] {
            service.is(mood);
            assert_eq!(said(bypass(call())).await, end);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_option_applies_to_what_bypasses() {
    #[coalesce(timeout = "1s", wait = "1s", max_concurrent = 1, skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> Result<usize, Trouble> {
        Ok(world.body().await)
    }

    alone(async {
        let world = World::new();
        let calls = crowd(3, || bypass(load(1, Arc::clone(&world)))).await;
        assert_eq!(world.runs(), 3);
        advance(10 * SECOND).await;
        settle().await;
        world.open_all();
        assert_eq!(all(calls).await.into_iter().map(Result::unwrap).sum::<usize>(), 6);
        // Dropped, it drops its body.
        let gate = World::new();
        boarded(bypass(load(1, Arc::clone(&gate)))).await.abort();
        gate.gone(1).await;
        assert_eq!(gate.ended(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_stronger_of_two_holds() {
    alone(async {
        let service = Service::new();
        let call = || load(1, Arc::clone(&service));
        assert_eq!(call().await.unwrap(), 1);
        assert_eq!(bypass(refresh(call())).await.unwrap(), 2);
        assert_eq!(refresh(bypass(call())).await.unwrap(), 3);
        assert_eq!(bypass(load::refresh(1, Arc::clone(&service))).await.unwrap(), 4);
        assert_eq!(call().await.unwrap(), 1);
        assert_eq!(refresh(load::refresh(1, Arc::clone(&service))).await.unwrap(), 5);
        // An inner scope ends where it ends.
        let (inner, outer) = refresh(async { (bypass(call()).await.unwrap(), call().await.unwrap()) }).await;
        assert_eq!((inner, outer, call().await.unwrap()), (6, 7, 7));
        let stats = load::stats();
        assert_eq!((stats.bypassed, stats.refreshes, stats.led), (4, 2, 1));
        // What else the companion does is not affected.
        bypass(async { load::insert(1, 100) }).await;
        assert_eq!(refresh(async { load::peek(1) }).await.unwrap().unwrap(), 100);
    })
    .await;
}

#[coalesce(ttl = "1h", skip(world))]
async fn inner(_key: u32, world: Arc<World>) -> usize {
    yield_now().await;
    world.begin()
}

#[tokio::test(start_paused = true)]
async fn what_a_body_calls_is_not_meant() {
    #[coalesce(ttl = "1h", skip(world))]
    async fn outer(_key: u32, world: Arc<World>) -> usize {
        // In the first poll, and in those of a task.
        let first = inner(1, Arc::clone(&world)).await;
        yield_now().await;
        assert_eq!(first, inner(1, world).await);
        first
    }

    #[coalesce(ttl = "1h", attached, skip(world))]
    async fn attached(_key: u32, world: &Arc<World>) -> usize {
        yield_now().await;
        inner(1, Arc::clone(world)).await
    }

    #[cached(ttl = "1h", skip(world))]
    fn outer_now(_key: u32, world: &World) -> usize {
        now(1, world)
    }

    alone(async {
        let world = World::new();
        assert_eq!(inner(1, Arc::clone(&world)).await, 1);
        assert_eq!(refresh(outer(1, Arc::clone(&world))).await, 1);
        assert_eq!(bypass(outer(1, Arc::clone(&world))).await, 1);
        assert_eq!((refresh(attached(1, &world)).await, bypass(attached(1, &world)).await), (1, 1));
        assert_eq!((inner::stats().executions, outer::stats().executions), (1, 1));
        let world = World::new();
        assert_eq!(now(1, &world), 1);
        assert_eq!((refresh_now(|| outer_now(1, &world)), bypass_now(|| outer_now(1, &world))), (1, 1));
        assert_eq!(now::stats().executions, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_runs_elsewhere_is_not_meant() {
    alone(async {
        let world = World::new();
        let call = || inner(1, Arc::clone(&world));
        assert_eq!(call().await, 1);
        assert_eq!(refresh(tokio::spawn(call())).await.unwrap(), 1);
        // Nor what is polled beside it, on the same thread.
        let (one, other) = tokio::join!(refresh(call()), async {
            yield_now().await;
            call().await
        });
        assert_eq!((one, inner::stats().executions), (2, 2));
        assert!(other <= 2);
        // A call is made where it is polled for the first time.
        let mut begun = pin!(inner(2, Arc::clone(&world)));
        assert!(Bell::new().poll(begun.as_mut()).is_pending());
        assert_eq!(refresh(begun).await, 3);
        assert_eq!((inner::stats().refreshes, inner::stats().led), (1, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn neither_reads_nor_writes_the_backend() {
    #[cached(ttl = "1h", backend = "main", namespace = "call_scopes", skip(world))]
    async fn load(_key: u32, world: Arc<World>) -> usize {
        world.body().await
    }

    let (fake, world) = (FaultyBackend::new(), World::at_ease());
    process(&fake, async {
        assert_eq!(bypass(load(1, Arc::clone(&world))).await, 1);
        settle().await;
        assert_eq!((fake.on(Verb::Get).asked(), fake.on(Verb::Set).asked()), (0, 0));
        // A refresh writes, and does not read.
        assert_eq!(refresh(load(1, Arc::clone(&world))).await, 2);
        settle().await;
        assert_eq!((fake.on(Verb::Get).asked(), fake.on(Verb::Set).asked()), (0, 1));
    })
    .await;
    process(&fake, async { assert_eq!(load(1, Arc::clone(&world)).await, 2) }).await;
}

#[tokio::test(start_paused = true)]
async fn methods_without_a_companion_and_coalescers() {
    struct Users(World);

    impl Users {
        #[cached(ttl = "1h", skip(self))]
        async fn load(self: Arc<Self>, _id: u32) -> usize {
            self.0.begin()
        }
    }

    alone(async {
        let users = Arc::new(Users(World::default()));
        let call = || Arc::clone(&users).load(1);
        assert_eq!((call().await, call().await, refresh(call()).await, call().await), (1, 1, 2, 2));
        assert_eq!((bypass(call()).await, call().await), (3, 2));

        let (kept, world) = (Coalescer::<u32, usize>::builder().ttl(ttl::HOUR).build(), World::new());
        let call = || {
            let world = Arc::clone(&world);
            kept.run(&1, || async move { world.begin() })
        };
        assert_eq!((call().await, call().await, refresh(call()).await, call().await), (1, 1, 2, 2));
        assert_eq!((bypass(call()).await, call().await), (3, 2));
        assert_eq!((kept.stats().refreshes, kept.stats().bypassed), (1, 1));
    })
    .await;
}

#[test]
fn of_sync_functions() {
    let _isolated = isolate();
    let world = World::new();
    let call = || now(1, &world);
    assert_eq!((call(), call(), refresh_now(call), call()), (1, 1, 2, 2));
    assert_eq!((bypass_now(call), call()), (3, 2));
    assert_eq!(bypass_now(|| refresh_now(call)), 4);
    assert_eq!((refresh_now(|| (call(), call())), call()), ((5, 6), 6));
    // Not on other threads, which this isolation does not hold for either.
    let elsewhere = refresh_now(|| {
        let world = &world;
        std::thread::scope(|scope| scope.spawn(move || (now(1, world), now(1, world))).join().unwrap())
    });
    assert_eq!(elsewhere, (7, 7));
    // A panic ends a scope.
    let panicked = std::panic::catch_unwind(|| bypass_now(|| panic!("in the scope")));
    assert!(panicked.is_err());
    assert_eq!(call(), 6);
}

#[tokio::test(start_paused = true)]
async fn an_async_scope_holds_for_sync_calls() {
    alone(async {
        let world = World::new();
        assert_eq!(now(1, &world), 1);
        assert_eq!(refresh(async { now(1, &world) }).await, 2);
        assert_eq!((bypass(async { now(1, &world) }).await, now(1, &world)), (3, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_an_isolation_it_is_the_same() {
    #[cached(ttl = "1h", skip(world))]
    async fn alike(_key: u32, world: Arc<World>) -> usize {
        world.begin()
    }

    in_time(async {
        let world = World::new();
        let call = || alike(1, Arc::clone(&world));
        assert_eq!((call().await, call().await), (1, 1));
        assert_eq!((refresh(call()).await, call().await), (2, 2));
        assert_eq!((bypass(call()).await, call().await), (3, 2));
        assert_eq!((alike::refresh(1, Arc::clone(&world)).await, call().await), (4, 4));
        // While a scope waits somewhere, all others are what they are.
        let gate = World::new();
        let waits = boarded(refresh({
            let gate = Arc::clone(&gate);
            async move { gate.body().await }
        }))
        .await;
        assert_eq!((call().await, call().await), (4, 4));
        gate.open_all();
        waits.await.unwrap();
        assert_eq!(alike::stats().cache_hits, 6);
    })
    .await;
}

/// A handler may choose, at no cost of a box.
#[tokio::test(start_paused = true)]
async fn a_handler_chooses_by_what_its_request_says() {
    async fn handle(cache_control: &str, call: impl Future<Output = usize>) -> usize {
        match cache_control {
            "no-cache" => refresh(call).await,
            "no-store" => bypass(call).await,
            _ => call.await,
        }
    }

    alone(async {
        let world = World::new();
        let mut answers = Vec::new();
        for said in ["", "", "no-cache", "", "no-store", ""] {
            answers.push(handle(said, inner(1, Arc::clone(&world))).await);
        }
        assert_eq!(answers, [1, 1, 2, 2, 3, 2]);
    })
    .await;
}
