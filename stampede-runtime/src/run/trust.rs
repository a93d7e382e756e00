//! Before a near answer is taken: whether somebody has to say that the questions mean the same. And after it was: whether the
//! body runs all the same, for a comparison.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Execution, Reason, Stage};
use crate::clock;
use crate::coalescer::Purpose;
use crate::flight::{Ending, Node};
use crate::hooks::Keeping;
use crate::key::Key;
use crate::meeting;
use crate::semantic::bound::Ticket;
use crate::semantic::meet::Wants;
use crate::semantic::trust::{Against, Known, Pair, Shadowing, Trust, VERIFIED_MAX, Wish, digest_of};
use crate::share::Share;
use crate::tier::{Found, Life, Near, Wanted, Work};

/// A question, by its digest.
type Digest = [u8; 32];

/// Longer than anyone waits for a verdict, and little enough for a clock.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 86_400);

/// How a flight ends.
type End<K, S> = (Ending<K, S>, Keeping);

/// What an execution knows of near answers. Most have nothing to do with any.
pub(super) struct Trusted<V>(Option<Box<Heard<V>>>);

struct Heard<V> {
    /// The question whose answer may be taken.
    accepted: Option<Digest>,
    /// Those that do not mean the same.
    refused: Vec<Digest>,
    /// Until then it may be asked.
    until: Option<Instant>,
    /// It could not be had what `verify` says: what is near is not taken any more.
    is_lost: bool,
    /// It is to be executed all the same.
    shadowing: Option<Shadowing>,
    /// What is executed is to be compared with this.
    against: Option<Against<V>>,
}

impl<V> Default for Trusted<V> {
    fn default() -> Self {
        Trusted(None)
    }
}

impl<V> Trusted<V> {
    /// Nothing near is to be taken any more.
    fn has_asked_enough(&self) -> bool {
        self.0.as_ref().is_some_and(|heard| heard.is_lost || heard.refused.len() >= VERIFIED_MAX)
    }

    fn heard(&mut self) -> &mut Heard<V> {
        self.0.get_or_insert_with(|| {
            let refused = Vec::new();
            Box::new(Heard { accepted: None, refused, until: None, is_lost: false, shadowing: None, against: None })
        })
    }

    fn refused(&self) -> &[Digest] {
        self.0.as_ref().map_or(&[], |heard| &heard.refused)
    }

    fn has_accepted(&self, source: Digest) -> bool {
        self.0.as_ref().is_some_and(|heard| heard.accepted == Some(source))
    }

    /// What an execution wants that is about to begin.
    pub(super) fn wants(&self, trust: Option<&Arc<Trust>>, wanted: Option<Wanted>) -> Wants<'_> {
        let is_refresh = wanted == Some(Wanted::Newest);
        Wants {
            executes: is_refresh || self.has_asked_enough(),
            least: trust.map(|trust| trust.least()),
            refused: self.refused(),
        }
    }

    /// Whether the body is needed after a near answer was taken.
    pub(super) fn shadows(&self) -> bool {
        self.0.as_ref().is_some_and(|heard| heard.shadowing.is_some())
    }
}

/// An answer that waits for what `verify` says.
pub(super) enum Doubted<K: Key, S: Share> {
    /// Another question's, from an index, found at that moment. What is said of it is to be learnt, if there is a ticket.
    Found(Found<S::Value>, Near, Instant, Option<Ticket>),
    /// Another flight's.
    Joined(Ending<K, S>, Keeping, Near),
}

/// What becomes of an answer.
pub(super) enum Becomes {
    Taken,
    /// Something else is looked for.
    Passed,
    /// The question is executed.
    Left,
    /// It waits.
    Waits,
}

