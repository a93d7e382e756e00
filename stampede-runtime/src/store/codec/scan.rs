//! A look over MessagePack before anything is made of it.
//!
//! A decoder believes what a header says: a list of four thousand million elements is made room for (up to a megabyte,
//! and again in each list inside it) before the first is missed, and variants inside variants go as deep as the stack.
//! Here nothing is believed: the bytes must be exactly one value, whose lists and maps are no deeper than they may be,
//! and every element of which is there. An element takes a byte at least, so afterwards no count in the bytes, nor all
//! of them together, is greater than the number of bytes.

use super::{CodecError, DEPTH_MAX};

/// Whether the bytes are one whole value. Allocates nothing, and does not recurse.
pub(super) fn scan(mut bytes: &[u8]) -> Result<(), CodecError> {
    // How many values are still to come at each depth.
    let mut open = [0_u64; DEPTH_MAX + 1];
    let mut depth = 0;
    open[0] = 1;
    loop {
        while open[depth] == 0 {
            if depth == 0 {
                return if bytes.is_empty() { Ok(()) } else { Err(CodecError::Malformed) };
            }
            depth -= 1;
        }
        open[depth] -= 1;
        let inside = match head(&mut bytes)? {
            Head::Skip(length) => {
                let length = usize::try_from(length).map_err(|_| CodecError::Malformed)?;
                bytes = bytes.get(length..).ok_or(CodecError::Malformed)?;
                continue;
            }
            Head::Open(inside) => inside,
        };
        if inside > bytes.len() as u64 {
            return Err(CodecError::Malformed);
        }
        depth += 1;
        if depth > DEPTH_MAX {
            return Err(CodecError::TooDeep { limit: DEPTH_MAX });
        }
        open[depth] = inside;
    }
}

/// What follows the beginning of a value.
enum Head {
    /// So many bytes that belong to it.
    Skip(u64),
    /// So many values.
    Open(u64),
}

/// Takes the beginning of a value: its kind, and its length if it has one.
fn head(bytes: &mut &[u8]) -> Result<Head, CodecError> {
    let kind = take(bytes, 1)?;
    #[expect(clippy::match_same_arms, reason = "one arm for each kind, in the order of the specification")]
    Ok(match kind {
        0x00..=0x7F => Head::Skip(0),
        0x80..=0x8F => Head::Open(2 * (kind & 15)),
        0x90..=0x9F => Head::Open(kind & 15),
        0xA0..=0xBF => Head::Skip(kind & 31),
        0xC0 | 0xC2 | 0xC3 => Head::Skip(0),
        0xC4 => Head::Skip(take(bytes, 1)?),
        0xC5 => Head::Skip(take(bytes, 2)?),
        0xC6 => Head::Skip(take(bytes, 4)?),
        0xC7 => Head::Skip(take(bytes, 1)? + 1),
        0xC8 => Head::Skip(take(bytes, 2)? + 1),
        0xC9 => Head::Skip(take(bytes, 4)? + 1),
        0xCC | 0xD0 => Head::Skip(1),
        0xCD | 0xD1 => Head::Skip(2),
        0xCA | 0xCE | 0xD2 => Head::Skip(4),
        0xCB | 0xCF | 0xD3 => Head::Skip(8),
        0xD4..=0xD8 => Head::Skip((1 << (kind - 0xD4)) + 1),
        0xD9 => Head::Skip(take(bytes, 1)?),
        0xDA => Head::Skip(take(bytes, 2)?),
        0xDB => Head::Skip(take(bytes, 4)?),
        0xDC => Head::Open(take(bytes, 2)?),
        0xDD => Head::Open(take(bytes, 4)?),
        0xDE => Head::Open(2 * take(bytes, 2)?),
        0xDF => Head::Open(2 * take(bytes, 4)?),
        0xE0..=0xFF => Head::Skip(0),
        // 0xC1 is never used.
        _ => return Err(CodecError::Malformed),
    })
}

/// Takes a number of so many bytes, big-endian.
fn take(bytes: &mut &[u8], length: usize) -> Result<u64, CodecError> {
    let (number, rest) = bytes.split_at_checked(length).ok_or(CodecError::Malformed)?;
    *bytes = rest;
    Ok(number.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_one_whole_value_and_nothing_else() {
        for whole in [&b"\xC0"[..], b"\x93\x01\xA1a\xC3", b"\x82\x01\x80\x02\x90", b"\xD4\x01\x02", b"\xC7\x00\x05"] {
            assert_eq!(scan(whole), Ok(()));
            assert_eq!(scan(&whole[..whole.len() - 1]), Err(CodecError::Malformed));
            assert_eq!(scan(&[whole, b"\xC0"].concat()), Err(CodecError::Malformed));
        }
        assert_eq!(scan(b"\xC1"), Err(CodecError::Malformed));
        assert_eq!(scan(b"\xDD\xFF\xFF\xFF\xFF\xC0"), Err(CodecError::Malformed));
        assert_eq!(scan(b"\xDF\xFF\xFF\xFF\xFF\xC0"), Err(CodecError::Malformed));
        assert_eq!(scan(b"\xDB\xFF\xFF\xFF\xFF"), Err(CodecError::Malformed));
    }

    #[test]
    fn depth_ends_where_it_must() {
        let nested = |depth| [vec![0x91; depth], vec![0xC0]].concat();
        assert_eq!(scan(&nested(DEPTH_MAX)), Ok(()));
        assert_eq!(scan(&nested(DEPTH_MAX + 1)), Err(CodecError::TooDeep { limit: DEPTH_MAX }));
        assert_eq!(scan(&nested(10_000_000)), Err(CodecError::TooDeep { limit: DEPTH_MAX }));
    }
}
