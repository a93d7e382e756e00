//! How one result is handed to many callers: picked by the type of the result, never by its name.
//!
//! The order of preference for `Result<T, E>` is: `E` that can be cloned is cloned; an `E` that is an error made from
//! ours, or points at one (`anyhow::Error`, a boxed error), becomes a shared view. Any other type must be `Clone`.
//! The choice is made by autoref: method look-up on `&&&&&Probe<R>` finds the first trait that fits
//! (<https://github.com/dtolnay/case-studies/tree/master/autoref-specialization>).

use std::any::Any;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use crate::error::{Error, SharedError};

/// How results of type `Output` are kept and given to many.
#[diagnostic::on_unimplemented(
    message = "the result of this function cannot be shared between its callers",
    label = "its error type must be `Clone`, or an error with `From<stampede_runtime::Error>`",
    note = "return `Result<T, Arc<E>>`, `anyhow::Error`, `Box<dyn Error + Send + Sync>`, or an error enum that implements `From<stampede_runtime::Error>`"
)]
pub trait Share: Copy + Send + Sync + 'static {
    /// What the body returns and every caller receives.
    type Output;
    /// What may be kept: the `T` of `Result<T, E>`, or the whole output.
    type Value: Send + Sync + 'static;
    /// What is shared but never kept.
    type Fault: Send + Sync + 'static;

    /// Takes a body's result apart.
    fn split(output: Self::Output) -> Result<Self::Value, Self::Fault>;
    /// One caller's copy of a value.
    fn value(value: &Self::Value) -> Self::Output;
    /// One caller's copy of a fault.
    fn fault(fault: &Self::Fault) -> Self::Output;

    /// What a caller receives whose body ran for it alone: the same as if others had shared it.
    fn of_own(output: Self::Output) -> Self::Output {
        match Self::split(output) {
            Ok(value) => Self::value(&value),
            Err(fault) => Self::fault(&fault),
        }
    }

    /// How a call ends that gets no result, where the output can say so.
    const REFUSE: Option<fn(Error) -> Self::Output> = None;
}

/// A value that can be handed to every caller.
#[diagnostic::on_unimplemented(
    message = "a coalesced result is handed to every waiter, so it must be `Clone + Send + Sync + 'static`",
    label = "`{Self}` is not",
    note = "wrap it in `Arc`"
)]
pub trait Shareable: Clone + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Sync + 'static> Shareable for T {}

/// A result of any type but `Result`.
pub struct Whole<R>(PhantomData<fn() -> R>);

impl<R: Shareable> Share for Whole<R> {
    type Output = R;
    type Value = R;
    type Fault = Infallible;

    fn split(output: R) -> Result<R, Infallible> {
        Ok(output)
    }

    #[inline]
    fn value(value: &R) -> R {
        value.clone()
    }

    fn fault(fault: &Infallible) -> R {
        match *fault {}
    }
}

/// `Result<T, E>` whose error can be cloned. `K`: whether it can also be made from ours.
pub struct ByClone<T, E, K>(PhantomData<fn() -> T>, PhantomData<fn() -> (E, K)>);

/// `E` can be made from our error.
pub enum FromOurs {}
/// `E` is only known to be `Clone`.
pub enum Other {}

macro_rules! by_clone {
    ($kind:ty, { $($bound:tt)* }, $refuse:expr) => {
        impl<T: Shareable, E: Clone + Send + Sync + 'static $($bound)*> Share for ByClone<T, E, $kind> {
            type Output = Result<T, E>;
            type Value = T;
            type Fault = E;

            const REFUSE: Option<fn(Error) -> Result<T, E>> = $refuse;

            fn split(output: Result<T, E>) -> Result<T, E> {
                output
            }

            #[inline]
            fn value(value: &T) -> Result<T, E> {
                Ok(value.clone())
            }

            fn fault(fault: &E) -> Result<T, E> {
                Err(fault.clone())
            }
        }
    };
}

