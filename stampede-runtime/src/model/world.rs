//! What the actors of a scenario share, and what must hold whatever they did.

use std::future::{Future, pending, poll_fn};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

use shuttle::future::{block_on, yield_now};
use shuttle::thread::{self, JoinHandle};

use crate::clock::Moment;
use crate::coalescer::{Coalescing, Function};
use crate::fly::Boarding;
use crate::hooks::{Hooks, Keeping};
use crate::key::ByRef;
use crate::policy::{Options, Policy, Settings};
use crate::share::{ByClone, Other};
use crate::stats::Stats;
use crate::tier::Life;

pub(super) type Outcome = Result<Arc<Made>, Failure>;
type Way = ByClone<Arc<Made>, Failure, Other>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure;

/// A value, and when its making began.
#[derive(Debug)]
pub(super) struct Made {
    key: u64,
    begun: u64,
    alive: Arc<AtomicUsize>,
}

impl Drop for Made {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, SeqCst);
    }
}

/// What a body does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Returns,
    /// Lets others run, then returns.
    Pauses,
    Hangs,
    Fails,
    Panics,
    /// Calls this key, whose body returns, before it returns.
    Calls(u64),
}

/// Where it does so.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Detached,
    Attached,
}

/// The counters are the standard library's: looking at them is no step that others could come between.
pub(super) struct World {
    coalescing: Arc<Coalescing<u64, Way>>,
    place: Place,
    now: AtomicU64,
    /// When the last invalidation that has returned began: what began before it is seen no more.
    invalidated: AtomicU64,
    calls: AtomicUsize,
    begun: AtomicUsize,
    running: AtomicUsize,
    most_running: AtomicUsize,
    alive: Arc<AtomicUsize>,
}

impl World {
    /// A function that keeps its values.
    pub(super) fn keeping(place: Place) -> Arc<World> {
        World::new(place, Settings::new().ttl(Duration::from_secs(3_600)))
    }

    /// A function that serves old values while new ones are made, and in the place of errors.
    pub(super) fn serving_old() -> Arc<World> {
        let hour = Duration::from_secs(3_600);
        World::new(Place::Detached, Settings::new().ttl(hour).stale(hour).stale_if_error(2 * hour))
    }

    /// A function that serves old values in the place of errors.
    pub(super) fn falling_back(place: Place) -> Arc<World> {
        let hour = Duration::from_secs(3_600);
        World::new(place, Settings::new().ttl(hour).stale_if_error(hour))
    }

    pub(super) fn new(place: Place, settings: Settings) -> Arc<World> {
        let options = match place {
            Place::Detached => Options::new(),
            Place::Attached => Options::new().attached(),
        };
        Arc::new(World {
            coalescing: Coalescing::new("model".into(), Policy::new(&settings, &options, false), Hooks::new(), None),
            place,
            now: AtomicU64::new(1),
            invalidated: AtomicU64::new(0),
            calls: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
            alive: Arc::default(),
        })
    }

    fn tick(&self) -> u64 {
        self.now.fetch_add(1, SeqCst)
    }

    fn made(&self, key: u64) -> Arc<Made> {
        self.alive.fetch_add(1, SeqCst);
        Arc::new(Made { key, begun: self.tick(), alive: Arc::clone(&self.alive) })
    }

    async fn body(self: Arc<Self>, key: u64, body: Body) -> Outcome {
        let _running = Running::begin(&self);
        let made = self.made(key);
        if body == Body::Pauses {
            yield_now().await;
        }
        if let Body::Calls(other) = body {
            self.begin(other, Body::Returns).await?;
        }
        match body {
            Body::Returns | Body::Pauses | Body::Calls(_) => Ok(made),
            Body::Hangs => pending().await,
            Body::Fails => Err(Failure),
            // Without the hook, which would print a trace in each of thousands of schedules.
            Body::Panics => resume_unwind(Box::new("the body panics")),
        }
    }

    fn fly(self: &Arc<Self>, key: u64, body: Body, boarding: Boarding<u64, Way>) -> Flight {
        let world = Arc::clone(self);
        let work = move || world.body(key, body);
        match self.place {
            Place::Detached => Box::pin(boarding.fly(work)),
            Place::Attached => Box::pin(boarding.fly_attached(work)),
        }
    }

    /// A call, boarded.
    pub(super) fn begin(self: &Arc<Self>, key: u64, body: Body) -> Flight {
        self.calls.fetch_add(1, SeqCst);
        let floor = self.invalidated.load(SeqCst);
        let look = ByRef(&key);
        let flight = match self.coalescing.hit(&look) {
            Ok(outcome) => Box::pin(std::future::ready(outcome)),
            Err(missed) => self.fly(key, body, Boarding::call(self.coalescing.board(&look, missed), None)),
        };
        Box::pin(async move {
            let outcome = flight.await;
            if let Ok(made) = &outcome {
                assert_eq!(made.key, key, "a value of another key");
                assert!(made.begun > floor, "a value from before an invalidation that had returned");
            }
            outcome
        })
    }

    /// A call, to its end.
    pub(super) fn call(self: &Arc<Self>, key: u64, body: Body) -> Outcome {
        block_on(self.begin(key, body))
    }

    /// A call that is polled once and dropped.
    pub(super) fn leave(self: &Arc<Self>, key: u64, body: Body) {
        let mut call = self.begin(key, body);
        block_on(poll_fn(|cx| {
            let _ = call.as_mut().poll(cx);
            Poll::Ready(())
        }));
    }

