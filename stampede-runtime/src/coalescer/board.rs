//! From a key to a seat: hit, join or lead. And again, when the flight that was joined has been abandoned.

use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::{Age, Coalescing, alike, put_in, take_out};
use crate::blocking;
use crate::clock::Moment;
use crate::evict::Resident;
use crate::flight::{Node, View};
use crate::home::Home;
use crate::key::{Key, Look};
use crate::nest;
use crate::seat::{Due, Seat};
use crate::share::Share;
use crate::stats::count;
use crate::sync::OnceLock;

/// Why somebody boards.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An ordinary call.
    Call,
    /// A value newer than any that is kept or under way, asked for.
    Refresh,
    /// A value in the place of one that has answered its call already. Nobody waits for it.
    Behind,
}

/// How somebody boards.
#[derive(Clone, Copy)]
struct How {
    purpose: Purpose,
    /// The flight this caller was on has been abandoned, and the call is counted already.
    again: bool,
    /// Whether the caller has a body that could run.
    may_lead: bool,
}

/// What a look-up that was no hit has learnt.
pub(crate) struct Missed<K: Key, S: Share> {
    pub(super) hash: u64,
    /// A flight that may be joined.
    pub(super) in_the_air: Option<Arc<Node<K, S>>>,
    /// A kept value that answers the call, and that it is this caller's to refresh.
    pub(super) aging: Option<Arc<Node<K, S>>>,
}

/// What a caller finds.
pub(crate) enum Boarded<K: Key, S: Share> {
    /// What is kept.
    Hit(Arc<Node<K, S>>),
    /// A kept value, and a flight behind it: this caller's body is to run, and nobody waits for it.
    Behind(Arc<Node<K, S>>, Seat<K, S>, Home),
    /// A flight in the air.
    Joined(Seat<K, S>),
    /// Nothing: this caller's body is to run. A detached one goes on in this runtime.
    First(Seat<K, S>, Option<Home>),
    /// To wait would be to wait for oneself.
    Circle(Arc<Coalescing<K, S>>),
    /// Nothing, and this caller has no body to run.
    Nothing(Arc<Coalescing<K, S>>),
}

impl<K: Key, S: Share> Coalescing<K, S> {
    /// Boards a call that is no hit.
    pub(crate) fn board<L: Look<Own = K>>(&self, look: &L, mut missed: Missed<K, S>) -> Boarded<K, S> {
        match missed.aging.take() {
            Some(old) => self.board_behind(look, missed.hash, old),
            None => self.board_new(missed, look, Purpose::Call),
        }
    }

    /// Boards the refresh of a kept value, which answers the call.
    #[cold]
    #[inline(never)]
    fn board_behind<L: Look<Own = K>>(&self, look: &L, hash: u64, old: Arc<Node<K, S>>) -> Boarded<K, S> {
        self.counters.hit(Moment::now() >= old.expires());
        self.counters.saved(self.worth(&old));
        if old.came().is_near() {
            self.count_near_again();
        }
        old.residence().warm();
        match self.begin_behind(look, hash, &old) {
            Some((seat, home)) => Boarded::Behind(old, seat, home),
            None => Boarded::Hit(old),
        }
    }

    /// The same for a flight that has landed with an old value, and was to be refreshed by whoever took it here.
    pub(crate) fn begin_behind_landed(&self, old: &Arc<Node<K, S>>) -> Option<(Seat<K, S>, Home)> {
        self.begin_behind(&Again(&old.key), old.hash(), old)
    }

    /// Begins the refresh of a kept value, unless nobody needs it any more or nobody here could run it.
    fn begin_behind<L: Look<Own = K>>(&self, look: &L, hash: u64, old: &Arc<Node<K, S>>) -> Option<(Seat<K, S>, Home)> {
        let Some(around) = self.around().filter(Home::has_room) else {
            // Others will ask.
            old.put_off(old.expires().after(self.policy.stale));
            return None;
        };
        let fresh = Arc::new(Node::new(look.own(), hash, around.if_alone(), true, Purpose::Behind));
        let begins = self.table.with(hash, |shard| {
            let (mut is_kept, mut is_under_way) = (false, false);
            for node in alike(shard, hash, |node| look.is(&node.key)) {
                is_kept |= Arc::ptr_eq(&node, old);
                is_under_way |= node.ending().is_none() && node.purpose != Purpose::Call;
                shard.discard(node);
            }
            let begins = is_kept && !is_under_way;
            if begins {
                put_in(shard, &fresh);
            }
            begins
        });
        if !begins {
            return None;
        }
        self.counters.in_flight.fetch_add(1, Relaxed);
        let mut seat = self.seat(fresh, Due::Nothing);
        seat.is_grounded = true;
        Some((seat, around))
    }