by_clone!(FromOurs, { + From<Error> }, Some(|error| Err(error.into())));
by_clone!(Other, {}, None);

/// `Result<T, E>` whose error is made from a view of the one that the body returned. A lone caller gets the view too:
/// code must not behave differently under load.
pub struct ByView<T, E, K>(PhantomData<fn() -> T>, PhantomData<fn() -> (E, K)>);

/// `E` is an error.
pub enum IsError {}
/// `E` points at an error.
pub enum PointsAtError {}

macro_rules! by_view {
    ($kind:ty, { $($bound:tt)* }, $view:path) => {
        impl<T, E> Share for ByView<T, E, $kind>
        where
            T: Shareable,
            E: $($bound)* + From<Error> + Send + Sync + 'static,
        {
            type Output = Result<T, E>;
            type Value = T;
            type Fault = SharedError;

            const REFUSE: Option<fn(Error) -> Result<T, E>> = Some(|error| Err(error.into()));

            fn split(output: Result<T, E>) -> Result<T, SharedError> {
                output.map_err($view)
            }

            #[inline]
            fn value(value: &T) -> Result<T, E> {
                Ok(value.clone())
            }

            fn fault(fault: &SharedError) -> Result<T, E> {
                Err(Error::Shared(fault.clone()).into())
            }
        }
    };
}

by_view!(IsError, { StdError }, SharedError::plain);
by_view!(PointsAtError, { Deref<Target = dyn StdError + Send + Sync> }, SharedError::pointing);

/// `Result<T, E>` whose error cannot be shared: names the mistake by not being `Share`.
pub struct Unshareable<T, E>(PhantomData<fn() -> (T, E)>);

/// Asks how `R` can be shared.
pub struct Probe<R>(PhantomData<fn() -> R>);

impl<R> Probe<R> {
    /// The question.
    pub const NEW: Probe<R> = Probe(PhantomData);
}

/// First choice: the error is `Clone` and can be made from ours.
pub trait ViaCloneFromOurs {
    /// The answer.
    type Share;
    /// Gives it.
    fn stampede_share(&self) -> Self::Share;
}

impl<T, E: Clone + From<Error>> ViaCloneFromOurs for &&&&Probe<Result<T, E>> {
    type Share = ByClone<T, E, FromOurs>;
    fn stampede_share(&self) -> Self::Share {
        ByClone(PhantomData, PhantomData)
    }
}

/// Second choice: the error is `Clone`.
pub trait ViaClone {
    /// The answer.
    type Share;
    /// Gives it.
    fn stampede_share(&self) -> Self::Share;
}

impl<T, E: Clone> ViaClone for &&&Probe<Result<T, E>> {
    type Share = ByClone<T, E, Other>;
    fn stampede_share(&self) -> Self::Share {
        ByClone(PhantomData, PhantomData)
    }
}

/// Third choice: the error is an error that can be made from ours.
pub trait ViaError {
    /// The answer.
    type Share;
    /// Gives it.
    fn stampede_share(&self) -> Self::Share;
}

impl<T, E: StdError + From<Error>> ViaError for &&Probe<Result<T, E>> {
    type Share = ByView<T, E, IsError>;
    fn stampede_share(&self) -> Self::Share {
        ByView(PhantomData, PhantomData)
    }
}

/// Fourth choice: the error points at an error and can be made from ours.
pub trait ViaPointer {
    /// The answer.
    type Share;
    /// Gives it.
    fn stampede_share(&self) -> Self::Share;
}

impl<T, E: Deref<Target = dyn StdError + Send + Sync> + From<Error>> ViaPointer for &Probe<Result<T, E>> {
    type Share = ByView<T, E, PointsAtError>;
    fn stampede_share(&self) -> Self::Share {
        ByView(PhantomData, PhantomData)
    }
}

/// Fifth choice: a `Result` all the same, with an error that cannot be shared.
pub trait ViaNothing {
    /// The answer.
    type Share;
    /// Gives it.
    fn stampede_share(&self) -> Self::Share;
}

