//! Functions that are not `async` keep the same promises, with threads in the place of tasks and no runtime at all.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use stampede_runtime::testing::{isolate, isolate_with};
use stampede_runtime::{Config, Error, Settings, all_stats, cached, coalesce};
use tokio::runtime::{Builder, Handle};

use super::help::{
    Mood, Service, Trouble, World, add_up, all, alone, in_a_process_of_its_own, in_time_blocking, just_before, message,
    until,
};

const HOUR: Duration = Duration::from_secs(3600);

/// What bodies share with their test: how often they ran, and a gate where their threads wait.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    begun: usize,
    open: usize,
    running: usize,
    most: usize,
    threads: Vec<ThreadId>,
}

impl Gate {
    fn new() -> Arc<Gate> {
        Arc::default()
    }

    fn at_ease() -> Arc<Gate> {
        let gate = Gate::new();
        gate.open(usize::MAX);
        gate
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body of a test: waits at the gate and returns its number, from 1.
    fn body(&self) -> usize {
        let mut state = self.state();
        state.begun += 1;
        state.running += 1;
        state.most = state.most.max(state.running);
        state.threads.push(thread::current().id());
        let number = state.begun;
        self.changed.notify_all();
        let mut state = self.wait(state, |state| state.open >= number);
        state.running -= 1;
        self.changed.notify_all();
        number
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, is_so: impl Fn(&State) -> bool) -> MutexGuard<'a, State> {
        self.changed.wait_while(state, |state| !is_so(state)).unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, number: usize) {
        self.state().open = number;
        self.changed.notify_all();
    }

    fn open_all(&self) {
        self.open(usize::MAX);
    }

    /// Waits until so many runs have begun.
    fn begun(&self, runs: usize) {
        drop(self.wait(self.state(), |state| state.begun >= runs));
    }

    /// Waits until no run is under way.
    fn idle(&self) {
        drop(self.wait(self.state(), |state| state.running == 0));
    }

    fn runs(&self) -> usize {
        self.state().begun
    }

    /// How many ran at the same time, at most.
    fn most(&self) -> usize {
        self.state().most
    }

    fn threads(&self) -> Vec<ThreadId> {
        self.state().threads.clone()
    }
}

/// So many threads that make the same call.
fn threads<T: Send + 'static>(number: usize, call: impl Fn() -> T + Clone + Send + 'static) -> Vec<JoinHandle<T>> {
    let spawn = |_| {
        let call = call.clone();
        // A thousand stacks of the usual size would be a lot.
        thread::Builder::new().stack_size(512 * 1024).spawn(call).expect("a thread can be made")
    };
    (0..number).map(spawn).collect()
}

fn results<T>(threads: Vec<JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
}

/// Drives a future on this thread alone.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        thread::yield_now();
    }
}

/// The first value is old as soon as it is there, the next ones are fresh.
fn only_the_first_is_old(number: usize) -> Duration {
    if number == 1 { Duration::from_nanos(1) } else { HOUR }
}

#[test]
fn a_thousand_threads_make_one_execution() {
    #[cached(ttl = "1h", skip(gate))]
    fn load(_key: u32, gate: Arc<Gate>) -> usize {
        gate.body()
    }

    in_time_blocking(|| {
        let gate = Gate::new();
        let calls = {
            let gate = Arc::clone(&gate);
            threads(1_000, move || load(1, Arc::clone(&gate)))
        };
        until(|| load::stats().coalesce_hits == 999);
        assert_eq!(load::stats().in_flight, 1);
        gate.open_all();
        assert_eq!(results(calls), [1; 1_000]);
        assert_eq!(load(1, Arc::clone(&gate)), 1);
        let stats = load::stats();
        add_up(&stats);
        assert_eq!((stats.requests, stats.led, stats.coalesce_hits, stats.cache_hits), (1_001, 1, 999, 1));
        assert_eq!((gate.runs(), stats.in_flight, stats.cache_size), (1, 0, 1));
    });
}

#[test]
fn without_a_ttl_only_what_is_in_flight_is_shared() {
    #[coalesce(skip(gate))]
    fn load(_key: u32, gate: Arc<Gate>) -> usize {
        gate.body()
    }

    in_time_blocking(|| {
        let gate = Gate::new();
        let shared = Arc::clone(&gate);
        let calls = threads(5, move || load(1, Arc::clone(&shared)));
        until(|| load::stats().coalesce_hits == 4);
        gate.open_all();
        assert_eq!(results(calls), [1; 5]);
        assert_eq!(load(1, Arc::clone(&gate)), 2);
        assert_eq!(load::peek(1), None);
    });
}

