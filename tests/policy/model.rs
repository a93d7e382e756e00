//! What a policy means for one key, said one step after another.
//!
//! There is at most one kept result and at most one flight that calls may join. An invalidation, an insert and a refresh
//! leave the flight that was there to those who have a seat on it.

use std::collections::BTreeMap;
use std::time::Duration;

use stampede_runtime::Stats;

use super::dice::Dice;
use super::function::{Answer, Call, Events};
use super::program::{Attribute, Ending, Ms, Policy, Script, span};

#[derive(Clone, PartialEq)]
pub(super) struct Model {
    rules: Rules,
    now: Ms,
    kept: Option<Kept>,
    /// The flight that calls may join and that may be kept.
    air: Option<Call>,
    /// Every flight under way, by the call that brought its body.
    flights: BTreeMap<Call, Flight>,
    /// Those who wait.
    callers: BTreeMap<Call, Caller>,
    events: Events,
    counts: Counts,
    pub(super) dice: Dice,
}

/// What an attribute and the configuration come to. Zero: not at all.
#[derive(Clone, PartialEq)]
struct Rules {
    ttl: Ms,
    none_ttl: Ms,
    is_picky: bool,
    stale: Ms,
    stale_if_error: Ms,
    early: Ms,
    jitter: Ms,
    cache_err: Ms,
    timeout: Option<Ms>,
    soft_timeout: Option<Ms>,
    wait: Option<Ms>,
}

impl Rules {
    /// How long a result is kept. Zero: not at all.
    fn life(&self, ending: Ending) -> Ms {
        match ending {
            Ending::Poor if self.is_picky => 0,
            Ending::Value | Ending::Poor => self.ttl,
            Ending::None => self.none_ttl,
            Ending::Error => self.cache_err,
            Ending::Panic => 0,
        }
    }

    /// For how long after its `ttl` a value may be of use to anybody.
    fn retention(&self) -> Ms {
        self.stale.max(self.stale_if_error)
    }
}

/// A value, or an error.
#[derive(Clone, PartialEq)]
struct Kept {
    what: Answer,
    /// It expires after this moment...
    after: Ms,
    /// ...and by this one at the latest.
    by: Ms,
    /// How long it took to make.
    cost: Ms,
    /// Somebody refreshes it, or has seen that somebody does.
    is_claimed: bool,
    /// How many attempts to replace it have failed.
    failures: u32,
    /// No attempt is made before this moment...
    rests_until: Ms,
    /// ...while its `ttl` is over for less than this.
    rests_within: Ms,
}

impl Kept {
    fn is_value(&self) -> bool {
        matches!(self.what, Answer::Value(_) | Answer::None)
    }
}

#[derive(Clone, PartialEq)]
struct Flight {
    script: Script,
    begun: Ms,
    is_refresh: bool,
    /// Begun by a call that had its answer already.
    is_behind: bool,
    /// Goes on without callers.
    finishes: bool,
}

#[derive(Clone, PartialEq)]
struct Caller {
    flight: Call,
    is_refresh: bool,
    /// When an old value will do.
    soft: Option<Ms>,
    gives_up: Option<Ms>,
}

/// What comes next by itself.
enum Event {
    Ends(Call),
    TimesOut(Call),
    Softens(Call),
    GivesUp(Call),
}

/// What there is to be seen after a step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) events: Events,
    pub(super) peek: Option<Answer>,
    pub(super) counts: Counts,
}

/// The statistics that these programs move.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counts {
    cache_hits: u64,
    stale_hits: u64,
    coalesce_hits: u64,
    led: u64,
    refreshes: u64,
    errors: u64,
    panics: u64,
    timeouts: u64,
    abandoned: u64,
    fallbacks: u64,
    soft_timeouts: u64,
    in_flight: usize,
    finished: u64,
    total: Duration,
}

impl From<&Stats> for Counts {
    fn from(stats: &Stats) -> Counts {
        Counts {
            cache_hits: stats.cache_hits,
            stale_hits: stats.stale_hits,
            coalesce_hits: stats.coalesce_hits,
            led: stats.led,
            refreshes: stats.refreshes,
            errors: stats.errors,
            panics: stats.panics,
            timeouts: stats.timeouts,
            abandoned: stats.abandoned,
            fallbacks: stats.fallbacks,
            soft_timeouts: stats.soft_timeouts,
            in_flight: stats.in_flight,
            finished: stats.execution_time.count,
            total: stats.execution_time.total,
        }
    }
}

