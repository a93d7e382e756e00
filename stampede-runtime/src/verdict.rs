//! What the user's functions say about near hits: `verify` of two questions, `agree` of two values.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;

/// Whether two questions mean the same, or why that could not be said.
pub type Verdict = Result<bool, Box<dyn StdError + Send + Sync>>;

/// A function's `verify`: the question asked, the one found, and the answer of that.
pub(crate) type Verify<V> = fn(String, String, V) -> Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// A function's `agree`: what was served, and what was executed.
pub(crate) type Agree<V> = fn(&V, &V) -> bool;

/// What `verify` returns.
pub trait IntoVerdict {
    /// The verdict.
    fn into_verdict(self) -> Verdict;
}

impl IntoVerdict for bool {
    fn into_verdict(self) -> Verdict {
        Ok(self)
    }
}

impl<E: Into<Box<dyn StdError + Send + Sync>>> IntoVerdict for Result<bool, E> {
    fn into_verdict(self) -> Verdict {
        self.map_err(Into::into)
    }
}

/// What a call of `verify` is.
#[diagnostic::on_unimplemented(
    message = "`verify` takes `async fn(&str, &str, &T) -> bool`, or one that returns `Result<bool, E>`",
    label = "this call gives `{Self}`",
    note = "it is asked with the question, the question found, and the answer of that; its future must be `Send`, and `E` must become a `Box<dyn Error + Send + Sync>`"
)]
pub trait Judging: Future<Output: IntoVerdict> + Send {}

#[diagnostic::do_not_recommend]
impl<F: Future<Output: IntoVerdict> + Send> Judging for F {}

/// What `verify` says.
pub async fn verdict<F: Judging>(judging: F) -> Verdict {
    judging.await.into_verdict()
}

/// Values that can be compared when nobody says how.
#[diagnostic::on_unimplemented(
    message = "`shadow` compares what was served with what is executed, and `{Self}` has no `==`",
    label = "`{Self}` is not `PartialEq`",
    note = "say when two of them agree: `agree = |old, new| …`; or derive `PartialEq`"
)]
pub trait Comparable: PartialEq {}

#[diagnostic::do_not_recommend]
impl<V: PartialEq> Comparable for V {}

/// Whether two values are equal.
pub fn agree<V: Comparable>(old: &V, new: &V) -> bool {
    old == new
}
