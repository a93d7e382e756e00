//! What expanded attributes call, and nothing else. Not covered by any promise of stability: the attributes and this
//! crate are of one version.

pub use std::borrow::{Borrow, Cow, ToOwned};
pub use std::time::Duration;

pub use crate::carry::Carry;
#[cfg(feature = "backends")]
pub use crate::carry::pick::{
    Carried, CarriesNot, Carrying, Fallible, ViaNoCarry, ViaPointedText, ViaSerde, ViaText, must_carry, must_err,
};
pub use crate::checked::{
    Borrowed, Checked, InsteadOfJudging, InsteadOfOwn, InsteadOfPart, InsteadOfShare, InsteadOfVerdict, Judged, Said,
    must_judge, must_look, must_own, must_say, must_send, must_share,
};
pub use crate::error::Error;
pub use crate::fly::{Boarding, Call};
pub use crate::invalidation::{Ended, Invalidates, Invalidation, Later, ViaAnything, ViaResult};
pub use crate::key::{
    Asked, Asking, ByRef, Cons, Content, Digested, Escaped, Fed, Feed, Feeding, Feeds, Globbed, Id, InsteadOfFeed,
    InsteadOfTenant, IsText, Key, Look, Meaning, NamesTenant, Nil, NoTenant, Part, PartOf, Steps, Tenant, Text,
    ViaBits, ViaOwnWay, ViaRef, Whose, must_feed, must_name, text, text_of,
};
pub use crate::policy::Options;
pub use crate::share::{
    IntoResult, MayErr, MaybeNone, Probe, Refuse, Share, ViaClone, ViaCloneFromOurs, ViaError, ViaNothing, ViaPointer,
    ViaWhole,
};
pub use crate::site::{Here, Site};
pub use crate::stats::Stats;
pub use crate::tags::{Tag, tag, tags_by};
pub use crate::verdict::{Comparable, IntoVerdict, Judging, Verdict, agree};

/// How results of a type are shared: a value of a type that is `Share`.
#[doc(hidden)]
#[macro_export]
macro_rules! __share {
    ($result:ty) => {{
        #[allow(unused_imports)]
        use $crate::__private::{
            InsteadOfShare as _, ViaClone as _, ViaCloneFromOurs as _, ViaError as _, ViaNothing as _, ViaPointer as _,
            ViaWhole as _,
        };
        let share = (&&&&&$crate::__private::Probe::<$result>::NEW).stampede_share();
        $crate::__private::must_share(&share);
        $crate::__private::Checked::<_, $result>::new(share).stampede_share()
    }};
}

/// How errors of a result cross to other processes. What cannot be shared is reported where that is asked.
#[cfg(feature = "backends")]
#[doc(hidden)]
#[macro_export]
macro_rules! __picked_carry {
    ($result:ty) => {{
        #[allow(unused_imports)]
        use $crate::__private::{
            InsteadOfShare as _, ViaClone as _, ViaCloneFromOurs as _, ViaError as _, ViaNoCarry as _, ViaNothing as _,
            ViaPointedText as _, ViaPointer as _, ViaSerde as _, ViaText as _, ViaWhole as _,
        };
        let share = (&&&&&$crate::__private::Probe::<$result>::NEW).stampede_share();
        let share = $crate::__private::Checked::<_, $result>::new(share).stampede_share();
        (&&&&$crate::__private::Carrying::new(share)).stampede_carry()
    }};
}

/// The same, as what a site takes.
#[cfg(feature = "backends")]
#[doc(hidden)]
#[macro_export]
macro_rules! __carry {
    ($result:ty) => {
        $crate::__picked_carry!($result).carry()
    };
}

/// The same for a function that insists on it.
#[cfg(feature = "backends")]
#[doc(hidden)]
#[macro_export]
macro_rules! __must_carry {
    ($result:ty) => {{
        $crate::__private::must_err::<$result>();
        let picked = $crate::__picked_carry!($result);
        $crate::__private::must_carry(&picked);
        picked.carry()
    }};
}

/// Without backends there is nowhere to carry them.
#[cfg(not(feature = "backends"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __carry {
    ($result:ty) => {
        $crate::__private::Carry::NOTHING
    };
}

#[cfg(not(feature = "backends"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __must_carry {
    ($result:ty) => {
        $crate::__private::Carry::NOTHING
    };
}

/// A reference as a part of a key. One expression, so that what it refers to lives until the call has boarded; the
/// traits come from `parts`.
#[doc(hidden)]
#[macro_export]
macro_rules! __part {
    ($part:expr) => {
        match (&&&$crate::__private::PartOf($part)).stampede_look() {
            part => {
                $crate::__private::must_look(&part);
                $crate::__private::Checked::<_, ()>::new(part).stampede_look()
            }
        }
    };
}

/// The same for a key that also has to stand outside of this process.
#[doc(hidden)]
#[macro_export]
macro_rules! __fed_part {
    ($part:expr) => {
        match $part {
            value => {
                $crate::__private::must_feed(value);
                $crate::__private::Feeding($crate::__private::part!(value), value).stampede_feed()
            }
        }
    };
}

/// A question as a part of a key.
#[doc(hidden)]
#[macro_export]
macro_rules! __question {
    ($part:expr) => {
        $crate::__private::Asking::new($crate::__private::text_of($part))
    };
}

