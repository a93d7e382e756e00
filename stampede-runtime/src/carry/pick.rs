//! Which way the errors of a function are carried, by autoref: method look-up on `&&&&Carrying<S>` finds the first trait
//! that fits (see [`share`](crate::share)).

use std::error::Error as StdError;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Carry, wire};
use crate::checked::Replacement;
use crate::error::{Error, SharedError};
use crate::share::{ByClone, ByView, FromOurs, IsError, Other, PointsAtError, Share, Whole};

/// Asks how the errors of a function that shares them so can be carried.
pub struct Carrying<S>(PhantomData<fn() -> S>);

impl<S> Carrying<S> {
    /// The question.
    #[must_use]
    pub fn new(_share: S) -> Self {
        Carrying(PhantomData)
    }
}

/// The answer. `H`: which one it is.
pub struct Picked<F, H>(Carry<F>, PhantomData<fn() -> H>);

impl<F, H> Picked<F, H> {
    /// How they are carried.
    #[must_use]
    pub fn carry(self) -> Carry<F> {
        self.0
    }
}

/// Errors cross as themselves, or as their text.
pub enum Carries {}
/// There are no errors to carry, or they have been reported.
pub enum NoErrors {}
/// There are errors, which cannot be carried.
pub struct CarriesNot<E>(PhantomData<fn() -> E>);

/// First choice: the error is one of serde's.
pub trait ViaSerde {
    /// The answer.
    type Picked;
    /// Gives it.
    fn stampede_carry(&self) -> Self::Picked;
}

impl<T, E: Serialize + DeserializeOwned, K> ViaSerde for &&&Carrying<ByClone<T, E, K>> {
    type Picked = Picked<E, Carries>;
    fn stampede_carry(&self) -> Self::Picked {
        picked(wire::pack_value, wire::unpack_value)
    }
}

impl<T, E> ViaSerde for &&&Carrying<ByView<T, E, IsError>>
where
    E: StdError + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    type Picked = Picked<SharedError, Carries>;
    fn stampede_carry(&self) -> Self::Picked {
        picked(
            |shared, limit| shared.downcast_ref::<E>().and_then(|error| wire::pack_value(error, limit)),
            |bytes| wire::unpack_value::<E>(bytes).map(SharedError::plain),
        )
    }
}

/// Second choice: the error has a text, and can be made from one.
pub trait ViaText {
    /// The answer.
    type Picked;
    /// Gives it.
    fn stampede_carry(&self) -> Self::Picked;
}

impl<T, E: StdError + From<Error> + 'static> ViaText for &&Carrying<ByClone<T, E, FromOurs>> {
    type Picked = Picked<E, Carries>;
    fn stampede_carry(&self) -> Self::Picked {
        picked(|error, limit| wire::pack_texts(error, limit), told)
    }
}

macro_rules! by_view {
    ($($kind:ty),*) => {$(
        impl<T, E> ViaText for &&Carrying<ByView<T, E, $kind>> {
            type Picked = Picked<SharedError, Carries>;
            fn stampede_carry(&self) -> Self::Picked {
                picked(
                    |shared, limit| wire::pack_texts(shared, limit),
                    |bytes| wire::unpack_texts(bytes).map(SharedError::plain),
                )
            }
        }
    )*};
}

by_view!(IsError, PointsAtError);

/// Third choice: the error points at one that has a text.
pub trait ViaPointedText {
    /// The answer.
    type Picked;
    /// Gives it.
    fn stampede_carry(&self) -> Self::Picked;
}

impl<T, E> ViaPointedText for &Carrying<ByClone<T, E, FromOurs>>
where
    E: Deref<Target = dyn StdError + Send + Sync> + From<Error>,
{
    type Picked = Picked<E, Carries>;
    fn stampede_carry(&self) -> Self::Picked {
        picked(|error, limit| wire::pack_texts(&**error, limit), told)
    }
}

/// Last: nothing is carried.
pub trait ViaNoCarry {
    /// The answer.
    type Picked;
    /// Gives it.
    fn stampede_carry(&self) -> Self::Picked;
}

macro_rules! no_carry {
    ($($share:ty[$($parameter:ident),*]: $how:ty),*) => {$(
        impl<$($parameter),*> ViaNoCarry for Carrying<$share>
        where
            $share: Share,
        {
            type Picked = Picked<<$share as Share>::Fault, $how>;
            fn stampede_carry(&self) -> Self::Picked {
                Picked(Carry::NOTHING, PhantomData)
            }
        }
    )*};
}

no_carry!(
    ByClone<T, E, FromOurs>[T, E]: CarriesNot<E>,
    ByClone<T, E, Other>[T, E]: CarriesNot<E>,
    Whole<R>[R]: NoErrors,
    Replacement<R>[R]: NoErrors
);

fn picked<F>(pack: fn(&F, usize) -> Option<Vec<u8>>, unpack: fn(&[u8]) -> Option<F>) -> Picked<F, Carries> {
    Picked(Carry { pack, unpack }, PhantomData)
}

/// An error made from the texts of another process. `From` is the user's code, and its panic not the caller's.
fn told<E: From<Error>>(bytes: &[u8]) -> Option<E> {
    let shared = Error::Shared(SharedError::plain(wire::unpack_texts(bytes)?));
    catch_unwind(AssertUnwindSafe(|| shared.into())).ok()
}

/// Reports errors that cannot be carried.
pub fn must_carry<F, H: Carried>(_picked: &Picked<F, H>) {}

/// Reports that there are no errors.
pub fn must_err<R: Fallible>() {}

/// Errors that other processes can be given.
#[diagnostic::on_unimplemented(
    message = "`share_errors` gives errors to other processes, and those of this function cannot be carried there",
    label = "the error type must implement serde's traits, or be an error with `From<stampede_runtime::Error>`",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it, implement `From<stampede_runtime::Error>`, or remove `share_errors`"
)]
pub trait Carried {}

#[diagnostic::do_not_recommend]
impl Carried for Carries {}
#[diagnostic::do_not_recommend]
impl Carried for NoErrors {}

/// A result that can be an error.
#[diagnostic::on_unimplemented(
    message = "`share_errors` gives errors to other processes, and `{Self}` is never one",
    label = "needs a function that returns `Result<_, _>`",
    note = "remove `share_errors`"
)]
pub trait Fallible {}

#[diagnostic::do_not_recommend]
impl<T, E> Fallible for Result<T, E> {}
