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
        (&&&&$crate::__private::Probe::<$result>::NEW).share()
    }};
}

/// A key of references.
#[doc(hidden)]
#[macro_export]
macro_rules! __key {
    () => { $crate::__private::Nil };
    ($part:expr $(, $rest:expr)* $(,)?) => {{
        #[allow(unused_imports)]
        use $crate::__private::{ViaOwnWay as _, ViaRef as _};
        $crate::__private::Cons((&&$crate::__private::PartOf($part)).look(), $crate::__key!($($rest),*))
    }};
}

pub use crate::{__key as key, __share as share};

/// How a refused call ends, for functions whose error can say so.
pub fn refuse<R: Refuse>(error: Error) -> R {
    R::refuse(error)
}

/// Lets `impl Future` name the lifetimes it captures, in every edition.
pub trait Captures<'a> {}

impl<T: ?Sized> Captures<'_> for T {}

/// An argument that a body can own.
#[diagnostic::on_unimplemented(
    message = "the body of this function runs on its own, so it needs an owned copy of `&{Self}`",
    label = "`{Self}` is neither `ToOwned` nor `Clone`",
    note = "take it by value or as `Arc<{Self}>`"
)]
pub trait OwnArg: ToOwned {}

#[diagnostic::do_not_recommend]
impl<T: ?Sized + ToOwned> OwnArg for T {}

/// Owns an argument.
pub fn own<T: ?Sized + OwnArg>(argument: &T) -> T::Owned {
    argument.to_owned()
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
    argument.map(ToOwned::to_owned)
}

/// Borrows an optional argument back.
pub fn borrow_option<T: ?Sized, O: Borrow<T>>(argument: &Option<O>) -> Option<&T> {
    argument.as_ref().map(Borrow::borrow)
}
