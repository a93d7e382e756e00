//! Keys inside the process: the arguments themselves, typed, looked up by reference and owned only on a miss.
//!
//! A key is a list of parts. Each part knows how to hash itself, how to compare itself with what was stored, and how
//! to become what is stored. A reference and the owned form of the same thing hash alike because only the borrowed
//! form is ever hashed; the table remembers the hash.

mod canonical;
mod content;
mod id;
mod meaning;
mod text;

use std::borrow::{Borrow, Cow};
use std::hash::{Hash, Hasher};

pub use content::{Content, Digested, Steps};
pub use id::{Fed, Feed, Feeding, Feeds, Id, InsteadOfFeed, must_feed};
#[cfg(feature = "semantic")]
pub(crate) use meaning::Question;
pub use meaning::{
    Asked, Asking, InsteadOfTenant, IsText, Meaning, NamesTenant, NoTenant, Tenant, Whose, must_name, text_of,
};
pub(crate) use text::Plain;
pub use text::{Escaped, Globbed, Text, text};

/// A key as a caller brings it.
pub trait Look: Sized {
    /// The key as it is stored.
    type Own: Key;
    /// It has a question, whose value may be the answer to another one.
    const HAS_QUESTION: bool = false;
    /// Feeds the key to a hasher.
    fn hash<H: Hasher>(&self, hasher: &mut H);
    /// Whether this is the stored key. Compares in full: equal hashes prove nothing.
    fn is(&self, own: &Self::Own) -> bool;
    /// The key to store.
    fn own(&self) -> Self::Own;
    /// A copy, made for the way of a miss: lent to it instead, a key would have to be in memory for a hit too, and be
    /// read from there before it has left the store buffer (20 of 70 ns).
    #[must_use]
    fn again(&self) -> Self;

    /// The call insists on an answer to a question that is so near. For keys with a question.
    #[cfg(feature = "semantic")]
    fn insist(&mut self, _least: f32) {}

    /// Feeds the key to a digest that stands for it outside of this process. `false`: it is for this process only.
    fn feed(&self, _feed: &mut Feed) -> bool {
        false
    }

    /// What stands for the key outside of this process, if something does.
    fn id(&self) -> Option<Id> {
        Id::of_parts(self)
    }
}

/// A stored key.
pub trait Key: Clone + Eq + Send + Sync + 'static {}

impl<K: Clone + Eq + Send + Sync + 'static> Key for K {}

/// The end of a list of parts, and the key of a function without keyed arguments.
#[derive(Clone, Copy, Debug)]
pub struct Nil;

/// One part and the rest.
#[derive(Clone, Copy, Debug)]
pub struct Cons<A, B>(pub A, pub B);

impl Look for Nil {
    type Own = ();

    #[inline(always)]
    fn hash<H: Hasher>(&self, _: &mut H) {}

    #[inline(always)]
    fn is(&self, (): &()) -> bool {
        true
    }

    fn own(&self) {}

    fn again(&self) -> Nil {
        Nil
    }

    fn feed(&self, _: &mut Feed) -> bool {
        true
    }
}

impl<A: Look, B: Look> Look for Cons<A, B> {
    type Own = (A::Own, B::Own);

    #[inline(always)]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.hash(hasher);
        self.1.hash(hasher);
    }

    #[inline(always)]
    fn is(&self, own: &Self::Own) -> bool {
        self.0.is(&own.0) && self.1.is(&own.1)
    }

    fn own(&self) -> Self::Own {
        (self.0.own(), self.1.own())
    }

    #[inline(always)]
    fn again(&self) -> Self {
        Cons(self.0.again(), self.1.again())
    }

    fn feed(&self, feed: &mut Feed) -> bool {
        self.0.feed(feed) && self.1.feed(feed)
    }
}

/// What can stand in a key.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a key",
    label = "a key needs `Hash + Eq + ToOwned` (or `Clone`), and `Send + Sync + 'static` once owned",
    note = "derive them, leave the argument out with `skip(…)`, or say what identifies it with `key(…)`; floats inside it are compared by `#[coalesce_by_content]`"
)]
pub trait Part: Hash + Eq + ToOwned<Owned: Borrow<Self> + Key> {}

#[diagnostic::do_not_recommend]
impl<T: ?Sized + Hash + Eq + ToOwned<Owned: Borrow<T> + Key>> Part for T {}

/// A part looked up by reference.
#[derive(Debug)]
pub struct ByRef<'a, T: ?Sized>(pub(crate) &'a T);

impl<T: ?Sized + Part> Look for ByRef<'_, T> {
    type Own = T::Owned;

    #[inline(always)]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.hash(hasher);
    }

    #[inline(always)]
    fn is(&self, own: &T::Owned) -> bool {
        Borrow::<T>::borrow(own) == self.0
    }

    fn own(&self) -> T::Owned {
        self.0.to_owned()
    }

    #[inline(always)]
    fn again(&self) -> Self {
        ByRef(self.0)
    }
}

/// An optional reference.
#[derive(Debug)]
pub struct ByOption<'a, T: ?Sized>(Option<&'a T>);

impl<T: ?Sized + Part> Look for ByOption<'_, T> {
    type Own = Option<T::Owned>;

    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.hash(hasher);
    }

    fn is(&self, own: &Self::Own) -> bool {
        match (self.0, own) {
            (Some(look), Some(own)) => Borrow::<T>::borrow(own) == look,
            (None, None) => true,
            _ => false,
        }
    }

    fn own(&self) -> Self::Own {
        self.0.map(ToOwned::to_owned)
    }

    fn again(&self) -> Self {
        ByOption(self.0)
    }
}

