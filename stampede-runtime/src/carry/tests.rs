use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::iter::successors;
use std::ops::Deref;
use std::sync::Arc;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::wire::TEXTS_MAX;
use crate::__private::carry;
use crate::{Error, SharedError};

const LIMIT: usize = 1 << 20;

/// Is itself on the other side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Coded {
    Missing { key: String },
    Busy(u32),
}

/// The same, and not to be cloned.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unique(Coded);

/// Its text crosses.
#[derive(Clone, Debug)]
enum Told {
    Unreachable(Arc<io::Error>),
    Stampede(Error),
}

/// The same, and not to be cloned.
#[derive(Debug)]
struct UniqueTold(Told);

/// Points at an error, and is none.
#[derive(Clone)]
struct Pointing(Arc<dyn StdError + Send + Sync>);

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl fmt::Display for Unique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Told::Unreachable(_) => f.write_str(UNREACHABLE[0]),
            Told::Stampede(error) => write!(f, "{error}"),
        }
    }
}

impl fmt::Display for UniqueTold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(!self.panics, "on purpose");
        f.write_str(&self.text)
    }
}

impl StdError for Coded {}
impl StdError for Unique {}

impl StdError for Told {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Told::Unreachable(cause) => Some(cause),
            Told::Stampede(error) => error.source(),
        }
    }
}

impl StdError for UniqueTold {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

impl StdError for Endless {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self)
    }
}

