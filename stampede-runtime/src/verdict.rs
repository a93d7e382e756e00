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

/// What a call of `verify` gives.
#[diagnostic::on_unimplemented(
    message = "`verify` takes an async function, and this one is not",
    label = "a call of it gives `{Self}`, which is no future",
    note = "write `async fn …(asked: &str, found: &str, answer: &T) -> bool`, or `-> Result<bool, E>`"
)]
pub trait Judging: Future {}

#[diagnostic::do_not_recommend]
impl<F: Future> Judging for F {}

/// What that says in the end.
#[diagnostic::on_unimplemented(
    message = "`verify` says yes or no: it returns `bool` or `Result<bool, E>`",
    label = "this one returns `{Self}`",
    note = "`E` must become a `Box<dyn Error + Send + Sync>`, as errors and texts do"
)]
pub trait IntoVerdict {
    /// The verdict.
    fn into_verdict(self) -> Verdict;
}

#[diagnostic::do_not_recommend]
impl IntoVerdict for bool {
    fn into_verdict(self) -> Verdict {
        Ok(self)
    }
}

#[diagnostic::do_not_recommend]
impl<E: Into<Box<dyn StdError + Send + Sync>>> IntoVerdict for Result<bool, E> {
    fn into_verdict(self) -> Verdict {
        self.map_err(Into::into)
    }
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
