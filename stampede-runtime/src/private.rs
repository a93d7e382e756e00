//! What expanded attributes call, and nothing else. Not covered by any promise of stability: the attributes and this
//! crate are of one version.

#![allow(clippy::missing_docs_in_private_items)]

use std::sync::Arc;

pub use std::borrow::{Borrow, ToOwned};
pub use std::time::Duration;

pub use crate::error::Error;
pub use crate::fly::{Boarding, Call};
pub use crate::invalidation::Invalidation;
pub use crate::key::{
    ByRef, Cons, Content, Digested, Key, Look, Nil, Part, PartOf, Steps, Text, ViaOwnWay, ViaRef, text,
};
pub use crate::policy::Options;
pub use crate::run::Hooks;
pub use crate::share::{IntoResult, Probe, Refuse, Share, ViaClone, ViaError, ViaNothing, ViaPointer, ViaWhole};
pub use crate::site::{Here, Site};
pub use crate::stats::Stats;

use crate::registry;

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

/// Boards a call.
#[inline]
pub fn board<S: Share, L: Look>(here: Here, _share: S, key: L) -> Boarding<L::Own, S> {
    here.with(|state| {
        if !registry::is_plain() && registry::is_off() {
            return Boarding::off(state.me());
        }
        Boarding::call(state.board(&key))
    })
}

/// Boards for a value that must be newer than this moment.
pub fn refresh<S: Share, L: Look>(here: Here, _share: S, key: L) -> Boarding<L::Own, S> {
    here.with(
        |state| {
            if registry::is_off() { Boarding::off(state.me()) } else { Boarding::refresh(state.board_refresh(&key)) }
        },
    )
}

/// What a call would be answered with from memory.
pub fn peek<S: Share, L: Look>(here: Here, _share: S, key: L) -> Option<S::Output> {
    here.with::<L::Own, S, _>(|state| state.peek(&key))
}

/// Keeps a result as though a body had returned it, under the same conditions.
pub fn insert<S: Share, L: Look>(here: Here, _share: S, key: L, hooks: Hooks<S>, result: impl IntoResult<S::Output>) {
    // An error is never kept.
    let Ok(value) = S::split(result.into_result()) else { return };
    here.with::<L::Own, S, _>(|state| {
        let expires = hooks.expires(&value, state.policy.ttl);
        if expires > crate::clock::Moment::PAST && !registry::is_off() {
            state.insert(&key, value, expires);
        }
    });
}

/// Takes a key out.
pub fn invalidate<S: Share, L: Look>(here: Here, _share: S, key: L) -> Invalidation {
    Invalidation::of(here.with::<L::Own, S, _>(|state| usize::from(state.invalidate(&key))))
}

/// Takes every key out.
#[must_use]
pub fn clear(here: Here) -> Invalidation {
    Invalidation::of(here.existing().map_or(0, |state| state.clear()))
}

/// The function's statistics.
#[must_use]
pub fn stats(here: Here) -> Stats {
    here.existing().map(|state| state.stats()).unwrap_or_default()
}

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
pub fn borrow_option<T: ?Sized + OwnArg>(argument: &Option<T::Owned>) -> Option<&T> {
    argument.as_ref().map(Borrow::borrow)
}

#[doc(hidden)]
pub type Shared<T> = Arc<T>;
