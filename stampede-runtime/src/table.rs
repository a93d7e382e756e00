//! A sharded hash table of `Arc<N>` that is read without locks and without touching a reference count.
//!
//! Open addressing with linear probing. Each shard has one array of slots; writers change it under the shard's
//! lock, readers probe it freely. What a writer takes out (a node, or a whole array after growth) is freed when
//! every reader that was inside at that moment has left, which the lanes tell; almost always that is at once.
//!
//! This is the one room with `unsafe`, because it is what makes a warm hit 1.4 times the bare look-up instead of
//! 1.6 (`ARCHITECTURE.md` has the figures). Its invariants:
//!
//! 1. A slot's pointer is null (never used since the array was made), `gone()` (a tombstone) or came from
//!    `Arc::into_raw`; in the last case the slot owns that one reference.
//! 2. `Shard::slots` always points to a live `Slots` made by `Box::into_raw`. Only writers replace it, and what they
//!    replaced becomes a `Box` again only to be dropped: a `Box` claims to be the only way to what it holds.
//! 3. A pointer that a reader loaded during a visit stays valid until the visit ends: whatever is unlinked goes to
//!    `Garbage`, which is dropped only after all `Guests` of a later moment have left (`lanes` explains why none is
//!    overlooked).
//! 4. An array that was replaced no longer owns its nodes; the new one does.

#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, PoisonError, Weak};

use crate::lanes::{self, Guests};
use crate::sync::{AtomicPtr, AtomicU64, Mutex, MutexGuard};

/// `N`: the node. `X`: what a shard's lock guards besides the slots.
pub(crate) struct Table<N, X> {
    shards: Box<[Shard<N, X>]>,
    /// How far a hash is shifted to leave the shard's number: its highest bits (the lowest choose the slot).
    shift: u32,
}

#[repr(align(128))]
struct Shard<N, X> {
    slots: AtomicPtr<Slots<N>>,
    state: Mutex<State<N, X>>,
}

struct State<N, X> {
    /// Taken out while a slow reader was inside; freed by a later writer.
    limbo: Limbo<N>,
    live: usize,
    /// Slots that are not null: nodes and tombstones.
    used: usize,
    extra: X,
}

struct Slots<N> {
    slots: Box<[Slot<N>]>,
    /// Tables hand out and drop `Arc<N>`, so they are `Send` and `Sync` only as far as that is.
    nodes: PhantomData<Arc<N>>,
}

struct Slot<N> {
    hash: AtomicU64,
    node: AtomicPtr<N>,
}

