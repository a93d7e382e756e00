//! Before the body: what the tier outside knows, and whether another flight makes the same.

use std::sync::Arc;

#[cfg(feature = "semantic")]
use super::trust::Becomes;
use super::{Execution, Reason, Stage};
use crate::clock::Moment;
use crate::coalescer::Purpose;
use crate::flight::{Ending, Rare};
use crate::home;
use crate::hooks::Keeping;
use crate::key::Key;
#[cfg(feature = "semantic")]
use crate::nest;
use crate::share::Share;
use crate::tags::Tag;
use crate::tier::{Answer, Found, Life, Look, OrElse, Origin, Told, Wanted, Work};

impl<K: Key, S: Share, P> Execution<K, S, P>
where
    P: Future<Output = S::Output> + Unpin,
{
    /// Looks outside first, where there is something. A refresh wants what is newer than anything there.
    pub(super) fn look_or_begin(&mut self, may_wait: bool) {
        #[cfg(feature = "semantic")]
        self.meeting.look(&self.coalescing, self.reason.id.as_ref(), &self.node);
        let work = match (&self.coalescing.outside, &self.reason.id, self.reason.wanted) {
            (Some(outside), Some(id), Some(wanted)) if outside.is_asked(&self.coalescing.policy) => {
                let (joined, tagged) = (self.joined, self.tagged.clone());
                outside.look(id, Look { wanted, is_nested: self.is_nested, may_wait, joined, tagged })
            }
            _ => None,
        };
        self.look_on(work);
    }

    /// Goes on with what the tier answers. There may be nothing more to do.
    pub(super) fn answered(&mut self, answer: Answer<S::Value>) -> Option<(Ending<K, S>, Keeping)> {
        if self.node.ending().is_some() {
            // Nobody waits any more, and there was no task to be ended.
            return Some((Ending::abandoned(), Keeping::NOT));
        }
        match answer {
            Answer::Found(found) => return self.found(found),
            Answer::Told(told, or_else) => return self.told(told, or_else),
            Answer::Lead(lease) => self.lease = Some(lease),
            Answer::Nothing => (),
            Answer::Busy(fence) => {
                // Another of this process may have the permit meanwhile.
                self.permit = None;
                self.joined.get_or_insert(fence);
                self.look_or_begin(true);
                return None;
            }
        }
        self.begin_or_join()
    }

    /// Begins, unless it goes on with another flight that means the same. There may be nothing more to do.
    #[cfg(feature = "semantic")]
    pub(super) fn begin_or_join(&mut self) -> Option<(Ending<K, S>, Keeping)> {
        // One that queues for a permit which is held for this one must not be waited for.
        let _held = nest::hold(self.held.clone());
        let wants = self.trusted.wants(self.coalescing.trust.as_ref(), self.reason.wanted);
        match self.meeting.meet(&self.coalescing, self.reason.id.as_ref(), &self.node, wants) {
            Some((seat, near, text)) if seat.node.ending().is_some() => {
                return self.join(&seat.node.clone(), near, &text);
            }
            Some((seat, near, text)) => {
                // The other may need them: it has not begun.
                if !seat.node.queue().has_begun() {
                    self.give_lease_back();
                }
                self.permit = None;
                self.stage = Stage::Joined(seat, near, text);
            }
            None => self.begin_or_queue(),
        }
        None
    }

    #[cfg(not(feature = "semantic"))]
    pub(super) fn begin_or_join(&mut self) -> Option<(Ending<K, S>, Keeping)> {
        self.begin_or_queue();
        None
    }

    /// Looks on for something of more use than what was found, or begins.
    pub(super) fn look_on(&mut self, work: Option<Work<Answer<S::Value>>>) {
        let is_blocking = self.coalescing.policy.blocking;
        match work {
            Some(work) => {
                self.stage = Stage::Looking(if is_blocking { home::elsewhere(work, || Answer::Nothing) } else { work });
            }
            None => self.begin_or_queue(),
        }
    }

    /// What the tier had, if it answers the call.
    pub(super) fn found(&mut self, mut found: Found<S::Value>) -> Option<(Ending<K, S>, Keeping)> {
        let coalescing = Arc::clone(&self.coalescing);
        if found.lease.is_some() {
            self.lease = found.lease.take();
        }
        #[cfg(feature = "semantic")]
        if let (Some(near), Some(outside)) = (found.origin.near(), &coalescing.outside)
            && !self.meeting.believes(&coalescing, outside, near, &self.node)
        {
            return self.begin_or_join();
        }
        // An entry that lacks a tag was made by a version of the program that did not say it: whoever invalidates that would
        // not reach it.
        if found.origin == Origin::Backend && coalescing.hooks.has_tags() {
            let lacks = |tag: &Tag| found.tags.iter().all(|other| other != tag);
            if coalescing.hooks.tags_of(&found.value).iter().any(lacks) {
                self.look_on(found.or_else.map(|or_else| or_else()));
                return None;
            }
        }
        found.age = coalescing.policy.age_here(found.age, found.made);
        // Only what is fresh answers another question.
        if found.origin.near().is_some() && matches!(found.age, Life::Past(_)) {
            return self.begin_or_join();
        }
        #[cfg(feature = "semantic")]
        if let Some(near) = found.origin.near() {
            found = match self.trust_found(found, near) {
                (Becomes::Taken, Some(found)) => found,
                (Becomes::Passed, Some(found)) => return self.pass(found),
                (Becomes::Waits, _) => return None,
                _ => return self.begin_or_join(),
            };
        }
        let keeping = coalescing.hooks.keeping_found(&found, &coalescing.policy);
        let is_newer = || coalescing.is_newer_than_kept(&self.node, keeping.expires);
        let is_old = self.reason.purpose == Purpose::Behind && !is_newer();
        if is_old || coalescing.policy.keeps_nothing() {
            self.look_on(found.or_else.map(|or_else| or_else()));
            return None;
        }
        if !coalescing.policy.serves(found.age) {
            // Of no use to this call, and perhaps to its execution.
            if coalescing.policy.retains() {
                let tags = coalescing.hooks.tags_of(&found.value);
                let of_call = self.tagged.as_ref().map_or(&[][..], |tagged| &tagged.of_call);
                let all = [of_call, &tags, &found.tags];
                coalescing.keep_old(&self.node, self.reason.id.as_ref(), found.value, &keeping, &all);
            }
            self.look_on(found.or_else.map(|or_else| or_else()));
            return None;
        }
        #[cfg(feature = "semantic")]
        {
            self.meeting.has_looked();
            if let Some(source) = found.source.take() {
                (source.was_taken)();
            }
        }
        if self.saves_a_call() {
            #[cfg(feature = "semantic")]
            if let (Some(near), Some(meetings)) = (found.origin.near(), &coalescing.meetings) {
                meetings.count(near);
            }
            if found.is_awaited {
                coalescing.counters.coalesce_hits.add_one();
            } else {
                coalescing.counters.hit(matches!(found.age, Life::Past(_)));
            }
        }
        #[cfg(feature = "semantic")]
        let is_needed = self.trusted.shadows();
        #[cfg(not(feature = "semantic"))]
        let is_needed = false;
        if matches!(found.age, Life::Fresh(_)) && !is_needed {
            self.body = None;
        }
        let keeping = self.tag(&found.value, keeping);
        // Those that nobody could have known before.
        let is_of_call = |tag: &&Tag| self.tagged.as_ref().is_some_and(|tagged| tagged.of_call.contains(tag));
        let others: Vec<Tag> = found.tags.iter().filter(|tag| !is_of_call(tag)).cloned().collect();
        if keeping.is_kept() && !others.is_empty() {
            coalescing.enter(&self.node, self.node.id(), &[&others]);
        }
        Some((Ending::Value(found.value), keeping))
    }

    /// How another process's execution has ended, which is as good as this one's.
    fn told(&mut self, told: Told<S::Value>, or_else: OrElse<S::Value>) -> Option<(Ending<K, S>, Keeping)> {
        let hooks = &self.coalescing.hooks;
        let (ending, keeping) = match told {
            Told::Value(value) => (Ending::Value(value), told_by_another(Keeping::NOT)),
            Told::TimedOut(limit) => (Ending::rare(Rare::TimedOut(limit, None)), told_by_another(Keeping::NOT)),
            Told::Fault(bytes) => {
                let Some(fault) = hooks.unpack(&bytes) else {
                    // Of another version of the program.
                    self.look_on(Some(or_else()));
                    return None;
                };
                let keeping = told_by_another(hooks.keeping_fault(&fault, &self.coalescing.policy));
                (Ending::rare(Rare::Fault(fault, None)), keeping)
            }
        };
        if self.saves_a_call() {
            self.coalescing.counters.coalesce_hits.add_one();
        }
        self.body = None;
        Some((ending, keeping))
    }

    /// The flight ends without its body. Whether it was a call that was saved its execution.
    pub(super) fn saves_a_call(&mut self) -> bool {
        self.stage = Stage::Saved;
        let queue = self.node.queue();
        queue.begin();
        // As for a body: if the first caller has left, it is counted as refused, and this as whoever is still there.
        let is_nobodys = queue.owes_nobody() && queue.claim_lead();
        !self.reason.again && self.reason.purpose == Purpose::Call && !is_nobodys
    }

    /// Has the body, which was not needed, refresh what was found, if that was old.
    pub(super) fn refresh_behind(&mut self, keeping: &Keeping) {
        let Some(body) = self.body.take() else { return };
        if Moment::now() < keeping.expires {
            return;
        }
        if let Some(detach) = self.detach
            && let Some((mut seat, home)) = self.coalescing.begin_behind_landed(&self.node)
        {
            // Where executions are shared, another process may have begun it.
            let has_leases = self.coalescing.outside.as_ref().is_some_and(|outside| outside.has_leases());
            // Without leases there is nothing to be found, but what is to be known of its tags.
            let wanted = if has_leases { Some(Wanted::Any) } else { self.tagged.as_ref().map(|_| Wanted::Newest) };
            let reason = Reason { purpose: Purpose::Behind, again: false, wanted, ..self.reason.clone() };
            let execution = Execution::new(&mut seat, reason, Some(detach), &mut Some(move || body));
            seat.node.set_body(detach(execution, &home));
        }
    }
}

fn told_by_another(keeping: Keeping) -> Keeping {
    Keeping { origin: Origin::Told, ..keeping }
}
