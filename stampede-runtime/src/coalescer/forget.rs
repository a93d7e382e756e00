//! What is taken out other than by its key: by tag, by what stands for it outside, by pattern, by value; and what is only
//! made old.

use std::any::Any;
use std::sync::{Arc, Weak};

use super::{Coalescing, alike, remove};
use crate::error::Error;
use crate::evict::Resident;
use crate::flight::Node;
use crate::invalidation::{Invalidation, Later};
use crate::key::{Id, Key, Look};
use crate::nest::FlightId;
use crate::outside::Saying;
use crate::pattern::Pattern;
use crate::share::Share;
use crate::tags::{Mark, Tag, Tagged};
#[cfg(feature = "semantic")]
use crate::tier::Heard;

/// How something is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// It is gone.
    Remove,
    /// It is past its `ttl` and its `stale` time, and stays for as long as `stale_if_error` may want it. What is in the air
    /// is gone.
    Expire,
}

impl<K: Key, S: Share> Coalescing<K, S> {
    /// Takes out everything with a mark. Returns how many flights and values there were.
    pub(crate) fn take_out_marked(&self, mark: &Mark, how: How) -> usize {
        let taken = self.marks.take_out(mark, how == How::Expire);
        taken.iter().filter(|node| self.take_out_one(node, how)).count()
    }

    /// The same, as another process has done it. A flight whose body has not begun may find what is newer, or make it: it goes
    /// on, and is kept if its lease shows that it is the newest.
    pub(crate) fn hear_marked(&self, mark: &Mark, how: How) {
        #[cfg(feature = "semantic")]
        if let Mark::Entry(id) = mark
            && let Id::Digest(digest) = **id
        {
            self.hear_question(digest);
        }
        for node in self.marks.take_out(mark, true) {
            self.hear_one(&node, how);
        }
    }

    /// The same of what is here as another question's answer, before what could be found in its place.
    #[cfg(feature = "semantic")]
    fn hear_question(&self, digest: [u8; 32]) {
        let Some(meetings) = &self.meetings else { return };
        self.tell_tier(Heard::One(digest));
        for node in meetings.take_out(digest) {
            self.hear_one(&node, How::Remove);
        }
    }

    /// A tier of this process alone hears what others have said.
    #[cfg(feature = "semantic")]
    fn tell_tier(&self, heard: Heard) {
        if let Some(outside) = &self.outside {
            outside.hear(heard);
        }
    }

    /// The same of every key.
    pub(crate) fn hear_all(&self) {
        #[cfg(feature = "semantic")]
        if let Some(meetings) = &self.meetings {
            self.tell_tier(Heard::All);
            meetings.clear();
        }
        for node in self.nodes() {
            self.hear_one(&node, How::Remove);
        }
    }

    /// The same of the readable keys that match.
    pub(crate) fn hear_matching(&self, pattern: &Pattern) {
        for node in self.nodes().iter().filter(|node| matches(pattern, node)) {
            self.hear_one(node, How::Remove);
        }
    }

    fn hear_one(&self, node: &Arc<Node<K, S>>, how: How) {
        if node.queue().has_begun() || !node.doubt() {
            self.take_out_one(node, how);
        }
    }

    /// Takes out the kept values that `is` picks, and all that is in the air: nobody knows what that will be.
    pub(crate) fn take_out_values(&self, is: &dyn Fn(&dyn Any) -> bool) -> usize {
        // Asked without a lock: it is the user's.
        let is_it = |node: &Node<K, S>| node.ending().is_none() || node.value().is_some_and(|value| is(value));
        self.nodes().iter().filter(|node| is_it(node) && self.take_out_one(node, How::Remove)).count()
    }

    /// Takes out every readable key that matches.
    pub(crate) fn take_out_matching(&self, pattern: &Pattern) -> usize {
        let nodes = self.nodes();
        nodes.iter().filter(|node| matches(pattern, node) && self.take_out_one(node, How::Remove)).count()
    }

    /// Others may have changed anything. What is kept is old. What is in the air goes on, for those too who come now, and is
    /// kept only if its lease shows that it is the newest.
    pub(crate) fn doubt_all(&self) {
        #[cfg(feature = "semantic")]
        self.tell_tier(Heard::All);
        for node in self.nodes() {
            if !node.doubt() {
                self.take_out_one(&node, How::Expire);
            }
        }
    }

