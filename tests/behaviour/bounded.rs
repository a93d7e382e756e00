//! `timeout` ends a hung body, `wait` bounds one caller's patience, `max_concurrent` queues; and nothing is left behind.

use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use stampede_runtime::coalesce;
use tokio::task::yield_now;
use tokio::time::{Instant, advance};

use super::help::{Token, Trouble, World, all, alone, boarded, ending, freed, settle};

const SECOND: Duration = Duration::from_secs(1);

#[coalesce(ttl = "1h", timeout = "10s", skip(world))]
async fn timed(_key: u32, world: Arc<World>) -> Result<usize, Trouble> {
    Ok(world.body().await)
}

#[coalesce(ttl = "1h", wait = "3s", skip(world))]
async fn patient(_key: u32, world: Arc<World>) -> Result<usize, Trouble> {
    Ok(world.body().await)
}

#[coalesce(ttl = "1h", max_concurrent = 2, wait = "3s", skip(world))]
async fn narrow(_key: u32, world: Arc<World>) -> Result<usize, Trouble> {
    Ok(world.body().await)
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_the_body_for_every_caller_and_frees_the_key() {
    alone(async {
        let world = World::new();
        let start = Instant::now();
        let first = boarded(timed(1, Arc::clone(&world))).await;
        advance(5 * SECOND).await;
        let late = boarded(timed(1, Arc::clone(&world))).await;
        assert_eq!((ending(first).await, ending(late).await), ("timeout".to_owned(), "timeout".to_owned()));
        // The time is the execution's, not the caller's.
        assert_eq!(start.elapsed(), 10 * SECOND);
        world.gone(1).await;
        assert_eq!(world.ended(), 0);
        let stats = timed::stats();
        assert_eq!((stats.timeouts, stats.abandoned, stats.in_flight, stats.executions), (1, 0, 0, 1));

        world.open_all();
        assert_eq!(ending(boarded(timed(1, Arc::clone(&world))).await).await, "value 2");
        assert_eq!(ending(boarded(timed(1, Arc::clone(&world))).await).await, "value 2");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_in_time_is_not_ended() {
    alone(async {
        let world = World::new();
        let call = boarded(timed(1, Arc::clone(&world))).await;
        advance(9 * SECOND).await;
        world.open_all();
        assert_eq!(ending(call).await, "value 1");
        advance(10 * SECOND).await;
        settle().await;
        assert_eq!((timed::stats().timeouts, timed::stats().cache_size), (0, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_holds_also_when_the_first_caller_has_left() {
    alone(async {
        let world = World::new();
        let first = boarded(timed(1, Arc::clone(&world))).await;
        let other = boarded(timed(1, Arc::clone(&world))).await;
        first.abort();
        let start = Instant::now();
        assert_eq!(ending(other).await, "timeout");
        assert_eq!(start.elapsed(), 10 * SECOND);
    })
    .await;
}

/// Blocks its thread until it hears from the test: at once, or after a first await.
#[coalesce(ttl = "1h", timeout = "20ms", skip(at_once, world, release))]
async fn blocking(
    _key: u32,
    at_once: bool,
    world: Arc<World>,
    release: Arc<Mutex<mpsc::Receiver<()>>>,
) -> Result<usize, Trouble> {
    let number = world.begin();
    if !at_once {
        yield_now().await;
    }
    if number == 1 {
        // An error means that the test has ended.
        let _ = release.lock().unwrap_or_else(PoisonError::into_inner).recv();
    }
    Ok(number)
}

async fn a_blocked_body_loses_its_key_and_its_result(at_once: bool) {
    let world = World::new();
    let (release, released) = mpsc::channel();
    let released = Arc::new(Mutex::new(released));
    let call = || blocking(1, at_once, Arc::clone(&world), Arc::clone(&released));
    let first = tokio::spawn(call());
    world.begun(1).await;
    let second = tokio::spawn(call());
    // The thread of the body is still blocked while they are told.
    assert_eq!(ending(second).await, "timeout");
    assert_eq!(ending(first).await, "timeout");
    assert_eq!(ending(tokio::spawn(call())).await, "value 2", "the key is free");
    release.send(()).expect("the body listens");
    while Arc::strong_count(&world) > 1 {
        yield_now().await;
    }
    assert!(matches!(blocking::peek(1), Some(Ok(2))), "the late result is discarded");
    let stats = blocking::stats();
    assert_eq!((stats.timeouts, stats.in_flight), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_body_that_stops_yielding_loses_its_key_and_its_result() {
    alone(a_blocked_body_loses_its_key_and_its_result(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_body_that_never_yields_loses_its_key_and_its_result() {
    alone(a_blocked_body_loses_its_key_and_its_result(true)).await;
}

#[tokio::test(start_paused = true)]
async fn wait_bounds_one_caller_and_not_the_others() {
    alone(async {
        let world = World::new();
        let first = boarded(patient(1, Arc::clone(&world))).await;
        advance(2 * SECOND).await;
        let second = boarded(patient(1, Arc::clone(&world))).await;
        let start = Instant::now();
        assert_eq!(ending(first).await, "wait");
        assert_eq!(start.elapsed(), SECOND);
        world.open_all();
        assert_eq!(ending(second).await, "value 1");
        assert_eq!(world.runs(), 1);
        let stats = patient::stats();
        assert_eq!((stats.requests, stats.led, stats.coalesce_hits, stats.refused), (2, 1, 1, 0));
        assert_eq!(stats.timeouts, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn when_the_last_caller_loses_patience_the_work_ends() {
    alone(async {
        let world = World::new();
        assert_eq!(ending(tokio::spawn(patient(1, Arc::clone(&world)))).await, "wait");
        world.gone(1).await;
        assert_eq!(world.ended(), 0);
        assert_eq!(patient::stats().in_flight, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_more_than_max_concurrent_run_at_once() {
    alone(async {
        let world = World::new();
        let mut calls = Vec::new();
        for key in 0..6 {
            calls.push(boarded(narrow(key, Arc::clone(&world))).await);
        }
        for running in [2, 4, 6] {
            settle().await;
            assert_eq!(world.runs(), running);
            world.open(running);
            advance(SECOND / 2).await;
        }
        let mut results = Vec::new();
        for call in calls {
            results.push(ending(call).await);
        }
        results.sort();
        assert_eq!(results, (1..=6).map(|number| format!("value {number}")).collect::<Vec<_>>());
        let stats = narrow::stats();
        assert_eq!((stats.requests, stats.led, stats.executions, stats.refused), (6, 6, 6, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_more_than_max_concurrent_run_at_once_on_many_threads() {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);

    #[coalesce(max_concurrent = 3)]
    async fn three(key: u32) -> Result<u32, Trouble> {
        assert!(RUNNING.fetch_add(1, SeqCst) < 3);
        for _ in 0..key % 5 {
            yield_now().await;
        }
        RUNNING.fetch_sub(1, SeqCst);
        Ok(key)
    }

    alone(async {
        let calls = (0..2_000).map(|call| tokio::spawn(three(call % 500)));
        for (call, result) in all(calls.collect()).await.into_iter().enumerate() {
            assert_eq!(result.expect("no refusal without `wait`") as usize, call % 500);
        }
        let stats = three::stats();
        assert_eq!((stats.requests, stats.in_flight, stats.refused), (2_000, 0, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_in_the_queue_is_refused() {
    alone(async {
        let world = World::new();
        let mut running = vec![tokio::spawn(keep_busy(1, Arc::clone(&world)))];
        running.push(tokio::spawn(keep_busy(2, Arc::clone(&world))));
        world.begun(2).await;
        let start = Instant::now();
        let queued = boarded(busy(3, Arc::clone(&world))).await;
        let joined = boarded(busy(3, Arc::clone(&world))).await;
        assert_eq!((ending(queued).await, ending(joined).await), ("refused".to_owned(), "refused".to_owned()));
        assert_eq!(start.elapsed(), 3 * SECOND);
        assert_eq!(world.runs(), 2, "the refused body never began");
        let stats = busy::stats();
        assert_eq!((stats.refused, stats.in_flight), (2, 2));
        world.open_all();
        assert_eq!(ending(boarded(busy(3, Arc::clone(&world))).await).await, "value 3", "the key is free");
        for call in running {
            call.abort();
        }
    })
    .await;
}

#[coalesce(max_concurrent = 2, wait = "3s", skip(world))]
async fn busy(_key: u32, world: Arc<World>) -> Result<usize, Trouble> {
    Ok(world.body().await)
}

/// Keeps an execution alive by calls that take each other's place before their patience ends.
async fn keep_busy(key: u32, world: Arc<World>) {
    let mut before = boarded(busy(key, Arc::clone(&world))).await;
    loop {
        tokio::time::sleep(SECOND).await;
        let next = boarded(busy(key, Arc::clone(&world))).await;
        before.abort();
        before = next;
    }
}

#[tokio::test(start_paused = true)]
async fn a_queued_flight_belongs_to_nobody_either() {
    alone(async {
        let world = World::new();
        let running = [boarded(narrow(1, Arc::clone(&world))).await, boarded(narrow(2, Arc::clone(&world))).await];
        let first = boarded(narrow(3, Arc::clone(&world))).await;
        let second = boarded(narrow(3, Arc::clone(&world))).await;
        first.abort();
        settle().await;
        world.open_all();
        assert_eq!(ending(second).await, "value 3");
        for call in running {
            assert!(ending(call).await.starts_with("value"));
        }
        let stats = narrow::stats();
        assert_eq!((stats.requests, stats.executions, stats.in_flight), (4, 3, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_flight_abandoned_in_the_queue_gives_its_turn_away() {
    alone(async {
        let world = World::new();
        let running = [boarded(narrow(1, Arc::clone(&world))).await, boarded(narrow(2, Arc::clone(&world))).await];
        let given_up = boarded(narrow(3, Arc::clone(&world))).await;
        let next = boarded(narrow(4, Arc::clone(&world))).await;
        given_up.abort();
        settle().await;
        world.open_all();
        assert_eq!(ending(next).await, "value 3");
        for call in running {
            assert!(ending(call).await.starts_with("value"));
        }
        assert_eq!(world.runs(), 3);
        assert_eq!(narrow::stats().in_flight, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn every_ending_gives_the_turn_back() {
    #[coalesce(max_concurrent = 1, timeout = "1s", skip(how))]
    async fn turn(_key: u32, how: &'static str) -> Result<usize, Trouble> {
        yield_now().await;
        match how {
            "error" => Err(Trouble::Fire),
            "panic" => panic!("no"),
            "hang" => pending().await,
            _ => Ok(1),
        }
    }

    alone(async {
        for (key, how) in (0..).zip(["value", "error", "panic", "hang", "abandoned"]) {
            let call = boarded(turn(key, if how == "abandoned" { "hang" } else { how })).await;
            if how == "abandoned" {
                call.abort();
            }
            ending(call).await;
            let next = boarded(turn(100, "value")).await;
            assert_eq!(ending(next).await, "value 1", "after {how} there is a turn");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_timeout_begins_with_the_body_and_not_in_the_queue() {
    #[coalesce(max_concurrent = 1, timeout = "10s", skip(world))]
    async fn one(_key: u32, world: Arc<World>) -> Result<usize, Trouble> {
        Ok(world.body().await)
    }

    alone(async {
        let world = World::new();
        let first = boarded(one(1, Arc::clone(&world))).await;
        let second = boarded(one(2, Arc::clone(&world))).await;
        let start = Instant::now();
        assert_eq!(ending(first).await, "timeout");
        assert_eq!(ending(second).await, "timeout");
        assert_eq!(start.elapsed(), 20 * SECOND);
    })
    .await;
}

/// Three tasks that call, leave at any moment, invalidate and look, in an order that differs for each of them.
async fn storm<F>(call: impl Fn(u64) -> F + Clone + Send + 'static, invalidate: impl Fn(u64) + Clone + Send + 'static)
where
    F: Future<Output: Send> + Send + 'static,
{
    let tasks = (1..=3_u64).map(|seed| {
        let (call, invalidate) = (call.clone(), invalidate.clone());
        tokio::spawn(async move {
            let mut random = seed;
            let mut next = |below: u64| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) % below
            };
            for _ in 0..1_500 {
                let key = next(12);
                match next(10) {
                    0 => invalidate(key),
                    1 => drop(call(key)),
                    2..6 => {
                        let call = tokio::spawn(call(key));
                        for _ in 0..next(6) {
                            yield_now().await;
                        }
                        call.abort();
                        let _ = call.await;
                    }
                    _ => {
                        // A body that panics is an ending like any other.
                        let _ = tokio::spawn(call(key)).await;
                    }
                }
            }
        })
    });
    all(tasks.collect()).await;
}

/// A key of which it can be told how many copies there are.
type Counted = (u64, Token);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_departures_leave_nothing_behind() {
    #[derive(Clone, Debug)]
    struct Payload(#[expect(dead_code, reason = "held to be counted")] Token);

    #[coalesce(ttl = "1h", capacity = 6, skip(payload))]
    async fn stormy(key: Counted, payload: Payload) -> Result<Payload, String> {
        for _ in 0..key.0 % 5 {
            yield_now().await;
        }
        match key.0 % 4 {
            1 => Err("failure".to_owned()),
            2 => panic!("expected"),
            _ => Ok(payload),
        }
    }

    alone(async {
        let (key, payload) = (Token::default(), Token::default());
        let tokens = (Arc::clone(&key), Arc::clone(&payload));
        let call = move |number| stormy((number, Arc::clone(&tokens.0)), Payload(Arc::clone(&tokens.1)));
        storm(call, |number| _ = stormy::invalidate((number, Token::default()))).await;

        let stats = stormy::stats();
        assert_eq!(stats.in_flight, 0);
        assert!(stats.cache_size <= 6, "{stats}");
        stormy::clear();
        assert_eq!(stormy::stats().cache_size, 0);
        let change = || {
            stormy::insert((0, Token::default()), Payload(Token::default()));
            stormy::clear();
        };
        freed(&[&key, &payload], change).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_departures_from_a_queue_leave_nothing_behind() {
    #[coalesce(ttl = "1h", max_concurrent = 2, wait = "1m", timeout = "1m", skip(token))]
    async fn queued(key: Counted, token: Token) -> Result<(), Trouble> {
        for _ in 0..key.0 % 5 {
            yield_now().await;
        }
        drop(token);
        if key.0.is_multiple_of(4) { Err(Trouble::Fire) } else { Ok(()) }
    }

    alone(async {
        let (key, argument) = (Token::default(), Token::default());
        let tokens = (Arc::clone(&key), Arc::clone(&argument));
        let call = move |number| queued((number, Arc::clone(&tokens.0)), Arc::clone(&tokens.1));
        storm(call, |number| _ = queued::invalidate((number, Token::default()))).await;
        // Every turn has come back.
        let again = (100..104).map(|number| tokio::spawn(queued((number, Token::default()), Token::default())));
        all(again.collect()).await;

        assert_eq!(queued::stats().in_flight, 0);
        queued::clear();
        let change = || {
            queued::insert((0, Token::default()), ());
            queued::clear();
        };
        freed(&[&key, &argument], change).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_left_nothing_to_keep_leaves_nothing() {
    #[coalesce(skip(token))]
    async fn fleeting(key: Counted, token: Token) -> Token {
        yield_now().await;
        drop(key);
        token
    }

    alone(async {
        let (key, value) = (Token::default(), Token::default());
        drop(fleeting((1, Arc::clone(&key)), Arc::clone(&value)).await);
        boarded(fleeting((2, Arc::clone(&key)), Arc::clone(&value))).await.abort();
        settle().await;
        let change = || _ = fleeting::invalidate((3, Token::default()));
        freed(&[&key, &value], change).await;
    })
    .await;
}
