//! What surrounds a value's bytes in a store: what they are, how long they are good for, and that they are whole.
//!
//! All numbers are little-endian. Format 1:
//!
//! | offset | size | holds |
//! |---|---|---|
//! | 0 | 4 | `F5 73 74 6D`: ours. `F5` begins no text in UTF-8 |
//! | 4 | 1 | the format: `01` |
//! | 5 | 1 | the codec of the payload: `01` MessagePack with named fields, `02` JSON |
//! | 6 | 2 | flags: bit 0, tags follow the payload |
//! | 8 | 8 | made at, in milliseconds since 1970 (UTC) |
//! | 16 | 8 | fresh until: the soft expiry, in the same unit; `FF…` is never |
//! | 24 | 8 | of use until: the hard expiry, likewise |
//! | 32 | 4 | what making it took, in microseconds; `FF…` is that or more |
//! | 36 | 4 | the length of the payload |
//! | 40 | 8 | the first 8 bytes of the BLAKE3 digest of bytes 0 to 39 and all that follows byte 47 |
//! | 48 | | the payload; then, where flags say so, the tags; nothing after that |
//!
//! A tag: its length in bytes (2), its text in UTF-8, the token (8) that it had when the entry was made. The entry is good for
//! nothing once the store has another token for one of its tags.
//!
//! A reader refuses whatever it does not know, so a process that is rolled back finds a cold cache and no wrong values.
//! A format's bytes never change; another layout is another format. The checksum tells of damage and not of malice:
//! who may write to the store may write any value.

use std::fmt;

use super::codec::{Codec, CodecError};
use super::times::Times;

const MAGIC: [u8; 4] = *b"\xF5stm";
const FORMAT: u8 = 1;
const TAGGED: u16 = 1;

/// An entry taken apart: what it says of its payload, which is borrowed from the bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// When it was made, and how long it is good for.
    pub times: Times,
    /// How the payload is written.
    pub codec: Codec,
    /// The value's bytes.
    pub payload: &'a [u8],
    /// The tags that it has.
    pub tags: Tags<'a>,
}

/// The tags of an entry and their tokens, as they stand in it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Tags<'a>(&'a [u8]);

impl<'a> Tags<'a> {
    /// None.
    pub const NONE: Tags<'static> = Tags(&[]);

    /// Each with its token.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, u64)> + Clone {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (tag, token, after) = first_tag(rest)?;
            rest = after;
            Some((tag, token))
        })
    }

    /// Whether the bytes are tags and nothing else.
    fn is_whole(self) -> bool {
        let mut rest = self.0;
        while !rest.is_empty() {
            let Some((_, _, after)) = first_tag(rest) else { return false };
            rest = after;
        }
        true
    }
}

fn first_tag(bytes: &[u8]) -> Option<(&str, u64, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (tag, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    let (token, rest) = rest.split_first_chunk::<8>()?;
    Some((std::str::from_utf8(tag).ok()?, u64::from_le_bytes(*token), rest))
}

/// Adds tags to an entry that has none.
pub(super) fn tag<'a>(entry: &mut Vec<u8>, tags: impl Iterator<Item = (&'a str, u64)>) {
    let whole = entry.len();
    for (tag, token) in tags {
        let length = u16::try_from(tag.len()).expect("tags are short");
        entry.extend_from_slice(&length.to_le_bytes());
        entry.extend_from_slice(tag.as_bytes());
        entry.extend_from_slice(&token.to_le_bytes());
    }
    if entry.len() > whole {
        let (header, rest) = entry.split_at_mut(Envelope::HEADER_BYTES);
        header[6..8].copy_from_slice(&TAGGED.to_le_bytes());
        let sum = checksum(header, rest);
        header[40..48].copy_from_slice(&sum);
    }
}

impl fmt::Debug for Tags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tags", self.iter().count())
    }
}

impl fmt::Debug for Envelope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("times", &self.times)
            .field("codec", &self.codec)
            .field("payload_bytes", &self.payload.len())
            .field("tags", &self.tags)
            .finish()
    }
}

impl<'a> Envelope<'a> {
    /// How many bytes stand before the payload.
    pub const HEADER_BYTES: usize = 48;