#[test]
fn an_error_reaches_every_thread_and_is_not_kept() {
    #[cached(ttl = "1h", skip(gate))]
    fn fail(_key: u32, gate: Arc<Gate>) -> Result<(), usize> {
        Err(gate.body())
    }

    #[cached(ttl = "1h", skip(gate))]
    fn viewed(_key: u32, gate: Arc<Gate>) -> anyhow::Result<()> {
        Err(anyhow::anyhow!("error {}", gate.body()))
    }

    in_time_blocking(|| {
        let gate = Gate::new();
        let shared = Arc::clone(&gate);
        let calls = threads(20, move || fail(1, Arc::clone(&shared)));
        until(|| fail::stats().coalesce_hits == 19);
        gate.open_all();
        assert_eq!(results(calls), [Err(1); 20]);
        assert_eq!(fail(1, Arc::clone(&gate)), Err(2));
        assert_eq!((fail::stats().errors, fail::stats().cache_size), (2, 0));

        let gate = Gate::new();
        let shared = Arc::clone(&gate);
        let calls = threads(20, move || viewed(1, Arc::clone(&shared)).map_err(|error| error.to_string()));
        until(|| viewed::stats().coalesce_hits == 19);
        gate.open_all();
        assert!(results(calls).into_iter().all(|result| result == Err("error 1".to_owned())));
    });
}

#[test]
fn a_panic_reaches_every_thread_and_frees_the_key() {
    #[cached(ttl = "1h", skip(gate))]
    fn broken(_key: u32, gate: Arc<Gate>) -> usize {
        let number = gate.body();
        assert!(number > 1, "broken {number}");
        number
    }

    in_time_blocking(|| {
        let gate = Gate::new();
        let shared = Arc::clone(&gate);
        let calls = threads(20, move || broken(1, Arc::clone(&shared)));
        until(|| broken::stats().coalesce_hits == 19);
        gate.open_all();
        for call in calls {
            assert_eq!(message(&*call.join().expect_err("a panic")), "broken 1");
        }
        assert_eq!(broken(1, Arc::clone(&gate)), 2);
        let stats = broken::stats();
        add_up(&stats);
        assert_eq!((stats.panics, stats.executions, stats.in_flight), (1, 2, 0));
    });
}

#[test]
fn keys_do_not_wait_for_each_other() {
    #[cached(ttl = "1h", skip(gate))]
    fn load(_key: usize, gate: Arc<Gate>) -> usize {
        gate.body()
    }

    in_time_blocking(|| {
        let blocked = Gate::new();
        let shared = Arc::clone(&blocked);
        let calls = threads(10, move || load(0, Arc::clone(&shared)));
        until(|| load::stats().coalesce_hits == 9);
        let open = Gate::at_ease();
        for key in 1..=1_000 {
            assert_eq!(load(key, Arc::clone(&open)), key);
        }
        assert!(calls.iter().all(|call| !call.is_finished()));
        blocked.open_all();
        assert_eq!(results(calls), [1; 10]);
    });
}

#[test]
fn a_body_may_call_itself_with_its_own_key() {
    #[cached(ttl = "1h", skip(depth))]
    fn sum(key: u32, depth: u32) -> u32 {
        if depth == 0 { key } else { 1 + sum(key, depth - 1) }
    }

    #[cached(ttl = "1h", timeout = "1m", skip(depth))]
    fn detached(key: u32, depth: u32) -> Result<u32, Error> {
        if depth == 0 { Ok(key) } else { Ok(1 + detached(key, depth - 1)?) }
    }

    #[coalesce]
    fn endless(key: u32) -> Result<u32, Error> {
        endless(key)
    }

    in_time_blocking(|| {
        assert_eq!(sum(10, 5), 15);
        assert_eq!(sum(10, 0), 15);
        let stats = sum::stats();
        add_up(&stats);
        assert_eq!((stats.led, stats.bypassed, stats.cache_hits), (1, 5, 1));
        assert_eq!(detached(10, 5).ok(), Some(15));
        assert!(matches!(endless(1), Err(Error::TooDeep { .. })));
        assert_eq!((endless::stats().in_flight, detached::stats().bypassed), (0, 5));
    });
}

