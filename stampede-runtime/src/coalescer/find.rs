//! Looking for values without executing for them: here, and outside.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::{Age, By, Coalescing, Purpose, alike, put_in, take_out};
use crate::clock::Moment;
use crate::evict::Resident;
use crate::flight::{Ending, Node, View};
use crate::hooks::Keeping;
use crate::key::{Id, Key, Look};
use crate::share::Share;
use crate::tier::{Found, Life};

impl<K: Key, S: Share> Coalescing<K, S> {
    /// The kept value, counted as a hit. Nobody is asked to refresh it.
    pub(crate) fn look_up<L: Look<Own = K>>(&self, look: &L) -> Option<S::Output> {
        let mut is_stale = false;
        let output = self.table.find(self.hash(look), |node| {
            if !look.is(&node.key) {
                return None;
            }
            let value = node.value()?;
            match self.age_without_refresh(node, Moment::now()) {
                Age::Over => return None,
                age => is_stale = age == Age::Stale,
            }
            node.residence().warm();
            Some(S::value(value))
        })?;
        self.counters.hit(is_stale);
        Some(output)
    }

    /// Whether [`look_up`](Self::look_up) would find a value.
    pub(crate) fn would_find<L: Look<Own = K>>(&self, look: &L) -> bool {
        let found = self.table.find(self.hash(look), |node| {
            let is_it = look.is(&node.key) && node.value().is_some();
            (is_it && self.age_without_refresh(node, Moment::now()) != Age::Over).then_some(())
        });
        found.is_some()
    }

    /// Begins to look for a key outside. What is found there is kept here unless something happens to the key meanwhile, or
    /// something of it is in the air already.
    ///
    /// The place of what may be found is a flight that nobody can join: whatever takes it out of the table decides, as with any
    /// other, that what it lands with is not kept.
    pub(crate) fn begin_look<L: Look<Own = K>>(&self, look: &L, id: &Arc<Id>) -> Looking<K, S> {
        let hash = self.hash(look);
        let node = Arc::new(Node::new(look.own(), hash, None, false, Purpose::Call));
        node.leave_seat();
        let has_place = self.table.with(hash, |shard| {
            let mut is_free = true;
            for other in alike(shard, hash, |node| look.is(&node.key)) {
                let is_over = match other.view() {
                    View::Over => true,
                    View::Aging(_) => self.age_without_refresh(&other, Moment::now()) == Age::Over,
                    _ => false,
                };
                if is_over && !(other.value().is_some() && self.is_retained(&other)) {
                    take_out(shard, other);
                } else {
                    is_free &= is_over;
                    shard.discard(other);
                }
            }
            if is_free {
                put_in(shard, &node);
            }
            is_free
        });
        if has_place {
            self.counters.in_flight.fetch_add(1, Relaxed);
            self.enter_flight(&node, Some(id), None);
        }
        Looking { coalescing: self.me(), node: has_place.then_some(node) }
    }
}

/// A key that is being looked for outside. Dropped, it is not any more.
pub(crate) struct Looking<K: Key, S: Share> {
    coalescing: Arc<Coalescing<K, S>>,
    /// The place of what may be found.
    node: Option<Arc<Node<K, S>>>,
}

impl<K: Key, S: Share> Looking<K, S> {
    /// What was found outside, if it answers a look-up. Counted as a hit.
    pub(crate) fn end(mut self, found: Option<Found<S::Value>>) -> Option<S::Output> {
        let coalescing = Arc::clone(&self.coalescing);
        let mut found = found?;
        let policy = &coalescing.policy;
        found.age = policy.age_here(found.age, found.made);
        if policy.keeps_nothing() || !policy.serves(found.age) {
            return None;
        }
        coalescing.counters.hit(matches!(found.age, Life::Past(_)));
        let output = S::value(&found.value);
        if let Some(node) = self.node.take() {
            let keeping = coalescing.hooks.keeping_found(&found, policy);
            // Entered before anybody can find it, or it is not kept at all.
            let tags = coalescing.hooks.tags_of(&found.value);
            if keeping.is_kept() {
                coalescing.enter(&node, node.id(), &[&found.tags, &tags]);
            }
            coalescing.land(&node, Ending::Value(found.value), &keeping, By::Others);
        }
        Some(output)
    }
}

impl<K: Key, S: Share> Drop for Looking<K, S> {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            self.coalescing.land(&node, Ending::abandoned(), &Keeping::NOT, By::Others);
        }
    }
}
