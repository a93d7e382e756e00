//! A caller's place on a flight: how it waits, what it is counted as, and what its leaving means.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::coalescer::{By, Coalescing};
use crate::error::Error;
use crate::flight::{Ending, Node};
use crate::hooks::Keeping;
use crate::key::Key;
use crate::nest::{self, Circle, Edge};
use crate::share::Share;
use crate::stats::count;

/// What is still to be counted for a caller of a function with `max_concurrent` when its call ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// Began the flight. Counted with the execution, or as refused if that never begins.
    Leader,
    /// Joined a flight.
    Joiner,
}

/// A caller's place on a flight. Giving up the last one ends the flight.
pub(crate) struct Seat<K: Key, S: Share> {
    pub(crate) coalescing: Arc<Coalescing<K, S>>,
    pub(crate) node: Arc<Node<K, S>>,
    place: Option<u32>,
    pub(crate) edge: Option<Edge>,
    pub(crate) due: Due,
    /// Left to the flight when it is given up.
    finishes: bool,
    /// The first seat of a flight whose body nobody runs yet. Given up now, nobody ever would.
    pub(crate) is_grounded: bool,
}

impl<K: Key, S: Share> Seat<K, S> {
    pub(crate) fn new(coalescing: Arc<Coalescing<K, S>>, node: Arc<Node<K, S>>, due: Due) -> Self {
        Seat { coalescing, node, place: None, edge: None, due, finishes: false, is_grounded: false }
    }

    /// An execution has taken the flight over.
    pub(crate) fn take_off(&mut self) {
        self.is_grounded = false;
    }

    /// Waits for the flight's end. An error: to wait would be to wait for oneself.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Result<Poll<()>, Circle> {
        let poll = self.node.poll_ending(&mut self.place, cx).map(|_| ());
        // The call may have been boarded elsewhere: outside of all flights, or in another.
        let drawn = self.edge.as_ref().map_or(nest::NOBODY, Edge::from);
        if poll.is_pending() && nest::current() != drawn {
            self.draw_edge()?;
        }
        Ok(poll)
    }

    pub(crate) fn draw_edge(&mut self) -> Result<(), Circle> {
        self.edge = None;
        self.edge = nest::wait_for(self.node.id())?;
        Ok(())
    }

    /// Whether the flight queues for a permit that the caller's own flight, or one that began it, holds.
    pub(crate) fn would_wait_for_own_permit(&self) -> bool {
        self.coalescing.permits.is_some()
            && !self.node.queue().has_begun()
            && nest::holds(nest::held().as_ref(), self.coalescing.id())
    }

    /// The error for a caller whose patience has run out.
    pub(crate) fn gave_up(&self, limit: Duration) -> Error {
        let function = Arc::clone(&self.coalescing.name);
        match self.coalescing.policy.max_concurrent {
            Some(limit) if !self.node.queue().has_begun() => Error::Refused { function, limit },
            _ => Error::WaitTimeout { function, limit },
        }
    }

    /// Leaves, and lets the flight go on to its end.
    pub(crate) fn leave_to_finish(&mut self) {
        self.finishes = true;
    }

    /// Takes back what is still to be counted, where the flight has ended before it could be. Returns whether there was
    /// anything: the call goes on elsewhere, and is counted there.
    pub(crate) fn carry_due(&mut self) -> bool {
        if self.node.queue().has_begun() {
            return false;
        }
        let due = std::mem::replace(&mut self.due, Due::Nothing);
        if due == Due::Joiner {
            self.node.queue().joiner_ends();
        }
        due != Due::Nothing
    }

    fn settle(&self) {
        let counters = &self.coalescing.counters;
        let queue = self.node.queue();
        if self.due == Due::Joiner {
            queue.joiner_ends();
        }
        match self.due {
            Due::Nothing => (),
            Due::Leader => {
                if queue.leader_ends() {
                    count(&counters.refused);
                }
            }
            Due::Joiner if !queue.has_begun() => count(&counters.refused),
            Due::Joiner if queue.claim_lead() => (),
            Due::Joiner => counters.coalesce_hits.add_one(),
        }
    }
}

impl<K: Key, S: Share> Drop for Seat<K, S> {
    fn drop(&mut self) {
        if self.node.ending().is_some() {
            self.settle();
            return;
        }
        if let Some(place) = self.place {
            self.node.stop_waiting(place);
        }
        let stays = self.finishes && self.node.finish();
        let was_last = !stays && self.node.leave_seat();
        // After the seat is left: an execution that finds none taken settles for itself.
        self.settle();
        if was_last || self.is_grounded {
            self.coalescing.land(&self.node, Ending::abandoned(), &Keeping::NOT, By::Watch);
        }
    }
}