impl<K: Key, S: Share, P> Execution<K, S, P>
where
    P: Future<Output = S::Output> + Unpin,
{
    /// Whether the answer of a near question may be taken that was found in an index.
    pub(super) fn trust_found(&mut self, found: Found<S::Value>, near: Near) -> (Becomes, Option<Found<S::Value>>) {
        let Some(trust) = self.coalescing.trust.clone() else { return (Becomes::Taken, Some(found)) };
        if self.trusted.has_accepted(near.source) {
            return (Becomes::Taken, Some(found));
        }
        if self.trusted.has_asked_enough() {
            return (Becomes::Left, None);
        }
        if self.trusted.refused().contains(&near.source) {
            return (Becomes::Passed, Some(found));
        }
        match trust.wish(near.similarity, self.trusted.refused().is_empty()) {
            Wish::Take(ticket) => {
                self.choose_shadow(ticket, false);
                (Becomes::Taken, Some(found))
            }
            Wish::Execute(ticket) => {
                self.trusted.heard().against = Some(Against::unproven(&trust, found.value, ticket));
                (Becomes::Left, None)
            }
            Wish::Verify(ticket) => {
                let (text, answer) =
                    found.source.as_ref().map(|source| (Arc::clone(&source.text), source.answer)).unzip();
                let known = self.know(near.source, text.as_deref(), answer, &found.value);
                match known {
                    Known::Verdict(verdict) => {
                        trust.learn(ticket, !verdict);
                        self.heard(near, Some(verdict), false);
                        let becomes = if verdict { Becomes::Taken } else { Becomes::Passed };
                        (becomes, Some(found))
                    }
                    Known::Nothing => {
                        self.trusted.heard().is_lost = true;
                        (Becomes::Left, None)
                    }
                    Known::Asked(work) => {
                        self.wait_for_verdict(work, Doubted::Found(found, near, clock::instant(), ticket));
                        (Becomes::Waits, None)
                    }
                }
            }
        }
    }

    /// Whether the end of another flight may be taken whose question is near.
    pub(super) fn trust_joined(
        &mut self,
        (ending, keeping): End<K, S>,
        near: Near,
        text: &str,
    ) -> (Becomes, Option<End<K, S>>) {
        let (Some(trust), Some(id)) = (self.coalescing.trust.clone(), self.reason.id.clone()) else {
            return (Becomes::Taken, Some((ending, keeping)));
        };
        let is_own = id.question().is_none_or(|question| question.digest == near.source);
        if is_own || !trust.verifies_joined(near.similarity) {
            if !is_own {
                self.choose_shadow(None, true);
            }
            return (Becomes::Taken, Some((ending, keeping)));
        }
        let Ending::Value(value) = &ending else {
            // Of what is no answer nobody can say that it is this question's.
            self.trusted.heard().refused.push(near.source);
            return (Becomes::Passed, None);
        };
        let answer = self.coalescing.outside.as_ref().and_then(|outside| outside.digest(value));
        match self.know(near.source, Some(text), answer, value) {
            Known::Verdict(verdict) => {
                self.heard(near, Some(verdict), true);
                let becomes = if verdict { Becomes::Taken } else { Becomes::Passed };
                (becomes, Some((ending, keeping)))
            }
            Known::Nothing => {
                self.trusted.heard().is_lost = true;
                (Becomes::Passed, None)
            }
            Known::Asked(work) => {
                self.wait_for_verdict(work, Doubted::Joined(ending, keeping, near));
                (Becomes::Waits, None)
            }
        }
    }

    fn know(&mut self, source: Digest, text: Option<&str>, answer: Option<Digest>, value: &S::Value) -> Known {
        let coalescing = &self.coalescing;
        let parts = coalescing.trust.as_ref().zip(coalescing.hooks.verify).zip(text);
        let Some(((trust, verify), text)) = parts else { return Known::Nothing };
        let Some(question) = self.reason.id.as_ref().and_then(|id| id.question()) else { return Known::Nothing };
        let limit = coalescing.policy.verify_timeout;
        let until = *self.trusted.heard().until.get_or_insert_with(|| Instant::now() + limit.min(LONGEST));
        let digest = answer.map(|answer| digest_of(&question.digest, &source, &answer));
        let pair = || {
            // The user's `Clone`: a panic of it is this flight's.
            let value = S::split(S::value(value)).ok()?;
            Some(Pair { asked: question.text.to_string(), found: text.to_owned(), value, digest })
        };
        trust.know(verify, pair, digest.as_ref(), until)
    }

    fn wait_for_verdict(&mut self, work: Work<Option<bool>>, doubted: Doubted<K, S>) {
        let work = if self.coalescing.policy.blocking { crate::home::elsewhere(work, || None) } else { work };
        self.stage = Stage::Doubting(work, Box::new(doubted));
    }

    /// An answer is taken. Perhaps it is one to be compared.
    fn choose_shadow(&mut self, ticket: Option<Ticket>, is_joined: bool) {
        let is_possible = self.detach.is_some() && self.coalescing.hooks.agree.is_some();
        if self.reason.purpose == Purpose::Call
            && is_possible
            && let Some(trust) = &self.coalescing.trust
        {
            self.trusted.heard().shadowing = trust.shadow(ticket, is_joined);
        }
    }

    /// `verify` has said something of a near question, or could not.
    fn heard(&mut self, near: Near, verdict: Option<bool>, is_joined: bool) {
        match verdict {
            Some(true) => {
                self.trusted.heard().accepted = Some(near.source);
                self.choose_shadow(None, is_joined);
            }
            Some(false) => self.trusted.heard().refused.push(near.source),
            None => self.trusted.heard().is_lost = true,
        }
    }

    /// Goes on with what `verify` has said. There may be nothing more to do.
    pub(super) fn judged(&mut self, verdict: Option<bool>, doubted: Doubted<K, S>) -> Option<(Ending<K, S>, Keeping)> {
        if self.node.ending().is_some() {
            // Nobody waits any more, and there was no task to be ended.
            return Some((Ending::abandoned(), Keeping::NOT));
        }
        match doubted {
            Doubted::Found(mut found, near, since, ticket) => {
                if let (Some(verdict), Some(trust)) = (verdict, &self.coalescing.trust) {
                    trust.learn(ticket, !verdict);
                }
                self.heard(near, verdict, false);
                // It has become older meanwhile.
                let waited = clock::instant().saturating_duration_since(since);
                found.made += waited;
                found.age = match found.age {
                    Life::Fresh(left) => match left.checked_sub(waited) {
                        Some(rest) if !rest.is_zero() => Life::Fresh(rest),
                        _ => Life::Past(waited.saturating_sub(left)),
                    },
                    Life::Past(past) => Life::Past(past + waited),
                };
                match verdict {
                    Some(true) => self.found(found),
                    Some(false) => self.pass(found),
                    None => self.begin_or_join(),
                }
            }
            Doubted::Joined(ending, keeping, near) => {
                self.heard(near, verdict, true);
                if verdict == Some(true) {
                    return Some(self.take_joined(ending, keeping, near));
                }
                self.look_again();
                None
            }
        }
    }

    /// Looks on behind an answer that is not this question's.
    pub(super) fn pass(&mut self, found: Found<S::Value>) -> Option<(Ending<K, S>, Keeping)> {
        match found.or_else {
            Some(or_else) => {
                self.look_on(Some(or_else()));
                None
            }
            None => self.begin_or_join(),
        }
    }

    /// Looks again after another flight's end was not this one's. Whoever looks again asks for the lease again.
    pub(super) fn look_again(&mut self) {
        self.give_lease_back();
        self.look_or_begin(true);
    }

    /// Ends as another flight has.
    pub(super) fn take_joined(
        &mut self,
        ending: Ending<K, S>,
        keeping: Keeping,
        near: Near,
    ) -> (Ending<K, S>, Keeping) {
        if self.saves_a_call() {
            self.coalescing.counters.coalesce_hits.add_one();
        }
        if let Some(meetings) = &self.coalescing.meetings {
            meetings.count(near);
        }
        if !self.trusted.shadows() {
            self.body = None;
        }
        (ending, keeping)
    }

    /// Ends as another flight has, if that is this one's end too; else begins, or looks again.
    pub(super) fn join(&mut self, other: &Node<K, S>, near: Near, text: &str) -> Option<(Ending<K, S>, Keeping)> {
        let Some(end) = meeting::of_other(other, near) else {
            // It was abandoned, or found what is not near enough to this one.
            self.look_again();
            return None;
        };
        match self.trust_joined(end, near, text) {
            (Becomes::Taken, Some((ending, keeping))) => Some(self.take_joined(ending, keeping, near)),
            (Becomes::Waits, _) => None,
            _ => {
                self.look_again();
                None
            }
        }
    }

    /// Compares what was executed with what it is to be compared with.
    pub(super) fn compare(&mut self, value: &S::Value) {
        if let (Some(against), Some(agree)) =
            (self.trusted.0.as_mut().and_then(|heard| heard.against.take()), self.coalescing.hooks.agree)
        {
            against.compare(agree, value);
        }
    }

    /// Has the body, which was not needed, run all the same behind the answer of a near question.
    pub(super) fn shadow_behind(&mut self, shadowing: Shadowing) {
        let old = self.node.value().and_then(|value| S::split(S::value(value)).ok());
        if let (Some(body), Some(old), Some(detach)) = (self.body.take(), old, self.detach)
            && let Some((mut seat, home)) = self.coalescing.begin_behind_landed(&self.node)
        {
            let wanted = Some(Wanted::Newest);
            let reason = Reason { purpose: Purpose::Behind, again: false, wanted, ..self.reason.clone() };
            let mut execution = Execution::new(&mut seat, reason, Some(detach), &mut Some(move || body));
            execution.trusted.heard().against = Some(Against::served(shadowing, old));
            seat.node.set_body(detach(execution, &home));
        } else {
            shadowing.skip();
        }
    }

    /// A hit that is executed for comparison.
    pub(super) fn take_shadowing(&mut self) -> Option<Shadowing> {
        self.trusted.0.as_mut()?.shadowing.take()
    }
}
