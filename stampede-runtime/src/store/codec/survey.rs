//! A look over a value before it is written.
//!
//! Two things are found here that a codec does not tell: what it would write and not read back as it was (`Some(None)`
//! becomes `None`, in JSON an infinity becomes `null`), and that there is more than may be written, also where the
//! codec would first collect it (a map of unknown length, as `#[serde(flatten)]` makes it). Nothing is written and
//! nothing allocated.

use std::fmt;

use serde::{Serialize, Serializer, ser};

use super::{Codec, CodecError, DEPTH_MAX};

/// What reads a value back after it was written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// As nothing, which an option takes for `None`.
    Nothing,
    /// As something.
    Something,
}

/// Goes through one value.
pub(super) struct Survey<'a> {
    codec: Codec,
    /// Bytes that may still be written. Each value takes at least what is counted here, in every codec.
    left: &'a mut usize,
    limit: usize,
    depth: usize,
}

/// The survey found something, or the user's `Serialize` gave up.
#[derive(Debug)]
pub(super) struct Found(pub(super) CodecError);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Found {}

impl ser::Error for Found {
    fn custom<T: fmt::Display>(_: T) -> Found {
        Found(CodecError::Unwritable)
    }
}

impl<'a> Survey<'a> {
    pub(super) fn new(codec: Codec, left: &'a mut usize) -> Survey<'a> {
        let limit = *left;
        Survey { codec, left, limit, depth: 0 }
    }

    fn count(&mut self, bytes: usize) -> Result<Written, Found> {
        *self.left = self.left.checked_sub(bytes).ok_or(Found(CodecError::TooLarge { limit: self.limit }))?;
        Ok(Written::Something)
    }

    fn nothing(mut self) -> Result<Written, Found> {
        self.count(1)?;
        Ok(Written::Nothing)
    }

    fn float(mut self, finite: bool) -> Result<Written, Found> {
        if self.codec == Codec::Json && !finite {
            return Err(Found(CodecError::Lossy("JSON has no infinity and no NaN")));
        }
        self.count(1)
    }

    fn value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<Written, Found> {
        value.serialize(Survey { codec: self.codec, left: self.left, limit: self.limit, depth: self.depth })
    }

    fn open(mut self) -> Result<Survey<'a>, Found> {
        self.count(1)?;
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(Found(CodecError::TooDeep { limit: DEPTH_MAX })) } else { Ok(self) }
    }

    /// A variant with content is a map of one entry.
    fn variant(self, name: &str) -> Result<Survey<'a>, Found> {
        let mut inside = self.open()?;
        inside.count(name.len() + 1)?;
        Ok(inside)
    }
}

macro_rules! scalars {
    ($($method:ident $type:ty),*) => {$(
        fn $method(mut self, _: $type) -> Result<Written, Found> {
            self.count(1)
        }
    )*};
}

impl<'a> Serializer for Survey<'a> {
    type Ok = Written;
    type Error = Found;
    type SerializeSeq = Survey<'a>;
    type SerializeTuple = Survey<'a>;
    type SerializeTupleStruct = Survey<'a>;
    type SerializeTupleVariant = Survey<'a>;
    type SerializeMap = Survey<'a>;
    type SerializeStruct = Survey<'a>;
    type SerializeStructVariant = Survey<'a>;

    scalars!(serialize_bool bool, serialize_char char);
    scalars!(serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64, serialize_i128 i128);
    scalars!(serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64, serialize_u128 u128);

    fn serialize_f32(self, number: f32) -> Result<Written, Found> {
        self.float(number.is_finite())
    }

    fn serialize_f64(self, number: f64) -> Result<Written, Found> {
        self.float(number.is_finite())
    }

    fn serialize_str(mut self, text: &str) -> Result<Written, Found> {
        self.count(1 + text.len())
    }

    fn serialize_bytes(mut self, bytes: &[u8]) -> Result<Written, Found> {
        self.count(1 + bytes.len())
    }

    fn serialize_none(self) -> Result<Written, Found> {
        self.nothing()
    }

    fn serialize_some<T: ?Sized + Serialize>(mut self, value: &T) -> Result<Written, Found> {
        match self.value(value)? {
            Written::Something => Ok(Written::Something),
            Written::Nothing => Err(Found(CodecError::Lossy("a `Some` of nothing would be read back as `None`"))),
        }
    }

    fn serialize_unit(self) -> Result<Written, Found> {
        self.nothing()
    }

    fn serialize_unit_struct(mut self, _: &'static str) -> Result<Written, Found> {
        match self.codec {
            Codec::MessagePack => self.count(1),
            Codec::Json => self.nothing(),
        }
    }

    fn serialize_unit_variant(mut self, _: &'static str, _: u32, name: &'static str) -> Result<Written, Found> {
        self.count(1 + name.len())
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(self, _: &'static str, value: &T) -> Result<Written, Found> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<Written, Found> {
        value.serialize(self.variant(name)?)?;
        Ok(Written::Something)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Survey<'a>, Found> {
        self.open()
    }

    fn serialize_tuple(self, _: usize) -> Result<Survey<'a>, Found> {
        self.open()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Survey<'a>, Found> {
        self.open()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Survey<'a>, Found> {
        self.variant(name)?.open()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Survey<'a>, Found> {
        self.open()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Survey<'a>, Found> {
        self.open()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Survey<'a>, Found> {
        self.variant(name)?.open()
    }
}

macro_rules! elements {
    ($($trait:ident $method:ident),*) => {$(
        impl ser::$trait for Survey<'_> {
            type Ok = Written;
            type Error = Found;

            fn $method<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Found> {
                self.value(value).map(drop)
            }

            fn end(self) -> Result<Written, Found> {
                Ok(Written::Something)
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
        impl ser::$trait for Survey<'_> {
            type Ok = Written;
            type Error = Found;

            fn serialize_field<T: ?Sized + Serialize>(&mut self, name: &'static str, value: &T) -> Result<(), Found> {
                self.count(1 + name.len())?;
                self.value(value).map(drop)
            }

            fn end(self) -> Result<Written, Found> {
                Ok(Written::Something)
            }
        }
    )*};
}

fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Survey<'_> {
    type Ok = Written;
    type Error = Found;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Found> {
        self.value(key).map(drop)
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Found> {
        self.value(value).map(drop)
    }

    fn end(self) -> Result<Written, Found> {
        Ok(Written::Something)
    }
}