impl Model {
    pub(super) fn new(attribute: Attribute, policy: &Policy) -> Model {
        let ttl = policy.ttl.or(attribute.ttl).unwrap_or_default();
        // A configured zero switches all keeping off.
        let keeps_nothing = policy.ttl == Some(0);
        // Only a function that says `none_ttl` has one.
        let none_ttl =
            attribute.none_ttl.map_or(ttl, |none_ttl| policy.none_ttl.unwrap_or(none_ttl)) * Ms::from(!keeps_nothing);
        let rules = Rules {
            ttl,
            none_ttl,
            is_picky: attribute.is_picky,
            stale: policy.stale.unwrap_or_default(),
            stale_if_error: policy.stale_if_error.unwrap_or_default(),
            early: policy.early.unwrap_or_default().into(),
            jitter: policy.jitter.unwrap_or_default().into(),
            cache_err: policy.cache_err.unwrap_or_default() * Ms::from(!keeps_nothing),
            timeout: policy.timeout,
            soft_timeout: policy.soft_timeout,
            wait: policy.wait,
        };
        Model {
            rules,
            now: 0,
            kept: None,
            air: None,
            flights: BTreeMap::new(),
            callers: BTreeMap::new(),
            events: Events::default(),
            counts: Counts::default(),
            dice: Dice::default(),
        }
    }

    pub(super) fn seen(&mut self) -> Seen {
        let peek = if self.serves() { self.kept.as_ref().map(|kept| kept.what) } else { None };
        let counts = Counts { in_flight: self.flights.len(), ..self.counts.clone() };
        Seen { events: self.events.clone(), peek, counts }
    }

    // What is kept.

    /// Whether what is kept has not expired, or for less than this. With `jitter` either may be so, if nothing seen until
    /// now says which.
    fn lasts(&mut self, past: Ms) -> bool {
        let Some(kept) = &mut self.kept else { return false };
        let moment = self.now - past;
        if kept.after >= moment || kept.by <= moment {
            return kept.after >= moment;
        }
        let lasts = self.dice.toss();
        *(if lasts { &mut kept.after } else { &mut kept.by }) = moment;
        lasts
    }

    fn rests(&mut self) -> bool {
        let Some(kept) = self.kept.as_ref().filter(|kept| self.now < kept.rests_until) else { return false };
        let within = kept.rests_within;
        self.lasts(within)
    }

    /// Whether calls are answered with what is kept.
    fn serves(&mut self) -> bool {
        match &self.kept {
            None => false,
            Some(kept) if kept.is_value() => self.lasts(self.rules.stale) || self.rests(),
            Some(_) => self.lasts(0),
        }
    }

    /// Whether there is a value that may be of use to a slow or failing execution.
    fn is_retained(&mut self) -> bool {
        self.kept.as_ref().is_some_and(Kept::is_value) && self.lasts(self.rules.retention())
    }

    fn keep(&mut self, what: Answer, life: Ms, cost: Ms) {
        let by = self.now + life;
        let after = by - life * self.rules.jitter / 100 - 1;
        self.kept = (life > 0).then_some(Kept {
            what,
            after,
            by,
            cost,
            is_claimed: false,
            failures: 0,
            rests_until: self.now,
            rests_within: 0,
        });
    }

    /// An attempt to replace the value has failed: it rests, each time twice as long.
    fn rest(&mut self, within: Ms) {
        // Nobody was about to refresh it.
        if self.rules.early == 0 && self.lasts(0) {
            return;
        }
        let Some(kept) = &mut self.kept else { return };
        kept.is_claimed = false;
        kept.rests_until = self.now + 1_000 * (1 << kept.failures.min(6)).min(60);
        kept.rests_within = within;
        kept.failures += 1;
    }

    // What callers do.

