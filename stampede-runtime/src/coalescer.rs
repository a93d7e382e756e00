//! From a key to its flight, in this process: hit, join, or lead.

use std::any::Any;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, Weak};

use tokio::sync::Semaphore;

use crate::clock::Moment;
use crate::evict::{Queues, Resident};
use crate::flight::{Ending, Node, View};
use crate::home::Home;
use crate::key::{Key, Look};
use crate::nest;
use crate::policy::Policy;
use crate::registry;
use crate::seat::{Due, Seat};
use crate::share::Share;
use crate::stats::{Counters, Stats, count};
use crate::sync::{Hashes, OnceLock};
use crate::table::{Locked, Table};

/// Everything that one function (one instantiation of it) shares between its calls.
pub(crate) struct Coalescing<K, S: Share> {
    /// So that a hit, which needs none, does not have to count references.
    me: Weak<Self>,
    pub(crate) name: Arc<str>,
    pub(crate) policy: Policy,
    table: Flights<K, S>,
    hasher: Hashes,
    pub(crate) counters: Counters,
    pub(crate) permits: Option<Arc<Semaphore>>,
}

type Flights<K, S> = Table<Node<K, S>, Queues<Node<K, S>>>;
type Shard<'a, K, S> = Locked<'a, Node<K, S>, Queues<Node<K, S>>>;

/// Why somebody boards.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An ordinary call.
    Call,
    /// A value newer than any that is kept or under way.
    Refresh,
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
    hash: u64,
    /// A flight that may be joined.
    in_the_air: Option<Arc<Node<K, S>>>,
}

/// What a caller finds.
pub(crate) enum Boarded<K: Key, S: Share> {
    /// A kept value.
    Hit(S::Output),
    /// A flight in the air.
    Joined(Seat<K, S>),
    /// Nothing: this caller's body is to run. A detached one goes on in this runtime.
    First(Seat<K, S>, Option<Home>),
    /// To wait would be to wait for oneself.
    Circle(Arc<Coalescing<K, S>>),
    /// Nothing, and this caller has no body to run.
    Nothing(Arc<Coalescing<K, S>>),
}

/// A shard for about so many values: fewer would make the queues' tenth too small to tell one-time values apart.
const VALUES_PER_SHARD: usize = 4096;