/// What became unreachable: dropped outside of all locks, since dropping a node runs the user's code.
enum Garbage<N> {
    Node(#[expect(dead_code, reason = "kept only to be dropped")] Arc<N>),
    Slots(#[expect(dead_code, reason = "kept only to be dropped")] Retired<N>),
}

/// An array that has been replaced. Not a `Box`, which would claim to be the only way to it while readers are inside.
struct Retired<N>(AtomicPtr<Slots<N>>);

impl<N> Retired<N> {
    fn slots(&self) -> &Slots<N> {
        // SAFETY: made by `Box::into_raw` (invariant 2), and ours to free.
        unsafe { &*self.0.load(Relaxed) }
    }
}

impl<N> Drop for Retired<N> {
    fn drop(&mut self) {
        // SAFETY: as above. Garbage is dropped when no reader is inside any more (invariant 3).
        drop(unsafe { Box::from_raw(*self.0.get_mut()) });
    }
}

/// The tombstone: an address that no allocation of an `Arc` can have.
fn gone<N>() -> *mut N {
    ptr::dangling_mut()
}

/// What of a hash fits an index; there are never more slots than that.
#[expect(clippy::cast_possible_truncation, reason = "the rest of the hash is not needed here")]
pub(crate) fn low_bits(hash: u64) -> usize {
    hash as usize
}

/// Has what a reference points at brought to the cache, without waiting for it. A hint; it may do nothing.
pub(crate) fn prefetch<N>(node: &Weak<N>) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // The counts before the node and what comes first in it: two lines.
        let node = node.as_ptr().cast::<i8>();
        for line in [node.wrapping_sub(16), node.wrapping_add(48)] {
            // SAFETY: a prefetch reads nothing and cannot fault, wherever it points.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = node;
}

const FEWEST_SLOTS: usize = 8;

impl<N> Slots<N> {
    fn new(count: usize) -> Slots<N> {
        debug_assert!(count.is_power_of_two());
        let slot = || Slot { hash: AtomicU64::new(0), node: AtomicPtr::new(ptr::null_mut()) };
        Slots { slots: std::iter::repeat_with(slot).take(count).collect(), nodes: PhantomData }
    }

    /// Shows `pick` the nodes with this hash, in probing order, until it returns something. Ends at
    /// a null slot, of which there is always one.
    #[inline(always)]
    fn probe<R>(&self, hash: u64, mut pick: impl FnMut(*const N) -> Option<R>) -> Option<R> {
        let mask = self.slots.len() - 1;
        let mut at = low_bits(hash) & mask;
        loop {
            let slot = &self.slots[at];
            let node = slot.node.load(SeqCst);
            if node.is_null() {
                return None;
            }
            // The writer stores the hash before the node, so one that belongs to the node (or a later one) is seen.
            if slot.hash.load(Relaxed) == hash
                && node != gone()
                && let Some(found) = pick(node)
            {
                return Some(found);
            }
            at = (at + 1) & mask;
        }
    }

    /// Puts a node into the first free slot. Returns whether that slot was null before.
    fn place(&self, hash: u64, node: *mut N) -> bool {
        let mask = self.slots.len() - 1;
        let mut at = low_bits(hash) & mask;
        loop {
            let slot = &self.slots[at];
            let there = slot.node.load(Relaxed);
            if there.is_null() || there == gone() {
                slot.hash.store(hash, Relaxed);
                slot.node.store(node, SeqCst);
                return there.is_null();
            }
            at = (at + 1) & mask;
        }
    }

    /// Takes this very node out. Returns its pointer and how many slots became null: at the end of a run of used slots
    /// no tombstone is needed, nor are those right before it, and probes that find nothing end the sooner.
    fn take(&self, hash: u64, node: *const N) -> Option<(*mut N, usize)> {
        let mask = self.slots.len() - 1;
        let at = |at: usize| &self.slots[at & mask].node;
        let mut here = low_bits(hash) & mask;
        while !ptr::eq(at(here).load(Relaxed), node) {
            if at(here).load(Relaxed).is_null() {
                return None;
            }
            here = (here + 1) & mask;
        }
        if !at(here + 1).load(Relaxed).is_null() {
            return Some((at(here).swap(gone(), SeqCst), 0));
        }
        let taken = at(here).swap(ptr::null_mut(), SeqCst);
        let mut freed = 1;
        while at(here.wrapping_sub(freed)).load(Relaxed) == gone() {
            at(here.wrapping_sub(freed)).store(ptr::null_mut(), SeqCst);
            freed += 1;
        }
        Some((taken, freed))
    }

    fn each(&self) -> impl Iterator<Item = (u64, *mut N)> + '_ {
        let load = |slot: &Slot<N>| (slot.hash.load(Relaxed), slot.node.load(Relaxed));
        self.slots.iter().map(load).filter(|(_, node)| !node.is_null() && *node != gone())
    }
}

/// Borrows the node behind a slot's pointer as the `Arc` it is.
///
/// # Safety
/// `node` came from a slot (invariant 1) and stays valid for as long as the result is used (invariant 3, or the lock).
unsafe fn borrow<N>(node: *const N) -> ManuallyDrop<Arc<N>> {
    // SAFETY: the pointer came from `Arc::into_raw`; `ManuallyDrop` leaves the slot's reference where it is.
    ManuallyDrop::new(unsafe { Arc::from_raw(node) })
}

impl<N, X> Table<N, X> {
    /// `shards` must be a power of two; `extra` is called with the number of each.
    pub(crate) fn new(shards: usize, extra: impl Fn(usize) -> X) -> Table<N, X> {
        assert!(shards.is_power_of_two(), "shards are chosen by the highest bits of a hash");
        let shard = |number| Shard {
            slots: AtomicPtr::new(Box::into_raw(Box::new(Slots::new(FEWEST_SLOTS)))),
            state: Mutex::new(State {
                limbo: Limbo { waiting: None, next: Vec::new() },
                live: 0,
                used: 0,
                extra: extra(number),
            }),
        };
        Table { shards: (0..shards).map(shard).collect(), shift: u64::BITS - shards.trailing_zeros() }
    }

    #[inline]
    fn shard(&self, hash: u64) -> &Shard<N, X> {
        // One shard means a shift by 64, which is no shift of a u64.
        &self.shards[low_bits(hash.checked_shr(self.shift).unwrap_or(0))]
    }

