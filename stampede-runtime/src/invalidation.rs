//! What an invalidation did.

use std::future::{IntoFuture, Ready, ready};

/// The outcome of an invalidation. In this process it has happened already; awaiting it waits for tiers outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalidation {
    removed: usize,
}

impl Invalidation {
    pub(crate) fn of(removed: usize) -> Invalidation {
        Invalidation { removed }
    }

    /// How many keys were kept or in the air in this process.
    #[must_use]
    pub fn removed(self) -> usize {
        self.removed
    }
}

impl IntoFuture for Invalidation {
    type Output = ();
    type IntoFuture = Ready<()>;

    fn into_future(self) -> Ready<()> {
        ready(())
    }
}