    /// Takes out a key, here and outside. What stands for it there is `id`.
    fn forget(&self, hash: u64, is: impl Fn(&K) -> bool, id: Option<&Arc<Id>>, how: How) -> Invalidation {
        let (count, saying) = self.forget_here(hash, is, id, how);
        Invalidation::new(count, saying.map(|saying| saying.forget(&self.home_outside())))
    }

    /// The same here. Returns how many keys there were, and what is to be said outside.
    fn forget_here(
        &self,
        hash: u64,
        is: impl Fn(&K) -> bool,
        id: Option<&Arc<Id>>,
        how: How,
    ) -> (usize, Option<Saying<S::Value>>) {
        let saying = self.say(id);
        self.take_out_derived(id);
        let nodes = self.table.with(hash, |shard| alike(shard, hash, |node| is(&node.key)));
        let count = nodes.iter().filter(|node| self.take_out_one(node, how)).count();
        (count.min(1), saying)
    }

    /// Takes out a key. Returns whether a value of it was kept; `then` is told whether the tier had one, where there is a tier.
    pub(crate) fn delete<L: Look<Own = K>>(
        &self,
        look: &L,
        then: impl FnOnce(Result<bool, Error>) + Send + 'static,
    ) -> bool {
        let was_kept = self.would_find(look);
        let (_, saying) = self.forget_here(self.hash(look), |key| look.is(key), self.id_of(look).as_ref(), How::Remove);
        match saying {
            Some(saying) => saying.forget_then(&self.home_outside(), then),
            None => then(Ok(false)),
        }
        was_kept
    }

    /// Takes out a key.
    pub(crate) fn forget_key<L: Look<Own = K>>(&self, look: &L, how: How) -> Invalidation {
        self.forget(self.hash(look), |key| look.is(key), self.id_of(look).as_ref(), how)
    }

    /// The same, later.
    pub(crate) fn forget_key_later<L: Look<Own = K>>(&self, look: &L) -> Later {
        let (state, hash, own, id) = (self.me(), self.hash(look), look.own(), self.id_of(look));
        Later(Box::new(move || state.forget(hash, |key| *key == own, id.as_ref(), How::Remove)))
    }

    fn nodes(&self) -> Vec<Arc<Node<K, S>>> {
        let mut nodes = Vec::new();
        self.table.with_each(|shard| shard.each(|node| nodes.push(Arc::clone(node))));
        nodes
    }

    /// Returns whether it was there.
    fn take_out_one(&self, node: &Arc<Node<K, S>>, how: How) -> bool {
        if how == How::Expire && self.policy.retains() && node.may_be_old() && node.value().is_some() {
            return node.expire(self.policy.stale);
        }
        self.table.with(node.hash(), |shard| remove(shard, node))
    }

    /// Enters a flight that is about to begin.
    pub(crate) fn enter_flight(&self, node: &Arc<Node<K, S>>, id: Option<&Arc<Id>>, tagged: Option<&Tagged>) {
        let entry = id.filter(|_| self.outside.as_ref().is_some_and(|outside| outside.tells_news()));
        if entry.is_some() || tagged.is_some() {
            let entry = entry.map(|id| Mark::Entry(Id::alone(id)));
            self.marks.enter(&weak(node), entry, tagged.map_or(&[], |tagged| &tagged.of_call));
        }
    }

    /// Enters a value that was given.
    pub(crate) fn enter_given(&self, node: &Arc<Node<K, S>>, id: Option<&Arc<Id>>, tagged: &Tagged) {
        self.enter_flight(node, id, None);
        let of_value = tagged.of_value.get().map_or(&[][..], |tags| tags);
        self.enter(node, node.id(), &[&tagged.of_call, of_value]);
    }

    /// Enters what is kept now under its tags. `false`: it is older than an invalidation, and is gone again.
    pub(crate) fn enter(&self, node: &Arc<Node<K, S>>, since: FlightId, tags: &[&[Tag]]) -> bool {
        let is_newest = self.marks.enter_value(&weak(node), since, tags);
        if !is_newest {
            self.drop_kept(node);
        }
        is_newest
    }
}

/// A node of whatever type.
fn weak<K: Key, S: Share>(node: &Arc<Node<K, S>>) -> Weak<dyn Any + Send + Sync> {
    let weak: Weak<Node<K, S>> = Arc::downgrade(node);
    weak
}

/// Whether a key is a readable one that matches.
fn matches<K: Key, S: Share>(pattern: &Pattern, node: &Node<K, S>) -> bool {
    (&node.key as &dyn Any).downcast_ref::<Box<str>>().is_some_and(|key| pattern.is_match(key))
}
