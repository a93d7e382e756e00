//! What an invalidation did.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot::Receiver;

use crate::error::Error;

/// The outcome of an invalidation. In this process it has happened already. Outside of it, where the function has a
/// backend, it is under way, whether anybody awaits it or not; awaiting tells what came of it.
pub struct Invalidation {
    removed: usize,
    outside: Option<Receiver<Result<(), Error>>>,
}

impl Invalidation {
    pub(crate) fn new(removed: usize, outside: Option<Receiver<Result<(), Error>>>) -> Invalidation {
        Invalidation { removed, outside }
    }

    /// How many keys were kept or in the air in this process.
    #[must_use]
    pub fn removed(&self) -> usize {
        self.removed
    }
}

impl fmt::Debug for Invalidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invalidation").field("removed", &self.removed).finish_non_exhaustive()
    }
}

impl IntoFuture for Invalidation {
    type Output = Result<(), Error>;
    type IntoFuture = Outside;

    fn into_future(self) -> Outside {
        Outside(self.outside)
    }
}

/// An invalidation on its way outside. **Errors**: [`Error::Backend`] when the backend could not be told; what it keeps may
/// be served again, to this process too, until its `ttl` ends.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited, and this one tells whether the backend was told"]
pub struct Outside(Option<Receiver<Result<(), Error>>>);

impl Future for Outside {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(receiver) = &mut self.0 else { return Poll::Ready(Ok(())) };
        // No answer comes from a runtime that was shut down.
        Pin::new(receiver).poll(cx).map(|answer| answer.unwrap_or_else(|_| Err(Error::unreached())))
    }
}
