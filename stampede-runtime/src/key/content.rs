//! Keys by content: the BLAKE3 digest of the chosen arguments, their text normalised.

use std::hash::Hasher;

use serde::Serialize;

use super::{Id, Look, canonical};

/// What is done to every text before it is compared, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four independent steps, each on or off")]
pub struct Steps {
    /// Unicode normalisation form KC: compatible characters become one (`ﬁ` is `fi`, full-width is plain).
    pub nfkc: bool,
    /// Unicode case folding: `Straße` is `STRASSE`.
    pub case: bool,
    /// No white space at either end.
    pub trim: bool,
    /// Each run of white space is one space.
    pub spaces: bool,
}

impl Steps {
    /// Everything.
    pub const ALL: Steps = Steps { nfkc: true, case: true, trim: true, spaces: true };
    /// Nothing: text is compared byte by byte.
    pub const NONE: Steps = Steps { nfkc: false, case: false, trim: false, spaces: false };

    /// A text after these steps.
    #[cfg(feature = "semantic")]
    pub(crate) fn apply(self, text: &str) -> std::borrow::Cow<'_, str> {
        canonical::normalise(text, self)
    }
}

/// A content key in the making.
#[derive(Debug)]
pub struct Content {
    hasher: blake3::Hasher,
    steps: Steps,
}

/// A content key: 32 bytes that stand for the content. Two contents with one digest would break BLAKE3.
pub(crate) type Digest = [u8; 32];

impl Content {
    /// A key without fields.
    #[must_use]
    pub fn new(steps: Steps) -> Content {
        Content { hasher: blake3::Hasher::new(), steps }
    }

    /// Adds an argument.
    ///
    /// # Panics
    /// When the argument's `Serialize` fails.
    #[must_use]
    pub fn field<T: ?Sized + Serialize>(mut self, name: &str, value: &T) -> Content {
        canonical::text(&mut self.hasher, name);
        let serialized = value.serialize(canonical::Encoder::new(&mut self.hasher, self.steps));
        if let Err(error) = serialized {
            panic!("the argument `{name}` of a content key cannot be serialised: {error}");
        }
        self
    }

    /// Ends the key.
    #[must_use]
    pub fn digest(self) -> Digested {
        Digested(*self.hasher.finalize().as_bytes())
    }
}

/// A finished content key.
#[derive(Clone, Copy, Debug)]
pub struct Digested(Digest);

impl Look for Digested {
    type Own = Digest;

    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write(&self.0);
    }

    fn is(&self, own: &Digest) -> bool {
        self.0 == *own
    }

    fn own(&self) -> Digest {
        self.0
    }

    fn again(&self) -> Self {
        *self
    }

    fn id(&self) -> Option<Id> {
        Some(Id::Digest(self.0))
    }
}