    /// The bytes of an entry.
    ///
    /// # Errors
    /// [`CodecError::TooLarge`] for a payload of 4 GiB or more.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let mut entry = Vec::with_capacity(Self::HEADER_BYTES + self.payload.len());
        entry.resize(Self::HEADER_BYTES, 0);
        entry.extend_from_slice(self.payload);
        seal(&mut entry, self.times, self.codec)?;
        tag(&mut entry, self.tags.iter());
        Ok(entry)
    }

    /// Takes an entry apart. Allocates nothing.
    ///
    /// # Errors
    /// [`Refused`], for everything that is not exactly one entry with a payload of at most `payload_bytes_max`.
    pub fn decode(entry: &'a [u8], payload_bytes_max: usize) -> Result<Envelope<'a>, Refused> {
        let magic: &[u8; 4] = entry.first_chunk().ok_or(Refused::NotOurs)?;
        if *magic != MAGIC {
            return Err(Refused::NotOurs);
        }
        match entry.get(4) {
            None => return Err(Refused::Truncated),
            Some(0) => return Err(Refused::NotOurs),
            Some(&FORMAT) => {}
            Some(&newer) => return Err(Refused::NewerFormat(newer)),
        }
        let (header, rest) = entry.split_first_chunk::<{ Envelope::HEADER_BYTES }>().ok_or(Refused::Truncated)?;
        let length = u32_at(header, 36) as usize;
        let flags = u16::from_le_bytes([header[6], header[7]]);
        let most_tags = if flags & TAGGED == 0 { 0 } else { TAGS_BYTES_MAX };
        if rest.len().saturating_sub(most_tags) > payload_bytes_max {
            return Err(Refused::TooLarge { limit: payload_bytes_max });
        }
        let (payload, tags) = rest.split_at_checked(length).ok_or(Refused::Truncated)?;
        if tags.len() > most_tags {
            return Err(Refused::Trailing);
        }
        if checksum(header, rest) != header[40..48] {
            return Err(Refused::Corrupt);
        }
        // Only now: what was written whole and is unknown comes from a writer that is newer than this reader.
        if flags & !TAGGED != 0 {
            return Err(Refused::UnknownFlags(flags));
        }
        let tags = Tags(tags);
        if !tags.is_whole() {
            return Err(Refused::Corrupt);
        }
        let codec = Codec::of_byte(header[5]).ok_or(Refused::UnknownCodec(header[5]))?;
        let [made, fresh_until, use_until] = [8, 16, 24].map(|at| u64_at(header, at));
        let times = Times::read(made, fresh_until, use_until, u32_at(header, 32)).ok_or(Refused::Corrupt)?;
        Ok(Envelope { times, codec, payload, tags })
    }
}

/// What the tags of an entry take at most.
const TAGS_BYTES_MAX: usize = crate::tags::TAGS_MAX * (2 + crate::tags::TAG_BYTES_MAX + 8);

type Header = [u8; Envelope::HEADER_BYTES];

fn u32_at(header: &Header, at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|byte| header[at + byte]))
}

fn u64_at(header: &Header, at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|byte| header[at + byte]))
}

fn checksum(header: &[u8], payload: &[u8]) -> [u8; 8] {
    let digest = *blake3::Hasher::new().update(&header[..40]).update(payload).finalize().as_bytes();
    std::array::from_fn(|byte| digest[byte])
}

/// Writes the header into the room that was left for it before the payload.
pub(super) fn seal(entry: &mut [u8], times: Times, codec: Codec) -> Result<(), CodecError> {
    let (header, payload) = entry.split_at_mut(Envelope::HEADER_BYTES);
    let length = u32::try_from(payload.len()).map_err(|_| CodecError::TooLarge { limit: u32::MAX as usize })?;
    header[..4].copy_from_slice(&MAGIC);
    header[4..8].copy_from_slice(&[FORMAT, codec.byte(), 0, 0]);
    header[8..16].copy_from_slice(&times.made().get().to_le_bytes());
    header[16..24].copy_from_slice(&times.fresh_until().get().to_le_bytes());
    header[24..32].copy_from_slice(&times.use_until().get().to_le_bytes());
    header[32..36].copy_from_slice(&times.cost_micros().to_le_bytes());
    header[36..40].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(header, payload);
    header[40..48].copy_from_slice(&sum);
    Ok(())
}

