//! Calls made from inside executions: which execution waits for which, so that none waits for itself.
//!
//! While a body is polled, its flight is the thread's *current* one. A call that boards a flight from inside another
//! draws an edge from the current flight to the boarded one; if the edge would close a circle, the caller runs its
//! own body instead. Only nested calls that miss come here. What a body hands to `tokio::spawn` has no current
//! flight, so a circle through a spawned task is not seen; `wait` or `timeout` ends it.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sync::{LocalKey, thread_local};

/// A flight's identity. Numbers are not used twice: an address would be.
pub(crate) type FlightId = u64;

/// No flight.
pub(crate) const NOBODY: FlightId = 0;

/// A number for a new flight.
pub(crate) fn new_id() -> FlightId {
    static LAST: AtomicU64 = AtomicU64::new(NOBODY);
    LAST.fetch_add(1, Relaxed) + 1
}

/// How many runs of own calls inside one another are allowed.
pub(crate) const DEEPEST: usize = 16;

thread_local! {
    static CURRENT: Cell<FlightId> = const { Cell::new(NOBODY) };
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    static INLINE: Cell<usize> = const { Cell::new(0) };
    static HELD: RefCell<Option<Arc<Held>>> = const { RefCell::new(None) };
}

/// Restores a thread's cell when a poll ends, also by panic.
pub(crate) struct Restore<T: Copy + 'static> {
    cell: &'static LocalKey<Cell<T>>,
    before: T,
}

impl<T: Copy> Drop for Restore<T> {
    fn drop(&mut self) {
        self.cell.set(self.before);
    }
}

/// Makes a flight the current one while the result lives.
pub(crate) fn enter(flight: FlightId) -> Restore<FlightId> {
    Restore { cell: &CURRENT, before: CURRENT.replace(flight) }
}

/// Notes one more run inside a run while the result lives.
pub(crate) fn deeper() -> Restore<usize> {
    let before = DEPTH.get();
    DEPTH.set(before + 1);
    Restore { cell: &DEPTH, before }
}

/// How many runs of own calls are under way on this thread, one inside the other.
pub(crate) fn depth() -> usize {
    DEPTH.get()
}

/// How many first polls may run inside one another before bodies begin as tasks, on a stack of their own: a recursion
/// over a thousand keys must not end at the end of the stack.
const MOST_INLINE: usize = 8;

/// Notes one more first poll inside a caller's poll while the result lives. `None`: there are enough.
pub(crate) fn inline() -> Option<Restore<usize>> {
    let before = INLINE.get();
    (before < MOST_INLINE).then(|| {
        INLINE.set(before + 1);
        Restore { cell: &INLINE, before }
    })
}

/// The current flight.
pub(crate) fn current() -> FlightId {
    CURRENT.get()
}

/// A permit of a function with `max_concurrent`, held by a flight or by one that began it.
pub(crate) struct Held {
    /// Any number that is the function's own.
    pub(crate) function: usize,
    pub(crate) by_beginner: Option<Arc<Held>>,
}

/// The permits held around here, innermost first.
pub(crate) fn held() -> Option<Arc<Held>> {
    HELD.with_borrow(Clone::clone)
}

/// Whether a permit of this function is among them.
pub(crate) fn holds(held: Option<&Arc<Held>>, function: usize) -> bool {
    std::iter::successors(held, |held| held.by_beginner.as_ref()).any(|held| held.function == function)
}

/// Makes permits those held around here while the result lives.
pub(crate) fn hold(held: Option<Arc<Held>>) -> Hold {
    Hold { before: HELD.replace(held) }
}

/// Restores the permits held around here.
pub(crate) struct Hold {
    before: Option<Arc<Held>>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        HELD.replace(self.before.take());
    }
}

/// Which flight waits for which.
#[derive(Default)]
struct Waits {
    /// For each flight, those that its body waits for, and by how many calls.
    targets: HashMap<FlightId, HashMap<FlightId, usize>>,
    /// For each flight, how many flights wait for it.
    awaited: HashMap<FlightId, usize>,
}

static WAITS: Mutex<Option<Waits>> = Mutex::new(None);

/// How many flights have a target. Landings look here first.
static WAITING: AtomicUsize = AtomicUsize::new(0);

