//! Texts that tell partitions apart, as PostgreSQL can keep and index them.

use std::borrow::Cow;

use crate::semantic::Embedding;

/// Longer ones stand in the table as their beginning and their digest: all of a partition is in an index, whose entries
/// have at most a third of a page.
const BYTES_MAX: usize = 300;

/// A text as a column that is only ever compared: without NUL, which PostgreSQL has no place for, and not too long. Two
/// texts are never one column.
pub(super) fn column(text: &str) -> Cow<'_, str> {
    let is_plain = |text: &str| !text.contains(['\0', '\\']);
    if text.len() <= BYTES_MAX {
        return if is_plain(text) { text.into() } else { escaped(text).into() };
    }
    let start: String = text.chars().take(BYTES_MAX / 8).collect();
    format!("{}\\#{}", escaped(&start), blake3::hash(text.as_bytes()).to_hex()).into()
}

/// `\` begins what stands for something else.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\0', "\\0")
}

/// Bytes as text.
pub(super) fn hex(bytes: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*bytes).to_hex().to_string()
}

/// What stands in the place of a question's hash where all that is near to a meaning was taken out. No question has it.
pub(super) fn note(to: &Embedding, similarity: f32) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&similarity.to_le_bytes());
    for number in to.as_slice() {
        hasher.update(&number.to_le_bytes());
    }
    format!("~{}", hasher.finalize().to_hex())
}

/// Text as bytes again.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    blake3::Hash::from_hex(text).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn two_texts_are_never_one_column() {
        let long = ["a".repeat(301), "a".repeat(302), format!("{}b", "a".repeat(300)), "ä".repeat(200)];
        let mut texts: Vec<String> =
            ["", "\0", "\\", "\\0", "\\\0", "\\\\0", "a\0b", "a\\0b", "a"].map(str::to_owned).into();
        texts.extend(long.iter().map(|text| column(text).into_owned()));
        texts.extend(long);
        let columns: HashSet<_> = texts.iter().map(|text| column(text)).collect();
        assert_eq!(columns.len(), texts.len());
        assert!(columns.iter().all(|column| !column.contains('\0') && column.len() <= 2 * BYTES_MAX));
    }

    #[test]
    fn hashes_come_back() {
        assert_eq!(unhex(&hex(&[7; 32])), Some([7; 32]));
        assert_eq!(unhex("*"), None);
    }
}
