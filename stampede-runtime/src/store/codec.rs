//! How a value becomes bytes and is made of bytes again.
//!
//! Both codecs name fields and variants, so a type may change: fields may be added (with `#[serde(default)]`), left out
//! (`skip_serializing_if`) and reordered; `untagged`, `flatten` and `serde_json::Value` work.
//!
//! What one should know:
//!
//! | value | MessagePack | JSON |
//! |---|---|---|
//! | `Some(None)`, `Some(())`, `Some(Value::Null)` | refused: it would come back as `None` | refused |
//! | infinity, NaN | ✔ | refused: it would come back as `None` or not at all |
//! | a map whose keys are structs, lists or options | ✔ | refused: JSON's keys are texts |
//! | `i128`, `u128` | ✔, but not inside `untagged` or `flatten` | the same |
//! | `Vec<u8>` | one or two bytes each; `serde_bytes` makes it one | up to four; `serde_bytes` changes nothing |
//! | more than [`DEPTH_MAX`] levels | refused | refused |
//!
//! What is refused is not written, so a value is never kept as something else. Where a type's own `Serialize` and
//! `Deserialize` disagree, nobody can tell.
//!
//! **Limits.** Writing stops at the byte that is one too many. Reading takes memory for what the bytes hold and not for
//! what they claim: MessagePack is looked over first, and JSON claims nothing. So it takes a small multiple of the
//! input: the size of the value's own parts for each byte that stands for one. (One exception is serde's: where an
//! `untagged` type is inside itself, each level keeps a copy of what is in it while it is read, so up to [`DEPTH_MAX`]
//! times as much.)
//!
//! **Panic.** A panic in the type's own `Serialize` or `Deserialize` is [`CodecError::Panicked`]. (With
//! `panic = "abort"` it ends the process.)

mod scan;
mod survey;

use std::any::type_name;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rmp_serde::decode::Error as MessagePackError;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use survey::{Found, Survey};

pub use crate::policy::Codec;

/// The most levels of lists, maps, structs and variants inside one another. Deeper ones would cost the reader's stack.
pub const DEPTH_MAX: usize = 100;

impl Codec {
    /// The codec's number in an envelope. A number never gets another meaning.
    pub(super) fn byte(self) -> u8 {
        match self {
            Codec::MessagePack => 1,
            Codec::Json => 2,
        }
    }

    pub(super) fn of_byte(byte: u8) -> Option<Codec> {
        [Codec::MessagePack, Codec::Json].into_iter().find(|codec| codec.byte() == byte)
    }

    /// The bytes of a value.
    ///
    /// # Errors
    /// [`CodecError`], when there are more than `payload_bytes_max` or the value cannot be written so that it comes back.
    pub fn encode<T: ?Sized + Serialize>(self, value: &T, payload_bytes_max: usize) -> Result<Vec<u8>, CodecError> {
        let mut payload = Vec::new();
        self.append(&mut payload, value, payload_bytes_max)?;
        Ok(payload)
    }

    /// [`encode`](Self::encode), behind what is in `to` already.
    pub(super) fn append<T: ?Sized + Serialize>(
        self,
        to: &mut Vec<u8>,
        value: &T,
        payload_bytes_max: usize,
    ) -> Result<(), CodecError> {
        let mut to = Bounded { to, left: payload_bytes_max, full: false };
        let written = catch_unwind(AssertUnwindSafe(|| {
            let mut left = payload_bytes_max;
            value.serialize(Survey::new(self, &mut left)).map_err(|Found(error)| error)?;
            let written = match self {
                Codec::MessagePack => {
                    // As text where a type knows two forms: the deserialisers behind `untagged` and `flatten` ask for it.
                    let mut to = rmp_serde::Serializer::new(&mut to).with_struct_map().with_human_readable();
                    value.serialize(&mut to).is_ok()
                }
                Codec::Json => serde_json::to_writer(&mut to, value).is_ok(),
            };
            if written { Ok(()) } else { Err(CodecError::Unwritable) }
        }));
        match written.unwrap_or(Err(CodecError::Panicked)) {
            Err(_) if to.full => Err(CodecError::TooLarge { limit: payload_bytes_max }),
            written => written,
        }
    }

    /// The value of bytes, which may come from anywhere. Their number is the caller's to limit.
    ///
    /// # Errors
    /// [`CodecError`], when they are not exactly one value of this type.
    pub fn decode<T: DeserializeOwned>(self, payload: &[u8]) -> Result<T, CodecError> {
        let read = catch_unwind(|| match self {
            Codec::MessagePack => read_message_pack(payload),
            Codec::Json => read_json(payload),
        });
        read.unwrap_or(Err(CodecError::Panicked))
    }
}

fn read_message_pack<T: DeserializeOwned>(payload: &[u8]) -> Result<T, CodecError> {
    scan::scan(payload)?;
    let mut from = rmp_serde::Deserializer::from_read_ref(payload).with_human_readable();
    let value = T::deserialize(&mut from).map_err(|_| CodecError::mismatch::<T>())?;
    // The bytes are one value; a type that took only the beginning of it is not its type.
    match serde::Deserialize::deserialize(&mut from) {
        Err(MessagePackError::InvalidMarkerRead(_)) => Ok(value),
        Ok(IgnoredAny) | Err(_) => Err(CodecError::mismatch::<T>()),
    }
}

fn read_json<T: DeserializeOwned>(payload: &[u8]) -> Result<T, CodecError> {
    serde_json::from_slice(payload).map_err(|error| match error.classify() {
        Category::Data => CodecError::mismatch::<T>(),
        Category::Io | Category::Syntax | Category::Eof => CodecError::Malformed,
    })
}

/// Takes so many bytes and not one more.
struct Bounded<'a> {
    to: &'a mut Vec<u8>,
    left: usize,
    full: bool,
}

impl io::Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(left) = self.left.checked_sub(bytes.len()) else {
            self.full = true;
            return Err(io::ErrorKind::StorageFull.into());
        };
        self.left = left;
        self.to.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why a value could not become bytes, or bytes not a value. Says nothing of what was in them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecError {
    /// The value takes more bytes than it may. Raise the limit, or return less.
    TooLarge {
        /// How many it may take.
        limit: usize,
    },
    /// There are more levels inside one another than there may be.
    TooDeep {
        /// How many there may be.
        limit: usize,
    },
    /// The value would have come back as another one, for this reason.
    Lossy(&'static str),
    /// The type's `Serialize` gave up, or the codec has no form for it.
    Unwritable,
    /// The bytes are not of this codec.
    Malformed,
    /// The bytes are whole, and not of this type.
    Mismatch {
        /// Its name.
        expected: &'static str,
    },
    /// The type's `Serialize` or `Deserialize` panicked.
    Panicked,
}

impl CodecError {
    fn mismatch<T>() -> CodecError {
        CodecError::Mismatch { expected: type_name::<T>() }
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecError::TooLarge { limit } => write!(f, "the value takes more than {limit} bytes"),
            CodecError::TooDeep { limit } => write!(f, "the value has more than {limit} levels"),
            CodecError::Lossy(reason) => f.write_str(reason),
            CodecError::Unwritable => f.write_str("the value cannot be written with this codec"),
            CodecError::Malformed => f.write_str("the bytes are not of this codec"),
            CodecError::Mismatch { expected } => write!(f, "the bytes are not those of a `{expected}`"),
            CodecError::Panicked => f.write_str("the type's `Serialize` or `Deserialize` panicked"),
        }
    }
}

impl std::error::Error for CodecError {}

#[cfg(test)]
mod tests;
