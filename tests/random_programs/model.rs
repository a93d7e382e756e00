//! What a function must do, said one step after another: a plain struct without futures, threads or locks.
//!
//! A key has at most one value and at most one flight that calls may join. Whatever takes a flight out of its key
//! (an invalidation, an insert, a refresh, the last caller's leave) leaves the flight to those who have a seat on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use stampede_runtime::Stats;

use super::body::{Origin, Outcome};
use super::function::Options;
use super::program::{Call, Ending, KEYS, Put, Quality};

pub(super) struct Model {
    options: Options,
    now: Duration,
    slots: [Slot; KEYS],
    callers: BTreeMap<Call, Caller>,
    /// Every flight there has been, by the call that brought its body.
    flights: BTreeMap<Call, Flight>,
    /// Flights whose bodies have not begun, in the order of their turns.
    queue: VecDeque<Call>,
    counts: Counts,
}

#[derive(Clone, Default)]
struct Slot {
    kept: Option<Kept>,
    /// The flight that calls may join and that may be kept.
    air: Option<Call>,
}

#[derive(Clone, Copy)]
struct Kept {
    origin: Origin,
    expires: Duration,
}

#[derive(Clone)]
struct Caller {
    key: usize,
    refresh: bool,
    /// From its first poll.
    seat: Option<Seat>,
}

#[derive(Clone, Copy)]
struct Seat {
    flight: Call,
    since: Duration,
}

struct Flight {
    key: usize,
    refresh: bool,
    seats: BTreeSet<Call>,
    /// When its body began.
    begun: Option<Duration>,
    over: Option<Over>,
    /// Begun without the caller who brought its body: the first of the others to end is the leader that is counted.
    owes_a_leader: bool,
}

#[derive(Clone, Copy)]
enum Over {
    Told(Outcome),
    Abandoned,
}

/// `part: type = where it is in the statistics`.
macro_rules! counts {
    ($($part:ident: $of:ty = $said:expr),* $(,)?) => {
        /// The parts of [`Stats`] that these programs move.
        #[derive(Clone, Default)]
        pub(super) struct Counts {
            $($part: $of),*
        }

        impl From<&Stats> for Counts {
            fn from(stats: &Stats) -> Counts {
                Counts { $($part: $said(stats)),* }
            }
        }

        impl Counts {
            /// The parts that differ, and how.
            pub(super) fn unlike(&self, other: &Counts) -> Vec<String> {
                let mut unlike = Vec::new();
                $(
                    if self.$part != other.$part {
                        unlike.push(format!("{}: {:?} instead of {:?}", stringify!($part), self.$part, other.$part));
                    }
                )*
                unlike
            }
        }
    };
}

counts! {
    requests: u64 = |stats: &Stats| stats.requests,
    cache_hits: u64 = |stats: &Stats| stats.cache_hits,
    coalesce_hits: u64 = |stats: &Stats| stats.coalesce_hits,
    led: u64 = |stats: &Stats| stats.led,
    refused: u64 = |stats: &Stats| stats.refused,
    executions: u64 = |stats: &Stats| stats.executions,
    refreshes: u64 = |stats: &Stats| stats.refreshes,
    retries: u64 = |stats: &Stats| stats.retries,
    errors: u64 = |stats: &Stats| stats.errors,
    panics: u64 = |stats: &Stats| stats.panics,
    timeouts: u64 = |stats: &Stats| stats.timeouts,
    abandoned: u64 = |stats: &Stats| stats.abandoned,
    evictions: u64 = |stats: &Stats| stats.evictions,
    in_flight: usize = |stats: &Stats| stats.in_flight,
    finished: u64 = |stats: &Stats| stats.execution_time.count,
    total: Duration = |stats: &Stats| stats.execution_time.total,
    longest: Duration = |stats: &Stats| stats.execution_time.max,
    // Nothing here is served stale, and nothing runs unshared.
    stale_hits: u64 = |stats: &Stats| stats.stale_hits,
    bypassed: u64 = |stats: &Stats| stats.bypassed,
}