impl Deref for Pointing {
    type Target = dyn StdError + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl From<Error> for Unique {
    fn from(_: Error) -> Unique {
        Unique(Coded::Busy(0))
    }
}

impl From<Error> for Told {
    fn from(error: Error) -> Told {
        Told::Stampede(error)
    }
}

impl From<Error> for UniqueTold {
    fn from(error: Error) -> UniqueTold {
        UniqueTold(error.into())
    }
}

impl From<Error> for Pointing {
    fn from(error: Error) -> Pointing {
        Pointing(Arc::new(error))
    }
}

/// Its chain of causes has no end.
#[derive(Clone, Debug)]
struct Endless {
    text: String,
    panics: bool,
}

impl From<Error> for Endless {
    fn from(error: Error) -> Endless {
        assert!(error.to_string() != "no error of mine", "on purpose");
        Endless { text: error.to_string(), panics: false }
    }
}

fn unreachable() -> Told {
    Told::Unreachable(Arc::new(io::Error::other("no route")))
}

fn texts(error: &(dyn StdError + 'static)) -> Vec<String> {
    successors(Some(error), |error: &&(dyn StdError + 'static)| (*error).source()).map(ToString::to_string).collect()
}

const UNREACHABLE: [&str; 2] = ["the supplier cannot be reached", "no route"];

#[test]
fn an_error_of_serde_is_itself_on_the_other_side() {
    let carry = carry!(Result<u32, Coded>);
    for error in [Coded::Missing { key: "a".to_owned() }, Coded::Busy(7)] {
        let bytes = carry.pack(&error, LIMIT).expect("it can be carried");
        assert_eq!(carry.unpack(&bytes), Some(error));
        assert_eq!(carry.pack(&Coded::Missing { key: "a".repeat(bytes.len()) }, bytes.len()), None, "there is a limit");
    }
    let carry = carry!(Result<u32, String>);
    assert_eq!(carry.pack(&"plain".to_owned(), 7).and_then(|bytes| carry.unpack(&bytes)).as_deref(), Some("plain"));
}

#[test]
fn so_is_one_that_callers_only_get_views_of() {
    let carry = carry!(Result<u32, Unique>);
    let bytes = carry.pack(&SharedError::plain(Unique(Coded::Busy(7))), LIMIT).expect("it can be carried");
    let arrived = carry.unpack(&bytes).expect("they are its bytes");
    assert_eq!(arrived.downcast_ref::<Unique>(), Some(&Unique(Coded::Busy(7))));
    assert_eq!(carry.pack(&SharedError::plain(Coded::Busy(7)), LIMIT), None, "a view of something else");
}

#[test]
fn other_errors_keep_their_texts_and_those_of_their_causes() {
    let carry = carry!(Result<u32, Told>);
    let bytes = carry.pack(&unreachable(), LIMIT).expect("it can be carried");
    assert_eq!(texts(&carry.unpack(&bytes).expect("they are its bytes")), UNREACHABLE);

    let carry = carry!(Result<u32, UniqueTold>);
    let bytes = carry.pack(&SharedError::plain(UniqueTold(unreachable())), LIMIT).expect("it can be carried");
    assert_eq!(texts(&Error::Shared(carry.unpack(&bytes).expect("they are its bytes"))), UNREACHABLE);

    let carry = carry!(Result<u32, Box<dyn StdError + Send + Sync>>);
    let boxed: Box<dyn StdError + Send + Sync> = Box::new(unreachable());
    let bytes = carry.pack(&SharedError::pointing(boxed), LIMIT).expect("it can be carried");
    assert_eq!(texts(&carry.unpack(&bytes).expect("they are its bytes")), UNREACHABLE);

    let carry = carry!(Result<u32, Pointing>);
    let bytes = carry.pack(&Pointing(Arc::new(unreachable())), LIMIT).expect("it can be carried");
    let arrived = carry.unpack(&bytes).expect("they are its bytes");
    assert_eq!(texts(&*arrived.0), UNREACHABLE);
    // Once more, from there to a third process.
    assert_eq!(carry.pack(&arrived, LIMIT), Some(bytes));
}

#[test]
fn our_own_error_crosses_as_its_text() {
    let carry = carry!(Result<u32, Error>);
    let bytes = carry.pack(&Error::unreached(), LIMIT).expect("it can be carried");
    let arrived = carry.unpack(&bytes).expect("they are its bytes");
    assert_eq!(arrived.to_string(), Error::unreached().to_string());
    assert!(matches!(arrived, Error::Shared(_)));
}

#[test]
fn an_error_that_cannot_be_made_again_is_not_carried() {
    let carry = carry!(Result<u32, Arc<io::Error>>);
    assert_eq!(carry.pack(&Arc::new(io::Error::other("gone")), LIMIT), None);
    // Nor is there one where nothing fails.
    assert!(carry!(Option<u32>).unpack(&[1, 0]).is_none());
}

#[test]
fn texts_are_cut_where_the_room_ends() {
    let carry = carry!(Result<u32, Endless>);
    let error = Endless { text: "é".repeat(100), panics: false };
    for limit in 0..TEXTS_MAX * 250 {
        let Some(bytes) = carry.pack(&error, limit) else {
            assert!(limit < 10, "there is room for some text in {limit} bytes");
            continue;
        };
        assert!(bytes.len() <= limit);
        let arrived = carry.unpack(&bytes).expect("they are its bytes");
        assert!(error.text.starts_with(&arrived.text), "{limit}: {}", arrived.text);
        assert!(limit < 250 || arrived.text == error.text, "the first text comes first");
    }
}

#[test]
fn causes_without_an_end_are_cut_too() {
    let carry = carry!(Result<u32, Box<dyn StdError + Send + Sync>>);
    let error: Box<dyn StdError + Send + Sync> = Box::new(Endless { text: "again".to_owned(), panics: false });
    let bytes = carry.pack(&SharedError::pointing(error), LIMIT).expect("it can be carried");
    assert_eq!(texts(&carry.unpack(&bytes).expect("they are its bytes")), ["again"; TEXTS_MAX]);
}

#[test]
fn a_panic_in_the_errors_own_code_is_an_error_that_is_not_carried() {
    let carry = carry!(Result<u32, Endless>);
    assert_eq!(carry.pack(&Endless { text: String::new(), panics: true }, LIMIT), None);
    let error = Endless { text: "no error of mine".to_owned(), panics: false };
    let bytes = carry.pack(&error, LIMIT).expect("it can be carried");
    assert!(carry.unpack(&bytes).is_none());
}

/// Whether bytes are an error.
type Reads = fn(&[u8]) -> bool;

/// Bytes of each format, and what reads them.
fn formats() -> [(Vec<u8>, Reads); 3] {
    let coded = Coded::Missing { key: "é".repeat(20) };
    [
        (carry!(Result<u32, Coded>).pack(&coded, LIMIT).unwrap(), |bytes| {
            carry!(Result<u32, Coded>).unpack(bytes).is_some()
        }),
        (carry!(Result<u32, Told>).pack(&unreachable(), LIMIT).unwrap(), |bytes| {
            carry!(Result<u32, Told>).unpack(bytes).is_some()
        }),
        (
            carry!(Result<u32, UniqueTold>).pack(&SharedError::plain(UniqueTold(unreachable())), LIMIT).unwrap(),
            |bytes| carry!(Result<u32, UniqueTold>).unpack(bytes).is_some(),
        ),
    ]
}

#[test]
fn cut_lengthened_and_changed_bytes_are_no_error_or_another() {
    for (bytes, reads) in formats() {
        assert!(reads(&bytes));
        for end in 0..bytes.len() {
            assert!(!reads(&bytes[..end]), "the first {end} of {bytes:?}");
        }
        assert!(!reads(&[&bytes[..], &[0]].concat()));
        for at in 0..bytes.len() {
            for change in 1..=u8::MAX {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                let is_read = reads(&changed);
                assert!(at > 0 || !is_read, "another format is not read as this one");
            }
        }
    }
}

#[test]
fn too_many_texts_and_none_are_no_error() {
    let carry = carry!(Result<u32, Told>);
    let list = |texts: &[&str]| [&[2], &*crate::Codec::MessagePack.encode(texts, LIMIT).unwrap()].concat();
    assert!(carry.unpack(&list(&["one"; TEXTS_MAX])).is_some());
    assert!(carry.unpack(&list(&["one"; TEXTS_MAX + 1])).is_none());
    assert!(carry.unpack(&list(&[])).is_none());
}

proptest! {
    #[test]
    fn any_bytes_are_an_error_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..64), format in 0_u8..4) {
        let bytes = [&[format], &*bytes].concat();
        for (_, reads) in formats() {
            reads(&bytes);
        }
    }

    #[test]
    fn any_text_arrives(text in any::<String>()) {
        let carry = carry!(Result<u32, Told>);
        let bytes = carry.pack(&Told::Unreachable(Arc::new(io::Error::other(&*text))), LIMIT);
        let arrived = carry.unpack(&bytes.expect("it can be carried")).expect("they are its bytes");
        prop_assert_eq!(texts(&arrived), [UNREACHABLE[0], &text]);
    }
}