#[test]
fn a_circle_begun_from_both_ends_at_once_runs_through() {
    #[cached(ttl = "1h", skip(depth, barrier))]
    fn a(key: u32, depth: u32, barrier: Option<Arc<Barrier>>) -> String {
        if let Some(barrier) = barrier {
            barrier.wait();
        }
        if depth == 0 { "a".to_owned() } else { format!("a{}", b(key, depth - 1, None)) }
    }

    #[cached(ttl = "1h", skip(depth, barrier))]
    fn b(key: u32, depth: u32, barrier: Option<Arc<Barrier>>) -> String {
        if let Some(barrier) = barrier {
            barrier.wait();
        }
        if depth == 0 { "b".to_owned() } else { format!("b{}", a(key, depth - 1, None)) }
    }

    in_time_blocking(|| {
        for key in 0..50 {
            // Both bodies have begun before either calls the other.
            let barrier = Arc::new(Barrier::new(2));
            let other = Arc::clone(&barrier);
            let first = thread::spawn(move || a(key, 3, Some(other)));
            let second = b(key, 3, Some(barrier));
            let first = first.join().expect("no panic");
            assert!(first.starts_with("ab") && second.starts_with("ba"), "{first} {second}");
        }
        assert_eq!((a::stats().in_flight, b::stats().in_flight), (0, 0));
    });
}

mod circle {
    //! A sync function and an async one that call each other.

    use super::{Arc, block_on, cached};

    #[cached(ttl = "1h", skip(depth, barrier))]
    pub(super) async fn flow(key: u32, depth: u32, barrier: Option<Arc<super::Barrier>>) -> String {
        if let Some(barrier) = barrier {
            barrier.wait();
        }
        tokio::task::yield_now().await;
        if depth == 0 { "f".to_owned() } else { format!("f{}", block(key, depth - 1, None)) }
    }

    #[cached(ttl = "1h", skip(depth, barrier))]
    pub(super) fn block(key: u32, depth: u32, barrier: Option<Arc<super::Barrier>>) -> String {
        if let Some(barrier) = barrier {
            barrier.wait();
        }
        if depth == 0 {
            "b".to_owned()
        } else {
            // A box, since the two types would contain each other.
            let inner: std::pin::Pin<Box<dyn Future<Output = String>>> = Box::pin(flow(key, depth - 1, None));
            format!("b{}", block_on(inner))
        }
    }
}

#[test]
fn a_circle_of_a_sync_and_an_async_function_runs_through() {
    in_time_blocking(|| {
        let runtime = Builder::new_multi_thread().worker_threads(4).build().expect("a runtime can be made");
        assert!(runtime.block_on(circle::flow(1_000, 4, None)).starts_with("fb"));
        assert!(runtime.block_on(async { circle::block(1_001, 4, None) }).starts_with("bf"));
        for key in 0..20 {
            let barrier = Arc::new(Barrier::new(2));
            let other = Arc::clone(&barrier);
            let first = runtime.spawn(circle::flow(key, 3, Some(other)));
            let second = runtime.spawn(async move { circle::block(key, 3, Some(barrier)) });
            let (first, second) = runtime.block_on(async { (first.await, second.await) });
            assert!(first.expect("no panic").starts_with("fb"));
            assert!(second.expect("no panic").starts_with("bf"));
        }
        assert_eq!((circle::flow::stats().in_flight, circle::block::stats().in_flight), (0, 0));
    });
}

