//! What an execution knows of flights that mean the same as its own.

use std::sync::Arc;

use crate::clock::Moment;
use crate::coalescer::Coalescing;
use crate::flight::{Ending, Node, Rare};
use crate::home::Home;
use crate::hooks::Keeping;
use crate::key::{Id, Key};
use crate::seat::{Due, Seat};
use crate::semantic::meet::{Looking, Met, UnderWayMark};
use crate::share::Share;
use crate::tier::{Near, Origin};

pub(crate) struct Meeting<K: Key, S: Share> {
    /// Since it first looked into its tiers.
    looking: Option<Looking<K, S>>,
    /// Others can join it.
    mark: Option<UnderWayMark<K, S>>,
}

impl<K: Key, S: Share> Default for Meeting<K, S> {
    fn default() -> Self {
        Meeting { looking: None, mark: None }
    }
}

impl<K: Key, S: Share> Meeting<K, S> {
    /// It looks into its tiers.
    pub(crate) fn look(&mut self, coalescing: &Coalescing<K, S>) {
        if let (None, Some(meetings)) = (&self.looking, &coalescing.meetings) {
            self.looking = Some(meetings.begin_looking());
        }
    }

    /// A seat on a flight whose question means the same, if there is one; perhaps it has just landed. If not, others can join
    /// this one from now on.
    pub(crate) fn meet(
        &mut self,
        coalescing: &Coalescing<K, S>,
        id: Option<&Arc<Id>>,
        node: &Arc<Node<K, S>>,
        is_refresh: bool,
    ) -> Option<(Seat<K, S>, Near)> {
        let (meetings, looking) = coalescing.meetings.as_ref().zip(self.looking.as_ref())?;
        if self.mark.is_some() {
            return None;
        }
        let home = coalescing.around().as_ref().and_then(Home::if_alone);
        match meetings.meet(looking, id?.question()?, node, home, is_refresh)? {
            Met::None(mark) => {
                self.mark = Some(mark);
                None
            }
            Met::Landed(other, near) => Some((Seat::new(coalescing.me(), other, Due::Nothing), near)),
            Met::Another(other, near) => {
                let mut seat = Seat::new(coalescing.me(), other, Due::Nothing);
                // To wait would be to wait for oneself.
                let may_wait = !seat.would_wait_for_own_permit() && seat.draw_edge().is_ok();
                may_wait.then_some((seat, near))
            }
        }
    }

    /// How a value is kept, given what has been taken out since this one began to look.
    pub(crate) fn keeping(
        &self,
        coalescing: &Coalescing<K, S>,
        id: Option<&Arc<Id>>,
        node: &Arc<Node<K, S>>,
        keeping: &Keeping,
    ) -> Keeping {
        let (Some(meetings), Some(looking), true) = (&coalescing.meetings, &self.looking, keeping.is_kept()) else {
            return *keeping;
        };
        let question = id.and_then(|id| id.question());
        // Calls that insist on more have keys of their own, and are taken out with the others.
        let own = question.filter(|question| question.least.is_some()).map(|question| question.digest);
        let source = keeping.origin.near().map(|near| near.source);
        let is_kept = own.into_iter().chain(source).all(|source| meetings.derive(looking, source, node));
        if is_kept { *keeping } else { keeping.not() }
    }

    /// The flight ends. What it holds for those who may join it is to be dropped when its answer has arrived where it is kept.
    pub(crate) fn end(&mut self) -> Option<UnderWayMark<K, S>> {
        self.mark.take()
    }
}

/// How another flight has ended, as the end of one whose question means the same. `None`: that says nothing of it.
pub(crate) fn of_other<K: Key, S: Share>(other: &Node<K, S>, near: Near) -> Option<(Ending<K, S>, Keeping)> {
    let keeping = Keeping { origin: Origin::Near(near), ..Keeping::NOT };
    match other.ending()? {
        // What it found may be too far from this one.
        _ if other.came().is_near() => None,
        Ending::Value(value) => {
            let copy = S::split(S::value(value)).ok()?;
            let is_kept = other.expires() > Moment::now();
            let keeping = Keeping {
                expires: other.expires(),
                calm_until: other.calm_until(),
                cost: other.cost(),
                weight: other.weight_of_value(),
                ..keeping
            };
            Some((Ending::Value(copy), if is_kept { keeping } else { keeping.not() }))
        }
        Ending::Rare(rare) => {
            let rare = match &**rare {
                Rare::Fault(fault, _) => Rare::Fault(S::split(S::fault(fault)).err()?, None),
                Rare::Panicked(payload) => Rare::Panicked(payload.clone()),
                Rare::TimedOut(limit, _) => Rare::TimedOut(*limit, None),
                Rare::Abandoned(_) => return None,
            };
            Some((Ending::rare(rare), keeping))
        }
    }
}