/// Why bytes from a store are not an entry to serve. Each is a miss to the caller, and counted as what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// Something else stands under this key. Give this store, or this key, to stampede alone.
    NotOurs,
    /// A newer version of stampede wrote this, in the format of this number. It will be overwritten.
    NewerFormat(u8),
    /// A newer version of stampede wrote this, with a codec of this number.
    UnknownCodec(u8),
    /// A newer version of stampede wrote this, with a property that this one does not know.
    UnknownFlags(u16),
    /// The entry's end is missing. The store, or something between, cuts values.
    Truncated,
    /// Something follows the entry.
    Trailing,
    /// The entry is damaged: it does not match its checksum.
    Corrupt,
    /// The payload has more bytes than the reader takes.
    TooLarge {
        /// How many it takes.
        limit: usize,
    },
    /// The entry is whole, and past its hard expiry.
    Expired,
    /// The payload could not become the value. The type has changed: raise the function's `version`.
    Undecodable(CodecError),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NotOurs => f.write_str("not an entry of stampede"),
            Refused::NewerFormat(format) => write!(f, "written by a newer version, in format {format}"),
            Refused::UnknownCodec(codec) => write!(f, "written by a newer version, with codec {codec}"),
            Refused::UnknownFlags(flags) => write!(f, "written by a newer version, with flags {flags:#06x}"),
            Refused::Truncated => f.write_str("the end of the entry is missing"),
            Refused::Trailing => f.write_str("something follows the entry"),
            Refused::Corrupt => f.write_str("the entry does not match its checksum"),
            Refused::TooLarge { limit } => write!(f, "the payload has more than {limit} bytes"),
            Refused::Expired => f.write_str("the entry has expired"),
            Refused::Undecodable(_) => f.write_str("the payload could not be decoded"),
        }
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Refused::Undecodable(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::UnixMillis;

    fn entry(payload: &[u8]) -> Vec<u8> {
        let times = Times::new(UnixMillis::new(1), Duration::from_secs(2), Duration::from_secs(3), Duration::ZERO);
        Envelope { times, codec: Codec::Json, payload, tags: Tags::NONE }.encode().unwrap()
    }

    fn refused(entry: &[u8]) -> Refused {
        Envelope::decode(entry, 100).unwrap_err()
    }

    /// An entry whose byte was set by a writer that knew what it did.
    fn resealed(at: usize, byte: u8) -> Vec<u8> {
        let mut entry = entry(b"null");
        entry[at] = byte;
        let sum = checksum(&entry[..Envelope::HEADER_BYTES], &entry[Envelope::HEADER_BYTES..]);
        entry[40..48].copy_from_slice(&sum);
        entry
    }

    #[test]
    fn what_goes_in_comes_out() {
        for payload in [&b""[..], b"null", &[0xFF; 100]] {
            let entry = entry(payload);
            let envelope = Envelope::decode(&entry, 100).unwrap();
            assert_eq!((envelope.payload, envelope.codec), (payload, Codec::Json));
            assert_eq!(envelope.times.fresh_until(), UnixMillis::new(2001));
            assert_eq!(envelope.times.use_until(), UnixMillis::new(5001));
        }
    }

    #[test]
    fn what_is_not_ours_is_told_apart_from_what_is_newer_or_damaged() {
        assert_eq!(refused(b""), Refused::NotOurs);
        assert_eq!(refused(b"{\"value\": 1}"), Refused::NotOurs);
        assert_eq!(refused(&MAGIC), Refused::Truncated);
        assert_eq!(refused(&[&MAGIC[..], &[0; 60]].concat()), Refused::NotOurs);
        assert_eq!(refused(&[&MAGIC[..], &[2]].concat()), Refused::NewerFormat(2));
        assert_eq!(refused(&resealed(5, 3)), Refused::UnknownCodec(3));
        assert_eq!(refused(&resealed(7, 1)), Refused::UnknownFlags(256));
        assert_eq!(refused(&resealed(23, 0xFF)), Refused::Corrupt, "the times are out of order");
        assert_eq!(refused(&entry(&[0; 101])), Refused::TooLarge { limit: 100 });
        assert_eq!(refused(&[entry(b"null"), vec![0]].concat()), Refused::Trailing);
    }

    #[test]
    fn tags_stand_behind_the_payload() {
        let mut tagged = entry(b"null");
        let tags = [("user:7", 14), ("", u64::MAX), ("größe", 1)];
        tag(&mut tagged, tags.into_iter());
        let envelope = Envelope::decode(&tagged, 4).unwrap();
        assert_eq!((envelope.payload, envelope.tags.iter().collect::<Vec<_>>()), (&b"null"[..], tags.to_vec()));
        assert_eq!(envelope.encode().unwrap(), tagged);
        for length in 0..tagged.len() {
            assert!(Envelope::decode(&tagged[..length], 100).is_err(), "cut to {length}");
        }
        for bit in 0..tagged.len() * 8 {
            let mut damaged = tagged.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Envelope::decode(&damaged, 100).is_err(), "bit {bit}");
        }
        let mut none = entry(b"null");
        tag(&mut none, std::iter::empty());
        assert_eq!(none, entry(b"null"));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_refused() {
        let whole = entry(b"[1, 2, 3]");
        for length in 0..whole.len() {
            let expected = if length < 4 { Refused::NotOurs } else { Refused::Truncated };
            assert_eq!(refused(&whole[..length]), expected, "cut to {length}");
        }
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let seen = refused(&damaged);
            let expected = match bit / 8 {
                0..4 => matches!(seen, Refused::NotOurs),
                4 => matches!(seen, Refused::NotOurs | Refused::NewerFormat(_)),
                36..40 => matches!(seen, Refused::Truncated | Refused::Trailing),
                _ => seen == Refused::Corrupt,
            };
            assert!(expected, "bit {bit}: {seen:?}");
        }
    }
}
