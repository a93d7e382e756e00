//! One execution for one key: its seats, and every way it can end.
//!
//! A flight is a node of its function's table from the first call on. When it lands with a value to keep, the same
//! node stays and *is* the stored value: there is no moment between "in the air" and "stored". Whatever takes the node
//! out of the table (an invalidation, a clear, room for others) thereby decides that its value is not kept, whether it
//! has landed or not, and no later landing can bring it back.

mod queue;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};
use std::sync::{Arc, PoisonError, atomic as plain};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::{AtomicMoment, Moment};
use crate::coalescer::Purpose;
use crate::evict::{Residence, Resident};
use crate::home::{HomeId, Task};
use crate::hooks::Keeping;
use crate::nest::{self, FlightId};
use crate::share::Share;
use crate::sync::{AtomicBool, AtomicU8, AtomicU32, Mutex, MutexGuard, OnceLock};
use crate::tier::{Came, Origin};

pub(crate) use self::queue::Queue;

/// How a flight ended.
pub(crate) enum Ending<K, S: Share> {
    /// With a value. The node says how it is kept.
    Value(S::Value),
    /// With anything else. Boxed, so that values, of which there are many, stay small.
    Rare(Box<Rare<K, S>>),
}

pub(crate) enum Rare<K, S: Share> {
    /// The body returned an error. Calls are answered with the older value, if there is one.
    Fault(S::Fault, Option<Instead<K, S>>),
    /// The body panicked.
    Panicked(Payload),
    /// The body took longer than this. As with an error.
    TimedOut(Duration, Option<Instead<K, S>>),
    /// Its runtime ended, the call that drove it was dropped, or nobody waited any more. For those who did: the flight
    /// that they go on with, once the first of them has found or begun one.
    Abandoned(OnceLock<Arc<Node<K, S>>>),
}

/// An older value that stands in for an error.
pub(crate) struct Instead<K, S: Share> {
    pub(crate) old: Arc<Node<K, S>>,
    /// Some call has received it.
    is_used: plain::AtomicBool,
}

impl<K, S: Share> Instead<K, S> {
    pub(crate) fn new(old: Arc<Node<K, S>>) -> Instead<K, S> {
        Instead { old, is_used: plain::AtomicBool::new(false) }
    }

    /// Returns whether it is for the first time.
    pub(crate) fn use_it(&self) -> bool {
        !self.is_used.swap(true, Relaxed)
    }
}

impl<K, S: Share> Ending<K, S> {
    pub(crate) fn rare(rare: Rare<K, S>) -> Ending<K, S> {
        Ending::Rare(Box::new(rare))
    }

    pub(crate) fn abandoned() -> Ending<K, S> {
        Ending::rare(Rare::Abandoned(OnceLock::new()))
    }
}

/// What a panic said.
#[derive(Clone)]
pub(crate) enum Payload {
    Static(&'static str),
    Text(String),
}

impl Payload {
    pub(crate) fn new(payload: &(dyn Any + Send), function: &str) -> Payload {
        if let Some(text) = payload.downcast_ref::<&'static str>() {
            Payload::Static(text)
        } else if let Some(text) = payload.downcast_ref::<String>() {
            Payload::Text(text.clone())
        } else {
            Payload::Text(format!("`{function}` panicked with a payload that is not text"))
        }
    }

    /// Panics in the calling task as the body did. The panic hook has already run, in the body.
    pub(crate) fn resume(&self) -> ! {
        match self {
            Payload::Static(text) => resume_unwind(Box::new(*text)),
            Payload::Text(text) => resume_unwind(Box::new(text.clone())),
        }
    }
}

/// How long a value rests after its first failed refresh, and at most.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// From this number on, how a value came is that it is another question's.
const NEAR: u8 = 4;

/// A caller that is not polled keeps its abandoned flight, and that the next, and so on. After so many in a row its callers
/// do not go on together any more.
const MOST_LINKS: u8 = 200;