    pub(super) fn call(&mut self, call: Call, script: Script) {
        if !self.serves() {
            return self.board(call, script, false);
        }
        let is_stale = !self.lasts(0);
        *(if is_stale { &mut self.counts.stale_hits } else { &mut self.counts.cache_hits }) += 1;
        let Some(kept) = &self.kept else { unreachable!("it is served") };
        let is_value = kept.is_value();
        self.answer(call, kept.what);
        if is_value && self.refreshes_now(is_stale) {
            if let Some(kept) = &mut self.kept {
                kept.is_claimed = true;
            }
            if self.air.is_none() {
                self.begin(call, script, true, true);
            }
        }
    }

    /// Whether the call that finds this value is to refresh it.
    fn refreshes_now(&mut self, is_stale: bool) -> bool {
        if self.rests() {
            return false;
        }
        let Some(kept) = self.kept.as_ref().filter(|kept| !kept.is_claimed) else { return false };
        if is_stale {
            return self.lasts(self.rules.stale);
        }
        // A random number's logarithm is at most 37.
        let is_possible = kept.cost > 0 && kept.after - self.now <= kept.cost * self.rules.early * 37 / 100;
        is_possible && self.rules.early > 0 && self.dice.toss()
    }

    pub(super) fn refresh(&mut self, call: Call, script: Script) {
        self.board(call, script, true);
    }

    fn board(&mut self, call: Call, script: Script, is_refresh: bool) {
        // A refresh joins one that somebody asked for. Any other flight began too early for it.
        let is_asked_for = |flight: &Call| self.flights[flight].is_refresh && !self.flights[flight].is_behind;
        let joined = self.air.filter(|flight| !is_refresh || is_asked_for(flight));
        let soft = self.rules.soft_timeout.filter(|_| !is_refresh && self.is_retained());
        self.callers.insert(
            call,
            Caller {
                flight: joined.unwrap_or(call),
                is_refresh,
                soft: soft.map(|soft| self.now + soft),
                gives_up: self.rules.wait.map(|wait| self.now + wait),
            },
        );
        if joined.is_none() {
            self.begin(call, script, is_refresh, false);
        } else if !is_refresh {
            self.counts.coalesce_hits += 1;
        }
    }

    fn begin(&mut self, call: Call, script: Script, is_refresh: bool, finishes: bool) {
        self.flights
            .insert(call, Flight { script, begun: self.now, is_refresh, is_behind: is_refresh && finishes, finishes });
        self.air = Some(call);
        self.events.begun.insert(call, self.now);
        *(if is_refresh { &mut self.counts.refreshes } else { &mut self.counts.led }) += 1;
    }

    fn answer(&mut self, call: Call, answer: Answer) {
        self.callers.remove(&call);
        self.events.answers.insert(call, (answer, self.now));
    }

    /// A caller is dropped, or has given up. The last one ends the execution.
    pub(super) fn leave(&mut self, call: Call) {
        let Some(Caller { flight, .. }) = self.callers.remove(&call) else { return };
        if self.waiters(flight).is_empty() && !self.flights[&flight].finishes {
            self.counts.abandoned += 1;
            self.flights.remove(&flight);
            if self.air == Some(flight) {
                self.air = None;
                // The next call may begin anew at once.
                if let Some(kept) = &mut self.kept {
                    (kept.is_claimed, kept.rests_until) = (false, self.now);
                }
            }
        }
    }

    fn waiters(&self, flight: Call) -> Vec<Call> {
        self.callers.iter().filter(|(_, caller)| caller.flight == flight).map(|(call, _)| *call).collect()
    }

    // What is done to the key.

    pub(super) fn invalidate(&mut self) {
        (self.kept, self.air) = (None, None);
    }

    /// As though a body had just returned it: a value that is not to be kept is still newer than what there is. An error is
    /// nothing to insert.
    pub(super) fn insert(&mut self, call: Call, ending: Ending) {
        if ending != Ending::Error {
            self.air = None;
            self.keep(result(call, ending), self.rules.life(ending), 0);
        }
    }

    // What happens by itself.