    /// Where a flight of this function is at home that begins here.
    pub(crate) fn around(&self) -> Option<Home> {
        if self.policy.blocking || blocking::is_driving() { Some(Home::Threads) } else { Home::around() }
    }

    /// Boards for a value that must begin after this moment.
    pub(crate) fn board_refresh<L: Look<Own = K>>(&self, look: &L) -> Boarded<K, S> {
        let missed = Missed { hash: self.hash(look), in_the_air: None, aging: None };
        self.board_new(missed, look, Purpose::Refresh)
    }

    fn board_new<L: Look<Own = K>>(&self, missed: Missed<K, S>, look: &L, purpose: Purpose) -> Boarded<K, S> {
        let how = How { purpose, again: false, may_lead: true };
        self.board_miss(missed, look, how, None).expect("nobody else comes from where this call comes from")
    }

    /// Boards for a caller whose flight was abandoned. `again`: it is counted already. Without a body of its own left, it
    /// can only join others.
    ///
    /// Those who were on one flight go on with one other: the first of them finds or begins it, and the rest take what
    /// came of it even when that has landed. Each by itself would find the key free again, and begin anew.
    pub(crate) fn board_again(
        &self,
        node: &Arc<Node<K, S>>,
        purpose: Purpose,
        again: bool,
        may_lead: bool,
    ) -> Boarded<K, S> {
        let how = How { purpose, again, may_lead };
        let home = self.around().as_ref().and_then(Home::if_alone);
        let mut last = Arc::clone(node);
        loop {
            while let Some(next) = last.successor().and_then(OnceLock::get).map(Arc::clone) {
                if next.has_come_to_something() || next.moves_for(home) && next.take_seat() {
                    return self.joined(next, how);
                }
                last = next;
            }
            let missed = Missed { hash: node.hash(), in_the_air: None, aging: None };
            if let Some(boarded) = self.board_miss(missed, &Again(&node.key), how, Some(&last)) {
                return boarded;
            }
        }
    }

