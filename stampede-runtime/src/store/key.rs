//! The key of one entry outside the process.
//!
//! A key is text, made of printable ASCII alone (no space), at most [`StoreKey::LENGTH_MAX`] bytes:
//!
//! ```text
//! stampede:{shop::prices::quote:v3:#5f1a…64 hex digits…}      arguments, as their digest
//! stampede:{shop::prices::quote:v3:user:42}                   a readable text
//! stampede:{shop::prices::quote:v3:~0c77…64 hex digits…}      a text too long to stand in a key, as its digest
//!          │ namespace   │ name │  │
//!          └─ Redis Cluster's hash tag: one slot for all that belongs to the entry
//! ```
//!
//! | part | bytes |
//! |---|---|
//! | start | `stampede:{` |
//! | namespace | escaped; `::` stays as it is, any other `:` is escaped |
//! | | `::` |
//! | name of the function | escaped, with every `:` |
//! | version | `:v`, decimal digits, `:` |
//! | identity | `#` and the 64 lower-case hex digits of a digest; or an escaped text, whose `:` stay; or, where the key would become longer than it may, `~` and the hex digits of the BLAKE3 digest of the text |
//! | end | `}` |
//!
//! Escaped means: each byte of the UTF-8 text that is not printable ASCII, and each `{`, `}`, `%` and space, stands as
//! `%XX`, in upper-case hex; so does a `#` or `~` at the beginning. Where namespace and name together take more than 320
//! bytes, `~` and 64 hex digits stand for both: the BLAKE3 digest of the namespace's length (u64, little-endian), the
//! namespace, the name.
//!
//! Two different entries never have one key: read from the left, namespace and name end at the first `:` of an odd run
//! of colons, the version at the next, and the first character of the identity tells its kind. For the same reason no
//! function's [`Prefix`] is the beginning of another function's keys.
//!
//! What a store keeps *beside* an entry (a lease, say) belongs under the entry's key and a suffix, which leaves it in
//! the same slot.

use std::borrow::Borrow;
use std::fmt::{self, Write};

const START: &str = "stampede:{";
/// A tag follows. No namespace begins so: there it is escaped.
const TAG: char = '#';
/// The digest of arguments follows.
const DIGEST: char = '#';
/// The digest of something too long follows.
const TOO_LONG: char = '~';
/// A mark and 32 bytes in hex.
const DIGEST_LENGTH: usize = 1 + 64;
/// What namespace and name may take, so that a digest always fits behind them.
const PLACE_LENGTH_MAX: usize = 320;

/// The function that an entry belongs to: what all its keys begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Up to and with the version's last colon.
    prefix: Box<str>,
    /// How much of it comes before the version's digits.
    stem: usize,
}

impl Place {
    /// A function by its namespace and name, and the version of what it returns. Made once per function: a key then
    /// costs one allocation.
    #[must_use]
    pub fn new(namespace: &str, function: &str, version: u32) -> Place {
        let mut prefix = START.to_owned();
        for (at, part) in namespace.split("::").enumerate() {
            prefix.push_str(if at == 0 { "" } else { "::" });
            Escaped { text: part, marks: at == 0, colons: true }.write(&mut prefix);
        }
        prefix.push_str("::");
        Escaped { text: function, marks: false, colons: true }.write(&mut prefix);
        if prefix.len() > START.len() + PLACE_LENGTH_MAX {
            prefix.truncate(START.len());
            let mut hasher = blake3::Hasher::new();
            hasher.update(&(namespace.len() as u64).to_le_bytes());
            hasher.update(namespace.as_bytes()).update(function.as_bytes());
            push_digest(&mut prefix, TOO_LONG, &hasher.finalize());
        }
        prefix.push_str(":v");
        let stem = prefix.len();
        write!(prefix, "{version}:").expect("writing to a `String` cannot fail");
        Place { prefix: prefix.into(), stem }
    }

    /// What all keys of this version of the function begin with.
    #[must_use]
    pub fn prefix(&self) -> Prefix {
        Prefix(self.prefix.clone())
    }

    /// What all keys of the function begin with, whatever their version.
    #[must_use]
    pub fn prefix_of_all_versions(&self) -> Prefix {
        Prefix(self.prefix[..self.stem].into())
    }
}

