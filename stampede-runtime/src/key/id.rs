//! What stands for a key outside of this process: a readable text, or a digest of the parts.
//!
//! The digest is BLAKE3 over the canonical bytes (see `canonical`) of the parts as one tuple, so it is the same in every
//! build, on every platform, and whatever features are on.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::Serialize;

#[cfg(feature = "semantic")]
use super::Question;
use super::{Look, canonical};
use crate::key::Steps;

/// A key, outside. A question is what its digest is.
#[derive(Clone, Debug)]
pub enum Id {
    /// What `key = "…"` says.
    Text(Box<str>),
    /// Of the parts, or of their content.
    Digest([u8; 32]),
    /// Of a function that compares meanings.
    #[cfg(feature = "semantic")]
    Meaning(Box<Question>),
}

impl Id {
    /// The digest, where it is one.
    fn digest(&self) -> Result<&[u8; 32], &str> {
        match self {
            Id::Text(text) => Err(text),
            Id::Digest(digest) => Ok(digest),
            #[cfg(feature = "semantic")]
            Id::Meaning(question) => Ok(&question.digest),
        }
    }

    /// What is equal to it, and takes no more room than it has to.
    pub(crate) fn alone(id: &Arc<Id>) -> Arc<Id> {
        match &**id {
            #[cfg(feature = "semantic")]
            Id::Meaning(question) => Arc::new(Id::Digest(question.digest)),
            _ => Arc::clone(id),
        }
    }

    /// The question.
    #[cfg(feature = "semantic")]
    pub(crate) fn question(&self) -> Option<&Question> {
        if let Id::Meaning(question) = self { Some(question) } else { None }
    }

    /// The digest of a list of parts, if all of them are [`Fed`].
    pub(super) fn of_parts(key: &impl Look) -> Option<Id> {
        let mut feed = Feed(canonical::begin_tuple());
        key.feed(&mut feed).then(|| Id::Digest(canonical::end_tuple(feed.0)))
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Id) -> bool {
        self.digest() == other.digest()
    }
}

impl Eq for Id {}

impl Hash for Id {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.digest().hash(hasher);
    }
}

/// The digest of a key's parts, in the making.
pub struct Feed(blake3::Hasher);

/// A part that can be fed to a digest: its value goes along with it.
#[derive(Debug)]
pub struct Fed<'a, L, T: ?Sized>(L, &'a T);

#[cfg(all(test, feature = "semantic"))]
impl<'a, L, T: ?Sized> Fed<'a, L, T> {
    pub(super) fn new(part: L, value: &'a T) -> Fed<'a, L, T> {
        Fed(part, value)
    }
}

impl<L: Look, T: ?Sized + Serialize> Look for Fed<'_, L, T> {
    type Own = L::Own;

    #[inline(always)]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.hash(hasher);
    }

    #[inline(always)]
    fn is(&self, own: &L::Own) -> bool {
        self.0.is(own)
    }

    fn own(&self) -> L::Own {
        self.0.own()
    }

    #[inline(always)]
    fn again(&self) -> Self {
        Fed(self.0.again(), self.1)
    }

    /// A value whose `Serialize` fails stays in this process.
    fn feed(&self, feed: &mut Feed) -> bool {
        self.1.serialize(canonical::Encoder::new(&mut feed.0, Steps::NONE)).is_ok()
    }
}

/// What can be part of a key outside of this process.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a key outside of this process",
    label = "what identifies a call there must implement `serde::Serialize`",
    note = "derive it, leave the argument out with `skip(…)`, or say what identifies it with `key(…)`"
)]
pub trait Feeds: Serialize {}

#[diagnostic::do_not_recommend]
impl<T: ?Sized + Serialize> Feeds for T {}

/// Reports what cannot be part of a key outside.
#[inline]
pub fn must_feed<T: ?Sized + Feeds>(_value: &T) {}

/// A part and its value, perhaps to be fed.
#[derive(Debug)]
pub struct Feeding<'a, L, T: ?Sized>(pub L, pub &'a T);

// As in `checked`: inherent methods come before those of traits.

impl<'a, L: Look, T: ?Sized + Serialize> Feeding<'a, L, T> {
    /// The part, with its value.
    #[inline]
    #[must_use]
    pub fn stampede_feed(self) -> Fed<'a, L, T> {
        Fed(self.0, self.1)
    }
}