/// A flight, and after its landing the value.
///
/// In this order in memory: what a hit reads comes first, on as few cache lines as it can.
#[repr(C)]
pub(crate) struct Node<K, S: Share> {
    residence: Residence,
    /// How often in a row its refresh has failed.
    failures: plain::AtomicU8,
    /// How its value came here: the [`Came`] of this number.
    came: plain::AtomicU8,
    queue: Queue,
    /// Somebody is ending the flight.
    is_claimed: AtomicBool,
    /// Its value was made old on purpose.
    is_expired: plain::AtomicBool,
    /// Others may have changed what it is of, and nobody has told.
    is_doubtful: AtomicBool,
    /// Ends only when its body does; one seat is its own.
    finishes: AtomicBool,
    /// Why it was begun. What `refresh` asked for may be joined by another that asks; calls join whatever is in the air.
    pub(crate) purpose: Purpose,
    /// How many abandoned flights may lead here, one to the next.
    links: AtomicU8,
    /// How many wait, plus one while the flight finishes in any case. A flight without seats is closed for good.
    seats: AtomicU32,
    /// How near the question is whose answer this is, as the bits of an `f32`, if it is another's.
    similarity: plain::AtomicU32,
    /// Until then a hit has nothing to decide. Where there is `early`, it ends before the value does; whoever refreshes
    /// the value puts it off to where that is of no use any more, and a refresh that failed, to where the next may begin.
    calm_until: AtomicMoment,
    /// Until then a value is fresh; `PAST`: not kept. Written before the ending is.
    expires: plain::AtomicU64,
    /// How long the value took to make, in seconds, as the bits of an `f32`.
    cost: plain::AtomicU32,
    weight: plain::AtomicU32,
    pub(crate) key: K,
    ending: OnceLock<Ending<K, S>>,
    hash: u64,
    /// Given when it enters the table, under the shard's lock: of two flights of a key, the one that began later has the
    /// larger one.
    id: plain::AtomicU64,
    /// When the value was made.
    made: plain::AtomicU64,
    /// The current-thread runtime that drives the flight; nobody else could. `None`: a runtime with threads of its own.
    home: Option<HomeId>,
    /// Empty until somebody has to wait.
    air: Mutex<Option<Box<Air>>>,
}

/// What a flight in the air needs.
#[derive(Default)]
struct Air {
    /// Where to reach those who wait; a seat knows its place.
    wakers: Vec<Option<Waker>>,
    free: Vec<u32>,
    body: Option<Task>,
    watch: Option<Task>,
}