impl Model {
    pub(super) fn new(options: Options) -> Model {
        Model {
            options,
            now: Duration::ZERO,
            slots: Default::default(),
            callers: BTreeMap::new(),
            flights: BTreeMap::new(),
            queue: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    // What can be seen.

    /// What a call of this key would be answered with from memory.
    pub(super) fn peek(&self, key: usize) -> Option<Origin> {
        self.slots[key].kept.filter(|kept| kept.expires > self.now).map(|kept| kept.origin)
    }

    /// Whether a call or refresh that has been polled has an end to hear of, so that it must have been woken.
    pub(super) fn has_news(&self, call: Call) -> bool {
        self.callers[&call].seat.is_some_and(|seat| self.flights[&seat.flight].over.is_some() || self.is_late(seat))
    }

    /// The calls whose bodies are running.
    pub(super) fn running(&self) -> BTreeSet<Call> {
        let runs = |flight: &Flight| flight.begun.is_some() && flight.over.is_none();
        self.flights.iter().filter(|(_, flight)| runs(flight)).map(|(call, _)| *call).collect()
    }

    /// How many bodies have begun.
    pub(super) fn begun(&self) -> usize {
        self.flights.values().filter(|flight| flight.begun.is_some()).count()
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = self.counts.clone();
        counts.in_flight = self.flights.values().filter(|flight| flight.over.is_none()).count();
        counts.requests = counts.cache_hits + counts.coalesce_hits + counts.led + counts.refused;
        counts
    }

    /// How many values are kept: those that calls are answered with, and perhaps some that have expired.
    pub(super) fn sizes(&self) -> RangeInclusive<usize> {
        let kept = self.slots.iter().filter(|slot| slot.kept.is_some()).count();
        (0..KEYS).filter(|key| self.peek(*key).is_some()).count()..=kept
    }

    /// How many values there are too many. Which of them go is not said.
    pub(super) fn excess(&self) -> usize {
        self.sizes().start().saturating_sub(self.options.capacity)
    }

    /// A value has made room.
    pub(super) fn evict(&mut self, key: usize) {
        self.slots[key].kept = None;
        self.counts.evictions += 1;
    }

    // What callers do.

    /// A call or refresh is made, which is nothing until it is polled.
    pub(super) fn make(&mut self, call: Call, key: usize, refresh: bool) {
        self.callers.insert(call, Caller { key, refresh, seat: None });
    }

    /// A caller looks. `None`: it waits.
    pub(super) fn poll(&mut self, call: Call, ends: &BTreeMap<Call, Ending>) -> Option<Outcome> {
        let caller = self.callers[&call].clone();
        let seat = match caller.seat {
            Some(seat) => seat,
            None => match self.board(call, caller.key, caller.refresh, ends) {
                Ok(seat) => seat,
                Err(hit) => {
                    self.callers.remove(&call);
                    return Some(Outcome::Value(hit));
                }
            },
        };
        let flight = &self.flights[&seat.flight];
        let outcome = match flight.over {
            Some(Over::Told(outcome)) => outcome,
            Some(Over::Abandoned) => unreachable!("this caller has a seat"),
            None if !self.is_late(seat) => return None,
            None if flight.begun.is_none() && self.options.max_concurrent.is_some() => Outcome::Refused,
            None => Outcome::WaitTimeout,
        };
        self.leave(call);
        Some(outcome)
    }

    fn board(&mut self, call: Call, key: usize, refresh: bool, ends: &BTreeMap<Call, Ending>) -> Result<Seat, Origin> {
        let now = self.now;
        let counts_now = self.options.max_concurrent.is_none() && !refresh;
        let sit = |model: &mut Model, flight: Call| {
            let seat = Seat { flight, since: now };
            model.callers.get_mut(&call).expect("it boards").seat = Some(seat);
            model.flights.get_mut(&flight).expect("it is in the air").seats.insert(call);
            seat
        };
        if let Some(origin) = self.peek(key).filter(|_| !refresh) {
            self.counts.cache_hits += 1;
            return Err(origin);
        }
        // A refresh joins a refresh. Any other flight began too early for it.
        if let Some(flight) = self.slots[key].air.filter(|flight| !refresh || self.flights[flight].refresh) {
            self.counts.coalesce_hits += u64::from(counts_now);
            return Ok(sit(self, flight));
        }
        if !refresh {
            self.slots[key].kept = None;
        }
        self.slots[key].air = Some(call);
        let flight = Flight { key, refresh, seats: BTreeSet::new(), begun: None, over: None, owes_a_leader: false };
        self.flights.insert(call, flight);
        self.queue.push_back(call);
        if counts_now {
            self.counts.led += 1;
            self.counts.executions += 1;
        } else if self.options.max_concurrent.is_none() {
            self.counts.refreshes += 1;
            self.counts.executions += 1;
        }
        let seat = sit(self, call);
        if self.options.begins_inside() {
            self.settle_one(call, ends);
        }
        Ok(seat)
    }

    fn is_late(&self, seat: Seat) -> bool {
        self.options.wait.is_some_and(|wait| seat.since + wait <= self.now)
    }

    /// A caller has its end, or is dropped.
    pub(super) fn leave(&mut self, call: Call) {
        let caller = self.callers.remove(&call).expect("it is there");
        let Some(seat) = caller.seat else { return };
        let flight = self.flights.get_mut(&seat.flight).expect("it has a seat");
        flight.seats.remove(&call);
        if self.options.max_concurrent.is_some() && !caller.refresh {
            // Only now is it known what became of it.
            if flight.begun.is_none() {
                self.counts.refused += 1;
            } else if flight.owes_a_leader {
                flight.owes_a_leader = false;
            } else if seat.flight != call {
                self.counts.coalesce_hits += 1;
            }
        }
        if flight.seats.is_empty() && flight.over.is_none() && !self.options.finishes {
            self.counts.abandoned += 1;
            self.end(seat.flight, Over::Abandoned);
        }
    }

    // What is done to keys.

    /// How many of these keys were kept or in the air. A value that has expired may be gone already.
    pub(super) fn invalidate(&mut self, keys: Range<usize>) -> RangeInclusive<usize> {
        let (mut at_least, mut at_most) = (0, 0);
        for key in keys {
            let is_fresh = self.peek(key).is_some();
            let slot = std::mem::take(&mut self.slots[key]);
            at_least += usize::from(is_fresh || slot.air.is_some());
            at_most += usize::from(slot.kept.is_some() || slot.air.is_some());
        }
        at_least..=at_most
    }

    /// As though a body had just returned it: an error is nothing to keep, and a value that is not to be kept is still
    /// newer than what there is.
    pub(super) fn insert(&mut self, key: usize, put: Put, origin: Origin) {
        if let Ok(quality) = put {
            self.slots[key].air = None;
            self.keep(key, quality, origin);
        }
    }

    // What happens by itself.

    /// Time passes, and bodies that took too long are ended.
    pub(super) fn advance(&mut self, span: Duration) {
        self.now += span;
        let Some(timeout) = self.options.timeout else { return };
        for call in self.running() {
            if self.flights[&call].begun.is_some_and(|begun| begun + timeout <= self.now) {
                self.counts.timeouts += 1;
                self.end(call, Over::Told(Outcome::Timeout));
            }
        }
    }

    /// Bodies begin that have not yet, if it is their turn, and end if they may.
    pub(super) fn settle(&mut self, ends: &BTreeMap<Call, Ending>) {
        loop {
            let at_most = self.options.max_concurrent.unwrap_or(usize::MAX);
            let running = self.running();
            if let Some(call) = running.iter().find(|call| ends.contains_key(call)) {
                self.land(*call, ends[call]);
            } else if running.len() < at_most && !self.queue.is_empty() {
                self.begin();
            } else {
                return;
            }
        }
    }

    /// The body of a flight begins inside the call that brought it.
    fn settle_one(&mut self, call: Call, ends: &BTreeMap<Call, Ending>) {
        self.begin();
        if let Some(ending) = ends.get(&call) {
            self.land(call, *ending);
        }
    }

    fn begin(&mut self) {
        let call = self.queue.pop_front().expect("there is one");
        let flight = self.flights.get_mut(&call).expect("it has been queued");
        flight.begun = Some(self.now);
        if self.options.max_concurrent.is_some() {
            self.counts.executions += 1;
            if flight.refresh {
                self.counts.refreshes += 1;
            } else if flight.seats.is_empty() {
                self.counts.retries += 1;
            } else {
                self.counts.led += 1;
                flight.owes_a_leader = !flight.seats.contains(&call);
            }
        }
    }

    fn land(&mut self, call: Call, ending: Ending) {
        let flight = &self.flights[&call];
        let key = flight.key;
        let took = self.now.saturating_sub(flight.begun.expect("it has ended"));
        if ending == Ending::Panic {
            self.counts.panics += 1;
        } else {
            self.counts.finished += 1;
            self.counts.total += took;
            self.counts.longest = self.counts.longest.max(took);
        }
        let may_be_kept = self.slots[key].air == Some(call);
        let outcome = match ending {
            Ending::Value(quality) => {
                let origin = Origin::Call(call);
                if may_be_kept {
                    self.keep(key, quality, origin);
                }
                Outcome::Value(origin)
            }
            Ending::Error => {
                self.counts.errors += 1;
                Outcome::Error(call)
            }
            Ending::Panic => Outcome::Panic(call),
        };
        self.end(call, Over::Told(outcome));
    }

    /// A newer value takes the place of an older one, also if it is not to be kept itself.
    fn keep(&mut self, key: usize, quality: Quality, origin: Origin) {
        let life = self.options.life_of(quality);
        self.slots[key].kept = life.map(|life| Kept { origin, expires: self.now + life });
    }

    fn end(&mut self, call: Call, over: Over) {
        let flight = self.flights.get_mut(&call).expect("it is in the air");
        flight.over = Some(over);
        let slot = &mut self.slots[flight.key];
        if slot.air == Some(call) {
            slot.air = None;
        }
        self.queue.retain(|queued| *queued != call);
    }
}