/// For what has been reported.
pub trait InsteadOfFeed<L>: Sized {
    /// The part alone.
    fn stampede_feed(self) -> L;
}

impl<L, T: ?Sized> InsteadOfFeed<L> for Feeding<'_, L, T> {
    fn stampede_feed(self) -> L {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::key::{Cons, Content, Nil, PartOf, ViaBits as _, ViaOwnWay as _, ViaRef as _, text};

    macro_rules! key {
        ($($part:expr),*) => { key!(@ $($part,)*) };
        (@) => { Nil };
        (@ $part:expr, $($rest:expr,)*) => {
            Cons(Feeding((&&&PartOf($part)).stampede_look(), $part).stampede_feed(), key!(@ $($rest,)*))
        };
    }

    fn hex(id: Option<Id>) -> String {
        match id {
            Some(Id::Digest(digest)) => blake3::Hash::from_bytes(digest).to_hex().to_string(),
            other => panic!("no digest: {other:?}"),
        }
    }

    #[test]
    fn parts_are_one_tuple() {
        let known = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
        assert_eq!(hex(key!().id()), known(b"\x09\xFF"));
        assert_eq!(hex(key!("a").id()), known(b"\x09\x07\x01\0\0\0\0\0\0\0a\xFF"));
        let seven = "\x04\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".as_bytes();
        assert_eq!(hex(key!("a", &7_u8).id()), known(&[b"\x09\x07\x01\0\0\0\0\0\0\0a", seven, b"\xFF"].concat()));
    }

    #[test]
    fn digests_are_frozen() {
        #[derive(Clone, PartialEq, Eq, Hash, Serialize)]
        enum Model {
            Small,
            Large { layers: u16 },
        }
        let ids = [
            key!(&42_u64).id(),
            key!("42").id(),
            key!("Rust", &None::<&str>).id(),
            key!(&Model::Small, &Model::Large { layers: 96 }).id(),
            key!(&vec![Some(1.5_f64.to_bits()), None], &'x', &true).id(),
            key!(&0.25_f32).id(),
        ];
        assert_eq!(
            ids.map(hex),
            [
                "9f7dcaef2d05a7d9e161bd6b0b6ba63930d2cecd234e78bbda0dcede05d127ab",
                "f0064d25701cac8c377cde116b5025b18f91024b7d5dda4edaa45b50c8d2a25e",
                "823dcdc759fc3b5d5c6785af44e2868d69dd6e4ee95f30e7401b50b7e0307e3f",
                "8c639555e04c2ed12558073aceba35f50c3c174ee7ba6eaf60574f94e97e2eb6",
                "acc52ac11f75228a2890cdde2e58af1dfb1465d747b86fa09709746ded2c202c",
                "a5239bb82556060ddb3469c158c2cc15941a27eab7904395398c37dd73e04eb4",
            ]
        );
    }

    #[test]
    fn what_means_the_same_is_the_same() {
        assert_eq!(key!(&1_u8).id(), key!(&1_i64).id());
        assert_eq!(key!(&0.0_f64).id(), key!(&-0.0_f32).id());
        assert_eq!(key!("a").id(), key!(&Cow::Borrowed("a")).id());
        assert_eq!(key!(&Some("a")).id(), key!(&Some(String::from("a"))).id());
    }

    #[test]
    fn what_differs_differs() {
        let ids = [
            key!(&1).id(),
            key!("1").id(),
            key!(&true).id(),
            key!(&1.0).id(),
            key!(&Some(1)).id(),
            key!("a", "b").id(),
            key!("b", "a").id(),
            key!("a:b").id(),
            key!("ab", "").id(),
            key!(&("a", "b")).id(),
            key!(&None::<u8>).id(),
            key!().id(),
        ];
        for (at, one) in ids.iter().enumerate() {
            assert!(one.is_some() && ids.iter().skip(at + 1).all(|other| other != one), "number {at} meets another");
        }
    }

    #[test]
    fn text_and_content_stand_for_themselves() {
        assert_eq!(text(format_args!("user:{}", 7)).id(), Some(Id::Text("user:7".into())));
        let content = Content::new(Steps::ALL).field("topic", "Rust").digest();
        assert_eq!(content.id(), Some(Id::Digest(content.own())));
        assert_eq!(Cons(PartOf("a").stampede_look(), Nil).id(), None, "not fed");
    }
}