#[tokio::test(flavor = "current_thread")]
async fn it_can_be_called_inside_a_current_thread_runtime() {
    #[cached(ttl = "1h", skip(world))]
    fn inner(_key: u32, world: &World) -> usize {
        world.begin()
    }

    #[cached(ttl = "1h", skip(world))]
    async fn outer(key: u32, world: Arc<World>) -> usize {
        tokio::task::yield_now().await;
        inner(key, &world)
    }

    #[cached(ttl = "1h", timeout = "1m", skip(world))]
    fn elsewhere(_key: u32, world: Arc<World>) -> Result<usize, Trouble> {
        Ok(world.begin())
    }

    alone(async {
        let world = World::new();
        let calls = (0..100).map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { inner(1, &world) })
        });
        assert_eq!(all(calls.collect()).await, [1; 100]);
        assert_eq!(outer(1, Arc::clone(&world)).await, 1);
        assert_eq!(outer(2, Arc::clone(&world)).await, 2);
        assert_eq!(elsewhere(1, Arc::clone(&world)).ok(), Some(3));
        assert_eq!(inner::stats().cache_hits, 100);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_may_call_at_once_on_two_workers() {
    #[cached(ttl = "1h", skip(world))]
    fn stays(_key: u32, world: Arc<World>) -> usize {
        let number = world.begin();
        thread::yield_now();
        number
    }

    #[cached(ttl = "1h", timeout = "1m", skip(world))]
    fn leaves(_key: u32, world: Arc<World>) -> Result<usize, Trouble> {
        let number = world.begin();
        thread::yield_now();
        Ok(number)
    }

    alone(async {
        for key in 0..50 {
            let worlds = [World::new(), World::new()];
            let calls = (0..40).map(|_| {
                let [one, other] = worlds.clone();
                tokio::spawn(async move { (stays(key, one), leaves(key, other).ok()) })
            });
            assert_eq!(all(calls.collect()).await, [(1, Some(1)); 40]);
        }
        for stats in [stays::stats(), leaves::stats()] {
            add_up(&stats);
            assert_eq!((stats.requests, stats.executions, stats.in_flight), (2_000, 50, 0));
        }
    })
    .await;
}

#[test]
fn who_waits_too_long_for_another_thread_is_told_so() {
    #[cached(ttl = "1h", wait = "20ms", skip(gate))]
    fn patient(_key: u32, gate: Arc<Gate>) -> Result<usize, Error> {
        Ok(gate.body())
    }

    in_time_blocking(|| {
        let gate = Gate::new();
        let first = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || patient(1, gate))
        };
        gate.begun(1);
        for _ in 0..3 {
            assert!(matches!(patient(1, Arc::clone(&gate)), Err(Error::WaitTimeout { .. })));
        }
        gate.open_all();
        assert_eq!(first.join().expect("no panic").ok(), Some(1), "it ran the body itself");
        assert_eq!(patient(1, Arc::clone(&gate)).ok(), Some(1));
        let stats = patient::stats();
        add_up(&stats);
        assert_eq!((stats.coalesce_hits, stats.led, stats.abandoned, gate.runs()), (3, 1, 0, 1));
    });
}

#[test]
fn no_more_than_max_concurrent_run_at_once() {
    #[cached(ttl = "1h", max_concurrent = 3, skip(gate))]
    fn narrow(_key: usize, gate: Arc<Gate>) -> Result<usize, Error> {
        thread::yield_now();
        Ok(gate.body())
    }

    in_time_blocking(|| {
        let gate = Gate::new();
        let calls = (0..30).map(|call| {
            let gate = Arc::clone(&gate);
            thread::spawn(move || narrow(call % 10, gate))
        });
        let calls = calls.collect::<Vec<_>>();
        gate.begun(3);
        gate.open_all();
        assert!(results(calls).iter().all(Result::is_ok));
        assert_eq!(gate.runs(), 10);
        assert!(gate.most() <= 3, "{}", gate.most());
        let stats = narrow::stats();
        add_up(&stats);
        assert_eq!((stats.requests, stats.led, stats.refused, stats.in_flight), (30, 10, 0, 0));
    });
}

#[test]
fn who_waits_too_long_in_the_queue_is_refused() {
    #[cached(ttl = "1h", max_concurrent = 1, wait = "20ms", skip(gate))]
    fn narrow(_key: u32, gate: Arc<Gate>) -> Result<usize, Error> {
        Ok(gate.body())
    }

    in_time_blocking(|| {
        let gate = Gate::new();
        let first = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || narrow(1, gate))
        };
        gate.begun(1);
        assert!(matches!(narrow(2, Arc::clone(&gate)), Err(Error::Refused { limit: 1, .. })));
        gate.open_all();
        assert_eq!(first.join().expect("no panic").ok(), Some(1));
        assert_eq!(narrow(2, Arc::clone(&gate)).ok(), Some(2), "the key is free, and so is the turn");
        let stats = narrow::stats();
        add_up(&stats);
        assert_eq!((stats.refused, stats.led), (1, 2));
    });
}

