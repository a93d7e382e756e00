//! One mistake, one error. What cannot be shared, be part of a key, or judge, is reported by a call made for that alone,
//! and replaced by something that can, so that nothing else in the expansion fails because of it. The replacement never
//! runs: its program does not compile.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::future::{Pending, pending};
use std::hash::Hasher;
use std::marker::PhantomData;

use crate::__private::OwnArg;
use crate::key::Look;
use crate::share::Share;
use crate::verdict::{IntoVerdict, Judging, Verdict};

/// Reports what cannot be shared.
#[inline]
pub fn must_share<S: Share>(_share: &S) {}

/// Reports what cannot be part of a key.
#[inline]
pub fn must_look<L: Look>(_look: &L) {}

/// Reports what cannot be owned.
#[inline]
pub fn must_own<T: ?Sized + OwnArg>(_argument: &T) {}

/// Reports what judges nothing.
#[inline]
pub fn must_judge<F: Judging>(_judging: &F) {}

/// Reports what cannot judge on another thread.
#[inline]
pub fn must_send<F: Send>(_judging: &F) {}

/// Reports what is no verdict.
#[inline]
pub fn must_say<V: IntoVerdict>(_said: &V) {}

/// What has been looked at, so that no mistake is left in it to report. `R`: the result that it shares.
pub struct Checked<X, R>(X, PhantomData<fn() -> R>);

impl<X, R> Checked<X, R> {
    /// Wraps it.
    #[inline]
    #[must_use]
    pub fn new(checked: X) -> Self {
        Checked(checked, PhantomData)
    }
}

// Inherent methods come before those of traits, so the replacement is taken only where these do not fit.

impl<S: Share, R> Checked<S, R> {
    /// How it is shared.
    #[inline]
    #[must_use]
    pub fn stampede_share(self) -> S {
        self.0
    }
}

impl<L: Look> Checked<L, ()> {
    /// What is looked for.
    #[inline]
    #[must_use]
    pub fn stampede_look(self) -> L {
        self.0
    }
}

/// An argument that has been looked at.
pub struct Borrowed<'a, T: ?Sized>(pub &'a T);

impl<T: ?Sized + ToOwned> Borrowed<'_, T> {
    /// The argument, owned.
    #[inline]
    #[must_use]
    pub fn stampede_own(self) -> T::Owned {
        self.0.to_owned()
    }
}

/// For what cannot be owned.
pub trait InsteadOfOwn<T: ?Sized>: Sized {
    /// The replacement.
    fn stampede_own(self) -> NotOwned<T> {
        NotOwned(PhantomData)
    }
}

impl<T: ?Sized> InsteadOfOwn<T> for Borrowed<'_, T> {}

/// Stands in for an argument that has been reported.
pub struct NotOwned<T: ?Sized>(PhantomData<fn(&T)>);

impl<T: ?Sized> Borrow<T> for NotOwned<T> {
    fn borrow(&self) -> &T {
        unreachable!("its program does not compile")
    }
}

/// What a call of `verify` has given.
pub struct Judged<F>(pub F);

impl<F: Judging + Send> Judged<F> {
    /// What it gives to await.
    #[inline]
    #[must_use]
    pub fn stampede_judging(self) -> F {
        self.0
    }
}

/// For what judges nothing.
pub trait InsteadOfJudging: Sized {
    /// The replacement.
    fn stampede_judging(self) -> Pending<bool> {
        pending()
    }
}

impl<F> InsteadOfJudging for Judged<F> {}

/// What `verify` has said.
pub struct Said<V>(pub V);

impl<V: IntoVerdict> Said<V> {
    /// Its verdict.
    #[inline]
    pub fn stampede_verdict(self) -> Verdict {
        self.0.into_verdict()
    }
}

/// For what is no verdict.
pub trait InsteadOfVerdict: Sized {
    /// The replacement.
    fn stampede_verdict(self) -> Verdict {
        unreachable!("its program does not compile")
    }
}

impl<V> InsteadOfVerdict for Said<V> {}

/// For what cannot be shared.
pub trait InsteadOfShare<R>: Sized {
    /// The replacement.
    fn stampede_share(self) -> Replacement<R> {
        Replacement(PhantomData)
    }
}

impl<X, R> InsteadOfShare<R> for Checked<X, R> {}

/// For what cannot be part of a key.
pub trait InsteadOfPart: Sized {
    /// The replacement.
    fn stampede_look(self) -> Replacement<()> {
        Replacement(PhantomData)
    }
}

impl<X> InsteadOfPart for Checked<X, ()> {}

/// Stands in for what has been reported.
pub struct Replacement<R>(PhantomData<fn() -> R>);

impl<R> Clone for Replacement<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Replacement<R> {}

impl<R: 'static> Share for Replacement<R> {
    type Output = R;
    // Something that every backend can keep.
    type Value = ();
    type Fault = Infallible;

    fn split(_: R) -> Result<(), Infallible> {
        unreachable!("its program does not compile")
    }

    fn value((): &()) -> R {
        unreachable!("its program does not compile")
    }

    fn fault(fault: &Infallible) -> R {
        match *fault {}
    }
}

impl Look for Replacement<()> {
    type Own = ();

    fn hash<H: Hasher>(&self, _: &mut H) {}

    fn is(&self, (): &()) -> bool {
        true
    }

    fn own(&self) {}

    fn again(&self) -> Self {
        *self
    }
}
