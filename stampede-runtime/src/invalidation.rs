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
    outside: Vec<Receiver<Result<(), Error>>>,
}

impl Invalidation {
    pub(crate) fn new(removed: usize, outside: impl IntoIterator<Item = Receiver<Result<(), Error>>>) -> Invalidation {
        Invalidation { removed, outside: outside.into_iter().collect() }
    }

    /// How many keys were kept or in the air in this process.
    #[must_use]
    pub fn removed(&self) -> usize {
        self.removed
    }
}

/// An invalidation of a key that is to be done later.
pub struct Later(pub(crate) Box<dyn FnOnce() -> Invalidation + Send>);

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Later").finish_non_exhaustive()
    }
}

/// What a function that writes invalidates when it has written. Dropped before that is decided, it does so too: nobody knows how
/// far the write came.
#[derive(Debug)]
pub struct Invalidates {
    tags: Vec<crate::tags::Tag>,
    patterns: Vec<String>,
    keys: Vec<Later>,
}

impl Invalidates {
    /// Everything is evaluated before the write.
    #[must_use]
    pub fn new(tags: Vec<crate::tags::Tag>, patterns: Vec<String>, keys: Vec<Later>) -> Invalidates {
        Invalidates { tags, patterns, keys }
    }

    /// `keys(load)`: all of them.
    #[must_use]
    pub fn all(clear: fn() -> Invalidation) -> Later {
        Later(Box::new(clear))
    }

    /// The write has failed: nothing is to be invalidated.
    pub fn spare(mut self) {
        self.tags.clear();
        self.patterns.clear();
        self.keys.clear();
    }

    /// The write is done.
    pub fn now(mut self) -> Done {
        Done(self.act())
    }

    fn act(&mut self) -> Vec<Invalidation> {
        let mut done: Vec<_> = self.keys.drain(..).map(|Later(act)| act()).collect();
        if !self.tags.is_empty() {
            done.push(crate::invalidate::invalidate_tags(std::mem::take(&mut self.tags)));
        }
        done.extend(self.patterns.drain(..).map(crate::invalidate::invalidate_pattern));
        done
    }
}

impl Drop for Invalidates {
    fn drop(&mut self) {
        self.act();
    }
}

/// What was invalidated in this process, and is under way outside.
#[must_use = "outside it may not have been told yet"]
#[derive(Debug)]
pub struct Done(Vec<Invalidation>);

impl Done {
    /// Waits until all backends were told. One that could not be is logged and counted there.
    pub async fn told(self) {
        for done in self.0 {
            // The write is done in any case.
            let _ = done.await;
        }
    }
}

/// How a function that writes has ended, by its type.
#[derive(Debug)]
pub struct Ended<'a, R>(pub &'a R);

/// First choice: a result.
pub trait ViaResult {
    /// Whether it has written.
    fn stampede_has_written(&self) -> bool;
}

impl<T, E> ViaResult for Ended<'_, Result<T, E>> {
    fn stampede_has_written(&self) -> bool {
        self.0.is_ok()
    }
}

/// Otherwise it has.
pub trait ViaAnything {
    /// Whether it has written.
    fn stampede_has_written(&self) -> bool;
}

impl<R> ViaAnything for &Ended<'_, R> {
    fn stampede_has_written(&self) -> bool {
        true
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
        Outside(self.outside, None)
    }
}

/// An invalidation on its way outside. **Errors**: [`Error::Backend`] when the backend could not be told; what it keeps may
/// be served again, to this process too, until its `ttl` ends.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited, and this one tells whether the backend was told"]
pub struct Outside(Vec<Receiver<Result<(), Error>>>, Option<Error>);

impl Future for Outside {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Outside(under_way, failed) = &mut *self;
        under_way.retain_mut(|receiver| {
            let Poll::Ready(answer) = Pin::new(receiver).poll(cx) else { return true };
            // No answer comes from a runtime that was shut down.
            if let Err(error) = answer.unwrap_or_else(|_| Err(Error::unreached())) {
                failed.get_or_insert(error);
            }
            false
        });
        if under_way.is_empty() { Poll::Ready(failed.take().map_or(Ok(()), Err)) } else { Poll::Pending }
    }
}