#[test]
fn a_timeout_frees_the_key_and_the_callers_and_the_late_value_is_dropped() {
    #[cached(ttl = "1h", timeout = "20ms", skip(gate))]
    fn slow(_key: u32, gate: Arc<Gate>) -> Result<usize, Error> {
        Ok(gate.body())
    }

    in_time_blocking(|| {
        let gate = Gate::new();
        let shared = Arc::clone(&gate);
        let calls = threads(5, move || slow(1, Arc::clone(&shared)));
        for result in results(calls) {
            assert!(matches!(result, Err(Error::Timeout { .. })), "the thread of the body runs on");
        }
        // Whoever came late began anew, and ended alike.
        let runs = gate.runs();
        assert_eq!((slow::stats().timeouts, slow::stats().in_flight), (runs as u64, 0));
        slow::insert(1, 100);
        gate.open_all();
        gate.idle();
        until(|| Arc::strong_count(&gate) == 1);
        assert_eq!(slow::peek(1).and_then(Result::ok), Some(100), "late values are dropped");
        slow::invalidate(1);
        // A machine that is busy may be slow; the key is free all the same.
        let mut last = slow(1, Arc::clone(&gate));
        while last.is_err() {
            last = slow(1, Arc::clone(&gate));
        }
        assert_eq!(last.ok(), Some(gate.runs()));
    });
}

#[test]
fn a_timeout_frees_any_number_of_callers() {
    #[cached(ttl = "1h", timeout = "20ms", skip(gate))]
    fn slow(_key: usize, gate: Arc<Gate>) -> Result<usize, Error> {
        Ok(gate.body())
    }

    in_time_blocking(|| {
        let gate = Gate::new();
        for key in 0..300 {
            assert!(matches!(slow(key, Arc::clone(&gate)), Err(Error::Timeout { .. })), "{key}");
        }
        gate.open_all();
    });
}

#[test]
fn a_body_that_may_be_left_runs_on_a_thread_of_its_own() {
    #[cached(ttl = "1h", timeout = "1m", skip(gate))]
    fn leaves(_key: u32, gate: Arc<Gate>) -> Result<usize, Error> {
        Ok(gate.body())
    }

    #[cached(ttl = "1h", skip(gate))]
    fn stays(_key: u32, gate: &Gate) -> usize {
        gate.body()
    }

    in_time_blocking(|| {
        let gate = Gate::at_ease();
        stays(1, &gate);
        leaves(1, Arc::clone(&gate)).expect("in time");
        let ran = gate.threads();
        assert_eq!(ran[0], thread::current().id());
        assert_ne!(ran[1], thread::current().id());
    });
}

#[test]
fn an_old_value_is_answered_at_once_and_renewed_on_another_thread() {
    #[cached(ttl = |number| only_the_first_is_old(*number), stale = "1d", skip(gate))]
    fn load(_key: u32, gate: Arc<Gate>) -> usize {
        gate.body()
    }

    in_time_blocking(|| {
        let gate = Gate::new();
        gate.open(1);
        assert_eq!(load(1, Arc::clone(&gate)), 1);
        for _ in 0..100 {
            assert_eq!(load(1, Arc::clone(&gate)), 1, "nobody waits: the gate is closed");
        }
        gate.begun(2);
        assert_ne!(gate.threads()[1], thread::current().id());
        assert_eq!((gate.runs(), load::stats().stale_hits, load::stats().in_flight), (2, 100, 1));
        gate.open_all();
        until(|| load::stats().in_flight == 0);
        assert_eq!(load(1, Arc::clone(&gate)), 2);
        let stats = load::stats();
        add_up(&stats);
        assert_eq!((stats.led, stats.refreshes, stats.cache_hits), (1, 1, 1));
    });
}

#[test]
fn of_many_threads_who_find_an_old_value_one_refreshes_it() {
    #[cached(ttl = |number| only_the_first_is_old(*number), stale = "1d", skip(gate))]
    fn load(_key: u32, gate: Arc<Gate>) -> usize {
        gate.body()
    }

    in_time_blocking(|| {
        for round in 0..20 {
            let gate = Gate::new();
            gate.open(1);
            load(round, Arc::clone(&gate));
            let barrier = Arc::new(Barrier::new(20));
            let shared = Arc::clone(&gate);
            let calls = threads(20, move || {
                barrier.wait();
                load(round, Arc::clone(&shared))
            });
            assert_eq!(results(calls), [1; 20]);
            gate.begun(2);
            gate.open_all();
        }
        until(|| load::stats().in_flight == 0);
        let stats = load::stats();
        add_up(&stats);
        assert_eq!((stats.refreshes, stats.stale_hits, stats.executions), (20, 400, 40));
    });
}