    pub(super) fn refresh(self: &Arc<Self>, key: u64, body: Body) -> Outcome {
        let asked = self.tick();
        let boarded = self.coalescing.board_refresh(&ByRef(&key));
        let outcome = block_on(self.fly(key, body, Boarding::refresh(boarded, None)));
        if let Ok(made) = &outcome {
            // No scenario has two, so there is no other refresh that it could have joined.
            assert!(made.begun > asked, "a refresh is answered with what began before it was asked for");
        }
        outcome
    }

    /// One of several refreshes, which may join one another. Whoever has a value finds that kept, or a newer one, or for
    /// a moment none, while the one makes way for the other.
    pub(super) fn refresh_with_others(self: &Arc<Self>, key: u64, body: Body) {
        let boarded = self.coalescing.board_refresh(&ByRef(&key));
        let made = block_on(self.fly(key, body, Boarding::refresh(boarded, None))).expect("a value");
        let kept = self.peek(key);
        assert!(kept.is_none_or(|kept| kept >= made.begun), "an older value has taken the place of a newer one");
    }

    /// Inserts a value and returns when it was made. As after an invalidation, nothing older may be seen from then on.
    pub(super) fn insert(&self, key: u64) -> u64 {
        let made = self.made(key);
        let begun = made.begun;
        let keeping = Keeping::new(Duration::from_secs(3_600), Duration::ZERO, &self.coalescing.policy);
        self.coalescing.insert(&ByRef(&key), made, &keeping);
        self.invalidated.fetch_max(begun - 1, SeqCst);
        begun
    }

    /// Inserts a value whose `ttl` has just ended.
    pub(super) fn insert_old(&self, key: u64) -> u64 {
        const SECOND: Duration = Duration::from_secs(1);
        let made = self.made(key);
        let begun = made.begun;
        let keeping = Keeping::found(Life::Past(SECOND), SECOND, Duration::ZERO, 1, &self.coalescing.policy);
        let keeping = Keeping { calm_until: Moment::now(), ..keeping };
        self.coalescing.insert(&ByRef(&key), made, &keeping);
        begun
    }

    /// When the kept value was made.
    pub(super) fn peek(&self, key: u64) -> Option<u64> {
        Some(self.coalescing.peek(&ByRef(&key))?.expect("an error is never kept").begun)
    }

    pub(super) fn invalidate(&self, key: u64) {
        let at = self.tick();
        self.coalescing.invalidate(&ByRef(&key));
        self.invalidated.fetch_max(at, SeqCst);
    }

    pub(super) fn clear(&self) {
        let at = self.tick();
        self.coalescing.clear();
        self.invalidated.fetch_max(at, SeqCst);
    }

    /// How many bodies have begun.
    pub(super) fn begun(&self) -> usize {
        self.begun.load(SeqCst)
    }

    /// How many bodies ran at once at the most.
    pub(super) fn most_running(&self) -> usize {
        self.most_running.load(SeqCst)
    }

    pub(super) fn stats(&self) -> Stats {
        self.coalescing.stats()
    }

    /// Runs the actors against each other, then checks what holds for all scenarios. The world is empty after it.
    pub(super) fn play<const N: usize>(self: &Arc<Self>, actors: [fn(&Arc<World>); N]) {
        let begin = |actor: fn(&Arc<World>)| {
            let world = Arc::clone(self);
            thread::spawn(move || actor(&world))
        };
        let actors: [JoinHandle<()>; N] = actors.map(begin);
        actors.into_iter().for_each(|actor| actor.join().expect("no actor panics"));
        self.settle();
    }

    fn settle(self: &Arc<Self>) {
        // Bodies that nobody waits for end at their next pause: some turns for them.
        for _ in 0..1_000 {
            if Arc::strong_count(&self.coalescing) == 1 {
                break;
            }
            thread::yield_now();
        }
        assert_eq!(Arc::strong_count(&self.coalescing), 1, "a body that nobody waits for goes on");
        let stats = self.stats();
        assert_eq!(stats.in_flight, 0, "a flight that never landed: {stats}");
        assert_eq!(stats.requests as usize, self.calls.load(SeqCst), "{stats}");
        assert_eq!((stats.executions + stats.bypassed) as usize, self.begun(), "{stats}");
        if let Some(begun) = self.peek(1) {
            assert!(begun > self.invalidated.load(SeqCst), "a value from before an invalidation is kept");
        }
        // A key that nobody uses any more is free: a new call does not wait for what is gone.
        self.call(1, Body::Returns).expect("a value");
        self.clear();
        // What a reader was looking at is dropped by a later write: it waits its turn among two generations.
        (0..2).for_each(|_| self.invalidate(1));
        assert_eq!(self.alive.load(SeqCst), 0, "values are left behind");
        assert_eq!(self.peek(1), None);
    }
}

pub(super) type Flight = Pin<Box<dyn Future<Output = Outcome> + Send>>;

struct Running<'a>(&'a World);

impl Running<'_> {
    fn begin(world: &World) -> Running<'_> {
        world.begun.fetch_add(1, SeqCst);
        let running = world.running.fetch_add(1, SeqCst) + 1;
        world.most_running.fetch_max(running, SeqCst);
        Running(world)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}
