//! Waiting for what goes on behind the callers.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::blocking;
use crate::registry;

/// Longer than any test should take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns once no execution of this test is under way (refreshes included) and nothing is on its way to a backend. So a test
/// need not sleep until a refresh has ended.
///
/// ```
/// use std::time::Duration;
/// use stampede_runtime::{cached, testing};
///
/// #[cached(ttl = "1m", stale = "1m")]
/// async fn rate(currency: &str) -> f64 {
///     1.09
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let isolated = testing::isolate();
/// let clock = isolated.clock();
/// rate("EUR").await;
/// clock.advance(Duration::from_secs(61));
/// rate("EUR").await; // the old value, and a refresh behind it
/// testing::settled().await;
/// assert_eq!(rate::stats().refreshes, 1);
/// assert_eq!(rate::stats().in_flight, 0);
/// # }
/// ```
///
/// It knows the functions of the caller's isolation and the [`Coalescer`](crate::Coalescer)s that were made in it with a
/// name; without an isolation, those of the process. A trial of a resting backend counts too, if the
/// [`Clock`](super::Clock) has made it due. What a body hands to `tokio::spawn` does not.
///
/// **Limit**: half a minute of real time, whatever a paused clock says.
///
/// **Cancel**: dropping the future stops the waiting and nothing else.
///
/// # Panics
/// When the limit is over, with the names of what is still under way.
pub async fn settled() {
    settled_within(PATIENCE).await;
}

async fn settled_within(patience: Duration) {
    let registry = registry::current();
    // On a runtime whose clock nobody pauses.
    let mut limit = JoinSet::new();
    limit.spawn_on(async move { tokio::time::sleep(patience).await }, blocking::helper_of_process());
    let mut drained = pin!(registry.drained());
    let is_settled = poll_fn(|cx| match drained.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(true),
        Poll::Pending => limit.poll_join_next(cx).map(|_| false),
    })
    .await;
    if !is_settled {
        let under_way: Vec<_> = registry.under_way().iter().map(|(name, many)| format!("{name}: {many}")).collect();
        panic!("still under way after {patience:?}: {}", under_way.join(", "));
    }
}

/// [`settled`] for tests without a runtime: blocks the thread.
///
/// # Panics
/// When the limit is over, with the names of what is still under way.
pub fn settled_blocking() {
    let mut settled = pin!(settled());
    blocking::wait(|cx| match settled.as_mut().poll(cx) {
        Poll::Ready(()) => Ok(()),
        Poll::Pending => Err(None),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::isolate;
    use crate::{Coalescer, testing};

    /// Also where tokio's clock stands still, and a runtime that has nothing to do would jump to the next timer.
    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "still under way after 1ms: coalescer::stuck: 1")]
    async fn what_does_not_end_is_named() {
        let _isolated = isolate();
        let stuck = Coalescer::<u8, u8>::builder().name("stuck").build();
        let mut call = pin!(stuck.run(&1, std::future::pending));
        assert!(poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await.is_pending());
        settled_within(Duration::from_millis(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_take_any_time_of_a_paused_clock() {
        let _isolated = isolate();
        let slow = Coalescer::<u8, u8>::builder().name("slow").finish_abandoned().build();
        let work = || async {
            tokio::time::sleep(Duration::from_secs(86_400)).await;
            1
        };
        let counted = testing::count(|| slow.stats());
        let mut call = Box::pin(slow.run(&1, work));
        assert!(poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await.is_pending());
        drop(call);
        settled().await;
        counted.assert(|since| (since.executions, since.in_flight), (1, 0));
    }
}
