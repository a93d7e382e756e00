//! The canonical encoding of a value, fed to a hasher: the same bytes for the same content on every platform.
//!
//! Every value begins with a tag that says its kind; text and bytes carry their length (u64, little-endian); what
//! holds a varying number of values ends with `END`. So no two different values have the same bytes:
//!
//! | value | bytes |
//! |---|---|
//! | `None`, unit | `00` |
//! | `Some(v)` | `01` v |
//! | `false`, `true` | `02`, `03` |
//! | any integer | `04`, then 16 bytes two's complement; `05`, then 16 bytes for those of `u128` beyond `i128` |
//! | `f32`, `f64` | `06`, then the bits as `f64`; one zero, one NaN |
//! | text, `char` | `07`, length, UTF-8 |
//! | bytes | `08`, length, bytes |
//! | sequence, tuple | `09`, values, `FF` |
//! | map | `0A`, the number of entries (u64, little-endian), then for each, sorted, the digests of its key and its value |
//! | struct | `0B`, for each field its name as text and its value, `FF` |
//! | enum variant | `0C`, the variant's name as text, then its content as unit, value, tuple or struct |
//!
//! Type names are left out, so renaming a type changes no key.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer, ser};
use unicase::UniCase;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

use super::Steps;

const NONE: u8 = 0x00;
const SOME: u8 = 0x01;
const FALSE: u8 = 0x02;
const TRUE: u8 = 0x03;
const INTEGER: u8 = 0x04;
const LARGE_INTEGER: u8 = 0x05;
const FLOAT: u8 = 0x06;
const TEXT: u8 = 0x07;
const BYTES: u8 = 0x08;
const SEQUENCE: u8 = 0x09;
const MAP: u8 = 0x0A;
const STRUCT: u8 = 0x0B;
const VARIANT: u8 = 0x0C;
const END: u8 = 0xFF;

/// Feeds a text as it is.
pub(super) fn text(hasher: &mut blake3::Hasher, text: &str) {
    counted(hasher, TEXT, text.as_bytes());
}

/// Begins a tuple of values, each of which is to be fed by an [`Encoder`].
pub(super) fn begin_tuple() -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[SEQUENCE]);
    hasher
}

/// Ends it.
pub(super) fn end_tuple(mut hasher: blake3::Hasher) -> [u8; 32] {
    *hasher.update(&[END]).finalize().as_bytes()
}

fn counted(hasher: &mut blake3::Hasher, tag: u8, bytes: &[u8]) {
    hasher.update(&[tag]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
}

/// Applies the steps to a text.
pub(super) fn normalise(text: &str, steps: Steps) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    if text.is_ascii() {
        if steps.case && text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            text.to_mut().make_ascii_lowercase();
        }
    } else {
        text = compose(text, steps);
        if steps.case {
            // Folding may undo the composition, so it is done once more (Unicode's `toNFKC_Casefold`).
            text = compose(UniCase::unicode(text).to_folded_case().into(), steps);
        }
    }
    let space = char::is_whitespace;
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    match (steps.spaces, steps.trim) {
        (false, false) => text,
        (false, true) => text.trim().to_owned().into(),
        (true, true) if is_squeezed(&text) => text,
        (true, true) => squeezed(&text).into(),
        (true, false) => {
            let edge = |at_edge: bool| if at_edge { " " } else { "" };
            let inner = squeezed(&text);
            let (start, end) = (edge(text.starts_with(space)), edge(text.ends_with(space) && !inner.is_empty()));
            format!("{start}{inner}{end}").into()
        }
    }
}

fn compose(text: Cow<'_, str>, steps: Steps) -> Cow<'_, str> {
    if !steps.nfkc || is_nfkc_quick(text.chars()) == IsNormalized::Yes { text } else { text.nfkc().collect() }
}

/// Whether trimming and squeezing would change nothing.
fn is_squeezed(text: &str) -> bool {
    let mut after_space = true;
    for c in text.chars() {
        let space = c.is_whitespace();
        if space && (after_space || c != ' ') {
            return false;
        }
        after_space = space;
    }
    text.is_empty() || !after_space
}

/// Feeds one value to a hasher.
pub(super) struct Encoder<'a> {
    hasher: &'a mut blake3::Hasher,
    steps: Steps,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(hasher: &'a mut blake3::Hasher, steps: Steps) -> Encoder<'a> {
        Encoder { hasher, steps }
    }

    fn tag(&mut self, tag: u8) {
        self.hasher.update(&[tag]);
    }

    fn integer(self, tag: u8, bytes: [u8; 16]) {
        self.hasher.update(&[tag]).update(&bytes);
    }

    fn value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Failed> {
        value.serialize(Encoder { hasher: self.hasher, steps: self.steps })
    }

    fn begin(mut self, tag: u8) -> Open<'a> {
        self.tag(tag);
        Open { encoder: self, entries: Vec::new(), key: None }
    }

    fn begin_variant(mut self, name: &str, tag: u8) -> Open<'a> {
        self.tag(VARIANT);
        text(self.hasher, name);
        self.begin(tag)
    }
}

