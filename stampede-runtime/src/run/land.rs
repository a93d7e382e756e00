//! The end of an execution: what is kept of it, here and outside, and who is told.

use super::{Execution, Stage};
use crate::coalescer::{By, Landed, Purpose};
use crate::flight::{Ending, Rare};
use crate::hooks::Keeping;
use crate::key::Key;
use crate::leased::Leased;
use crate::outside::Outside;
use crate::share::Share;
use crate::tier::Origin;

impl<K: Key, S: Share, P> Execution<K, S, P> {
    pub(super) fn land(&mut self, ending: Ending<K, S>, keeping: &Keeping) {
        let stage = std::mem::replace(&mut self.stage, Stage::Ended);
        let waiters = self.node.waiters();
        let coalescing = &self.coalescing;
        let is_made = matches!((&stage, &ending), (Stage::Running(_), Ending::Value(_)));
        let has_leases = coalescing.outside.as_ref().is_some_and(|outside| outside.has_leases());
        // Callers hear of the end before the lease is ended.
        let _about_to_say = coalescing.outside.as_ref().filter(|_| self.lease.is_some()).map(Outside::about_to_say);
        let leased = self.lease.take().map(|lease| Leased::new(coalescing, lease, &ending));
        // What was made for this process alone may not be the newest, unless a newer value is just what was asked for.
        let is_newest = !has_leases || leased.is_none() && self.reason.purpose == Purpose::Refresh;
        let saying = if is_made && is_newest { coalescing.say(self.reason.id.as_ref()) } else { None };
        // Nor is what somebody else has made meanwhile older than this.
        let is_lost = leased.as_ref().is_some_and(Leased::is_lost);
        let keeping = if is_lost { &keeping.not() } else { keeping };
        // What is not kept is not there for who comes after its end.
        #[cfg(feature = "semantic")]
        let mark = self.meeting.end().filter(|_| keeping.is_kept());
        #[cfg(not(feature = "semantic"))]
        let mark: Option<Box<()>> = None;
        // What its value says of itself is entered before anybody can find it, or it is not kept at all.
        if let (Some(tagged), true) = (&self.tagged, keeping.is_kept())
            && let Some(tags) = tagged.of_value.get()
        {
            coalescing.enter(&self.node, self.node.id(), &[tags]);
        }
        let by = if let Stage::Saved = stage { By::Others } else { By::Body };
        let mut landed = coalescing.land(&self.node, ending, keeping, by);
        // With a lease, whoever has it says whether what it has made is the newest, and of what it has found nobody does.
        let tells_news = coalescing.outside.as_ref().is_some_and(|outside| outside.tells_news());
        let nobody_says = leased.is_none() || keeping.origin != Origin::Made;
        if tells_news && nobody_says && landed == Landed::Kept && self.node.is_doubtful() {
            coalescing.drop_kept(&self.node);
            landed = Landed::Gone;
        }
        #[cfg(feature = "semantic")]
        if self.reason.purpose != Purpose::Call && is_made && landed == Landed::Kept {
            coalescing.take_out_older(self.reason.id.as_ref(), &self.node);
        }
        if let Some(leased) = leased {
            leased.end(coalescing, &self.node, self.reason.id.as_ref(), landed, keeping, self.tagged.as_ref(), mark);
        } else if let Some(saying) = saying {
            let home = coalescing.home_outside();
            match (landed, self.node.value()) {
                (Landed::Kept, Some(value)) if !has_leases => {
                    saying.store(&home, value, keeping, self.tagged.as_ref(), move |_| drop(mark));
                }
                // What is there is older than what was just made.
                (Landed::Kept | Landed::Unkept, _) => saying.take_back(&home),
                _ => saying.nothing(),
            }
        } else if let (true, Some(outside), Some(id), Landed::Kept, Some(value)) =
            (is_made, &coalescing.outside, &self.reason.id, landed, self.node.value())
        {
            outside.keep_unleased(id, value, keeping, mark);
        }
        if !self.span.is_disabled() {
            // As it ended, which a timeout may have decided.
            let outcome = match self.node.ending() {
                // Somebody else ends it, at this very moment.
                None => return,
                Some(Ending::Value(_)) => "value",
                Some(Ending::Rare(rare)) => match **rare {
                    Rare::Fault(..) => "error",
                    Rare::Panicked(_) => "panic",
                    Rare::TimedOut(..) => "timeout",
                    Rare::Abandoned(_) => "abandoned",
                },
            };
            self.span.record("outcome", outcome).record("waiters", waiters);
        }
    }
}