    /// [`find`](Self::find) for the path of a hit. It finds nothing on a thread without a lane: the way there would have
    /// to lend `pick` to a function that is not inlined, and all that it holds would have to be in memory.
    #[inline(always)]
    pub(crate) fn glance<R>(&self, hash: u64, mut pick: impl FnMut(&Arc<N>) -> Option<R>) -> Option<R> {
        let _visit = lanes::visit()?;
        // SAFETY: valid by invariant 2, and until the visit ends by invariant 3.
        let slots = unsafe { &*self.shard(hash).slots.load(SeqCst) };
        // SAFETY: loaded from a slot during the visit, used until its end: invariant 3.
        slots.probe(hash, |node| pick(&*unsafe { borrow(node) }))
    }

    /// Shows `pick` the nodes with this hash until it returns something. Takes no lock while `pick` runs, and may
    /// miss what is being put in or taken out at this moment: a writer's [`Locked::find`] is the authority.
    pub(crate) fn find<R>(&self, hash: u64, pick: impl FnMut(&Arc<N>) -> Option<R>) -> Option<R> {
        if lanes::mine().is_some() { self.glance(hash, pick) } else { self.shard(hash).find_without_lane(hash, pick) }
    }

    /// Locks the shard of `hash` and runs `change`. What it takes out is dropped after unlocking, also when it panics.
    pub(crate) fn with<R>(&self, hash: u64, change: impl FnOnce(&mut Locked<'_, N, X>) -> R) -> R {
        self.shard(hash).with(change)
    }

    /// Like [`with`](Self::with), for one shard after the other.
    pub(crate) fn with_each(&self, mut change: impl FnMut(&mut Locked<'_, N, X>)) {
        for shard in &self.shards {
            shard.with(&mut change);
        }
    }
}

impl<N, X> Shard<N, X> {
    fn with<R>(&self, change: impl FnOnce(&mut Locked<'_, N, X>) -> R) -> R {
        // Declared before the lock, hence dropped after it.
        let mut sweep = Sweep { shard: self, trash: Trash::default(), ripe: Vec::new(), is_crowded: false };
        let mut state = self.lock();
        sweep.ripe = state.limbo.ripe();
        sweep.is_crowded = state.limbo.is_crowded();
        change(&mut Locked { slots: &self.slots, state: &mut state, trash: &mut sweep.trash })
    }

    fn lock(&self) -> MutexGuard<'_, State<N, X>> {
        // A panic under the lock can only come from the user's `Eq`, which runs before anything is changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn find_without_lane<R>(&self, hash: u64, pick: impl FnMut(&Arc<N>) -> Option<R>) -> Option<R> {
        // Cloned under the lock and shown after it, since `pick` may run the user's code.
        let mut nodes = Vec::new();
        self.with(|shard| {
            shard.find(hash, |node| {
                nodes.push(Arc::clone(node));
                None::<()>
            })
        });
        nodes.iter().find_map(pick)
    }
}

/// A shard whose lock is held.
pub(crate) struct Locked<'a, N, X> {
    slots: &'a AtomicPtr<Slots<N>>,
    state: &'a mut State<N, X>,
    trash: &'a mut Trash<N>,
}

impl<N, X> Locked<'_, N, X> {
    /// What else the lock guards.
    pub(crate) fn extra(&mut self) -> &mut X {
        &mut self.state.extra
    }

    fn slots(&self) -> &Slots<N> {
        // SAFETY: invariant 2; nobody else replaces it while the lock is held.
        unsafe { &*self.slots.load(Relaxed) }
    }

    /// Shows `pick` the nodes with this hash until it returns something. Only the user's `Eq` may run in `pick`.
    pub(crate) fn find<R>(&self, hash: u64, mut pick: impl FnMut(&Arc<N>) -> Option<R>) -> Option<R> {
        // SAFETY: a slot owns a reference to its node, and slots do not change while the lock is held.
        self.slots().probe(hash, |node| pick(&*unsafe { borrow(node) }))
    }

    /// Adds a node, without looking for others like it.
    pub(crate) fn insert(&mut self, hash: u64, node: Arc<N>) {
        let count = self.slots().slots.len();
        if (self.state.used + 1) * 8 > count * 7 {
            // Twice the room when it is live nodes that fill it, the same (or less) when it is tombstones.
            self.rebuild(((self.state.live + 1) * 2).next_power_of_two().max(FEWEST_SLOTS));
        }
        let was_null = self.slots().place(hash, Arc::into_raw(node).cast_mut());
        self.state.used += usize::from(was_null);
        self.state.live += 1;
    }

