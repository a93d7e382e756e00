//! What one call insists on.

use std::future::Future;

use crate::call::{Scope, within, within_now};

/// The result of a call that insists on more than its function: whatever answers it means the same with a similarity of at
/// least `threshold`. A `threshold` below that of the function changes nothing.
///
/// Such a call shares answers with those that insist on the same, and with others what is exactly its question.
///
/// `call` may be any future: of the calls that it makes, [these](crate::outcome#which-calls) are meant.
pub async fn at_least<F: Future>(threshold: f32, call: F) -> F::Output {
    within(call, |scope| insist(scope, threshold)).await
}

/// [`at_least`] for a call of a sync function.
pub fn at_least_now<R>(threshold: f32, call: impl FnOnce() -> R) -> R {
    within_now(call, |scope| insist(scope, threshold))
}

fn insist(scope: &mut Scope, threshold: f32) {
    scope.least = Some(scope.least.map_or(threshold, |least| least.max(threshold)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::least;

    #[tokio::test]
    async fn what_a_call_insists_on_only_grows_and_ends_with_it() {
        let inner = at_least(0.8, async { at_least(0.5, async { least() }).await }).await;
        assert_eq!(inner, Some(0.8));
        assert_eq!(at_least(0.8, async { at_least(0.9, async { least() }).await }).await, Some(0.9));
        assert_eq!(at_least_now(0.8, || at_least_now(0.9, least)), Some(0.9));
        assert_eq!(least(), None);
    }
}