impl<K: Key, S: Share> Coalescing<K, S> {
    pub(crate) fn new(name: Arc<str>, policy: Policy) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = (policy.capacity / VALUES_PER_SHARD).clamp(1, 4 * cores).next_power_of_two();
        let all = policy.capacity;
        let capacity = |shard| all / shards + usize::from(shard < all % shards);
        Arc::new_cyclic(|me| Coalescing {
            me: me.clone(),
            name,
            table: Table::new(shards, |shard| Queues::new(capacity(shard))),
            hasher: Hashes::default(),
            counters: Counters::default(),
            permits: policy.max_concurrent.map(|most| Arc::new(Semaphore::new(most))),
            policy,
        })
    }

    pub(crate) fn me(&self) -> Arc<Self> {
        self.me.upgrade().expect("whoever calls a method holds a reference")
    }

    /// A number that is this function's own.
    pub(crate) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    #[inline(always)]
    fn hash(&self, look: &impl Look) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        look.hash(&mut hasher);
        hasher.finish()
    }

    /// The kept value, if there is one. Takes no lock, allocates nothing and counts no reference.
    #[inline(always)]
    pub(crate) fn hit<L: Look<Own = K>>(&self, look: &L) -> Result<S::Output, Missed<K, S>> {
        let hash = self.hash(look);
        let mut in_the_air = None;
        let hit = self.table.glance(hash, |node| {
            if look.is(&node.key) {
                match node.view() {
                    View::Fresh(value) => {
                        node.residence().warm();
                        return Some(S::value(value));
                    }
                    View::InTheAir => in_the_air = Some(Arc::clone(node)),
                    View::Over => (),
                }
            }
            None
        });
        match hit {
            Some(output) => {
                self.counters.cache_hits.add_one();
                Ok(output)
            }
            None => Err(Missed { hash, in_the_air }),
        }
    }

    /// Boards a call that is no hit.
    pub(crate) fn board<L: Look<Own = K>>(&self, look: &L, missed: Missed<K, S>) -> Boarded<K, S> {
        self.board_new(missed, look, Purpose::Call)
    }

    /// Boards for a value that must begin after this moment.
    pub(crate) fn board_refresh<L: Look<Own = K>>(&self, look: &L) -> Boarded<K, S> {
        let missed = Missed { hash: self.hash(look), in_the_air: None };
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
        let home = Home::around().as_ref().and_then(Home::if_alone);
        let mut last = Arc::clone(node);
        loop {
            while let Some(next) = last.successor().and_then(OnceLock::get).map(Arc::clone) {
                let has_an_end = next.ending().is_some() && next.successor().is_none();
                if has_an_end || next.moves_for(home) && next.take_seat() {
                    return self.joined(next, how);
                }
                last = next;
            }
            let missed = Missed { hash: node.hash(), in_the_air: None };
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
        Missed { hash, in_the_air }: Missed<K, S>,
        look: &L,
        how: How,
        from: Option<&Node<K, S>>,
    ) -> Option<Boarded<K, S>> {
        let successor = from.and_then(Node::successor);
        let around = Home::around();
        let home = around.as_ref().and_then(Home::if_alone);
        let is_refresh = how.purpose == Purpose::Refresh;
        let can_lead = around.is_some() || self.is_timeless();
        if is_refresh && !can_lead {
            // Before anything is taken out for it.
            self.outside();
        }
        if let Some(node) = in_the_air.filter(|node| node.moves_for(home) && node.take_seat()) {
            return Some(self.joined(node, how));
        }
        // Made before the lock is taken: owning a key runs the user's code.
        let fresh = Arc::new(Node::new(look.own(), hash, home, self.policy.finish_abandoned, is_refresh));
        let leads = how.may_lead && can_lead;
        let (hit, join) = self.table.with(hash, |shard| {
            if successor.is_some_and(|successor| successor.get().is_some()) {
                return None;
            }
            // Compared first, since `Eq` may panic, and changed after.
            let (mut hit, mut join) = (None, None);
            for node in alike(shard, hash, |node| look.is(&node.key)) {
                match node.view() {
                    View::Fresh(_) if !is_refresh => hit = Some(node),
                    View::Fresh(_) => shard.discard(node),
                    // What began before the refresh was asked for is not what it asked for.
                    View::InTheAir if is_refresh && !node.is_refresh => take_out(shard, node),
                    View::InTheAir if join.is_some() || !node.moves_for(home) => shard.discard(node),
                    View::InTheAir if node.take_seat() => join = Some(node),
                    View::InTheAir | View::Over => take_out(shard, node),
                }
            }
            if hit.is_none() && join.is_none() && leads {
                shard.insert(hash, Arc::clone(&fresh));
            }
            if let (None, Some(from)) = (&hit, from)
                && let Some(next) = join.as_ref().or(leads.then_some(&fresh))
            {
                from.go_on_with(next);
            }
            Some((hit, join))
        })?;
        if let Some(node) = hit {
            // A seat taken on the way to a kept value is given back like any other.
            drop(join.map(|node| self.seat(node, Due::Nothing)));
            let Some(Ending::Value { value, .. }) = node.ending() else {
                unreachable!("a fresh node holds a value, and an ending never changes")
            };
            if !how.again {
                self.counters.cache_hits.add_one();
            }
            return Some(Boarded::Hit(S::value(value)));
        }
        if let Some(node) = join {
            return Some(self.joined(node, how));
        }
        if !how.may_lead {
            return Some(Boarded::Nothing(self.me()));
        }
        if !can_lead {
            self.outside();
        }
        self.counters.in_flight.fetch_add(1, Relaxed);
        let is_call = how.purpose == Purpose::Call && !how.again;
        let due = if is_call && self.permits.is_some() { Due::Leader } else { Due::Nothing };
        let mut seat = self.seat(fresh, due);
        seat.is_grounded = true;
        // A flight that nobody else has seen waits for nobody, so it closes no circle.
        seat.edge = nest::wait_for(seat.node.id()).ok().flatten();
        Some(Boarded::First(seat, around))
    }

    /// Whether flights need no runtime: their bodies stay with their callers, and no clock runs.
    fn is_timeless(&self) -> bool {
        self.policy.attached && self.policy.timeout.is_none() && self.policy.wait.is_none()
    }

    pub(crate) fn outside(&self) -> ! {
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

    /// Ends a flight, unless somebody else does: keeps its value or frees its key, then wakes everyone. `stop`: the body may
    /// still be running.
    pub(crate) fn land(&self, node: &Arc<Node<K, S>>, ending: Ending<K, S>, stop: bool) {
        let (is_value, is_kept, counter) = match &ending {
            Ending::Value { expires, .. } => (true, *expires > Moment::PAST, None),
            Ending::Rare(rare) => (false, false, Some(self.counters.of(rare))),
        };
        if !node.claim() {
            return;
        }
        // Before anyone is woken, so that they find it counted.
        counter.map(count);
        // Everyone is woken even if the user's `Eq` or `Drop` panics in the table.
        let mut landing = Landing { coalescing: self, node, ending: Some(ending), stop, is_in_table: true };
        // Who sees a refresh end must not find the older value any more, so that makes way first: meanwhile calls join.
        let makes_way = is_value && node.is_refresh;
        if !makes_way {
            landing.end();
        }
        self.table.with(node.hash(), |shard| {
            if is_kept || makes_way {
                let is_there = shard.find(node.hash(), |other| Arc::ptr_eq(other, node).then_some(())).is_some();
                for other in alike(shard, node.hash(), |other| !Arc::ptr_eq(other, node) && other.key == node.key) {
                    let is_older = other.ending().is_some();
                    if is_there && is_older { take_out(shard, other) } else { shard.discard(other) }
                }
                landing.end();
                if is_kept && is_there {
                    self.keep(shard, node);
                    landing.is_in_table = false;
                    return;
                }
            }
            remove(shard, node);
            landing.is_in_table = false;
        });
    }

    /// Counts a node of the table among the kept values, and makes room for it.
    fn keep(&self, shard: &mut Shard<'_, K, S>, node: &Arc<Node<K, S>>) {
        shard.extra().admit(node);
        let mut passed = Vec::new();
        while let Some(victim) = shard.extra().victim(|node| passed.push(node)) {
            take_out(shard, victim);
            count(&self.counters.evictions);
        }
        for node in passed {
            shard.discard(node);
        }
        shard.extra().announce_victim();
    }

    /// The value that a call would be answered with from memory.
    pub(crate) fn peek<L: Look<Own = K>>(&self, look: &L) -> Option<S::Output> {
        self.table.find(self.hash(look), |node| match node.view() {
            View::Fresh(value) if look.is(&node.key) => Some(S::value(value)),
            _ => None,
        })
    }

    /// Keeps a value as though a body had just returned it. Flights of the key that are in the air will not be kept.
    pub(crate) fn insert<L: Look<Own = K>>(&self, look: &L, value: S::Value, expires: Moment) {
        let hash = self.hash(look);
        let node = Arc::new(Node::landed(look.own(), hash, Ending::Value { value, expires }));
        self.table.with(hash, |shard| {
            take_out_all(shard, hash, |key| *key == node.key);
            shard.insert(hash, Arc::clone(&node));
            self.keep(shard, &node);
        });
    }

    /// Takes a key out: its value is gone, and what is in the air will not be kept nor joined. Returns whether there was
    /// anything.
    pub(crate) fn invalidate<L: Look<Own = K>>(&self, look: &L) -> bool {
        let hash = self.hash(look);
        self.table.with(hash, |shard| take_out_all(shard, hash, |key| look.is(key)))
    }
}

/// A landing that has to come to its end, whatever panics on the way.
struct Landing<'a, K: Key, S: Share> {
    coalescing: &'a Coalescing<K, S>,
    node: &'a Arc<Node<K, S>>,
    /// Not set yet.
    ending: Option<Ending<K, S>>,
    stop: bool,
    /// Neither kept nor removed yet.
    is_in_table: bool,
}