/// What tells an entry from the others of its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id<'a> {
    /// The digest of the arguments.
    Digest([u8; 32]),
    /// A text for people to read.
    Text(&'a str),
}

/// The key of one entry outside the process; see the [module's documentation](self) for its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreKey(Box<str>);

impl StoreKey {
    /// The most bytes that a key has.
    pub const LENGTH_MAX: usize = 512;

    /// The key of an entry of a function.
    #[must_use]
    pub fn new(place: &Place, id: Id<'_>) -> StoreKey {
        let start = &*place.prefix;
        let begin = |length: usize| {
            let mut key = String::with_capacity(start.len() + length + 1);
            key.push_str(start);
            key
        };
        let mut key = match id {
            Id::Digest(digest) => {
                let mut key = begin(DIGEST_LENGTH);
                push_digest(&mut key, DIGEST, &digest.into());
                key
            }
            Id::Text(text) => {
                let escaped = Escaped { text, marks: true, colons: false };
                let length = escaped.length();
                if start.len() + length < StoreKey::LENGTH_MAX {
                    let mut key = begin(length);
                    escaped.write(&mut key);
                    key
                } else {
                    let mut key = begin(DIGEST_LENGTH);
                    push_digest(&mut key, TOO_LONG, &blake3::hash(text.as_bytes()));
                    key
                }
            }
        };
        key.push('}');
        StoreKey(key.into())
    }

    /// The key of a tag's token: `stampede:{#` and the tag, escaped as a text is, or its digest.
    #[doc(hidden)]
    #[must_use]
    pub fn of_tag(tag: &str) -> StoreKey {
        let mut key = format!("{START}{TAG}");
        let escaped = Escaped { text: tag, marks: true, colons: false };
        if key.len() + escaped.length() < StoreKey::LENGTH_MAX {
            escaped.write(&mut key);
        } else {
            push_digest(&mut key, TOO_LONG, &blake3::hash(tag.as_bytes()));
        }
        key.push('}');
        StoreKey(key.into())
    }

    /// The key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the text of a key says of the entry's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    Digest([u8; 32]),
    Text(String),
    /// A text that did not fit.
    TooLong,
}

/// Whether a key is that of a tag's token.
#[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "for Redis"))]
pub(crate) fn is_of_tag(key: &str) -> bool {
    key.strip_prefix(START).is_some_and(|rest| rest.starts_with(TAG))
}