/// A sequence, map or struct whose end is still to come.
pub(super) struct Open<'a> {
    encoder: Encoder<'a>,
    /// A map's entries, to be sorted.
    entries: Vec<[blake3::Hash; 2]>,
    key: Option<blake3::Hash>,
}

impl Open<'_> {
    fn digest<T: ?Sized + Serialize>(&self, value: &T) -> Result<blake3::Hash, Failed> {
        let mut hasher = blake3::Hasher::new();
        value.serialize(Encoder::new(&mut hasher, self.encoder.steps))?;
        Ok(hasher.finalize())
    }

    fn field<T: ?Sized + Serialize>(&mut self, name: &str, value: &T) -> Result<(), Failed> {
        text(self.encoder.hasher, name);
        self.encoder.value(value)
    }

    fn close_map(mut self) {
        self.entries.sort_unstable_by_key(|[key, value]| (*key.as_bytes(), *value.as_bytes()));
        self.encoder.hasher.update(&(self.entries.len() as u64).to_le_bytes());
        for [key, value] in &self.entries {
            self.encoder.hasher.update(key.as_bytes()).update(value.as_bytes());
        }
    }
}

/// The user's `Serialize` gave up.
#[derive(Debug)]
pub(super) struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl ser::Error for Failed {
    fn custom<T: fmt::Display>(message: T) -> Failed {
        Failed(message.to_string())
    }
}

macro_rules! integers {
    ($($method:ident $type:ty),*) => {$(
        fn $method(self, number: $type) -> Result<(), Failed> {
            self.integer(INTEGER, i128::from(number).to_le_bytes());
            Ok(())
        }
    )*};
}

impl<'a> Serializer for Encoder<'a> {
    type Ok = ();
    type Error = Failed;
    type SerializeSeq = Open<'a>;
    type SerializeTuple = Open<'a>;
    type SerializeTupleStruct = Open<'a>;
    type SerializeTupleVariant = Open<'a>;
    type SerializeMap = Open<'a>;
    type SerializeStruct = Open<'a>;
    type SerializeStructVariant = Open<'a>;

    integers!(serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64, serialize_i128 i128);
    integers!(serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64);

    fn serialize_u128(self, number: u128) -> Result<(), Failed> {
        let tag = if i128::try_from(number).is_ok() { INTEGER } else { LARGE_INTEGER };
        self.integer(tag, number.to_le_bytes());
        Ok(())
    }

    fn serialize_bool(mut self, value: bool) -> Result<(), Failed> {
        self.tag(if value { TRUE } else { FALSE });
        Ok(())
    }

    fn serialize_f32(self, number: f32) -> Result<(), Failed> {
        self.serialize_f64(number.into())
    }