impl<K: Key, S: Share> Landing<'_, K, S> {
    fn end(&mut self) {
        if let Some(ending) = self.ending.take() {
            self.node.end(ending);
        }
    }
}

impl<K: Key, S: Share> Drop for Landing<'_, K, S> {
    fn drop(&mut self) {
        self.end();
        if self.is_in_table {
            self.coalescing.table.with(self.node.hash(), |shard| _ = remove(shard, self.node));
        }
        nest::landed(self.node.id());
        self.coalescing.counters.in_flight.fetch_sub(1, SeqCst);
        self.node.disembark(self.stop);
        registry::a_flight_ended();
    }
}

/// What is the same for every key and result.
pub(crate) trait Function: Any + Send + Sync {
    fn stats(&self) -> Stats;
    fn reset_stats(&self);
    /// Takes out everything, as an invalidation of every key. Returns how many keys there were.
    fn clear(&self) -> usize;
    fn in_flight(&self) -> usize;
}

impl<K: Key, S: Share> Function for Coalescing<K, S> {
    fn stats(&self) -> Stats {
        let mut kept = 0;
        self.table.with_each(|shard| kept += shard.extra().kept());
        self.counters.snapshot(kept)
    }

    fn reset_stats(&self) {
        self.counters.reset();
    }

    fn clear(&self) -> usize {
        let mut cleared = Vec::new();
        self.table.with_each(|shard| {
            let first = cleared.len();
            shard.drain(|node| cleared.push(Arc::clone(node)));
            cleared[first..].iter().for_each(|node| dismiss(shard, node));
        });
        // A key that is being refreshed has two nodes. Compared without a lock, as `Eq` is the user's.
        cleared.sort_unstable_by_key(|node| node.hash());
        let keys = |alike: &[Arc<Node<K, S>>]| {
            alike.iter().enumerate().filter(|(at, node)| alike[..*at].iter().all(|other| other.key != node.key)).count()
        };
        cleared.chunk_by(|one, next| one.hash() == next.hash()).map(keys).sum()
    }

