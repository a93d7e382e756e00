//! A flight lands: its value is kept or its key freed, and everyone is woken.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use super::{Coalescing, Purpose, Shard, alike, remove, take_out};
use crate::clock::Moment;
use crate::evict::Resident;
use crate::flight::{Ending, Instead, Node, Rare};
use crate::hooks::Keeping;
use crate::key::Key;
use crate::nest;
use crate::registry;
use crate::share::Share;
use crate::stats::count;

impl<K: Key, S: Share> Coalescing<K, S> {
    /// Ends a flight, unless somebody else does: keeps its value or frees its key, then wakes everyone.
    pub(crate) fn land(&self, node: &Arc<Node<K, S>>, ending: Ending<K, S>, keeping: &Keeping, by: By) -> Landed {
        let (is_value, counter) = match &ending {
            Ending::Value(_) => (true, None),
            Ending::Rare(rare) => (false, Some(self.counters.of(rare))),
        };
        if !node.claim() {
            return Landed::Late;
        }
        // Before anyone is woken, so that they find it counted.
        counter.filter(|_| by != By::Others).map(count);
        node.will_be_kept(keeping);
        // Everyone is woken even if the user's `Eq` or `Drop` panics in the table.
        let mut landing =
            Landing { coalescing: self, node, ending: Some(ending), stop: by == By::Watch, is_in_table: true };
        // Where another value may stand beside the flight, what becomes of either is decided before the ending is seen: who
        // sees a newer value must not find the older one any more.
        let is_kept_error = !is_value && keeping.is_kept();
        let has_older = node.purpose != Purpose::Call || self.policy.retains() || is_kept_error;
        if !has_older {
            landing.end();
        }
        self.table.with(node.hash(), |shard| {
            let mut is_kept = keeping.is_kept() && shard.extra().holds(keeping.weight as usize);
            let mut is_outdone = false;
            if is_kept || has_older {
                let is_there = shard.find(node.hash(), |other| Arc::ptr_eq(other, node).then_some(())).is_some();
                for other in alike(shard, node.hash(), |other| !Arc::ptr_eq(other, node) && other.key == node.key) {
                    let has_landed = other.ending().is_some();
                    let is_newer = other.id() > node.id() && other.expires() > Moment::now();
                    if !is_value && is_there && other.value().is_some() && self.is_retained(&other) {
                        // An old value is better than an error.
                        is_kept = false;
                        landing.fall_back_on(other, shard);
                    } else if is_value && has_landed && is_newer {
                        // Begun on another runtime, where it could not be joined.
                        (is_kept, is_outdone) = (false, true);
                        shard.discard(other);
                    } else if is_there && has_landed && (is_value || is_kept) {
                        take_out(shard, other);
                    } else {
                        shard.discard(other);
                    }
                }
                landing.end();
                if is_kept && is_there {
                    self.keep(shard, node);
                    landing.is_in_table = false;
                    return Landed::Kept;
                }
            }
            let was_there = remove(shard, node);
            landing.is_in_table = false;
            if was_there && !is_outdone { Landed::Unkept } else { Landed::Gone }
        })
    }

    /// Counts a node of the table among the kept values, and makes room for it.
    pub(super) fn keep(&self, shard: &mut Shard<'_, K, S>, node: &Arc<Node<K, S>>) {
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
}

/// What ends a flight.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// Its body.
    Body,
    /// Somebody else. The body may still be running.
    Watch,
    /// The execution of another process, where it is counted.
    Others,
}

/// What became of what a flight landed with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Landed {
    Kept,
    /// It was the key's newest, and not to be kept.
    Unkept,
    /// Something newer is there, or had taken the flight out.
    Gone,
    /// Somebody else has ended the flight, or is about to.
    Late,
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
    /// Has an old value stand in for an error, where the policy says so, and rest before it is refreshed again.
    fn fall_back_on(&mut self, old: Arc<Node<K, S>>, shard: &mut Shard<'_, K, S>) {
        let policy = &self.coalescing.policy;
        let stand_in_until = old.expires().after(policy.stale_if_error);
        let Some(Ending::Rare(rare)) = &mut self.ending else { unreachable!("a value needs no other in its place") };
        let now = Moment::now();
        match &mut **rare {
            // Nobody had the right to refresh it, so nobody gives that back.
            _ if now < old.expires() && policy.early == 0.0 => (),
            Rare::Abandoned(_) => old.rouse(),
            Rare::Panicked(_) => old.rest(old.expires().after(policy.stale)),
            Rare::Fault(_, _) | Rare::TimedOut(_, _) => old.rest(old.expires().after(policy.retention())),
        }
        match &mut **rare {
            Rare::Fault(_, instead) | Rare::TimedOut(_, instead) if now < stand_in_until => {
                *instead = Some(Instead::new(old));
            }
            _ => shard.discard(old),
        }
    }

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
