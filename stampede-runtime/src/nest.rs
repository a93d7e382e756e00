//! Calls made from inside executions: which execution waits for which, so that none waits for itself.
//!
//! While a body is polled, its flight is the thread's *current* one. A call that boards a flight from inside another
//! draws an edge from the current flight to the boarded one; if the edge would close a circle, the caller runs its
//! own body instead. Only nested calls that miss come here. What a body hands to `tokio::spawn` has no current
//! flight, so a circle through a spawned task is not seen; `wait` or `timeout` ends it.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// A flight's identity: the address of its node, which is alive as long as the number is used.
pub(crate) type FlightId = usize;

/// No flight.
const NOBODY: FlightId = 0;

/// How many runs of own calls inside one another are allowed.
pub(crate) const DEEPEST: usize = 16;

thread_local! {
    static CURRENT: Cell<FlightId> = const { Cell::new(NOBODY) };
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    static INLINE: Cell<usize> = const { Cell::new(0) };
}

/// For each flight, those that its body waits for, and by how many calls.
type Waits = HashMap<FlightId, HashMap<FlightId, usize>>;

static WAITS: Mutex<Option<Waits>> = Mutex::new(None);

/// Restores a thread's cell when a poll ends, also by panic.
pub(crate) struct Restore<T: Copy + 'static> {
    cell: &'static std::thread::LocalKey<Cell<T>>,
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

/// Says that the current flight waits for another, until dropped.
pub(crate) struct Edge {
    from: FlightId,
    to: FlightId,
}

/// The wait would never end: the flight waits, directly or through others, for the caller's own.
#[derive(Debug)]
pub(crate) struct Circle;

/// Notes that the current flight, if there is one, is going to wait for `to`.
pub(crate) fn wait_for(to: FlightId) -> Result<Option<Edge>, Circle> {
    let from = CURRENT.get();
    if from == NOBODY {
        return Ok(None);
    }
    let mut waits = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
    let waits = waits.get_or_insert_default();
    if leads_to(waits, to, from) {
        return Err(Circle);
    }
    *waits.entry(from).or_default().entry(to).or_default() += 1;
    Ok(Some(Edge { from, to }))
}

fn leads_to(waits: &Waits, start: FlightId, goal: FlightId) -> bool {
    let mut seen = HashSet::new();
    let mut open = vec![start];
    while let Some(flight) = open.pop() {
        if flight == goal {
            return true;
        }
        if seen.insert(flight) {
            open.extend(waits.get(&flight).into_iter().flat_map(HashMap::keys));
        }
    }
    false
}

impl Drop for Edge {
    fn drop(&mut self) {
        let mut waits = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(waits) = waits.as_mut() else { return };
        let Some(targets) = waits.get_mut(&self.from) else { return };
        if let Some(calls) = targets.get_mut(&self.to) {
            *calls -= 1;
            if *calls == 0 {
                targets.remove(&self.to);
            }
        }
        if targets.is_empty() {
            waits.remove(&self.from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_and_edges_leave_nothing_behind() {
        // Numbers that no address can be.
        let (a, b, c) = (1, 3, 5);
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
        let waits = WAITS.lock().expect("no panic");
        assert!([a, b, c].iter().all(|flight| !waits.as_ref().expect("used").contains_key(flight)));
    }
}
