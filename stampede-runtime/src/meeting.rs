//! What an execution knows of flights that mean the same as its own.

use std::sync::Arc;

use crate::clock::Moment;
use crate::coalescer::Coalescing;
use crate::flight::{Ending, Node, Rare};
use crate::home::{Home, HomeId};
use crate::hooks::Keeping;
use crate::key::{Id, Key};
use crate::outside::Outside;
use crate::seat::{Due, Seat};
use crate::semantic::meet::{Flight, Looking, Met, Received, UnderWayMark, Wants, known};
use crate::share::Share;
use crate::tier::{Near, Origin};

#[derive(Default)]
pub(crate) struct Meeting {
    /// Since it last began to look into its tiers, and until that has led to something.
    looking: Option<Looking>,
    /// Others can join it.
    mark: Option<UnderWayMark>,
}

impl<K: Key, S: Share> Flight for Node<K, S> {
    fn receive(&self, is_over: bool, home: Option<HomeId>) -> Option<Received> {
        match self.ending() {
            // What it found is its own question's, and perhaps not another's.
            Some(_) if self.came().is_near() => None,
            // What was not kept, like an error, is for those who came before the end.
            Some(Ending::Value(_)) => (is_over || self.expires() > Moment::now()).then_some(Received::Landed),
            Some(Ending::Rare(rare)) => {
                (is_over && matches!(**rare, Rare::Fault(..) | Rare::Panicked(_))).then_some(Received::Landed)
            }
            None => (self.moves_for(home) && self.take_seat()).then_some(Received::Seated),
        }
    }
}

impl Meeting {
    /// It looks into its tiers. From here on, whoever takes the question out takes the flight out, whatever its key.
    pub(crate) fn look<K: Key, S: Share>(
        &mut self,
        coalescing: &Coalescing<K, S>,
        id: Option<&Arc<Id>>,
        node: &Arc<Node<K, S>>,
    ) {
        if let (None, Some(meetings), Some(question)) =
            (&self.looking, &coalescing.meetings, id.and_then(|id| id.question()))
        {
            self.looking = Some(meetings.begin_looking(question, &any(node)));
        }
    }

    /// Whether the answer of another question, which was found, may be taken: nobody has taken that out since, or tried to.
    pub(crate) fn believes<K: Key, S: Share>(
        &self,
        coalescing: &Coalescing<K, S>,
        outside: &Outside<S::Value>,
        near: Near,
        node: &Arc<Node<K, S>>,
    ) -> bool {
        let both = coalescing.meetings.as_ref().zip(self.looking.as_ref());
        outside.is_known(near.source)
            && both.is_some_and(|(meetings, looking)| meetings.believe(looking, near.source, &any(node)))
    }

    /// A seat on a flight whose question means the same, if there is one; perhaps it has just landed. If not, others can join
    /// this one from now on.
    pub(crate) fn meet<K: Key, S: Share>(
        &mut self,
        coalescing: &Coalescing<K, S>,
        id: Option<&Arc<Id>>,
        node: &Arc<Node<K, S>>,
        wants: Wants<'_>,
    ) -> Option<(Seat<K, S>, Near, Arc<str>)> {
        // That look is over, and what ended since it began is not needed for it any more.
        let (looking, meetings) = self.looking.take().zip(coalescing.meetings.as_ref())?;
        if self.mark.is_some() {
            return None;
        }
        let home = coalescing.around().as_ref().and_then(Home::if_alone);
        match meetings.meet(&looking, id?.question()?, &any(node), home, wants) {
            Met::None(mark) => {
                self.mark = Some(mark);
                None
            }
            Met::Another(other, received, near, text) => {
                let mut seat = Seat::new(coalescing.me(), known(other)?, Due::Nothing);
                // To wait would be to wait for oneself.
                let may_wait =
                    received == Received::Landed || !seat.would_wait_for_own_permit() && seat.draw_edge().is_ok();
                may_wait.then_some((seat, near, text))
            }
        }
    }

    /// The look has led to an answer.
    pub(crate) fn has_looked(&mut self) {
        self.looking = None;
    }

    /// The flight ends. What it holds for those who may join it is to be dropped when its answer has arrived where it is kept.
    pub(crate) fn end(&mut self) -> Option<UnderWayMark> {
        self.looking = None;
        self.mark.take()
    }
}

/// A flight of whatever type.
pub(crate) fn any<K: Key, S: Share>(node: &Arc<Node<K, S>>) -> Arc<dyn Flight> {
    let flight: Arc<Node<K, S>> = Arc::clone(node);
    flight
}

/// How another flight has ended, as the end of one whose question means the same. `None`: that says nothing of it.
pub(crate) fn of_other<K: Key, S: Share>(other: &Node<K, S>, near: Near) -> Option<(Ending<K, S>, Keeping)> {
    let not_kept = Keeping { origin: Origin::Near(near), made: other.made(), cost: other.cost(), ..Keeping::NOT };
    match other.ending()? {
        // What it found may be too far from this one.
        _ if other.came().is_near() => None,
        Ending::Value(value) => {
            let (copy, expires) = (S::split(S::value(value)).ok()?, other.expires());
            // Of one that others may have taken out meanwhile, nobody would say it here.
            if expires > Moment::now() && !other.is_doubtful() {
                let keeping = Keeping { expires, calm_until: expires, weight: other.weight_of_value(), ..not_kept };
                return Some((Ending::Value(copy), keeping));
            }
            // One that is not kept is as good as any; one that is past its time is its own question's alone.
            (expires == Moment::PAST || expires > Moment::now()).then_some((Ending::Value(copy), not_kept))
        }
        Ending::Rare(rare) => {
            let rare = match &**rare {
                Rare::Fault(fault, _) => Rare::Fault(S::split(S::fault(fault)).err()?, None),
                Rare::Panicked(payload) => Rare::Panicked(payload.clone()),
                Rare::TimedOut(limit, _) => Rare::TimedOut(*limit, None),
                Rare::Abandoned(_) => return None,
            };
            Some((Ending::rare(rare), not_kept))
        }
    }
}