fn waits() -> MutexGuard<'static, Option<Waits>> {
    WAITS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Waits {
    fn add(&mut self, from: FlightId, to: FlightId) {
        let targets = self.targets.entry(from).or_default();
        if targets.is_empty() {
            WAITING.fetch_add(1, SeqCst);
        }
        let calls = targets.entry(to).or_default();
        if *calls == 0 {
            *self.awaited.entry(to).or_default() += 1;
        }
        *calls += 1;
    }

    fn remove(&mut self, from: FlightId, to: FlightId) {
        let Some(targets) = self.targets.get_mut(&from) else { return };
        let Some(calls) = targets.get_mut(&to) else { return };
        *calls -= 1;
        if *calls > 0 {
            return;
        }
        targets.remove(&to);
        if targets.is_empty() {
            self.targets.remove(&from);
            WAITING.fetch_sub(1, SeqCst);
        }
        self.is_awaited_less(to);
    }

    fn remove_all(&mut self, from: FlightId) {
        let Some(targets) = self.targets.remove(&from) else { return };
        WAITING.fetch_sub(1, SeqCst);
        for to in targets.into_keys() {
            self.is_awaited_less(to);
        }
    }

    fn is_awaited_less(&mut self, to: FlightId) {
        if let Some(waiters) = self.awaited.get_mut(&to) {
            *waiters -= 1;
            if *waiters == 0 {
                self.awaited.remove(&to);
            }
        }
    }

    fn leads(&self, start: FlightId, goal: FlightId) -> bool {
        if start == goal {
            return true;
        }
        // Nothing leads to a flight that nobody waits for, which is the usual case.
        if !self.awaited.contains_key(&goal) {
            return false;
        }
        let (mut seen, mut open) = (HashSet::new(), vec![start]);
        while let Some(flight) = open.pop() {
            if flight == goal {
                return true;
            }
            if seen.insert(flight) {
                open.extend(self.targets.get(&flight).into_iter().flat_map(HashMap::keys));
            }
        }
        false
    }
}

/// Says that a flight waits for another, until dropped or until the flight has landed.
pub(crate) struct Edge {
    from: FlightId,
    to: FlightId,
}

impl Edge {
    /// The flight that waits.
    pub(crate) fn from(&self) -> FlightId {
        self.from
    }
}

/// The wait would never end: the flight waits, directly or through others, for the caller's own.
#[derive(Debug)]
pub(crate) struct Circle;

/// Notes that the current flight, if there is one, is going to wait for `to`.
#[inline]
pub(crate) fn wait_for(to: FlightId) -> Result<Option<Edge>, Circle> {
    match CURRENT.get() {
        NOBODY => Ok(None),
        from => draw(from, to).map(Some),
    }
}

#[cold]
fn draw(from: FlightId, to: FlightId) -> Result<Edge, Circle> {
    let mut waits = waits();
    let waits = waits.get_or_insert_default();
    if waits.leads(to, from) {
        return Err(Circle);
    }
    waits.add(from, to);
    Ok(Edge { from, to })
}

impl Drop for Edge {
    fn drop(&mut self) {
        if let Some(waits) = waits().as_mut() {
            waits.remove(self.from, self.to);
        }
    }
}

/// A flight has landed: its body waits for nothing any more, whatever it has left behind elsewhere.
pub(crate) fn landed(flight: FlightId) {
    if WAITING.load(SeqCst) > 0
        && let Some(waits) = waits().as_mut()
    {
        waits.remove_all(flight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_and_edges_leave_nothing_behind() {
        let (a, b, c) = (new_id(), new_id(), new_id());
        let within = |flight, to| {
            let _current = enter(flight);
            wait_for(to)
        };
        assert!(within(a, a).is_err());
        let ab = within(a, b).expect("no circle");
        let bc = within(b, c).expect("no circle");
        assert!(within(c, a).is_err());
        drop(ab);
        let ca = within(c, a).expect("the circle is open again");
        drop((bc, ca));
        assert!(wait_for(a).expect("outside of all flights").is_none());
        let left_behind = within(a, b).expect("no circle");
        landed(a);
        drop(within(b, a).expect("what has landed waits for nothing"));
        drop(left_behind);
        let waits = waits();
        let waits = waits.as_ref().expect("used");
        assert!(
            [a, b, c].iter().all(|flight| !waits.targets.contains_key(flight) && !waits.awaited.contains_key(flight))
        );
    }
}
