//! Filling what is empty, some calls at a time.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;

use super::{Cache, Loader};
use crate::share::Shareable;

/// How far a warm-up is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Calls that have ended, the failed ones among them.
    pub done: usize,
    /// Those that ended with an error or a panic.
    pub failed: usize,
    /// Those that executed: the others found a value, or joined an execution of somebody else. Only [`Cache::warm`] counts them; a
    /// function's are in its [`Stats`](crate::Stats).
    pub executed: usize,
    /// How many calls there are in all, where that is known beforehand.
    pub total: Option<usize>,
}

/// Makes calls whose results are to be kept, at most `concurrency` at once (zero counts as one), and says after each how far it
/// is. Returns how it ended: errors and panics of calls are counted, and end nothing.
///
/// ```
/// use stampede_runtime::{cached, warm_up};
///
/// #[cached(ttl = "1h")]
/// async fn load(id: u32) -> Result<String, std::fmt::Error> {
///     if id == 7 { Err(std::fmt::Error) } else { Ok(format!("user {id}")) }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let ended = warm_up((0..100).map(load), 8, |progress| assert!(progress.done <= 100)).await;
/// assert_eq!((ended.done, ended.failed, ended.total), (100, 1, Some(100)));
/// assert_eq!(load::stats().cache_size, 99);
/// # }
/// ```
///
/// A function that cannot fail is called so: `ids.map(|id| async move { Ok::<_, Infallible>(load(id).await) })`.
///
/// The calls are taken from the iterator one by one, when there is room. They are polled in this future, so that they need not be
/// `Send`; bodies of decorated functions run on tasks of their own.
///
/// **Cancel**: drops the calls under way.
pub async fn warm_up<C, T, E>(
    calls: impl IntoIterator<Item = C>,
    concurrency: usize,
    mut progress: impl FnMut(&Progress),
) -> Progress
where
    C: Future<Output = Result<T, E>>,
{
    let mut calls = calls.into_iter();
    let total = match calls.size_hint() {
        (least, Some(most)) if least == most => Some(most),
        _ => None,
    };
    let mut state = Progress { total, ..Progress::default() };
    let mut under_way: Vec<Pin<Box<C>>> = Vec::new();
    let mut is_empty = false;
    poll_fn(move |cx| {
        loop {
            while !is_empty && under_way.len() < concurrency.max(1) {
                match calls.next() {
                    Some(call) => under_way.push(Box::pin(call)),
                    None => is_empty = true,
                }
            }
            let before = state.done;
            under_way.retain_mut(|call| {
                // A call that has panicked is not polled again.
                match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
                    Ok(Poll::Pending) => return true,
                    Ok(Poll::Ready(Ok(_))) => (),
                    Ok(Poll::Ready(Err(_))) | Err(_) => state.failed += 1,
                }
                state.done += 1;
                progress(&state);
                false
            });
            if under_way.is_empty() && is_empty {
                return Poll::Ready(state);
            }
            if state.done == before {
                return Poll::Pending;
            }
        }
    })
    .await
}

impl<V: Shareable, W> Cache<V, Loader<V>, W> {
    /// [`load`](Self::load)s keys, at most `concurrency` at once, as [`warm_up`] does it. What is there already is not loaded again.
    ///
    /// ```
    /// # use stampede_runtime::Cache;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let squares = Cache::builder("squares").loader(|key: String| async move { key.parse::<u64>().map(|it| it * it) }).build();
    /// squares.set("1", 1);
    /// let ended = squares.warm(["1", "2", "x"], 8, |progress| println!("{progress:?}")).await;
    /// assert_eq!((ended.done, ended.failed, ended.executed), (3, 1, 2));
    /// # }
    /// ```
    pub async fn warm<K: AsRef<str>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        concurrency: usize,
        mut progress: impl FnMut(&Progress),
    ) -> Progress {
        let executed = Arc::new(AtomicUsize::new(0));
        let so_far = |state: &Progress| Progress { executed: executed.load(Relaxed), ..*state };
        let calls = keys.into_iter().map(|key| {
            let executed = Arc::clone(&executed);
            async move { self.load_with(key.as_ref(), move || _ = executed.fetch_add(1, Relaxed)).await }
        });
        let ended = warm_up(calls, concurrency, |state| progress(&so_far(state))).await;
        so_far(&ended)
    }
}