impl<T, E> ViaNothing for Probe<Result<T, E>> {
    type Share = Unshareable<T, E>;
    fn stampede_share(&self) -> Self::Share {
        Unshareable(PhantomData)
    }
}

/// Last: any other type.
pub trait ViaWhole: Sized {
    /// The answer.
    type Share;
    /// Gives it.
    fn stampede_share(self) -> Self::Share;
}

impl<R> ViaWhole for Probe<R> {
    type Share = Whole<R>;
    fn stampede_share(self) -> Self::Share {
        Whole(PhantomData)
    }
}

/// A return type that can say that a call was refused.
#[diagnostic::on_unimplemented(
    message = "`timeout`, `wait` and `max_concurrent` can end a call with an error, which `{Self}` cannot hold",
    label = "needs a function that returns `Result<_, E>` with `E: From<stampede_runtime::Error>`",
    note = "return `anyhow::Result`, `Result<_, stampede_runtime::Error>`, or implement `From<stampede_runtime::Error>` for your error"
)]
pub trait Refuse {
    /// The result of a refused call.
    fn refuse(error: Error) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T, E: From<Error>> Refuse for Result<T, E> {
    fn refuse(error: Error) -> Self {
        Err(error.into())
    }
}

/// A value that can be there or not.
#[diagnostic::on_unimplemented(
    message = "`none_ttl` is for functions whose value can be `None`, and `{Self}` cannot",
    label = "needs a function that returns `Option<_>` or `Result<Option<_>, _>`",
    note = "remove `none_ttl`, or say with `ttl = |value| …` how long each value is kept"
)]
pub trait MaybeNone {
    /// Whether it is not there.
    fn is_nothing(&self) -> bool;
}

#[diagnostic::do_not_recommend]
impl<T> MaybeNone for Option<T> {
    fn is_nothing(&self) -> bool {
        self.is_none()
    }
}

/// A result that can be an error.
#[diagnostic::on_unimplemented(
    message = "`cache_err` keeps errors, and `{Self}` is never one",
    label = "needs a function that returns `Result<_, _>`",
    note = "remove `cache_err`"
)]
pub trait MayErr {
    /// Whether it is one.
    fn is_an_error(&self) -> bool;
}

#[diagnostic::do_not_recommend]
impl<T, E> MayErr for Result<T, E> {
    fn is_an_error(&self) -> bool {
        self.is_err()
    }
}

/// What `insert` takes: the value, or the whole `Result` that a body would have returned.
pub trait IntoResult<R> {
    /// As a body's result.
    fn into_result(self) -> R;
}

impl<R> IntoResult<R> for R {
    fn into_result(self) -> R {
        self
    }
}

impl<T, E> IntoResult<Result<T, E>> for T {
    fn into_result(self) -> Result<T, E> {
        Ok(self)
    }
}

macro_rules! copy {
    ($($type:ident<$($parameter:ident),*>),*) => {$(
        impl<$($parameter),*> Clone for $type<$($parameter),*> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<$($parameter),*> Copy for $type<$($parameter),*> {}
    )*};
}

// By hand, since a derive would ask it of the parameters too.
copy!(Whole<R>, ByClone<T, E, K>, ByView<T, E, K>, AnyFault<V>, Probe<R>);

/// The programmatic [`Coalescer`](crate::Coalescer)'s way: values of one type, errors of any.
pub(crate) struct AnyFault<V>(PhantomData<fn() -> V>);

pub(crate) type Fault = Arc<dyn Any + Send + Sync>;

impl<V: Shareable> Share for AnyFault<V> {
    type Output = Result<V, Fault>;
    type Value = V;
    type Fault = Fault;

    fn split(output: Result<V, Fault>) -> Result<V, Fault> {
        output
    }

    #[inline]
    fn value(value: &V) -> Result<V, Fault> {
        Ok(value.clone())
    }

    fn fault(fault: &Fault) -> Result<V, Fault> {
        Err(Arc::clone(fault))
    }
}