    /// Takes out this very node. Returns whether it was there.
    pub(crate) fn remove(&mut self, hash: u64, node: &Arc<N>) -> bool {
        let Some((raw, freed)) = self.slots().take(hash, Arc::as_ptr(node)) else { return false };
        self.state.live -= 1;
        self.state.used -= freed;
        // SAFETY: the slot's own reference (invariant 1), which the slot has given up.
        self.discard(unsafe { Arc::from_raw(raw) });
        true
    }

    /// Shows every node to `each`.
    pub(crate) fn each(&self, mut each: impl FnMut(&Arc<N>)) {
        for (_, node) in self.slots().each() {
            // SAFETY: as in `find`.
            each(&*unsafe { borrow(node) });
        }
    }

    /// Takes out every node, after showing it to `each`.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(&Arc<N>)) {
        let old = self.replace(Slots::new(FEWEST_SLOTS));
        self.state.live = 0;
        self.state.used = 0;
        for (_, node) in old.slots().each() {
            // SAFETY: the old array gives up the reference it owned; nothing else will read it as owned.
            let node = unsafe { Arc::from_raw(node) };
            each(&node);
            self.trash.push(Garbage::Node(node));
        }
        self.trash.push(Garbage::Slots(old));
    }

    /// Drops a reference once the lock is released and no reader can still be looking at it.
    pub(crate) fn discard(&mut self, node: Arc<N>) {
        self.trash.push(Garbage::Node(node));
    }

    fn rebuild(&mut self, count: usize) {
        let new = Slots::new(count);
        for (hash, node) in self.slots().each() {
            new.place(hash, node);
        }
        self.state.used = self.state.live;
        let old = self.replace(new);
        self.trash.push(Garbage::Slots(old));
    }

    fn replace(&mut self, new: Slots<N>) -> Retired<N> {
        Retired(AtomicPtr::new(self.slots.swap(Box::into_raw(Box::new(new)), SeqCst)))
    }
}

/// What one locked change took out.
struct Trash<N> {
    /// Most changes take out one node at the most: no vector for that.
    first: Option<Garbage<N>>,
    rest: Vec<Garbage<N>>,
}

impl<N> Trash<N> {
    fn push(&mut self, garbage: Garbage<N>) {
        if self.first.is_none() {
            self.first = Some(garbage);
        } else {
            self.rest.push(garbage);
        }
    }
}

/// Drops what a change took out, and what earlier ones had to leave, after the lock: dropping runs the user's code.
struct Sweep<'a, N, X> {
    shard: &'a Shard<N, X>,
    trash: Trash<N>,
    ripe: Vec<Trash<N>>,
    /// Some reader is known to stay long; waiting for it again is of no use.
    is_crowded: bool,
}

impl<N, X> Drop for Sweep<'_, N, X> {
    fn drop(&mut self) {
        if self.trash.first.is_some() && (self.is_crowded || !Guests::now().leave_soon()) {
            let trash = std::mem::take(&mut self.trash);
            self.shard.lock().limbo.next.push(trash);
        }
    }
}

/// What could not be dropped because a slow reader was inside. Two generations, so that a write costs the same however
/// much there is: one waits for the guests of one moment, the other collects until those have left.
struct Limbo<N> {
    waiting: Option<(Guests, Vec<Trash<N>>)>,
    next: Vec<Trash<N>>,
}

impl<N> Limbo<N> {
    /// What may be dropped by now.
    fn ripe(&mut self) -> Vec<Trash<N>> {
        if self.waiting.is_none() && self.next.is_empty() {
            return Vec::new();
        }
        let ripe = match &mut self.waiting {
            None => Vec::new(),
            Some((guests, trash)) => {
                if !guests.have_left() {
                    return Vec::new();
                }
                std::mem::take(trash)
            }
        };
        let next = std::mem::take(&mut self.next);
        self.waiting = (!next.is_empty()).then(|| (Guests::now(), next));
        ripe
    }

    fn is_crowded(&self) -> bool {
        self.waiting.is_some()
    }
}

impl<N> Default for Trash<N> {
    fn default() -> Self {
        Trash { first: None, rest: Vec::new() }
    }
}

impl<N, X> Drop for Table<N, X> {
    fn drop(&mut self) {
        for shard in &mut self.shards {
            // SAFETY: invariant 2, and `&mut self` says that nobody is inside.
            let slots = unsafe { Box::from_raw(*shard.slots.get_mut()) };
            for (_, node) in slots.each() {
                // SAFETY: invariant 1; the array is dropped right after and does not drop nodes itself.
                drop(unsafe { Arc::from_raw(node) });
            }
        }
    }
}

#[cfg(test)]
mod tests;