/// A tenant as a part of a key.
#[doc(hidden)]
#[macro_export]
macro_rules! __tenant {
    ($part:expr) => {
        match $part {
            value => {
                $crate::__private::must_name(value);
                $crate::__private::Tenant($crate::__private::part!(value), value).stampede_tenant()
            }
        }
    };
}

/// What `embed` names, as an embedder.
#[cfg(feature = "semantic")]
#[doc(hidden)]
#[macro_export]
macro_rules! __embedder {
    ($embedder:expr, $path:literal) => {
        $crate::semantic::IntoEmbedder::into_embedder($embedder, $path)
    };
}

/// Without the feature there is nowhere to name one.
#[cfg(not(feature = "semantic"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __embedder {
    ($($anything:tt)*) => {
        ()
    };
}

/// Notes that a function names a backend.
#[cfg(feature = "backends")]
#[doc(hidden)]
#[macro_export]
macro_rules! __stored_site {
    ($function:expr, $namespace:expr, $backend:expr) => {
        $crate::__private::inventory::submit! {
            $crate::__private::StoredSite::new(::core::module_path!(), $function, $namespace, $backend)
        }
    };
}

/// Notes that a function that compares meanings names a backend, or an index.
#[cfg(feature = "backends")]
#[doc(hidden)]
#[macro_export]
macro_rules! __meant_site {
    ($function:expr, $namespace:expr, $backend:expr) => {
        $crate::__private::inventory::submit! {
            $crate::__private::StoredSite::new(::core::module_path!(), $function, $namespace, $backend).meant()
        }
    };
}

/// Without backends there is nothing to note.
#[cfg(not(feature = "backends"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __stored_site {
    ($($anything:tt)*) => {};
}

#[cfg(not(feature = "backends"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __meant_site {
    ($($anything:tt)*) => {};
}

#[cfg(feature = "backends")]
pub use crate::store::StoredSite;
#[cfg(feature = "backends")]
pub use inventory;

/// The traits of `part!`, `fed_part!` and `tenant!`.
pub mod parts {
    pub use super::{
        InsteadOfFeed as _, InsteadOfPart as _, InsteadOfTenant as _, ViaBits as _, ViaOwnWay as _, ViaRef as _,
    };
}

/// Owns an argument.
#[doc(hidden)]
#[macro_export]
macro_rules! __own {
    ($argument:expr) => {{
        #[allow(unused_imports)]
        use $crate::__private::InsteadOfOwn as _;
        $crate::__private::must_own($argument);
        $crate::__private::Borrowed($argument).stampede_own()
    }};
}

/// What a function says of two questions and an answer. Awaits it.
#[doc(hidden)]
#[macro_export]
macro_rules! __verdict {
    ($verify:expr, $asked:ident, $found:ident, $value:ident) => {{
        #[allow(unused_imports)]
        use $crate::__private::{InsteadOfJudging as _, InsteadOfVerdict as _};
        let judging = $verify(&*$asked, &*$found, &$value);
        $crate::__private::must_judge(&judging);
        $crate::__private::must_send(&judging);
        let said = $crate::__private::Judged(judging).stampede_judging().await;
        $crate::__private::must_say(&said);
        $crate::__private::Said(said).stampede_verdict()
    }};
}

pub use crate::{
    __carry as carry, __embedder as embedder, __fed_part as fed_part, __meant_site as meant_site,
    __must_carry as must_carry, __own as own, __part as part, __question as question, __share as share,
    __stored_site as stored_site, __tenant as tenant, __verdict as verdict,
};

/// Whether a value is the one that `none_ttl` is for.
pub fn is_none<V: MaybeNone>(value: &V) -> bool {
    value.is_nothing()
}

/// Whether a result is an error.
pub fn is_err<R: MayErr>(result: &R) -> bool {
    result.is_an_error()
}

/// How a refused call ends, for functions whose error can say so.
pub fn refuse<R: Refuse>(error: Error) -> R {
    R::refuse(error)
}

/// An argument that a body can own.
#[diagnostic::on_unimplemented(
    message = "the body of this function runs on its own, so it needs an owned copy of `&{Self}`",
    label = "`{Self}` is neither `ToOwned` nor `Clone`",
    note = "take it by value or as `Arc<{Self}>`, or keep the body in the call: with `attached` or, in a sync function, without `timeout`, `soft_timeout`, `stale` and `early`"
)]
pub trait OwnArg: ToOwned {}

#[diagnostic::do_not_recommend]
impl<T: ?Sized + ToOwned> OwnArg for T {}

/// A receiver that a body can own.
#[diagnostic::on_unimplemented(
    message = "the body of this method runs on its own, so it needs a `self` of its own",
    label = "`{Self}` is not `Clone`",
    note = "take `self: Arc<Self>`, make `{Self}` a cheap `Clone` handle around an `Arc`, or keep the body in the call: with `attached` or, in a sync function, without `timeout`, `soft_timeout`, `stale` and `early`"
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

/// Owns an argument that may be owned already.
pub fn own_cow<'a, T: ?Sized + OwnArg>(argument: Cow<'_, T>) -> Cow<'a, T> {
    Cow::Owned(argument.into_owned())
}

/// Borrows an optional argument back.
pub fn borrow_option<T: ?Sized, O: Borrow<T>>(argument: &Option<O>) -> Option<&T> {
    argument.as_ref().map(Borrow::borrow)
}
