//! Who is counted of those who wait for a flight's body to begin.

use std::sync::atomic::Ordering::SeqCst;

use crate::sync::{AtomicU8, AtomicU32};

/// Whether a flight's body has begun, and who is to be counted as its leader.
///
/// With `max_concurrent` a flight may have to wait before it begins. Calls of such functions are counted when they end:
/// only then is it known whether they were refused.
#[derive(Default)]
pub(crate) struct Queue {
    stage: AtomicU8,
    /// How many of those who joined are still to be counted.
    joiners: AtomicU32,
}

/// Not begun. Its first caller is there.
const QUEUED: u8 = 0;
/// Not begun, and its first caller has given up.
const LEADERLESS: u8 = 1;
const BEGUN: u8 = 2;
/// Begun without its first caller: the first of the others to end is the leader that has been counted.
const LEADER_OWED: u8 = 3;

impl Queue {
    fn step(&self, from: u8, to: u8) -> bool {
        // Looked at first: most functions have no queue.
        self.stage.load(SeqCst) == from && self.stage.compare_exchange(from, to, SeqCst, SeqCst).is_ok()
    }

    /// The body begins.
    pub(crate) fn begin(&self) {
        // In this order: a queued flight may lose its leader in between, but not find one.
        let _ = self.step(QUEUED, BEGUN) || self.step(LEADERLESS, LEADER_OWED);
    }

    pub(crate) fn has_begun(&self) -> bool {
        matches!(self.stage.load(SeqCst), BEGUN | LEADER_OWED)
    }

    /// Somebody joins who is to be counted when the call ends.
    pub(crate) fn join(&self) {
        self.joiners.fetch_add(1, SeqCst);
    }

    /// Such a call ends, and then looks whether the body has begun: either a body that begins finds the call still here,
    /// or the call finds the body begun.
    pub(crate) fn joiner_ends(&self) {
        self.joiners.fetch_sub(1, SeqCst);
    }

    /// Whether all who joined have been counted.
    pub(crate) fn owes_nobody(&self) -> bool {
        self.joiners.load(SeqCst) == 0
    }

    /// The first caller ends. Returns whether it has to be counted as refused.
    pub(crate) fn leader_ends(&self) -> bool {
        self.step(QUEUED, LEADERLESS)
    }

    /// Takes the leader's place in the statistics, if nobody has. It is counted already.
    pub(crate) fn claim_lead(&self) -> bool {
        self.step(LEADER_OWED, BEGUN)
    }
}