#[test]
fn a_refresh_that_fails_or_panics_on_its_thread_reaches_nobody() {
    #[cached(ttl = |number| only_the_first_is_old(*number), stale = "1d", skip(service))]
    fn load(_key: u32, service: Arc<Service>) -> Result<usize, Trouble> {
        service.answer_now()
    }

    in_time_blocking(|| {
        for (mood, counts) in [(Mood::Failing, (1, 0)), (Mood::Panicking, (0, 1))] {
            load::clear();
            let before = load::stats();
            let service = Service::new();
            assert_eq!(load(1, Arc::clone(&service)).ok(), Some(1));
            service.is(mood);
            assert_eq!(load(1, Arc::clone(&service)).ok(), Some(1));
            until(|| service.runs() == 2 && load::stats().in_flight == 0);
            let stats = load::stats();
            assert_eq!((stats.errors - before.errors, stats.panics - before.panics), counts);
            assert_eq!(load(1, Arc::clone(&service)).ok(), Some(1), "the old value is still there");
            // And after its rest it is renewed.
            service.is(Mood::Well);
            until(|| load(1, Arc::clone(&service)).ok() > Some(1));
            add_up(&load::stats());
        }
    });
}

#[test]
fn an_invalidation_during_a_refresh_on_another_thread_wins() {
    #[cached(ttl = |number| only_the_first_is_old(*number), stale = "1d", skip(gate))]
    fn load(_key: u32, gate: Arc<Gate>) -> usize {
        gate.body()
    }

    in_time_blocking(|| {
        for clears in [false, true] {
            let gate = Gate::new();
            gate.open(1);
            load(1, Arc::clone(&gate));
            assert_eq!(load(1, Arc::clone(&gate)), 1);
            gate.begun(2);
            let removed = if clears { load::clear().removed() } else { load::invalidate(1).removed() };
            assert_eq!(removed, 1);
            gate.open_all();
            until(|| load::stats().in_flight == 0);
            assert_eq!(load::peek(1), None);
        }
    });
}

#[test]
fn an_old_value_stands_in_for_an_error_and_for_a_slow_thread() {
    #[cached(ttl = |number| only_the_first_is_old(*number), stale_if_error = "1d", skip(service))]
    fn failing(_key: u32, service: &Service) -> Result<usize, Trouble> {
        service.answer_now()
    }

    #[cached(ttl = |number| only_the_first_is_old(*number), stale_if_error = "1d", soft_timeout = "10ms", skip(gate))]
    fn slow(_key: u32, gate: Arc<Gate>) -> usize {
        gate.body()
    }

    in_time_blocking(|| {
        let service = Service::new();
        assert_eq!(failing(1, &service).ok(), Some(1));
        service.is(Mood::Failing);
        assert_eq!(failing(1, &service).ok(), Some(1));
        assert_eq!((service.runs(), failing::stats().fallbacks), (2, 1));
        assert_eq!(failing::refresh(1, &service).map_err(|error| matches!(error, Trouble::Fire)), Err(true));

        let gate = Gate::new();
        gate.open(1);
        assert_eq!(slow(1, Arc::clone(&gate)), 1);
        assert_eq!(slow(1, Arc::clone(&gate)), 1);
        assert_eq!(slow(1, Arc::clone(&gate)), 1);
        assert_eq!((gate.runs(), slow::stats().soft_timeouts, slow::stats().in_flight), (2, 2, 1));
        gate.open_all();
        until(|| slow::stats().in_flight == 0);
        assert_eq!(slow(1, gate), 2);
        add_up(&slow::stats());
    });
}

