//! `attached`: the body stays in the call that begins it. So it may borrow and need not be `Send`, and of *nobody owns
//! it* this much is left: when that call is dropped, exactly one of those who wait begins anew with its own body.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use stampede_runtime::{Error, Stats, coalesce, testing};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Barrier;
use tokio::task::{Id, JoinHandle, LocalSet, spawn_local, yield_now};
use tokio::time::{Instant, advance};

use super::help::{
    Bell, Token, Trouble, World, all, alone, boarded, crowd, ending, in_time_blocking, is_last, message, panic_of,
    settle,
};

const SECOND: Duration = Duration::from_secs(1);

#[coalesce(ttl = "1h", attached, skip(world))]
async fn shared(_key: u32, world: &World) -> usize {
    world.body().await
}

/// A call that can be a task: the body borrows from it.
fn call(key: u32, world: &Arc<World>) -> impl Future<Output = usize> + Send + use<> {
    let world = Arc::clone(world);
    async move { shared(key, &world).await }
}

#[coalesce(ttl = "1h", attached, skip(world, how))]
async fn failing(_key: u32, world: &World, how: &str) -> Result<usize, Trouble> {
    let number = world.body().await;
    match how {
        "fire" => Err(Trouble::Fire),
        "panic" => panic!("no luck with {number}"),
        _ => Ok(number),
    }
}

fn failing_call(world: &Arc<World>, how: &'static str) -> impl Future<Output = Result<usize, Trouble>> + Send + use<> {
    let world = Arc::clone(world);
    async move { failing(1, &world, how).await }
}

/// What must be true of every snapshot.
fn check(stats: &Stats) {
    let saved = stats.cache_hits + stats.stale_hits + stats.coalesce_hits;
    assert_eq!(stats.requests, saved + stats.led + stats.bypassed + stats.refused, "{stats}");
    assert_eq!(stats.executions, stats.led + stats.refreshes + stats.retries, "{stats}");
}

