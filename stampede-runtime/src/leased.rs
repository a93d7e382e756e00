//! The end of an execution that ran for all processes: what they are told.

use std::sync::Arc;

use crate::clock::Moment;
use crate::coalescer::{Coalescing, Landed};
use crate::flight::{Ending, Node, Rare};
use crate::hooks::Keeping;
use crate::key::{Id, Key};
use crate::share::Share;
use crate::tags::Tagged;
use crate::tier::{Lease, Told};

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
                Rare::Fault(fault, _) => coalescing.hooks.pack(fault, policy.payload_bytes_max),
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

    /// Ends the lease as the flight has, in the background. `held` is dropped once what it was ended with has arrived.
    #[expect(clippy::too_many_arguments, reason = "all that is known of the end")]
    pub(crate) fn end<K: Key, H: Send + 'static>(
        self,
        coalescing: &Coalescing<K, S>,
        node: &Arc<Node<K, S>>,
        id: Option<&Arc<Id>>,
        landed: Landed,
        keeping: &Keeping,
        tagged: Option<&Arc<Tagged>>,
        held: H,
    ) {
        let Some(outside) = &coalescing.outside else { return };
        let told = match (node.ending(), landed) {
            // Whoever ends the flight ends the lease; but one that nobody waits for is just given back.
            (Some(Ending::Rare(rare)), Landed::Late) if matches!(**rare, Rare::Abandoned(_)) => None,
            (_, Landed::Late) => return,
            // Another question's end is told under that one's key, where whatever becomes of it is known.
            _ if keeping.origin.near().is_some() => None,
            // It was past its time when it was found.
            (Some(Ending::Value(_)), Landed::Kept) if keeping.expires <= Moment::now() => None,
            (Some(Ending::Value(value)), Landed::Kept) => {
                let (coalescing, node, id) = (coalescing.me(), Arc::clone(node), id.map(Arc::clone));
                return outside.end(self.lease.commit(value, keeping, tagged), move |is_refused| {
                    drop(held);
                    if is_refused {
                        coalescing.take_out_derived(id.as_ref());
                        coalescing.drop_kept(&node);
                    }
                });
            }
            (Some(Ending::Value(value)), Landed::Unkept) => Some(Told::Value(value)),
            (Some(Ending::Rare(rare)), _) => match &**rare {
                Rare::Fault(..) => self.fault.map(Told::Fault),
                Rare::TimedOut(limit, _) if coalescing.policy.share_errors => Some(Told::TimedOut(*limit)),
                _ => None,
            },
            _ => None,
        };
        outside.end(self.lease.end(told), |()| ());
    }
}