    fn in_flight(&self) -> usize {
        self.counters.in_flight.load(SeqCst)
    }
}

/// The nodes that `is` picks by their key. The only place where keys are compared under a lock.
fn alike<K: Key, S: Share>(
    shard: &Shard<'_, K, S>,
    hash: u64,
    is: impl Fn(&Arc<Node<K, S>>) -> bool,
) -> Vec<Arc<Node<K, S>>> {
    let mut nodes = Vec::new();
    shard.find(hash, |node| {
        if is(node) {
            nodes.push(Arc::clone(node));
        }
        None::<()>
    });
    nodes
}

/// Removes a node. Returns whether it was there: then the table's own reference will be dropped after the lock.
fn remove<K: Key, S: Share>(shard: &mut Shard<'_, K, S>, node: &Arc<Node<K, S>>) -> bool {
    let was_there = shard.remove(node.hash(), node);
    if was_there {
        dismiss(shard, node);
    }
    was_there
}

fn dismiss<K: Key, S: Share>(shard: &mut Shard<'_, K, S>, node: &Node<K, S>) {
    let mut passed = Vec::new();
    shard.extra().dismiss(node, |node| passed.push(node));
    for node in passed {
        shard.discard(node);
    }
}

/// Removes a node, and drops this reference to it so that it cannot be the last under the lock.
fn take_out<K: Key, S: Share>(shard: &mut Shard<'_, K, S>, node: Arc<Node<K, S>>) {
    if !remove(shard, &node) {
        shard.discard(node);
    }
}

fn take_out_all<K: Key, S: Share>(shard: &mut Shard<'_, K, S>, hash: u64, is: impl Fn(&K) -> bool) -> bool {
    let nodes = alike(shard, hash, |node| is(&node.key));
    let any = !nodes.is_empty();
    for node in nodes {
        take_out(shard, node);
    }
    any
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