#[tokio::test(start_paused = true)]
async fn any_number_of_callers_make_one_execution() {
    alone(async {
        let world = World::new();
        let callers = crowd(50, || call(1, &world)).await;
        world.open_all();
        assert_eq!(all(callers).await, [1; 50]);
        assert_eq!(call(1, &world).await, 1);
        assert_eq!(world.runs(), 1);
        let stats = shared::stats();
        check(&stats);
        assert_eq!((stats.led, stats.coalesce_hits, stats.cache_hits), (1, 49, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_need_not_be_send() {
    #[coalesce(attached, key(*name))]
    async fn not_send(name: Rc<str>, log: &RefCell<Vec<String>>) -> usize {
        let kept = Rc::clone(&name);
        yield_now().await;
        log.borrow_mut().push(kept.to_string());
        yield_now().await;
        log.borrow().len()
    }

    alone(async {
        let log = RefCell::default();
        let load = |name: &str| not_send(name.into(), &log);
        assert_eq!(tokio::join!(load("a"), load("a"), load("b")), (2, 2, 2));
        assert_eq!(log.borrow().len(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_may_borrow_from_self_and_from_what_is_not_in_the_key() {
    struct Shelf<'a> {
        books: &'a [String],
        lent: Cell<usize>,
    }

    impl<'a> Shelf<'a> {
        #[coalesce(ttl = "1h", key(at), attached)]
        async fn title(&self, at: usize, observe: &dyn Fn(&str)) -> Option<usize> {
            self.lent.set(self.lent.get() + 1);
            yield_now().await;
            let title: &'a str = self.books.get(at)?;
            observe(title);
            Some(title.len())
        }
    }

    alone(async {
        let books = ["one".to_owned(), "three".to_owned()];
        let shelf = Shelf { books: &books, lent: Cell::new(0) };
        let seen = RefCell::new(Vec::new());
        let observe = |title: &str| seen.borrow_mut().push(title.to_owned());
        let title = |at| shelf.title(at, &observe);
        assert_eq!(tokio::join!(title(1), title(1), title(0), title(7)), (Some(5), Some(5), Some(3), None));
        assert_eq!((shelf.lent.get(), seen.borrow().len()), (3, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn errors_are_shared_and_not_stored() {
    alone(async {
        let world = World::new();
        let callers = crowd(3, || failing_call(&world, "fire")).await;
        world.open_all();
        for caller in callers {
            assert_eq!(ending(caller).await, "fire");
        }
        assert_eq!(failing_call(&world, "").await.expect("the next call tries again"), 2);
        assert_eq!((failing::stats().errors, failing::stats().executions), (1, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_reaches_everyone_and_frees_the_key() {
    alone(async {
        let world = World::new();
        let callers = crowd(3, || failing_call(&world, "panic")).await;
        world.open_all();
        for caller in callers {
            assert_eq!(panic_of(caller).await, "no luck with 1");
        }
        assert_eq!(failing_call(&world, "").await.expect("the next call tries again"), 2);
        let stats = failing::stats();
        assert_eq!((stats.panics, stats.abandoned, stats.in_flight, stats.executions), (1, 0, 0, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn invalidation_wins() {
    alone(async {
        let world = World::new();
        let old = crowd(2, || call(1, &world)).await;
        assert_eq!(shared::invalidate(1).removed(), 1);
        let new = crowd(2, || call(1, &world)).await;
        assert_eq!(world.runs(), 2, "who comes later begins anew");
        world.open_all();
        assert_eq!((all(old).await, all(new).await), (vec![1; 2], vec![2; 2]));
        assert_eq!(shared::peek(1), Some(2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_begun_anew_after_an_invalidation_is_kept() {
    alone(async {
        let world = World::new();
        let mut callers = crowd(3, || call(1, &world)).await;
        shared::clear();
        callers.remove(0).abort();
        world.begun(2).await;
        world.open_all();
        assert_eq!(all(callers).await, [2; 2]);
        assert_eq!(shared::peek(1), Some(2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_parked_call_holds_up_no_other_key() {
    alone(async {
        let world = World::at_ease();
        let stuck = World::new();
        let mut parked = pin!(shared(0, &stuck));
        assert!(Bell::new().poll(parked.as_mut()).is_pending());
        for key in 1..100 {
            shared(key, &world).await;
        }
        assert_eq!(world.runs(), 99);
    })
    .await;
}

/// Calls itself with its own key so many times.
#[coalesce(ttl = "1h", attached, skip(depth, world))]
async fn direct(key: u32, depth: u32, world: &World) -> u32 {
    world.begin();
    yield_now().await;
    if depth == 0 { 0 } else { 1 + direct(key, depth - 1, world).await }
}

#[tokio::test(start_paused = true)]
async fn a_body_may_call_itself_with_its_own_key() {
    alone(async {
        let world = World::new();
        let call = || {
            let world = Arc::clone(&world);
            async move { direct(1, 3, &world).await }
        };
        assert_eq!(all(crowd(3, call).await).await, [3; 3]);
        assert_eq!(world.runs(), 4);
        let stats = direct::stats();
        assert_eq!((stats.led, stats.bypassed, stats.coalesce_hits, stats.in_flight), (1, 3, 2, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn endless_recursion_ends_in_a_sentence() {
    #[coalesce(attached)]
    async fn endless(key: u32) -> Result<u32, Error> {
        yield_now().await;
        endless(key).await
    }

    alone(async {
        let error = endless(1).await.expect_err("it has no end").to_string();
        assert!(error.contains("called itself with its own key"), "{error}");
    })
    .await;
}

#[coalesce(attached, skip(meet))]
async fn here(key: u32, meet: &Barrier) -> u32 {
    meet.wait().await;
    1 + Box::pin(there(key, meet)).await
}

#[coalesce(attached, skip(meet))]
async fn there(key: u32, meet: &Barrier) -> u32 {
    // Only the bodies that callers began wait for each other.
    if here::stats().bypassed + there::stats().bypassed == 0 {
        meet.wait().await;
        return 10 + Box::pin(here(key, meet)).await;
    }
    100
}

#[tokio::test(start_paused = true)]
async fn circles_that_different_callers_close_run_through() {
    alone(async {
        let meet = Barrier::new(2);
        let (one, other) = tokio::join!(here(1, &meet), there(1, &meet));
        // Each waits for the other, and who closes the circle runs the other's body itself.
        assert!(one > 1 && other > 10, "{one} {other}");
        assert_eq!(here::stats().in_flight + there::stats().in_flight, 0);
    })
    .await;
}

#[coalesce(ttl = "1h", attached, timeout = "10s", skip(world))]
async fn timed(_key: u32, world: &World) -> Result<usize, Trouble> {
    Ok(world.body().await)
}

fn timed_call(world: &Arc<World>) -> impl Future<Output = Result<usize, Trouble>> + Send + use<> {
    let world = Arc::clone(world);
    async move { timed(1, &world).await }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_the_body_for_every_caller_and_frees_the_key() {
    alone(async {
        let world = World::new();
        let start = Instant::now();
        let first = boarded(timed_call(&world)).await;
        advance(5 * SECOND).await;
        let late = boarded(timed_call(&world)).await;
        assert_eq!((ending(first).await, ending(late).await), ("timeout".to_owned(), "timeout".to_owned()));
        assert_eq!(start.elapsed(), 10 * SECOND, "the time is the execution's");
        world.gone(1).await;
        assert_eq!(world.ended(), 0);
        world.open_all();
        assert_eq!(timed_call(&world).await.expect("the key is free"), 2);
        let stats = timed::stats();
        check(&stats);
        assert_eq!((stats.timeouts, stats.abandoned, stats.in_flight), (1, 0, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_reaches_those_who_wait_for_a_parked_call() {
    alone(async {
        let world = World::new();
        let mut parked = Box::pin(timed(1, &world));
        assert!(Bell::new().poll(parked.as_mut()).is_pending());
        let other = boarded(timed_call(&world)).await;
        assert_eq!(ending(other).await, "timeout");
        world.open_all();
        settle().await;
        // The parked body could go on now, but its time is up.
        let end = parked.await;
        assert!(matches!(end, Err(Trouble::Stampede(Error::Timeout { .. }))), "{end:?}");
        assert_eq!((world.ended(), timed::peek(1).is_none()), (0, true));
    })
    .await;
}

#[coalesce(ttl = "1h", attached, wait = "3s", skip(world))]
async fn patient(_key: u32, world: &World) -> Result<usize, Trouble> {
    Ok(world.body().await)
}

fn patient_call(world: &Arc<World>) -> impl Future<Output = Result<usize, Trouble>> + Send + use<> {
    let world = Arc::clone(world);
    async move { patient(1, &world).await }
}

#[tokio::test(start_paused = true)]
async fn a_parked_call_holds_the_others_until_their_wait_and_then_has_its_result() {
    alone(async {
        let world = World::new();
        let mut parked = pin!(patient(1, &world));
        assert!(Bell::new().poll(parked.as_mut()).is_pending());
        let start = Instant::now();
        let others = crowd(3, || patient_call(&world)).await;
        world.open_all();
        for other in others {
            assert_eq!(ending(other).await, "wait");
        }
        assert_eq!((start.elapsed(), world.runs()), (3 * SECOND, 1));
        assert_eq!(parked.await.expect("it is its own driver"), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_first_caller_out_of_patience_hands_over() {
    alone(async {
        let world = World::new();
        let start = Instant::now();
        let first = boarded(patient_call(&world)).await;
        advance(SECOND).await;
        let others = crowd(2, || patient_call(&world)).await;
        assert_eq!(ending(first).await, "wait");
        assert_eq!(start.elapsed(), 3 * SECOND);
        world.begun(2).await;
        world.open_all();
        for other in others {
            assert_eq!(ending(other).await, "value 2");
        }
        let stats = patient::stats();
        check(&stats);
        assert_eq!((stats.led, stats.coalesce_hits, stats.retries, stats.abandoned), (1, 2, 1, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn patience_does_not_begin_anew() {
    alone(async {
        let world = World::new();
        let start = Instant::now();
        let callers = crowd(3, || patient_call(&world)).await;
        for caller in callers {
            assert_eq!(ending(caller).await, "wait");
        }
        assert_eq!(start.elapsed(), 3 * SECOND);
        assert_eq!(patient::stats().in_flight, 0);
    })
    .await;
}

#[coalesce(ttl = "1h", attached, max_concurrent = 1, wait = "3s", skip(world))]
async fn narrow(_key: u32, world: &World) -> Result<usize, Trouble> {
    Ok(world.body().await)
}

fn narrow_call(key: u32, world: &Arc<World>) -> impl Future<Output = Result<usize, Trouble>> + Send + use<> {
    let world = Arc::clone(world);
    async move { narrow(key, &world).await }
}

#[tokio::test(start_paused = true)]
async fn max_concurrent_queues_and_refuses_after_wait() {
    alone(async {
        let world = World::new();
        let mut parked = Box::pin(narrow(1, &world));
        assert!(Bell::new().poll(parked.as_mut()).is_pending());
        let refused = crowd(2, || narrow_call(2, &world)).await;
        for call in refused {
            assert_eq!(ending(call).await, "refused");
        }
        let queued = boarded(narrow_call(3, &world)).await;
        assert_eq!(world.runs(), 1);
        world.open_all();
        assert_eq!(parked.await.expect("it is its own driver"), 1);
        assert_eq!(ending(queued).await, "value 2");
        let stats = narrow::stats();
        assert_eq!((stats.led, stats.refused, stats.executions, stats.in_flight), (2, 2, 2, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_queued_first_caller_that_leaves_hands_its_place_over() {
    alone(async {
        let world = World::new();
        let first = boarded(narrow_call(1, &world)).await;
        let mut queued = crowd(3, || narrow_call(2, &world)).await;
        queued.remove(0).abort();
        settle().await;
        assert_eq!(world.runs(), 1);
        world.open_all();
        assert_eq!(ending(first).await, "value 1");
        for call in queued {
            assert_eq!(ending(call).await, "value 2");
        }
        let stats = narrow::stats();
        check(&stats);
        assert_eq!((stats.requests, stats.executions, stats.abandoned, stats.in_flight), (4, 2, 1, 0), "{stats}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_gives_its_permit_back() {
    alone(async {
        let world = World::new();
        let first = boarded(narrow_call(1, &world)).await;
        let queued = boarded(narrow_call(2, &world)).await;
        first.abort();
        world.begun(2).await;
        world.open_all();
        assert_eq!(ending(queued).await, "value 2");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn values_make_room_for_each_other() {
    #[coalesce(ttl = "1h", attached, capacity = 3)]
    async fn small(key: u32) -> u32 {
        key
    }

    alone(async {
        for key in 0..20 {
            small(key).await;
        }
        assert_eq!((small::stats().cache_size, small::stats().evictions), (3, 17));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn when_the_first_caller_is_dropped_exactly_one_begins_anew_for_all() {
    alone(async {
        let world = World::new();
        let mut callers = crowd(10, || call(1, &world)).await;
        callers.remove(0).abort();
        world.begun(2).await;
        settle().await;
        assert_eq!(world.runs(), 2);
        world.open_all();
        assert_eq!(all(callers).await, [2; 9]);
        assert_eq!((world.runs(), world.ended()), (2, 1));
        let stats = shared::stats();
        check(&stats);
        assert_eq!((stats.led, stats.coalesce_hits, stats.retries, stats.abandoned), (1, 9, 1, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_promoted_caller_runs_its_own_body() {
    #[coalesce(attached, skip(name))]
    async fn named(_key: u32, name: &str) -> String {
        yield_now().await;
        name.to_owned()
    }

    alone(async {
        let names = ["first".to_owned(), "second".to_owned(), "third".to_owned()];
        let mut first = Box::pin(named(1, &names[0]));
        let (mut second, mut third) = (Box::pin(named(1, &names[1])), Box::pin(named(1, &names[2])));
        for call in [&mut first, &mut second, &mut third] {
            assert!(Bell::new().poll(call.as_mut()).is_pending());
        }
        drop(first);
        assert_eq!(tokio::join!(third, second), ("third".to_owned(), "third".to_owned()), "whoever is polled first");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn those_who_are_promoted_may_be_dropped_too() {
    alone(async {
        let world = World::new();
        let mut callers = crowd(10, || call(1, &world)).await;
        for left in (1..10).rev() {
            assert_eq!(world.runs(), 10 - left);
            callers.remove(0).abort();
            world.begun(11 - left).await;
            settle().await;
        }
        world.open_all();
        assert_eq!(all(callers).await, [10]);
        let stats = shared::stats();
        check(&stats);
        assert_eq!((stats.led, stats.coalesce_hits, stats.retries, stats.abandoned), (1, 9, 9, 9));
    })
    .await;
}

/// Waits so many times before it ends.
#[coalesce(ttl = "1h", attached, skip(awaits, world))]
async fn stepwise(_key: usize, awaits: usize, world: &World) -> usize {
    let number = world.begin();
    for _ in 0..awaits {
        yield_now().await;
    }
    world.gate(number).await;
    number
}

#[tokio::test(start_paused = true)]
async fn the_first_caller_may_leave_after_any_number_of_polls() {
    const AWAITS: usize = 6;

    alone(async {
        for polls in 1..=2 * AWAITS {
            let world = World::new();
            let call = || {
                let world = Arc::clone(&world);
                async move { stepwise(polls, AWAITS, &world).await }
            };
            let mut first = Box::pin(call());
            assert!(poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending())).await);
            let others = crowd(3, call).await;
            for _ in 1..polls {
                assert!(poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending())).await);
                yield_now().await;
            }
            assert_eq!(world.runs(), 1);
            drop(first);
            world.open_all();
            assert_eq!(all(others).await, [2; 3], "the first caller left after {polls} polls");
            assert_eq!((world.runs(), stepwise::peek(polls)), (2, Some(2)));
        }
        check(&stepwise::stats());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_may_leave_after_any_number_of_polls() {
    alone(async {
        let world = World::new();
        let first = boarded(call(1, &world)).await;
        for polls in 1..10 {
            let mut other = Box::pin(shared(1, &world));
            for _ in 0..polls {
                assert!(Bell::new().poll(other.as_mut()).is_pending());
            }
        }
        world.open_all();
        assert_eq!(first.await.expect("no panic"), 1);
        assert_eq!((world.runs(), shared::stats().abandoned), (1, 0));
    })
    .await;
}

/// The bodies of one key: how many are alive at the same time, and whose task runs the newest.
#[derive(Default)]
struct Alive {
    now: AtomicUsize,
    most: AtomicUsize,
    drivers: Mutex<Vec<Id>>,
    /// The runs that need not wait to be aborted any more.
    free: AtomicUsize,
}

struct Living<'a>(&'a Alive);

impl Drop for Living<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, SeqCst);
    }
}

#[coalesce(ttl = "1h", attached, skip(alive))]
async fn one_at_a_time(_key: usize, alive: &Alive) -> usize {
    let living = Living(alive);
    alive.most.fetch_max(alive.now.fetch_add(1, SeqCst) + 1, SeqCst);
    let number = {
        let mut drivers = alive.drivers.lock().expect("nobody panics");
        drivers.push(tokio::task::id());
        drivers.len()
    };
    while alive.free.load(SeqCst) < number {
        yield_now().await;
    }
    for _ in 0..3 {
        yield_now().await;
    }
    drop(living);
    number
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_first_caller_may_be_aborted_at_any_moment() {
    alone(async {
        for key in 0..100 {
            let alive = Arc::new(Alive::default());
            let callers: Vec<_> = (0..5)
                .map(|_| {
                    let alive = Arc::clone(&alive);
                    tokio::spawn(async move { one_at_a_time(key, &alive).await })
                })
                .collect();
            for run in 1..=2 {
                // None if the one that was aborted before had been done.
                let mut driver = None;
                while driver.is_none() && one_at_a_time::peek(key).is_none() {
                    yield_now().await;
                    driver = alive.drivers.lock().expect("nobody panics").get(run - 1).copied();
                }
                alive.free.store(run, SeqCst);
                callers.iter().filter(|caller| Some(caller.id()) == driver).for_each(JoinHandle::abort);
            }
            alive.free.store(usize::MAX, SeqCst);
            let mut results = Vec::new();
            for caller in callers {
                match caller.await {
                    Ok(number) => results.push(number),
                    Err(error) => assert!(error.is_cancelled(), "{error}"),
                }
            }
            assert!(results.len() >= 3 && results.windows(2).all(|pair| pair[0] == pair[1]), "{results:?}");
            assert_eq!(alive.most.load(SeqCst), 1, "a body is gone before the next begins");
            assert_eq!(one_at_a_time::peek(key), Some(results[0]));
        }
        let stats = one_at_a_time::stats();
        check(&stats);
        assert_eq!(stats.in_flight, 0);
        assert!(stats.retries <= stats.abandoned, "{stats}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_that_nobody_waits_for_leaves_nothing_behind() {
    #[coalesce(ttl = "1h", attached, skip(token))]
    async fn holding(_key: u32, token: Token) -> Token {
        pending::<()>().await;
        token
    }

    alone(async {
        let token = Token::default();
        for _ in 0..3 {
            let mut call = Box::pin(holding(1, Arc::clone(&token)));
            assert!(Bell::new().poll(call.as_mut()).is_pending());
            assert_eq!((Arc::strong_count(&token), holding::stats().in_flight), (2, 1));
            drop(call);
            assert!(is_last(&token), "at once: no task has to end first");
            assert_eq!(holding::stats().in_flight, 0);
        }
        let stats = holding::stats();
        check(&stats);
        assert_eq!((stats.led, stats.abandoned, stats.cache_size), (3, 3, 0));
        assert_eq!(holding::clear().removed(), 0, "the map is empty");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_is_gone_when_its_call_returns() {
    #[coalesce(attached, skip(token))]
    async fn done(_key: u32, token: Token) -> usize {
        yield_now().await;
        Arc::strong_count(&token)
    }

    alone(async {
        let token = Token::default();
        let mut first = Box::pin(done(1, Arc::clone(&token)));
        first.as_mut().await;
        // The call itself is still there.
        assert!(is_last(&token));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_polls_with_a_new_waker_is_woken_by_it() {
    alone(async {
        let world = World::new();
        let mut first = pin!(shared(1, &world));
        let mut other = pin!(shared(1, &world));
        let (old, new) = (Bell::new(), Bell::new());
        for bell in [&old, &new] {
            assert!(bell.poll(first.as_mut()).is_pending());
            assert!(bell.poll(other.as_mut()).is_pending());
        }
        let rung_before = old.rings();
        world.open_all();
        assert_eq!((new.rings(), old.rings()), (1, rung_before), "the body's driver alone");
        assert_eq!(new.poll(first.as_mut()), Poll::Ready(1));
        assert!(new.rings() > 1);
        assert_eq!(new.poll(other.as_mut()), Poll::Ready(1));
        assert_eq!(old.rings(), rung_before);
    })
    .await;
}

tokio::task_local! {
    static REQUEST: u32;
}

#[tokio::test(start_paused = true)]
async fn task_locals_are_visible_all_the_way() {
    #[coalesce(attached)]
    async fn traced(_key: u32) -> Vec<u32> {
        let mut seen = vec![REQUEST.get()];
        for _ in 0..3 {
            yield_now().await;
            seen.push(REQUEST.get());
        }
        seen
    }

    alone(async {
        let (one, other) = tokio::join!(REQUEST.scope(1, traced(1)), REQUEST.scope(2, traced(1)));
        assert_eq!((one, other), (vec![1; 4], vec![1; 4]));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn tasks_of_a_local_set_share() {
    #[coalesce(attached, skip(runs))]
    async fn local(_key: u32, runs: Rc<Cell<u32>>) -> u32 {
        runs.set(runs.get() + 1);
        let number = runs.get();
        yield_now().await;
        yield_now().await;
        number
    }

    alone(LocalSet::new().run_until(async {
        let runs = Rc::new(Cell::new(0));
        let callers: Vec<_> = (0..10).map(|_| spawn_local(local(1, Rc::clone(&runs)))).collect();
        yield_now().await;
        callers[0].abort();
        let mut results = Vec::new();
        for caller in callers {
            results.extend(caller.await.ok());
        }
        assert_eq!((results, runs.get()), (vec![2; 9], 2));
    }))
    .await;
}

/// Runs a future on this thread, without any runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

#[test]
fn plain_threads_share() {
    #[coalesce(ttl = "1h", attached, skip(world))]
    async fn plain(_key: u32, world: &World) -> usize {
        world.body().await
    }

    in_time_blocking(|| {
        let world = World::new();
        let caller = || {
            let world = Arc::clone(&world);
            thread::spawn(move || block_on(plain(1, &world)))
        };
        let first = caller();
        block_on(world.begun(1));
        let others: Vec<_> = (0..4).map(|_| caller()).collect();
        while plain::stats().requests < 5 {
            thread::yield_now();
        }
        world.open_all();
        for thread in others.into_iter().chain([first]) {
            assert_eq!(thread.join().expect("no panic"), 1);
        }
        assert_eq!(world.runs(), 1);
        // Beside a runtime, too.
        let runtime = current_thread();
        assert_eq!(runtime.block_on(plain(1, &world)), 1);
    });
}

#[test]
fn on_plain_threads_too_one_begins_anew_when_the_first_caller_is_dropped() {
    // Kept, for those who are slow to learn that they have to begin anew.
    #[coalesce(ttl = "1h", attached, skip(world))]
    async fn plain(_key: u32, world: &World) -> usize {
        world.body().await
    }

    in_time_blocking(|| {
        let world = World::new();
        let mut first = Box::pin(plain(1, &world));
        assert!(Bell::new().poll(first.as_mut()).is_pending());
        let others: Vec<_> = (0..4)
            .map(|_| {
                let world = Arc::clone(&world);
                thread::spawn(move || block_on(plain(1, &world)))
            })
            .collect();
        while plain::stats().coalesce_hits < 4 {
            thread::yield_now();
        }
        drop(first);
        block_on(world.begun(2));
        world.open_all();
        for thread in others {
            assert_eq!(thread.join().expect("no panic"), 2);
        }
        let stats = plain::stats();
        check(&stats);
        assert_eq!((stats.executions, stats.retries, stats.abandoned, stats.in_flight), (2, 1, 1, 0));
    });
}

#[test]
fn what_needs_a_clock_says_so_outside_of_a_runtime() {
    let _isolated = testing::isolate();
    let world = World::at_ease();
    let calls: [(&str, &dyn Fn()); 2] =
        [("timed", &|| _ = block_on(timed(1, &world))), ("patient", &|| _ = block_on(patient(1, &world)))];
    for (name, call) in calls {
        let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("there is no clock");
        let text = message(&*panic);
        assert!(text.contains(&format!("{name}` was called outside of a tokio runtime")), "{text}");
    }
    assert_eq!((world.runs(), timed::stats().in_flight + patient::stats().in_flight), (0, 0));
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("no resources are needed")
}

fn threads(number: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(number).enable_all().build().expect("threads can be had")
}

#[test]
fn current_thread_runtimes_share_values_and_not_flights() {
    #[coalesce(ttl = "1h", attached, skip(world))]
    async fn load(_key: u32, world: &World) -> usize {
        world.body().await
    }

    fn task(world: &Arc<World>) -> impl Future<Output = usize> + Send + use<> {
        let world = Arc::clone(world);
        async move { load(1, &world).await }
    }

    in_time_blocking(|| {
        let world = World::new();
        let (one, other) = (current_thread(), current_thread());
        let parked = one.block_on(boarded(task(&world)));
        // Nobody moves the first runtime while this one works.
        world.open(2);
        assert_eq!(other.block_on(load(1, &world)), 2);
        world.open_all();
        assert_eq!(one.block_on(parked).expect("no panic"), 1);
        assert_eq!(world.runs(), 2);
        let third = current_thread();
        let kept = third.block_on(load(1, &world));
        assert!(kept == 1 || kept == 2, "{kept}");
        assert_eq!((load::stats().in_flight, world.runs()), (0, 2));
    });
}

#[test]
fn who_waits_elsewhere_begins_anew_when_the_runtime_of_the_first_caller_ends() {
    #[coalesce(ttl = "1h", attached, skip(world))]
    async fn load(_key: u32, world: &World) -> usize {
        world.body().await
    }

    fn task(world: &Arc<World>) -> impl Future<Output = usize> + Send + use<> {
        let world = Arc::clone(world);
        async move { load(1, &world).await }
    }

    in_time_blocking(|| {
        let (dying, living) = (threads(1), current_thread());
        let world = World::new();
        let lost = dying.block_on(boarded(task(&world)));
        let waiting = living.block_on(crowd(3, || task(&world)));
        assert_eq!(world.runs(), 1);
        drop(dying);
        living.block_on(async {
            world.begun(2).await;
            world.open_all();
            assert_eq!(all(waiting).await, [2; 3]);
            assert!(lost.await.is_err());
        });
        let stats = load::stats();
        check(&stats);
        assert_eq!((stats.executions, stats.retries, stats.abandoned, stats.in_flight), (2, 1, 1, 0));
    });
}

#[tokio::test(start_paused = true)]
async fn the_companion_works() {
    alone(async {
        let world = World::at_ease();
        assert_eq!(shared::peek(1), None);
        assert_eq!(call(1, &world).await, 1);
        assert_eq!(shared::refresh(1, &world).await, 2);
        assert_eq!((shared::peek(1), call(1, &world).await), (Some(2), 2));
        shared::insert(1, 7_usize);
        assert_eq!(call(1, &world).await, 7);
        assert_eq!(shared::invalidate(1).removed(), 1);
        assert_eq!(call(1, &world).await, 3);
        assert_eq!(shared::clear().removed(), 1);
        let stats = shared::stats();
        check(&stats);
        assert_eq!((stats.led, stats.refreshes, stats.cache_hits), (2, 1, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_refresh_leaves_the_kept_value_and_hands_over_to_another() {
    alone(async {
        let world = World::new();
        world.open(1);
        assert_eq!(call(1, &world).await, 1);
        let refresh = || {
            let world = Arc::clone(&world);
            async move { shared::refresh(1, &world).await }
        };
        let first = boarded(refresh()).await;
        let second = boarded(refresh()).await;
        assert_eq!((world.runs(), call(1, &world).await), (2, 1), "one refresh; meanwhile the kept value");
        first.abort();
        world.begun(3).await;
        assert_eq!(call(1, &world).await, 1);
        world.open_all();
        assert_eq!(second.await.expect("no panic"), 3);
        assert_eq!(call(1, &world).await, 3);
        let stats = shared::stats();
        check(&stats);
        assert_eq!((stats.refreshes, stats.retries, stats.abandoned), (1, 1, 1));
    })
    .await;
}

/// Ready at once but for the first, and never kept.
#[coalesce(attached, skip(world))]
async fn quick(_key: u32, world: &World) -> usize {
    let number = world.begin();
    if number == 1 {
        pending::<()>().await;
    }
    number
}

#[tokio::test]
async fn one_begins_anew_for_all_also_when_nothing_is_kept() {
    alone(async {
        let world = World::new();
        let call = || {
            let world = Arc::clone(&world);
            async move { quick(1, &world).await }
        };
        let first = boarded(call()).await;
        let others = crowd(9, call).await;
        first.abort();
        assert_eq!(all(others).await, [2; 9]);
        assert_eq!(world.runs(), 2);
        let stats = quick::stats();
        assert_eq!((stats.executions, stats.abandoned, stats.retries), (2, 1, 1), "{stats}");
        check(&stats);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_goes_on_elsewhere_is_counted_for_what_it_gets_there() {
    alone(async {
        let world = World::new();
        let running = boarded(narrow_call(1, &world)).await;
        let queued = boarded(narrow_call(2, &world)).await;
        let others = crowd(2, || narrow_call(2, &world)).await;
        queued.abort();
        settle().await;
        world.open_all();
        running.await.expect("no panic").expect("a value");
        for other in others {
            assert_eq!(ending(other).await, "value 2");
        }
        let stats = narrow::stats();
        assert_eq!((stats.led, stats.coalesce_hits, stats.refused, stats.requests), (2, 1, 1, 4), "{stats}");
        check(&stats);
    })
    .await;
}

#[tokio::test]
async fn a_call_that_is_not_polled_may_see_thousands_of_others_come_and_go() {
    alone(async {
        let world = World::new();
        let begin = || Box::pin(shared(1, &world));
        let bell = Bell::new();
        let mut leader = begin();
        assert!(bell.poll(leader.as_mut()).is_pending());
        let mut parked = begin();
        assert!(bell.poll(parked.as_mut()).is_pending());
        for _ in 0..20_000 {
            let mut next = begin();
            assert!(bell.poll(next.as_mut()).is_pending());
            drop(leader);
            assert!(bell.poll(next.as_mut()).is_pending());
            leader = next;
        }
        world.open_all();
        assert_eq!(leader.await, parked.await);
        assert_eq!(shared::stats().abandoned, 20_000);
    })
    .await;
}