/// Takes the text of a key apart. `None`: it is none.
pub(crate) fn parse(key: &str) -> Option<Parsed> {
    let rest = key.strip_prefix(START)?.strip_suffix('}')?;
    if rest.starts_with(TAG) {
        return None;
    }
    // The first odd run of colons ends the name.
    let mut at = 0;
    let identity = loop {
        let colon = at + rest[at..].find(':')?;
        let run = rest[colon..].bytes().take_while(|byte| *byte == b':').count();
        at = colon + run;
        if run % 2 == 1 {
            break rest[at..].strip_prefix('v')?.split_once(':')?.1;
        }
    };
    if identity.starts_with(TOO_LONG) {
        return Some(Parsed::TooLong);
    }
    match identity.strip_prefix(DIGEST) {
        Some(hex) => Some(Parsed::Digest(*blake3::Hash::from_hex(hex).ok()?.as_bytes())),
        None => Some(Parsed::Text(unescape(identity)?)),
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Compared and hashed as its text.
impl Borrow<str> for StoreKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the keys of one function begin with, for [`Backend::clear`](super::Backend::clear).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(Box<str>);

impl Prefix {
    /// Of all keys of all functions, and of tags.
    pub(crate) fn of_all() -> Prefix {
        Prefix(START.into())
    }

    /// Of all functions of a namespace, and of those below it.
    pub(crate) fn of_namespace(namespace: &str) -> Prefix {
        // A function's name that no function has.
        let place = Place::new(namespace, "", 0);
        Prefix(place.prefix[..place.stem - ":v".len()].into())
    }

    /// The text that the keys begin with, to be taken literally.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a key is one of them.
    #[must_use]
    pub fn holds(&self, key: &str) -> bool {
        key.starts_with(&*self.0)
    }

    /// The same as a glob pattern, as Redis' `SCAN … MATCH` takes it. A namespace may hold characters that mean
    /// something there.
    #[must_use]
    pub fn glob(&self) -> String {
        let mut pattern = String::with_capacity(self.0.len() + 1);
        for c in self.0.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('*');
        pattern
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn push_digest(to: &mut String, mark: char, digest: &blake3::Hash) {
    to.push(mark);
    to.push_str(&digest.to_hex());
}

/// A text on its way into a key.
struct Escaped<'a> {
    text: &'a str,
    /// Whether a mark at the beginning would be taken for one of ours.
    marks: bool,
    /// Whether colons are escaped.
    colons: bool,
}

impl Escaped<'_> {
    fn is_plain(&self, at: usize, byte: u8) -> bool {
        match byte {
            b'{' | b'}' | b'%' => false,
            b':' => !self.colons,
            b'#' | b'~' => !(self.marks && at == 0),
            byte => byte.is_ascii_graphic(),
        }
    }

    fn length(&self) -> usize {
        self.text.bytes().enumerate().map(|(at, byte)| if self.is_plain(at, byte) { 1 } else { 3 }).sum()
    }

    fn write(&self, to: &mut String) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        for (at, byte) in self.text.bytes().enumerate() {
            if self.is_plain(at, byte) {
                to.push(char::from(byte));
            } else {
                to.push('%');
                to.push(char::from(HEX[usize::from(byte >> 4)]));
                to.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;
    use crate::key::{Content, Look, Steps};

    fn text(namespace: &str, function: &str, version: u32, id: &str) -> String {
        StoreKey::new(&Place::new(namespace, function, version), Id::Text(id)).to_string()
    }

    #[test]
    fn the_text_is_frozen() {
        assert_eq!(text("shop::prices", "quote", 3, "user:42"), "stampede:{shop::prices::quote:v3:user:42}");
        assert_eq!(text("shop", "quote", 0, ""), "stampede:{shop::quote:v0:}");
        assert_eq!(text("", "", u32::MAX, "?*[a]\\"), "stampede:{:::v4294967295:?*[a]\\}");
        assert_eq!(text("a:b::{c}", "d::e", 1, "f::g"), "stampede:{a%3Ab::%7Bc%7D::d%3A%3Ae:v1:f::g}");
        assert_eq!(text("shop", "r#type", 1, "50% off\r\n"), "stampede:{shop::r#type:v1:50%25%20off%0D%0A}");
        assert_eq!(text("~shop", "#f", 1, "#1#2"), "stampede:{%7Eshop::#f:v1:%231#2}");
        assert_eq!(text("café", "größe", 1, "東"), "stampede:{caf%C3%A9::gr%C3%B6%C3%9Fe:v1:%E6%9D%B1}");
        assert_eq!(
            StoreKey::new(&Place::new("shop", "quote", 1), Id::Digest([0xAB; 32])).as_str(),
            format!("stampede:{{shop::quote:v1:#{}}}", "ab".repeat(32)),
        );
    }

    #[test]
    fn what_is_too_long_becomes_a_digest() {
        let fits = 512 - "stampede:{shop::quote:v1:}".len();
        let longest = text("shop", "quote", 1, &"x".repeat(fits));
        assert_eq!((longest.len(), longest.ends_with("xx}")), (512, true));
        let digest = blake3::hash("x".repeat(fits + 1).as_bytes()).to_hex();
        assert_eq!(text("shop", "quote", 1, &"x".repeat(fits + 1)), format!("stampede:{{shop::quote:v1:~{digest}}}"));

        assert_eq!(text(&"n".repeat(317), "f", 1, "a").len(), START.len() + 320 + ":v1:a}".len());
        let place = [&318_u64.to_le_bytes()[..], "n".repeat(318).as_bytes(), b"f"].concat();
        let digest = blake3::hash(&place).to_hex();
        assert_eq!(text(&"n".repeat(318), "f", 1, "a"), format!("stampede:{{~{digest}:v1:a}}"));
        let longest = Place::new(&"n".repeat(317), "f", u32::MAX);
        assert!(StoreKey::new(&longest, Id::Digest([0; 32])).as_str().len() <= StoreKey::LENGTH_MAX);
    }

    #[derive(Serialize)]
    struct Request<'a> {
        model: &'a str,
        temperature: f32,
        stop: Option<Vec<&'a str>>,
    }

    #[test]
    fn digests_of_arguments_are_frozen() {
        let key = |content: Content| {
            let key = StoreKey::new(&Place::new("app", "f", 1), Id::Digest(content.digest().own())).to_string();
            key["stampede:{app::f:v1:#".len()..key.len() - 1].to_owned()
        };
        let none = || Content::new(Steps::NONE);
        let request = Request { model: "large", temperature: 0.5, stop: Some(vec!["\n"]) };
        let lists = [
            none(),
            none().field("user_id", &42_u64),
            none().field("user_id", "42"),
            none().field("topic", "Rust").field("context", &None::<&str>),
            Content::new(Steps::ALL).field("topic", "  RUST "),
            none().field("request", &request),
            none().field("map", &HashMap::from([("b", -1_i8), ("a", 0)])),
            none().field("map", &BTreeMap::from([("a", 0_u128), ("b", 1)])),
        ];
        let digests = [
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
            "0554b5c245d64370d6b5d79d96dc1ffb419bec9ac84e265553f3e117cc0b571d",
            "379b3635889d0e9a5c398cef6f44f0f0ee8da46e5ff6532c5397da2d321d4920",
            "3d4671b3a53059d45473eda49f628183f66aefc71b9683216f92bee12ab843d1",
            "da4da782c1ee2fe8ab7138231463d6adfb6eaeca40da28564e6ef568335b7549",
            "b711146b4c1c2c5e02534d333139190229caf87702a06f636a3a8db8c68a61f7",
            "78db3b8d004da6d6698a01b6fb96ac9ccb9cdf6d05c157a91c7aeffbd670fa6e",
            "65cab7efc90986b976ca24bca321dcf108f06e6978a64aaee01cd572e4690326",
        ];
        assert_eq!(lists.map(key), digests);
    }

    /// Texts full of what could confuse.
    fn tricky() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("::"),
            Just(":"),
            Just(":v1:"),
            Just("v1"),
            Just("#"),
            Just("~"),
            Just("{"),
            Just("}"),
            Just("%"),
            Just("%3A"),
            Just("a"),
            Just("b"),
            Just("é"),
            Just(" "),
            Just("\0"),
            Just("*"),
        ];
        proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    type Parts = (String, String, u32, String);

    fn parts() -> impl Strategy<Value = Parts> {
        (tricky(), tricky(), 0..12_u32, tricky())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn different_entries_never_meet(one in parts(), other in parts()) {
            let key = |(namespace, function, version, id): &Parts| text(namespace, function, *version, id);
            prop_assert_eq!(one == other, key(&one) == key(&other));
            let [mine, theirs] = [&one, &other].map(|it| Place::new(&it.0, &it.1, it.2));
            prop_assert!(mine.prefix().holds(&key(&one)) && mine.prefix_of_all_versions().holds(&key(&one)));
            let same_function = (&one.0, &one.1) == (&other.0, &other.1);
            prop_assert_eq!(mine.prefix_of_all_versions().holds(&key(&other)), same_function);
            prop_assert_eq!(mine.prefix().holds(&key(&other)), same_function && one.2 == other.2);
            let said = parse(&key(&one));
            prop_assert!(said == Some(Parsed::TooLong) || said == Some(Parsed::Text(one.3.clone())), "{said:?}");
            prop_assert_eq!(mine == theirs, same_function && one.2 == other.2);
        }

        #[test]
        fn every_key_is_short_printable_ascii(namespace in ".{0,200}", function in ".{0,200}", id in ".{0,400}") {
            let key = text(&namespace, &function, 7, &id);
            prop_assert!(key.len() <= StoreKey::LENGTH_MAX);
            prop_assert!(key.bytes().all(|byte| byte.is_ascii_graphic()));
            // One hash tag: it opens at the first brace and closes at the last character.
            prop_assert_eq!((key.matches('{').count(), key.matches('}').count(), key.ends_with('}')), (1, 1, true));
        }
    }

    #[test]
    fn a_prefix_as_a_glob_means_itself() {
        let prefix = Place::new("a*[b]", "f?\\", 1).prefix();
        assert_eq!(prefix.glob(), "stampede:{a\\*\\[b\\]::f\\?\\\\:v1:*");
    }
}
