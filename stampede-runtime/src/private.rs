//! What expanded attributes call, and nothing else. Not covered by any promise of stability: the attributes and this
//! crate are of one version.

pub use std::borrow::{Borrow, ToOwned};
pub use std::time::Duration;

pub use crate::error::Error;
pub use crate::fly::{Boarding, Call};
pub use crate::invalidation::Invalidation;
pub use crate::key::{
    ByRef, Cons, Content, Digested, Key, Look, Nil, Part, PartOf, Steps, Text, ViaOwnWay, ViaRef, text,
};
pub use crate::policy::Options;
pub use crate::share::{IntoResult, Probe, Refuse, Share, ViaClone, ViaError, ViaNothing, ViaPointer, ViaWhole};
pub use crate::site::{Here, Site};
pub use crate::stats::Stats;

/// How results of a type are shared: a value of a type that is `Share`.
#[doc(hidden)]
#[macro_export]
macro_rules! __share {
    ($result:ty) => {{
        #[allow(unused_imports)]
        use $crate::__private::{ViaClone as _, ViaError as _, ViaNothing as _, ViaPointer as _, ViaWhole as _};
        $crate::__private::shared((&&&&$crate::__private::Probe::<$result>::NEW).share())
    }};
}

/// A reference as a part of a key.
#[doc(hidden)]
#[macro_export]
macro_rules! __part {
    ($part:expr) => {{
        #[allow(unused_imports)]
        use $crate::__private::{ViaOwnWay as _, ViaRef as _};
        $crate::__private::part((&&$crate::__private::PartOf($part)).look())
    }};
}

pub use crate::{__part as part, __share as share};

/// Passes on how results are shared. The opaque type makes a result that cannot be a mistake here and nowhere else.
pub fn shared<S: Share>(share: S) -> impl Share<Output = S::Output, Value = S::Value> {
    share
}

/// Passes on a part of a key, likewise.
#[inline]
pub fn part<L: Look>(look: L) -> impl Look<Own = L::Own> {
    look
}

/// How a refused call ends, for functions whose error can say so.
pub fn refuse<R: Refuse>(error: Error) -> R {
    R::refuse(error)
}

/// An argument that a body can own.
#[diagnostic::on_unimplemented(
    message = "the body of this function runs on its own, so it needs an owned copy of `&{Self}`",
    label = "`{Self}` is neither `ToOwned` nor `Clone`",
    note = "take it by value or as `Arc<{Self}>`"
)]
pub trait OwnArg {
    /// The owned form. Named here and not through `ToOwned`, so that the sentence above is the one error.
    type Owned: Borrow<Self>;
    /// Owns the argument.
    fn own_arg(&self) -> Self::Owned;
}

#[diagnostic::do_not_recommend]
impl<T: ?Sized + ToOwned> OwnArg for T {
    type Owned = T::Owned;

    fn own_arg(&self) -> T::Owned {
        self.to_owned()
    }
}

/// Owns an argument.
pub fn own<T: ?Sized + OwnArg>(argument: &T) -> T::Owned {
    argument.own_arg()
}

/// A receiver that a body can own.
#[diagnostic::on_unimplemented(
    message = "the body of this method runs on its own, so it needs a `self` of its own",
    label = "`{Self}` is not `Clone`",
    note = "take `self: Arc<Self>`, or make `{Self}` a cheap `Clone` handle around an `Arc`"
)]
pub trait OwnSelf: Clone {}

#[diagnostic::do_not_recommend]
impl<T: Clone> OwnSelf for T {}

/// Owns a receiver.
pub fn own_self<T: OwnSelf>(this: &T) -> T {
    this.clone()
}

/// Owns an optional argument.
pub fn own_option<T: ?Sized + OwnArg>(argument: Option<&T>) -> Option<T::Owned> {
    argument.map(own)
}

/// Borrows an optional argument back.
pub fn borrow_option<T: ?Sized, O: Borrow<T>>(argument: &Option<O>) -> Option<&T> {
    argument.as_ref().map(Borrow::borrow)
}
