//! The end of an execution that ran for all processes: what they are told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::coalescer::{Coalescing, Landed};
use crate::flight::{Ending, Node, Rare};
use crate::hooks::Keeping;
use crate::key::Key;
use crate::share::Share;
use crate::tier::{Committed, Lease, Told};

/// An execution's lease, and what has to be known of its ending before that is everyone's.
pub(crate) struct Leased<S: Share> {
    lease: Arc<dyn Lease<S::Value>>,
    /// The error, where others may know it.
    fault: Option<Vec<u8>>,
}

impl<S: Share> Leased<S> {
    pub(crate) fn new<K: Key>(
        coalescing: &Coalescing<K, S>,
        lease: Arc<dyn Lease<S::Value>>,
        ending: &Ending<K, S>,
    ) -> Self {
        let policy = &coalescing.policy;
        let fault = match ending {
            Ending::Rare(rare) if policy.share_errors => match &**rare {
                // The user's `Serialize` or `Display`.
                Rare::Fault(fault, _) => {
                    catch_unwind(AssertUnwindSafe(|| coalescing.hooks.pack(fault, policy.payload_bytes_max)))
                        .ok()
                        .flatten()
                }
                _ => None,
            },
            _ => None,
        };
        Leased { lease, fault }
    }

    /// Whether somebody else has the right to make the value by now.
    pub(crate) fn is_lost(&self) -> bool {
        self.lease.is_lost()
    }

    /// Ends the lease as the flight has, in the background.
    pub(crate) fn end<K: Key>(
        self,
        coalescing: &Coalescing<K, S>,
        node: &Arc<Node<K, S>>,
        landed: Landed,
        keeping: &Keeping,
    ) {
        let Some(outside) = &coalescing.outside else { return };
        let told = match (node.ending(), landed) {
            (Some(Ending::Value(value)), Landed::Kept) => {
                let lease = &self.lease;
                let Ok(work) = catch_unwind(AssertUnwindSafe(|| lease.commit(value, keeping))) else { return };
                let (coalescing, node) = (coalescing.me(), Arc::clone(node));
                outside.end(work, move |committed| {
                    if committed == Committed::Refused {
                        // Something newer is there, or the key was taken out.
                        coalescing.drop_kept(&node);
                    }
                });
                return;
            }
            (Some(Ending::Value(value)), Landed::Unkept) if !self.is_lost() => Some(Told::Value(value)),
            (Some(Ending::Rare(rare)), _) => match &**rare {
                Rare::Fault(..) => self.fault.map(Told::Fault),
                Rare::TimedOut(limit, _) if coalescing.policy.share_errors => Some(Told::TimedOut(*limit)),
                _ => None,
            },
            _ => None,
        };
        let lease = &self.lease;
        let work = catch_unwind(AssertUnwindSafe(|| lease.end(told))).ok().flatten();
        outside.end(work, |()| ());
    }
}
