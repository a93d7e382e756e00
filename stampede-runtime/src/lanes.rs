//! One lane per thread: a cache line that only its thread writes.
//!
//! A thread announces its visits to lock-free tables in its lane (so that writers know when what they unlinked
//! may be freed) and counts its hits in cells picked by the lane's number (so that counting needs no atomic
//! read-modify-write). A thread gives its lane back when it ends. When all lanes are taken, further threads have
//! none, and everything here still works for them, by the slower path.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{Relaxed, Release, SeqCst},
};
use std::sync::{Mutex, PoisonError};

use crate::sync::{AtomicU64, thread_local};

/// More threads than this may call; those beyond take the locked path.
pub(crate) const LANES: usize = 256;

#[repr(align(128))]
struct Lane {
    /// Odd while the thread is inside a table, and grown by two for each visit. Written by the owner alone.
    visits: AtomicU64,
}

static ALL: [Lane; LANES] = [const { Lane { visits: AtomicU64::new(0) } }; LANES];

/// Lanes `0..USED` have been handed out at least once.
static USED: AtomicUsize = AtomicUsize::new(0);

/// Lanes given back by threads that ended. The lowest goes first, so that who gets which does not depend on the past.
static FREE: Mutex<BinaryHeap<Reverse<usize>>> = Mutex::new(BinaryHeap::new());

const UNASKED: usize = usize::MAX;
const NONE: usize = usize::MAX - 1;

thread_local! {
    // Without a destructor, so that reading it is one load and works while the thread is being torn down.
    static MINE: Cell<usize> = const { Cell::new(UNASKED) };
    static GIVE_BACK: GiveBack = const { GiveBack(Cell::new(NONE)) };
}

/// The lane to give back when its thread ends.
struct GiveBack(Cell<usize>);

impl Drop for GiveBack {
    fn drop(&mut self) {
        MINE.set(NONE);
        let lane = self.0.get();
        if lane < LANES {
            FREE.lock().unwrap_or_else(PoisonError::into_inner).push(Reverse(lane));
        }
    }
}

/// The number of the calling thread's lane, below [`LANES`].
#[inline]
pub(crate) fn mine() -> Option<usize> {
    let lane = MINE.get();
    if lane < LANES { Some(lane) } else { ask(lane) }
}

#[cold]
fn ask(lane: usize) -> Option<usize> {
    if lane == NONE {
        return None;
    }
    // A thread that is already past its destructors could not give a lane back.
    let lane = GIVE_BACK.try_with(|give_back| {
        let lane = take();
        give_back.0.set(lane.unwrap_or(NONE));
        lane
    });
    let lane = lane.ok().flatten();
    MINE.set(lane.unwrap_or(NONE));
    lane
}

fn take() -> Option<usize> {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    free.pop().map(|Reverse(lane)| lane).or_else(|| {
        let next = USED.load(SeqCst);
        (next < LANES).then(|| {
            USED.store(next + 1, SeqCst);
            next
        })
    })
}

/// A thread's stay inside a table. While it lasts, nothing is freed that the thread could still reach.
pub(crate) struct Visit {
    /// The lane and the value that ends the visit; `None` for a visit within a visit.
    ends: Option<(&'static Lane, u64)>,
}

/// Begins a visit. `None` when the thread has no lane: it must look under the lock instead.
#[inline]
pub(crate) fn visit() -> Option<Visit> {
    let lane = &ALL[mine()?];
    let visits = lane.visits.load(Relaxed);
    if visits % 2 == 1 {
        return Some(Visit { ends: None });
    }
    // Sequentially consistent, as are the loads inside a table and the writer's unlinking and `Guests::now`:
    // either this visitor sees that a node is gone, or the writer sees this visitor.
    lane.visits.swap(visits + 1, SeqCst);
    Some(Visit { ends: Some((lane, visits + 2)) })
}

impl Drop for Visit {
    #[inline]
    fn drop(&mut self) {
        if let Some((lane, visits)) = self.ends {
            lane.visits.store(visits, Release);
        }
    }
}

/// How often a writer looks whether a visitor has left. A model checker would only look on.
const LOOKS: u32 = if cfg!(stampede_model) { 1 } else { 200 };

/// The visits under way at one moment. Once all have ended, what was unlinked before that moment is out of reach.
pub(crate) struct Guests(Vec<(usize, u64)>);

impl Guests {
    pub(crate) fn now() -> Guests {
        let inside = |(number, lane): (usize, &Lane)| {
            let visits = lane.visits.load(SeqCst);
            (visits % 2 == 1).then_some((number, visits))
        };
        Guests(ALL[..USED.load(SeqCst)].iter().enumerate().filter_map(inside).collect())
    }

    /// Whether every one of these visits has ended.
    pub(crate) fn have_left(&mut self) -> bool {
        self.0.retain(|&(number, visits)| ALL[number].visits.load(SeqCst) == visits);
        self.0.is_empty()
    }

    /// Gives the visits, which last some 50 ns, a moment to end. Returns at once where this very thread is inside.
    pub(crate) fn leave_soon(&mut self) -> bool {
        let me = MINE.get();
        if self.0.iter().any(|&(number, _)| number == me) {
            return false;
        }
        self.0.is_empty()
            || (0..LOOKS).any(|_| {
                std::hint::spin_loop();
                self.have_left()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_seen_until_it_leaves() {
        std::thread::spawn(|| {
            let visit = visit().expect("lanes are left");
            let nested = super::visit().expect("the same lane");
            let mut guests = Guests::now();
            assert!(!guests.have_left());
            drop(nested);
            assert!(!guests.have_left());
            assert!(!guests.leave_soon(), "a thread never waits for itself");
            drop(visit);
            assert!(guests.have_left());
        })
        .join()
        .expect("no panic");
    }

    #[test]
    fn lanes_come_back_from_threads_that_end() {
        for _ in 0..LANES * 2 {
            let lane = std::thread::spawn(mine).join().expect("no panic");
            assert!(lane.is_some());
        }
    }
}
