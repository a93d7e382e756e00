//! The bytes of an error: one that says the format, then `MessagePack`. A format's number never gets another meaning.
//!
//! | first byte | then |
//! |---|---|
//! | 1 | the error |
//! | 2 | a list of texts: the error's own, then those of its causes, outermost first |
//!
//! **Limits.** At most [`TEXTS_MAX`] texts; the last of those for which there is room is cut.
//!
//! **Panic.** A panic in the error's own `Display`, `Serialize` or `Deserialize` makes it one that is not carried.

use std::error::Error as StdError;
use std::fmt::{self, Write};
use std::iter::successors;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::policy::Codec;

const VALUE: u8 = 1;
const TEXTS: u8 = 2;

/// The most texts of one error. A chain of causes may be one without an end.
pub(super) const TEXTS_MAX: usize = 32;

/// What stands around the texts at most, and around each of them.
const AROUND_ALL: usize = 1 + 3;
const AROUND_EACH: usize = 5;

/// The bytes of an error that crosses as itself.
pub(super) fn pack_value<E: Serialize>(error: &E, limit: usize) -> Option<Vec<u8>> {
    pack(VALUE, error, limit)
}

/// The error of such bytes.
pub(super) fn unpack_value<E: DeserializeOwned>(bytes: &[u8]) -> Option<E> {
    unpack(VALUE, bytes)
}

/// The bytes of an error that crosses as its text.
pub(super) fn pack_texts(error: &(dyn StdError + 'static), limit: usize) -> Option<Vec<u8>> {
    let texts = catch_unwind(AssertUnwindSafe(|| texts(error, limit))).ok()?;
    if texts.is_empty() { None } else { pack(TEXTS, &texts, limit) }
}

/// An error with the texts of such bytes.
pub(super) fn unpack_texts(bytes: &[u8]) -> Option<Told> {
    let texts: Vec<String> = unpack(TEXTS, bytes)?;
    if texts.len() > TEXTS_MAX {
        return None;
    }
    let told = |cause, text| Some(Told { text, cause: Option::map(cause, Box::new) });
    texts.into_iter().rev().fold(None, told)
}

fn pack<T: ?Sized + Serialize>(format: u8, value: &T, limit: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![format];
    bytes.extend(Codec::MessagePack.encode(value, limit.checked_sub(1)?).ok()?);
    Some(bytes)
}

fn unpack<T: DeserializeOwned>(format: u8, bytes: &[u8]) -> Option<T> {
    let payload = bytes.strip_prefix(&[format])?;
    Codec::MessagePack.decode(payload).ok()
}

/// As many texts as there is room for.
fn texts(error: &(dyn StdError + 'static), limit: usize) -> Vec<String> {
    let mut left = limit.saturating_sub(AROUND_ALL);
    let mut texts = Vec::new();
    for error in successors(Some(error), |error: &&(dyn StdError + 'static)| (*error).source()).take(TEXTS_MAX) {
        let mut text = Bounded { text: String::new(), left: left.saturating_sub(AROUND_EACH) };
        if text.left == 0 {
            break;
        }
        // One that gives up, because the room ends or for a reason of its own, has said what it has said.
        let _ = write!(text, "{error}");
        left = text.left;
        texts.push(text.text);
    }
    texts
}

/// A text that ends where the room does.
struct Bounded {
    text: String,
    left: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if more.len() <= self.left {
            self.text.push_str(more);
            self.left -= more.len();
            return Ok(());
        }
        let end = (0..=self.left).rev().find(|end| more.is_char_boundary(*end)).unwrap_or_default();
        self.text.push_str(&more[..end]);
        self.left = 0;
        Err(fmt::Error)
    }
}

/// An error of another process, of which the texts have come.
#[derive(Debug)]
pub(super) struct Told {
    text: String,
    cause: Option<Box<Told>>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Told {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}