/// A number that is not `Eq`, or none, by its bits: zero has one sign and there is one NaN, so that equal questions meet.
#[derive(Debug)]
pub struct ByBits(Option<u64>);

impl ByBits {
    fn new(number: Option<f64>) -> ByBits {
        let bits = |number: f64| if number.is_nan() { f64::NAN.to_bits() } else { (number + 0.0).to_bits() };
        ByBits(number.map(bits))
    }
}

impl Look for ByBits {
    type Own = Option<u64>;

    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.hash(hasher);
    }

    fn is(&self, own: &Option<u64>) -> bool {
        self.0 == *own
    }

    fn own(&self) -> Option<u64> {
        self.0
    }

    fn again(&self) -> Self {
        ByBits(self.0)
    }
}

/// Asks how a reference becomes a part of a key. Answered by autoref, as for `Probe` in `share`; the methods have names
/// that no trait of the user's has.
#[derive(Debug)]
pub struct PartOf<'a, T: ?Sized>(pub &'a T);

/// First choice: numbers that are not `Eq`.
pub trait ViaBits {
    /// Gives the answer.
    fn stampede_look(&self) -> ByBits;
}

macro_rules! by_bits {
    ($($number:ty: |$from:ident| $to:expr),* $(,)?) => {$(
        impl ViaBits for &&PartOf<'_, $number> {
            fn stampede_look(&self) -> ByBits {
                let $from = *self.0;
                ByBits::new($to)
            }
        }
    )*};
}

by_bits! {
    f64: |it| Some(it),
    &f64: |it| Some(*it),
    Option<f64>: |it| it,
    f32: |it| Some(it.into()),
    &f32: |it| Some((*it).into()),
    Option<f32>: |it| it.map(f64::from),
}

/// Second choice: references.
pub trait ViaOwnWay {
    /// The answer.
    type Look;
    /// Gives it.
    fn stampede_look(&self) -> Self::Look;
}

impl<'a, T: ?Sized> ViaOwnWay for &PartOf<'_, &'a T> {
    type Look = ByRef<'a, T>;
    #[inline(always)]
    fn stampede_look(&self) -> Self::Look {
        ByRef(self.0)
    }
}

impl<'a, T: ?Sized> ViaOwnWay for &PartOf<'_, Option<&'a T>> {
    type Look = ByOption<'a, T>;
    fn stampede_look(&self) -> Self::Look {
        ByOption(*self.0)
    }
}

impl<'a, T: ?Sized + ToOwned> ViaOwnWay for &PartOf<'a, Cow<'_, T>> {
    type Look = ByRef<'a, T>;
    fn stampede_look(&self) -> Self::Look {
        ByRef(self.0)
    }
}

/// Otherwise: by reference.
pub trait ViaRef<'a> {
    /// What is referred to.
    type Target: ?Sized;
    /// Gives the answer.
    fn stampede_look(&self) -> ByRef<'a, Self::Target>;
}

impl<'a, T: ?Sized> ViaRef<'a> for PartOf<'a, T> {
    type Target = T;
    #[inline(always)]
    fn stampede_look(&self) -> ByRef<'a, T> {
        ByRef(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    macro_rules! look {
        ($($part:expr),*) => { look!(@ $($part,)*) };
        (@) => { Nil };
        (@ $part:expr, $($rest:expr,)*) => { Cons((&&&PartOf($part)).stampede_look(), look!(@ $($rest,)*)) };
    }

    fn hash(look: &impl Look) -> u64 {
        let mut hasher = foldhash::fast::FixedState::default().build_hasher();
        look.hash(&mut hasher);
        hasher.finish()
    }

    fn alike<A: Look, B: Look<Own = A::Own>>(a: &A, b: &B) -> bool {
        let equal = a.is(&b.own());
        assert_eq!(equal, b.is(&a.own()));
        assert!(!equal || hash(a) == hash(b));
        equal
    }

    #[test]
    fn parts_compare_in_full_and_by_position() {
        assert!(alike(&look!("a", "b"), &look!(&String::from("a").as_str(), "b")));
        assert!(!alike(&look!("a", "b"), &look!("b", "a")));
        assert!(!alike(&look!("ab", ""), &look!("a", "b")));
        assert!(alike(&look!(&[1, 2][..], &3_u8), &look!(&[1, 2][..], &3_u8)));
        assert!(alike(&look!(), &look!()));
    }

    #[test]
    fn options_of_references_are_owned() {
        assert!(alike(&look!(&Some("a")), &look!(&Some("a"))));
        assert!(!alike(&look!(&Some("a")), &look!(&None::<&str>)));
    }

    #[test]
    fn a_cow_is_what_it_holds() {
        assert!(alike(&look!(&Cow::Borrowed("a")), &look!("a")));
        assert!(!alike(&look!(&Cow::<str>::Owned("a".to_owned())), &look!("b")));
    }

    #[test]
    fn floats_have_one_zero_and_one_nan() {
        assert!(alike(&look!(&0.0_f64), &look!(&-0.0_f64)));
        assert!(alike(&look!(&f32::NAN), &look!(&-f32::NAN)));
        assert!(!alike(&look!(&1.0_f64), &look!(&1.5_f64)));
        assert!(alike(&look!(&Some(0.5_f32)), &look!(&Some(0.5_f32))));
        assert!(!alike(&look!(&Some(0.0_f64)), &look!(&None::<f64>)));
    }
}
