//! Files that are read whole, with limits, and refused with one sentence that says what to look at; and files that are written.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::failure::Failure;

const FILE_BYTES_MAX: usize = 64 << 20;
pub(crate) const LINE_BYTES_MAX: usize = 64 << 10;
/// How many bad lines are named before the rest is only counted.
const NAMED_MAX: usize = 5;

/// Reads a file. `parse`: what is in it, or what is wrong with it, as the rest of a sentence that begins with its name.
pub(crate) fn parse<T>(path: &Path, parse: impl FnOnce(&[u8]) -> Result<T, String>) -> Result<T, Failure> {
    let refuse = |why: String| Failure::Failed(format!("{} {why}", path.display()));
    let bytes = read(path).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(refuse(format!("is larger than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    parse(&bytes).map_err(refuse)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file, in the place of one that is there.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let refuse = |error| Failure::Failed(format!("{} cannot be written: {error}", path.display()));
    std::fs::write(path, text).map_err(refuse)
}

/// Its lines, with their numbers.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    (1..).zip(bytes.split(|&byte| byte == b'\n'))
}

/// `line 3`, `lines 3 and 4`, `lines 3, 4, 5, 6, 7 and 12 more`
pub(crate) fn name(lines: &[usize]) -> String {
    let (named, more) = lines.split_at(lines.len().min(NAMED_MAX));
    let mut parts: Vec<String> = named.iter().map(ToString::to_string).collect();
    if !more.is_empty() {
        parts.push(format!("{} more", more.len()));
    }
    match parts.as_slice() {
        [one] => format!("line {one}"),
        [some @ .., last] => format!("lines {} and {last}", some.join(", ")),
        [] => unreachable!("only lines that were found are named"),
    }
}