    /// `from`: the abandoned flight that the caller comes from, for others who do to go on together. `None`: one of them
    /// was faster.
    #[cold]
    #[inline(never)]
    fn board_miss<L: Look<Own = K>>(
        &self,
        Missed { hash, in_the_air, aging: _ }: Missed<K, S>,
        look: &L,
        how: How,
        from: Option<&Node<K, S>>,
    ) -> Option<Boarded<K, S>> {
        let successor = from.and_then(Node::successor);
        let around = self.around();
        let home = around.as_ref().and_then(Home::if_alone);
        let is_refresh = how.purpose == Purpose::Refresh;
        let can_lead = around.is_some() || self.is_timeless();
        if is_refresh && !can_lead {
            // Before anything is taken out for it.
            self.homeless();
        }
        if let Some(node) = in_the_air.filter(|node| node.moves_for(home) && node.take_seat()) {
            return Some(self.joined(node, how));
        }
        // Made before the lock is taken: owning a key runs the user's code.
        let fresh = Arc::new(Node::new(look.own(), hash, home, self.policy.finish_abandoned, how.purpose));
        let leads = how.may_lead && can_lead;
        let (hit, join) = self.table.with(hash, |shard| {
            if successor.is_some_and(|successor| successor.get().is_some()) {
                return None;
            }
            // Compared first, since `Eq` may panic, and changed after.
            let (mut hit, mut join) = (None, None);
            for node in alike(shard, hash, |node| look.is(&node.key)) {
                let age = match node.view() {
                    View::Fresh(_) | View::Fault(_) => Some(Age::Fresh),
                    View::Stale(_) => Some(Age::Stale),
                    View::Aging(_) => Some(self.age_without_refresh(&node, Moment::now())),
                    View::Over => Some(Age::Over),
                    View::InTheAir => None,
                };
                match age {
                    // Of no use to this caller, and perhaps to its execution.
                    Some(Age::Over) if node.value().is_some() && self.is_retained(&node) => {
                        shard.discard(node);
                    }
                    Some(Age::Over) => take_out(shard, node),
                    Some(age) if !is_refresh => hit = Some((node, age)),
                    Some(_) => shard.discard(node),
                    // What began before the refresh was asked for is not what it asked for.
                    None if is_refresh && !(node.purpose == Purpose::Refresh && node.moves_for(home)) => {
                        take_out(shard, node);
                    }
                    None if join.is_some() || !node.moves_for(home) => shard.discard(node),
                    None if node.take_seat() => join = Some(node),
                    None => take_out(shard, node),
                }
            }
            if hit.is_none() && join.is_none() && leads {
                put_in(shard, &fresh);
            }
            if let (None, Some(from)) = (&hit, from)
                && let Some(next) = join.as_ref().or(leads.then_some(&fresh))
            {
                from.go_on_with(next);
            }
            Some((hit, join))
        })?;
        if let Some((node, age)) = hit {
            // A seat taken on the way to a kept value is given back like any other.
            drop(join.map(|node| self.seat(node, Due::Nothing)));
            if !how.again {
                self.counters.hit(age == Age::Stale);
                if node.came().is_near() {
                    self.count_near_again();
                }
            }
            self.counters.saved(self.worth(&node));
            return Some(Boarded::Hit(node));
        }
        if let Some(node) = join {
            return Some(self.joined(node, how));
        }
        if !how.may_lead {
            return Some(Boarded::Nothing(self.me()));
        }
        if !can_lead {
            self.homeless();
        }
        self.counters.in_flight.fetch_add(1, Relaxed);
        let is_call = how.purpose == Purpose::Call && !how.again;
        // Whether it leads is only known when its body begins.
        let may_not_lead = self.permits.is_some() || self.outside.is_some();
        let due = if is_call && may_not_lead { Due::Leader } else { Due::Nothing };
        let mut seat = self.seat(fresh, due);
        seat.is_grounded = true;
        // A flight that nobody else has seen waits for nobody, so it closes no circle.
        seat.edge = nest::wait_for(seat.node.id()).ok().flatten();
        Some(Boarded::First(seat, around))
    }

    /// Whether flights need no runtime: their bodies stay with their callers, and no clock runs.
    fn is_timeless(&self) -> bool {
        let needs_a_clock = self.policy.timeout.is_some() || self.policy.wait.is_some();
        self.policy.blocking || self.policy.attached && !needs_a_clock && self.outside.is_none()
    }

    pub(crate) fn homeless(&self) -> ! {
        panic!(
            "`{}` was called outside of a tokio runtime; call it from inside `Runtime::block_on`, `#[tokio::main]` or \
             `#[tokio::test]`",
            self.name
        )
    }

    fn joined(&self, node: Arc<Node<K, S>>, how: How) -> Boarded<K, S> {
        let mut seat = self.seat(node, Due::Nothing);
        let is_call = how.purpose == Purpose::Call && !how.again;
        if seat.would_wait_for_own_permit() || seat.draw_edge().is_err() {
            drop(seat);
            if is_call {
                count(&self.counters.bypassed);
            }
            return Boarded::Circle(self.me());
        }
        if is_call {
            if self.permits.is_some() {
                seat.due = Due::Joiner;
                seat.node.queue().join();
            } else {
                self.counters.coalesce_hits.add_one();
            }
        }
        Boarded::Joined(seat)
    }

    fn seat(&self, node: Arc<Node<K, S>>, due: Due) -> Seat<K, S> {
        Seat::new(self.me(), node, due)
    }
}

/// A stored key, looked for again. Its hash is known.
struct Again<'a, K>(&'a K);

impl<K: Key> Look for Again<'_, K> {
    type Own = K;

    fn hash<H: Hasher>(&self, _: &mut H) {
        unreachable!("whoever looks again knows the hash");
    }

    fn is(&self, own: &K) -> bool {
        self.0 == own
    }

    fn own(&self) -> K {
        self.0.clone()
    }

    fn again(&self) -> Self {
        Again(self.0)
    }
}