    pub(super) fn advance(&mut self, span: Ms) {
        let until = self.now + span;
        while let Some((at, event)) = self.next_event().filter(|(at, _)| *at <= until) {
            self.now = at;
            match event {
                Event::Ends(flight) => self.end(flight, false),
                Event::TimesOut(flight) => self.end(flight, true),
                Event::Softens(call) => self.soften(call),
                Event::GivesUp(call) => self.give_up(call),
            }
        }
        self.now = until;
    }

    fn next_event(&self) -> Option<(Ms, Event)> {
        let flights = self.flights.iter().flat_map(|(call, flight)| {
            let timeout = self.rules.timeout.map(|timeout| (flight.begun + timeout, Event::TimesOut(*call)));
            [Some((flight.begun + flight.script.takes, Event::Ends(*call))), timeout]
        });
        let callers = self.callers.iter().flat_map(|(call, caller)| {
            let soft = caller.soft.map(|at| (at, Event::Softens(*call)));
            [soft, caller.gives_up.map(|at| (at, Event::GivesUp(*call)))]
        });
        flights.chain(callers).flatten().min_by_key(|(at, _)| *at)
    }

    /// A caller has waited long enough for a new value, if there still is an old one. The execution goes on to its end.
    fn soften(&mut self, call: Call) {
        if self.is_retained()
            && let Some(old) = self.kept.as_ref().map(|kept| kept.what)
        {
            self.counts.soft_timeouts += 1;
            let flight = self.callers[&call].flight;
            self.flights.get_mut(&flight).expect("somebody waits for it").finishes = true;
            self.answer(call, old);
        } else if let Some(caller) = self.callers.get_mut(&call) {
            caller.soft = None;
        }
    }

    /// A caller has waited as long as it may. Unless it asked for a newer value, an old one is better than an error.
    fn give_up(&mut self, call: Call) {
        let keeps_old = self.rules.stale_if_error > 0;
        let old = if keeps_old && !self.callers[&call].is_refresh && self.is_retained() {
            self.kept.as_ref().map(|kept| kept.what)
        } else {
            None
        };
        self.counts.soft_timeouts += u64::from(old.is_some());
        self.leave(call);
        self.answer(call, old.unwrap_or(Answer::WaitTimeout));
    }

    fn end(&mut self, call: Call, is_timeout: bool) {
        let Flight { script, .. } = self.flights.remove(&call).expect("it is under way");
        let waiters = self.waiters(call);
        let is_there = self.air == Some(call);
        self.air = self.air.filter(|_| !is_there);
        let own = if is_timeout { Answer::Timeout } else { result(call, script.ending) };
        let count = match own {
            Answer::Panic(_) => Some(&mut self.counts.panics),
            Answer::Timeout => Some(&mut self.counts.timeouts),
            Answer::Error(_) => Some(&mut self.counts.errors),
            _ => None,
        };
        let is_value = count.is_none();
        if let Some(count) = count {
            *count += 1;
        }
        if is_value || matches!(own, Answer::Error(_)) {
            self.counts.finished += 1;
            self.counts.total += span(script.takes);
        }
        let mut instead = None;
        // A flight that has been taken out has nothing to do with what is kept.
        if is_there && !is_value && self.is_retained() {
            if let Answer::Panic(_) = own {
                self.rest(self.rules.stale);
            } else {
                self.rest(self.rules.retention());
                instead = self.kept.as_ref().map(|kept| kept.what);
                instead = instead.filter(|_| self.lasts(self.rules.stale_if_error));
                // Who asks for a newer value does not want an older one.
                let is_received = waiters.iter().any(|waiter| !self.callers[waiter].is_refresh);
                self.counts.fallbacks += u64::from(instead.is_some() && is_received);
            }
        } else if is_there && (is_value || matches!(own, Answer::Error(_)) && self.rules.cache_err > 0) {
            self.keep(own, self.rules.life(script.ending), script.takes);
        }
        for waiter in waiters {
            let instead = instead.filter(|_| !self.callers[&waiter].is_refresh);
            self.answer(waiter, instead.unwrap_or(own));
        }
    }
}

fn result(call: Call, ending: Ending) -> Answer {
    match ending {
        Ending::Value | Ending::Poor => Answer::Value(call),
        Ending::None => Answer::None,
        Ending::Error => Answer::Error(call),
        Ending::Panic => Answer::Panic(call),
    }
}