#[tokio::test(start_paused = true)]
async fn a_hit_near_the_end_of_its_life_is_refreshed_early_on_another_thread() {
    #[cached(ttl = "100s", early = 100, skip(gate))]
    fn load(_key: u32, gate: Arc<Gate>) -> usize {
        if gate.runs() == 0 {
            // It takes twenty seconds: the clock has moved when this has been polled once.
            let _ = pin!(tokio::time::advance(Duration::from_secs(20))).poll(&mut Context::from_waker(Waker::noop()));
        }
        gate.body()
    }

    alone(async {
        fastrand::seed(1);
        let gate = Gate::new();
        gate.open(1);
        assert_eq!(load(1, Arc::clone(&gate)), 1);
        tokio::time::advance(just_before(Duration::from_secs(100))).await;
        for _ in 0..100 {
            assert_eq!(load(1, Arc::clone(&gate)), 1);
        }
        gate.begun(2);
        assert_ne!(gate.threads()[1], thread::current().id());
        let stats = load::stats();
        add_up(&stats);
        assert_eq!((stats.refreshes, stats.cache_hits, stats.stale_hits), (1, 100, 0));
        gate.open_all();
        until(|| load::stats().in_flight == 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refreshed_value_lives_by_the_paused_clock() {
    #[cached(ttl = "10s", stale = "1d", skip(gate))]
    fn load(_key: u32, gate: Arc<Gate>) -> usize {
        gate.body()
    }

    alone(async {
        let gate = Gate::at_ease();
        load(1, Arc::clone(&gate));
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(load(1, Arc::clone(&gate)), 1);
        until(|| load::stats().in_flight == 0);
        assert_eq!(load(1, Arc::clone(&gate)), 2);
        assert_eq!(load::stats().cache_hits, 1, "its life has only begun");
    })
    .await;
}

#[tokio::test]
async fn a_body_finds_the_runtime_of_its_caller() {
    #[coalesce]
    fn stays() -> bool {
        Handle::try_current().is_ok()
    }

    #[coalesce(timeout = "1m")]
    fn leaves() -> Result<bool, Error> {
        Ok(Handle::try_current().is_ok())
    }

    alone(async {
        assert!(stays());
        assert!(leaves().expect("in time"), "as it does without `timeout`");
    })
    .await;
}

#[test]
fn the_companion_works_without_a_runtime() {
    #[cached(ttl = "1h", skip(gate))]
    fn load(_key: u32, gate: Arc<Gate>) -> usize {
        gate.body()
    }

    in_time_blocking(|| {
        let gate = Gate::at_ease();
        assert_eq!(load::peek(1), None);
        assert_eq!(load(1, Arc::clone(&gate)), 1);
        assert_eq!(load::peek(1), Some(1));
        assert_eq!(load::refresh(1, Arc::clone(&gate)), 2);
        assert_eq!(load(1, Arc::clone(&gate)), 2);
        load::insert(1, 100);
        assert_eq!(load(1, Arc::clone(&gate)), 100);
        assert_eq!(load::invalidate(1).removed(), 1);
        assert_eq!(load(1, Arc::clone(&gate)), 3);
        load(2, Arc::clone(&gate));
        assert_eq!((load::stats().cache_size, load::clear().removed(), load::stats().cache_size), (2, 2, 0));
        let stats = load::stats();
        add_up(&stats);
        assert_eq!((stats.refreshes, stats.led, stats.cache_hits), (1, 3, 2));
    });
}

#[test]
fn a_refresh_is_shared_and_meanwhile_the_kept_value_is_served() {
    #[cached(ttl = "1h", skip(gate))]
    fn load(_key: u32, gate: Arc<Gate>) -> usize {
        gate.body()
    }

    in_time_blocking(|| {
        let gate = Gate::new();
        gate.open(1);
        load(1, Arc::clone(&gate));
        let first = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || load::refresh(1, gate))
        };
        gate.begun(2);
        assert_eq!(load(1, Arc::clone(&gate)), 1);
        let others = {
            let gate = Arc::clone(&gate);
            threads(3, move || load::refresh(1, Arc::clone(&gate)))
        };
        // Who comes when it has landed begins another.
        gate.open_all();
        assert_eq!(first.join().expect("no panic"), 2);
        let last = results(others).into_iter().max();
        assert_eq!(load(1, Arc::clone(&gate)), last.expect("three"));
        add_up(&load::stats());
    });
}

#[test]
fn an_invalidation_during_the_execution_wins() {
    #[cached(ttl = "1h", skip(gate))]
    fn load(_key: u32, gate: Arc<Gate>) -> usize {
        gate.body()
    }

    in_time_blocking(|| {
        let gate = Gate::new();
        let first = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || load(1, gate))
        };
        gate.begun(1);
        load::invalidate(1);
        let second = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || load(1, gate))
        };
        gate.begun(2);
        gate.open(1);
        assert_eq!(first.join().expect("no panic"), 1);
        assert_eq!(load::peek(1), None);
        gate.open_all();
        assert_eq!(second.join().expect("no panic"), 2);
        assert_eq!(load::peek(1), Some(2));
    });
}