/// What a node is to a caller.
pub(crate) enum View<'a, S: Share> {
    Fresh(&'a S::Value),
    /// Past its `ttl`, and nothing is to be done about it now.
    Stale(&'a S::Value),
    /// No longer calm: its policy says what it is.
    Aging(&'a S::Value),
    /// A kept error.
    Fault(&'a S::Fault),
    InTheAir,
    /// Landed with nothing to keep, or with an error that was kept long enough.
    Over,
}

impl<K, S: Share> Node<K, S> {
    /// A flight with one seat taken.
    pub(crate) fn new(key: K, hash: u64, home: Option<HomeId>, finishes: bool, purpose: Purpose) -> Node<K, S> {
        Node {
            key,
            hash,
            id: plain::AtomicU64::new(nest::NOBODY),
            residence: Residence::default(),
            home,
            seats: AtomicU32::new(1 + u32::from(finishes)),
            finishes: AtomicBool::new(finishes),
            failures: plain::AtomicU8::new(0),
            calm_until: AtomicMoment::new(Moment::PAST),
            expires: plain::AtomicU64::new(0),
            cost: plain::AtomicU32::new(0),
            weight: plain::AtomicU32::new(0),
            similarity: plain::AtomicU32::new(0),
            came: plain::AtomicU8::new(0),
            made: plain::AtomicU64::new(0),
            queue: Queue::default(),
            is_claimed: AtomicBool::new(false),
            is_expired: plain::AtomicBool::new(false),
            is_doubtful: AtomicBool::new(false),
            purpose,
            links: AtomicU8::new(0),
            ending: OnceLock::new(),
            air: Mutex::new(None),
        }
    }

    /// A value that was never in the air.
    pub(crate) fn landed(key: K, hash: u64, ending: Ending<K, S>, keeping: &Keeping) -> Node<K, S> {
        let node = Node::new(key, hash, None, false, Purpose::Call);
        node.will_be_kept(keeping);
        // Nobody else has seen the node.
        let _ = node.ending.set(ending);
        node
    }

    /// It enters the table.
    pub(crate) fn number(&self) {
        self.id.store(nest::new_id(), Relaxed);
    }

    pub(crate) fn id(&self) -> FlightId {
        self.id.load(Relaxed)
    }

    /// The value, while it is fresh and nothing about it has to be decided.
    #[inline]
    pub(crate) fn fresh(&self) -> Option<&S::Value> {
        let Some(Ending::Value(value)) = self.ending.get() else { return None };
        let now = Moment::now();
        (self.calm_until.get() > now && self.expires() > now).then_some(value)
    }

    pub(crate) fn view(&self) -> View<'_, S> {
        match self.ending.get() {
            None => View::InTheAir,
            Some(Ending::Value(value)) => {
                let now = Moment::now();
                if self.calm_until.get() <= now || self.is_expired.load(Relaxed) {
                    View::Aging(value)
                } else if self.expires() > now {
                    View::Fresh(value)
                } else {
                    View::Stale(value)
                }
            }
            Some(Ending::Rare(rare)) => match &**rare {
                Rare::Fault(fault, _) if self.expires() > Moment::now() => View::Fault(fault),
                _ => View::Over,
            },
        }
    }

    /// The value, once there is one.
    pub(crate) fn value(&self) -> Option<&S::Value> {
        match self.ending.get()? {
            Ending::Value(value) => Some(value),
            Ending::Rare(_) => None,
        }
    }

    #[inline]
    pub(crate) fn expires(&self) -> Moment {
        Moment::from_units(self.expires.load(Relaxed))
    }

    pub(crate) fn calm_until(&self) -> Moment {
        self.calm_until.get()
    }

    /// Whether its value may be of use past its `ttl`. Another question's may not.
    pub(crate) fn may_be_old(&self) -> bool {
        self.came.load(Relaxed) < NEAR
    }

    /// One caller's copy of what is kept.
    pub(crate) fn output(&self) -> Option<S::Output> {
        match self.ending.get()? {
            Ending::Value(value) => Some(S::value(value)),
            Ending::Rare(rare) => match &**rare {
                Rare::Fault(fault, _) => Some(S::fault(fault)),
                _ => None,
            },
        }
    }

    /// When its value was made, as far as that is known.
    pub(crate) fn made(&self) -> Moment {
        Moment::from_units(self.made.load(Relaxed))
    }

    /// What its value counts against the capacity.
    #[cfg(feature = "semantic")]
    pub(crate) fn weight_of_value(&self) -> u32 {
        self.weight.load(Relaxed)
    }

    pub(crate) fn cost(&self) -> Duration {
        Duration::try_from_secs_f32(f32::from_bits(self.cost.load(Relaxed))).unwrap_or_default()
    }

    /// Notes how what the flight ends with is kept. For who has claimed it, before the end.
    pub(crate) fn will_be_kept(&self, keeping: &Keeping) {
        self.calm_until.set(keeping.calm_until);
        self.expires.store(keeping.expires.units(), Relaxed);
        self.cost.store(keeping.cost.as_secs_f32().to_bits(), Relaxed);
        self.weight.store(keeping.weight, Relaxed);
        self.made.store(keeping.made.units(), Relaxed);
        let (came, similarity) = match keeping.origin {
            Origin::Made => return,
            Origin::Backend => (1, 0.0),
            Origin::Index => (2, 0.0),
            Origin::Told => (3, 0.0),
            Origin::Near(near) => (NEAR + u8::from(near.is_joined), near.similarity),
        };
        self.similarity.store(similarity.to_bits(), Relaxed);
        self.came.store(came, Relaxed);
    }

    /// How its value came here.
    pub(crate) fn came(&self) -> Came {
        match self.came.load(Relaxed) {
            0 => Came::Made,
            1 => Came::Backend,
            2 => Came::Index,
            3 => Came::Told,
            near => {
                let similarity = f32::from_bits(self.similarity.load(Relaxed));
                Came::Near { similarity, is_joined: near > NEAR }
            }
        }
    }

    /// Takes the right to refresh the value, which one of all who saw that it is no longer calm gets. Until `until` the
    /// others have nothing to decide.
    pub(crate) fn claim_refresh(&self, seen: Moment, until: Moment) -> bool {
        self.calm_until.set_if(seen, until)
    }

    /// Lets the value rest until its refresh may be tried again, at most until `end`. The first rest is one second, and
    /// each is twice as long as the one before.
    pub(crate) fn rest(&self, end: Moment) {
        let failures = self.failures.load(Relaxed);
        self.failures.store(failures.saturating_add(1), Relaxed);
        let rest = LONGEST_REST.min(FIRST_REST * 2_u32.saturating_pow(failures.into()));
        self.calm_until.set(Moment::now().after(rest).min(end));
    }

    /// Lets the value rest for as long, although nothing has failed.
    pub(crate) fn put_off(&self, end: Moment) {
        self.calm_until.set(Moment::now().after(FIRST_REST).min(end));
    }

    /// Makes its value older than `stale` allows. Whether it was not before.
    pub(crate) fn expire(&self, stale: Duration) -> bool {
        let (now, was) = (Moment::now(), self.expires());
        // Who puts the next refresh off at this moment may go by when it expired before.
        self.is_expired.store(true, Relaxed);
        let old = now.before(stale);
        self.expires.store(was.min(old).units(), Relaxed);
        // After that: who took the right to refresh it before has set it by what it saw.
        self.calm_until.set(Moment::PAST);
        was > old
    }

    /// Notes that others may have changed what it is of. Whether it is still in the air, where its end will see that.
    pub(crate) fn doubt(&self) -> bool {
        self.is_doubtful.store(true, SeqCst);
        plain::fence(SeqCst);
        self.ending.get().is_none()
    }

    /// For who has ended it.
    pub(crate) fn is_doubtful(&self) -> bool {
        plain::fence(SeqCst);
        self.is_doubtful.load(SeqCst)
    }

    /// Gives its value another life. `false`: it has got another one, or lost its own, since it was looked at.
    pub(crate) fn touch(&self, keeping: &Keeping) -> bool {
        let was = self.expires();
        let is_newest = was > Moment::now()
            && self.expires.compare_exchange(was.units(), keeping.expires.units(), Relaxed, Relaxed).is_ok();
        if is_newest {
            self.calm_until.set(keeping.calm_until);
        }
        is_newest
    }

    /// Lets the next who looks decide anew.
    pub(crate) fn rouse(&self) {
        self.calm_until.set(Moment::now());
    }

    /// Has the flight end only when its body does, although the caller who says so leaves. Returns whether that caller's
    /// seat is the flight's own from now on; otherwise it has had one before.
    pub(crate) fn finish(&self) -> bool {
        !self.finishes.swap(true, AcqRel)
    }

    pub(crate) fn ending(&self) -> Option<&Ending<K, S>> {
        self.ending.get()
    }

    /// Where an abandoned flight keeps the one that its callers go on with.
    pub(crate) fn successor(&self) -> Option<&OnceLock<Arc<Node<K, S>>>> {
        match self.ending()? {
            Ending::Rare(rare) => match &**rare {
                Rare::Abandoned(successor) => Some(successor),
                _ => None,
            },
            Ending::Value(_) => None,
        }
    }

    /// Whether it has ended, other than abandoned.
    pub(crate) fn has_come_to_something(&self) -> bool {
        self.ending().is_some() && self.successor().is_none()
    }

    /// Notes the flight that this one's callers go on with. Only under the shard's lock.
    pub(crate) fn go_on_with(&self, next: &Arc<Node<K, S>>) {
        let links = self.links.load(Relaxed).saturating_add(1);
        if let Some(successor) = self.successor()
            && links <= MOST_LINKS
        {
            next.links.fetch_max(links, Relaxed);
            let _ = successor.set(Arc::clone(next));
        }
    }

    /// Takes the right to end the flight, which one of all who want to gets.
    pub(crate) fn claim(&self) -> bool {
        !self.is_claimed.swap(true, AcqRel)
    }

    /// Ends the flight. Only for who has claimed it.
    pub(crate) fn end(&self, ending: Ending<K, S>) {
        let ended = self.ending.set(ending);
        debug_assert!(ended.is_ok(), "one may claim, and ends it once");
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Whether a caller whose current-thread runtime is `here` can count on this flight to move.
    pub(crate) fn moves_for(&self, here: Option<HomeId>) -> bool {
        self.home.is_none() || self.home == here
    }

    /// Takes a seat, unless the flight is closed.
    pub(crate) fn take_seat(&self) -> bool {
        self.seats.fetch_update(AcqRel, Acquire, |seats| (seats > 0).then(|| seats.saturating_add(1))).is_ok()
    }

    /// Gives a seat up. Returns whether it was the last.
    pub(crate) fn leave_seat(&self) -> bool {
        self.seats.fetch_sub(1, AcqRel) == 1
    }

    /// How many wait.
    pub(crate) fn waiters(&self) -> u32 {
        self.seats.load(Acquire).saturating_sub(u32::from(self.finishes.load(Acquire)))
    }

    fn air(&self) -> MutexGuard<'_, Option<Box<Air>>> {
        self.air.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the task that runs the body, to end it with the flight.
    pub(crate) fn set_body(&self, body: Task) {
        self.keep_or_abort(body, |air, body| air.body = Some(body));
    }

    /// Remembers the task that watches over the body's timeout.
    pub(crate) fn set_watch(&self, watch: Task) {
        self.keep_or_abort(watch, |air, watch| air.watch = Some(watch));
    }

    fn keep_or_abort(&self, task: Task, keep: impl FnOnce(&mut Air, Task)) {
        let mut air = self.air();
        // As in `poll_ending`: either `disembark` finds the task or we find the ending.
        if self.ending.get().is_none() {
            keep(air.get_or_insert_default(), task);
        } else {
            drop(air);
            task.abort();
        }
    }

    /// Waits at `place`, which is given at the first poll.
    pub(crate) fn poll_ending(&self, place: &mut Option<u32>, cx: &Context<'_>) -> Poll<&Ending<K, S>> {
        if let Some(ending) = self.ending.get() {
            return Poll::Ready(ending);
        }
        if place.is_some_and(|at| self.would_wake(at, cx.waker())) {
            return Poll::Pending;
        }
        // Cloned and dropped outside of the lock: a waker is the user's code.
        let mut waker = Some(cx.waker().clone());
        let mut air = self.air();
        // `disembark` takes the wakers under this lock after the ending is set, so either it finds ours or we find
        // the ending.
        if let Some(ending) = self.ending.get() {
            return Poll::Ready(ending);
        }
        let air = air.get_or_insert_default();
        let at = *place.get_or_insert_with(|| {
            air.free.pop().unwrap_or_else(|| {
                air.wakers.push(None);
                // Seats are counted in an `u32`, too.
                u32::try_from(air.wakers.len() - 1).expect("there are fewer seats")
            })
        });
        std::mem::swap(&mut air.wakers[at as usize], &mut waker);
        Poll::Pending
    }

    fn would_wake(&self, place: u32, waker: &Waker) -> bool {
        let air = self.air();
        let known = air.as_ref().and_then(|air| air.wakers.get(place as usize)?.as_ref());
        known.is_some_and(|known| known.will_wake(waker))
    }

    /// Stops waiting at `place`.
    pub(crate) fn stop_waiting(&self, place: u32) {
        let waker = {
            let mut air = self.air();
            air.as_mut().and_then(|air| {
                let waker = air.wakers.get_mut(place as usize)?.take();
                air.free.push(place);
                waker
            })
        };
        drop(waker);
    }

    /// Wakes everyone, once the ending is set. With `stop`, ends the body too.
    pub(crate) fn disembark(&self, stop: bool) {
        let air = self.air().take();
        let Some(air) = air else { return };
        for waker in air.wakers.into_iter().flatten() {
            // A waker that panics must not keep the others asleep; whoever made it has heard of it by the panic hook.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
        if let Some(body) = air.body.filter(|_| stop) {
            body.abort();
        }
        if let Some(watch) = air.watch {
            watch.abort();
        }
    }
}

impl<K, S: Share> Resident for Node<K, S> {
    fn residence(&self) -> &Residence {
        &self.residence
    }

    fn hash(&self) -> u64 {
        self.hash
    }

    fn weight(&self) -> usize {
        self.weight.load(Relaxed) as usize
    }
}
