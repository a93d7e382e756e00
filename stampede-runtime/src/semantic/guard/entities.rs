//! The names in a question.
//!
//! A name is a word with a capital that does not begin a sentence, an abbreviation, or a word of letters and digits. It has to
//! be among the words of the other question, however it is written there. Where most words have a capital, as in a title,
//! only words with digits are names.

use std::collections::HashSet;

use super::text::{Text, Word};

pub(super) fn differ(one: &Text<'_>, other: &Text<'_>) -> bool {
    is_one_absent(one, other) || is_one_absent(other, one)
}

/// Whether a name of `one` is not among the words of `other`.
fn is_one_absent(one: &Text<'_>, other: &Text<'_>) -> bool {
    let mut names = names(one).peekable();
    if names.peek().is_none() {
        return false;
    }
    let words: HashSet<&str> = other.words().map(|word| stem(word.folded)).collect();
    names.any(|name| !words.contains(stem(name.folded)))
}

fn names<'a>(text: &'a Text<'_>) -> impl Iterator<Item = Word<'a>> {
    let is_title = is_title(text);
    let is_name = move |at: usize, word: &Word<'_>| {
        let is_mixed = word.written.contains(|c: char| c.is_numeric()) && word.written.contains(char::is_alphabetic);
        is_mixed && !is_ordinal(word.folded)
            || !is_title && (has_inner_capital(word.written) || has_capital(word) && !begins_sentence(text, at))
    };
    (0..text.len()).filter_map(move |at| text.word(at).filter(|word| is_name(at, word)))
}

fn has_capital(word: &Word<'_>) -> bool {
    word.written.starts_with(char::is_uppercase) && !matches!(word.folded, "i" | "i'm" | "i've" | "i'd" | "i'll")
}

/// `USA`, `iPhone`, `McDonald`; not `I'M`.
fn has_inner_capital(word: &str) -> bool {
    word.chars().skip(1).any(char::is_uppercase) && !word.starts_with("I'") && !word.starts_with("I’")
}

fn is_ordinal(word: &str) -> bool {
    ["st", "nd", "rd", "th"]
        .iter()
        .any(|end| word.strip_suffix(end).is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit())))
}

fn begins_sentence(text: &Text<'_>, at: usize) -> bool {
    at == 0 || text.gap_before(at).contains(['.', '?', '!', ':', '"', '“', '”', '\n', '(', '•', '*', '…'])
}

/// Whether capitals say nothing, because most words have one.
fn is_title(text: &Text<'_>) -> bool {
    let (mut capital, mut small) = (0, 0);
    for word in text.words().skip(1).filter(|word| word.folded != "i") {
        match word.written.chars().next() {
            Some(first) if first.is_uppercase() => capital += 1,
            Some(first) if first.is_lowercase() => small += 1,
            _ => {}
        }
    }
    capital > 2 && capital > small
}

/// Without what makes it a plural or a genitive.
fn stem(word: &str) -> &str {
    let word = word.strip_suffix("'s").unwrap_or(word);
    word.strip_suffix('s').filter(|stem| stem.len() > 1 && !stem.ends_with('s')).unwrap_or(word)
}