    fn serialize_f64(self, number: f64) -> Result<(), Failed> {
        let number = if number.is_nan() { f64::NAN } else { number + 0.0 };
        self.hasher.update(&[FLOAT]).update(&number.to_bits().to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, c: char) -> Result<(), Failed> {
        self.serialize_str(c.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Failed> {
        text(self.hasher, &normalise(value, self.steps));
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Failed> {
        counted(self.hasher, BYTES, bytes);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Failed> {
        self.serialize_unit()
    }

    fn serialize_some<T: ?Sized + Serialize>(mut self, value: &T) -> Result<(), Failed> {
        self.tag(SOME);
        self.value(value)
    }

    fn serialize_unit(mut self) -> Result<(), Failed> {
        self.tag(NONE);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Failed> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(mut self, _: &'static str, _: u32, name: &'static str) -> Result<(), Failed> {
        self.tag(VARIANT);
        text(self.hasher, name);
        self.serialize_unit()
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(self, _: &'static str, value: &T) -> Result<(), Failed> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        mut self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), Failed> {
        self.tag(VARIANT);
        text(self.hasher, name);
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Open<'a>, Failed> {
        Ok(self.begin(SEQUENCE))
    }

    fn serialize_tuple(self, _: usize) -> Result<Open<'a>, Failed> {
        Ok(self.begin(SEQUENCE))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Open<'a>, Failed> {
        Ok(self.begin(SEQUENCE))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Open<'a>, Failed> {
        Ok(self.begin_variant(name, SEQUENCE))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Open<'a>, Failed> {
        Ok(self.begin(MAP))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Open<'a>, Failed> {
        Ok(self.begin(STRUCT))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Open<'a>, Failed> {
        Ok(self.begin_variant(name, STRUCT))
    }
}

macro_rules! elements {
    ($($trait:ident $method:ident),*) => {$(
        impl ser::$trait for Open<'_> {
            type Ok = ();
            type Error = Failed;

            fn $method<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Failed> {
                self.encoder.value(value)
            }

            fn end(mut self) -> Result<(), Failed> {
                self.encoder.tag(END);
                Ok(())
            }
        }
    )*};
}

elements!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

macro_rules! fields {
    ($($trait:ident),*) => {$(
        impl ser::$trait for Open<'_> {
            type Ok = ();
            type Error = Failed;

            fn serialize_field<T: ?Sized + Serialize>(&mut self, name: &'static str, value: &T) -> Result<(), Failed> {
                self.field(name, value)
            }

            fn end(mut self) -> Result<(), Failed> {
                self.encoder.tag(END);
                Ok(())
            }
        }
    )*};
}

fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Open<'_> {
    type Ok = ();
    type Error = Failed;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Failed> {
        self.key = Some(self.digest(key)?);
        Ok(())
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Failed> {
        let value = self.digest(value)?;
        let key = self.key.take().ok_or_else(|| Failed("a map's value came before its key".to_owned()))?;
        self.entries.push([key, value]);
        Ok(())
    }

    fn end(self) -> Result<(), Failed> {
        self.close_map();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::*;
    use crate::key::{Content, Look};

    fn digest<T: ?Sized + Serialize>(value: &T) -> [u8; 32] {
        Content::new(Steps::ALL).field("value", value).digest().own()
    }

    #[test]
    fn text_is_normalised_step_by_step() {
        let steps = |nfkc, case, trim, spaces| Steps { nfkc, case, trim, spaces };
        assert_eq!(normalise("  Hello \t WORLD\n", Steps::ALL), "hello world");
        assert_eq!(normalise("  Hello \t WORLD\n", Steps::NONE), "  Hello \t WORLD\n");
        assert_eq!(normalise("  Hello  WORLD\n", steps(true, false, true, false)), "Hello  WORLD");
        assert_eq!(normalise("  Hello  WORLD\n", steps(true, false, false, true)), " Hello WORLD ");
        assert_eq!(normalise(" \t ", steps(false, false, false, true)), " ");
        assert_eq!(normalise("Straße", Steps::ALL), normalise("STRASSE", Steps::ALL));
        assert_eq!(normalise("ﬁnd Ⅳ", Steps::ALL), "find iv");
        assert_eq!(normalise("e\u{301}", Steps::ALL), "é");
        assert_eq!(normalise("", Steps::ALL), "");
    }

    #[test]
    fn different_content_never_meets() {
        #[derive(Serialize)]
        struct Prompt<'a> {
            topic: &'a str,
            context: &'a str,
        }
        #[derive(Serialize)]
        enum Kind {
            One,
            Two(u8),
        }
        let different = [
            digest(&1),
            digest("1"),
            digest(&true),
            digest(&1.5),
            digest(&None::<u8>),
            digest(&Some(1)),
            digest(&("a", "b")),
            digest(&("ab", "")),
            digest(&["a", "b", ""]),
            digest(&[["a"], ["b"]]),
            digest("a:b"),
            digest(&Prompt { topic: "a", context: "b" }),
            digest(&Prompt { topic: "b", context: "a" }),
            digest(&Kind::One),
            digest(&Kind::Two(1)),
            digest(&u128::MAX),
            digest(&-1),
            digest(&HashMap::from([("a", 1), ("b", 2)])),
            digest(&HashMap::from([("a", 2), ("b", 1)])),
        ];
        for (at, one) in different.iter().enumerate() {
            assert!(different.iter().skip(at + 1).all(|other| other != one), "number {at} meets another");
        }
    }

    #[test]
    fn equal_content_meets() {
        assert_eq!(digest(&1_u8), digest(&1_i64));
        assert_eq!(digest(&0.0_f64), digest(&-0.0_f32));
        assert_eq!(digest(&vec![1, 2]), digest(&[1, 2]));
        let pairs = (0..100).map(|number| (number, number * number));
        assert_eq!(digest(&pairs.clone().collect::<HashMap<_, _>>()), digest(&pairs.collect::<BTreeMap<_, _>>()));
        assert_eq!(digest(" What is  RUST? "), digest("what is rust?"));
    }

    #[test]
    fn the_bytes_are_frozen() {
        let known = blake3::hash(b"\x07\x05\0\0\0\0\0\0\0value\x07\x02\0\0\0\0\0\0\0hi");
        assert_eq!(&digest(" HI"), known.as_bytes());
    }
}
