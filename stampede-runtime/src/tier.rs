//! A tier outside of this process, as flights see it: it may know a value, it is told of new ones, and whatever goes wrong
//! there is its own affair.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::error::Error;
use crate::hooks::Keeping;
use crate::key::Id;
use crate::stats::Stats;

pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Where values are looked for before a body runs, and kept after it did.
pub(crate) trait Tier<V>: Send + Sync {
    /// The value, if it is known there and can be understood.
    fn look(&self, id: &Id) -> Work<Option<Found<V>>>;

    /// Keeps a value; says whether it could. `None`: it is nothing that this tier can keep.
    fn keep(&self, id: &Id, value: &V, keeping: &Keeping) -> Option<Work<bool>>;

    /// Takes a key out.
    fn forget(&self, id: &Id) -> Work<Result<(), Error>>;

    /// Takes all keys of the function out.
    fn forget_all(&self) -> Work<Result<(), Error>>;

    /// Adds what it did.
    fn add_stats(&self, stats: &mut Stats);

    fn reset_stats(&self);
}

/// What a tier knew.
pub(crate) struct Found<V> {
    pub(crate) value: V,
    pub(crate) age: Life,
    /// How long ago it was made.
    pub(crate) made: Duration,
    /// How long the value took to make.
    pub(crate) cost: Duration,
}

/// How a value stands to its `ttl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "backends"), expect(dead_code, reason = "for backends"))]
pub(crate) enum Life {
    /// Fresh for so long.
    Fresh(Duration),
    /// Past its `ttl` for so long.
    Past(Duration),
}