#[test]
fn isolation_holds_for_a_thread_without_a_runtime() {
    #[cached(ttl = "1h", skip(gate))]
    fn load(_key: u32, gate: &Gate) -> usize {
        gate.body()
    }

    in_time_blocking(|| {
        let gate = Gate::at_ease();
        assert_eq!(load(1, &gate), 1);
        {
            let _isolated = isolate();
            assert_eq!(load::peek(1), None);
            assert_eq!(load(1, &gate), 2);
            assert_eq!((load::stats().requests, all_stats().len()), (1, 1));
        }
        assert_eq!(load(1, &gate), 1);
        let config = Config::builder().defaults(Settings::new().capacity(1)).build().expect("right");
        {
            let _isolated = isolate_with(config);
            assert_eq!(load(1, &gate), 3, "nothing is left of the isolation before");
        }
        assert_eq!(load::stats().requests, 2);
    });
}

#[test]
fn isolation_holds_for_bodies_on_threads_of_their_own() {
    #[cached(ttl = "1h")]
    fn inner(key: u32) -> u32 {
        key
    }

    #[cached(ttl = "1h", timeout = "1m")]
    fn outer(key: u32) -> Result<u32, Error> {
        Ok(inner(key))
    }

    in_time_blocking(|| {
        let _isolated = isolate();
        outer(1).expect("in time");
        assert_eq!(inner::stats().executions, 1);
    });
}

#[test]
fn the_sums_hold_whatever_happens_on_many_threads() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);

    #[cached(ttl = |value| Duration::from_nanos(*value), stale = "1d", cache_err = "1us", capacity = 6, skip(how))]
    fn load(key: u64, how: u64) -> Result<u64, u64> {
        thread::yield_now();
        match (how, key) {
            (0, _) => Err(how),
            (1, _) => panic!("expected"),
            (2, 1..) => load(key - 1, 3),
            (3, _) => load(key, 4),
            _ => Ok(how * 1_000),
        }
    }

    in_time_blocking(|| {
        let workers = (1..=4_u64).map(|seed| {
            thread::spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..500 {
                    let (key, how) = (random.u64(..10), random.u64(..8));
                    match random.u32(..12) {
                        0 => drop(load::invalidate(key)),
                        1 => load::insert(key, how),
                        2 => drop(std::panic::catch_unwind(|| load::refresh(key, how))),
                        _ => {
                            CALLS.fetch_add(1, SeqCst);
                            drop(std::panic::catch_unwind(|| load(key, how)));
                        }
                    }
                }
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.join().expect("no panic leaves");
        }
        until(|| load::stats().in_flight == 0);
        let stats = load::stats();
        add_up(&stats);
        assert!(stats.requests >= CALLS.load(SeqCst) as u64, "those inside bodies are calls, too");
        assert!(stats.cache_size <= 6, "{stats}");
        assert!(stats.panics > 0 && stats.errors > 0 && stats.stale_hits > 0 && stats.refreshes > 0, "{stats}");
    });
}

#[test]
fn stampede_off_runs_every_body_on_its_own_thread() {
    in_a_process_of_its_own("behaviour::sync::off", &[("STAMPEDE_OFF", "1")]);
}

#[test]
#[ignore = "run in a process of its own, with STAMPEDE_OFF"]
fn off() {
    #[cached(ttl = "1h", max_concurrent = 1, timeout = "10ms", skip(barrier, world))]
    fn load(_key: u32, barrier: Arc<Barrier>, world: Arc<World>) -> Result<usize, Error> {
        barrier.wait();
        Ok(world.begin())
    }

    in_time_blocking(|| {
        let (barrier, world) = (Arc::new(Barrier::new(5)), World::new());
        let mut numbers = results(threads(5, move || load(1, Arc::clone(&barrier), Arc::clone(&world)).ok()));
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=5).map(Some).collect::<Vec<_>>());
        let stats = load::stats();
        add_up(&stats);
        assert_eq!((stats.bypassed, stats.executions), (5, 0));
        assert_eq!(load::peek(1).map(Result::ok), None);
    });
}
