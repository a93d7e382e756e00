//! What is quoted in a question.
//!
//! Compared are the words between quotation marks, without case and punctuation. Words that are quoted in one question and
//! stand in the other without marks are no difference.

use std::collections::HashSet;

use super::text::Text;

/// The most quotations that are looked for in the other question. More that differ are a difference.
const LOOKS_MAX: usize = 16;

pub(super) fn differ(one: &Text<'_>, other: &Text<'_>) -> bool {
    let (here, there) = (quotations(one), quotations(other));
    is_one_absent(&here, &there, other) || is_one_absent(&there, &here, one)
}

fn is_one_absent(quotations: &HashSet<&str>, others: &HashSet<&str>, other: &Text<'_>) -> bool {
    let unmatched = quotations.difference(others);
    unmatched.enumerate().any(|(at, words)| at >= LOOKS_MAX || !other.folded().contains(words))
}

/// The words of each quotation, folded.
fn quotations<'a>(text: &'a Text<'_>) -> HashSet<&'a str> {
    let mut found = HashSet::new();
    // Where a quotation begins, and the marks that end it.
    let mut open: Option<(usize, &[char])> = None;
    let mut before = ' ';
    let mut rest = text.original.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let after = rest.peek().map_or(' ', |(_, c)| *c);
        match open {
            Some((from, ends)) if ends.contains(&c) && !(is_single(c) && after.is_alphanumeric()) => {
                let words = text.within(from..at);
                if !words.is_empty() {
                    found.insert(words);
                }
                open = None;
            }
            None if !(is_single(c) && (before.is_alphanumeric() || after.is_whitespace())) => {
                open = ends(c).map(|ends| (at + c.len_utf8(), ends));
            }
            _ => {}
        }
        before = c;
    }
    found
}

/// May be an apostrophe.
fn is_single(c: char) -> bool {
    matches!(c, '\'' | '‘' | '’' | '`')
}

/// The marks that end what this one begins.
fn ends(mark: char) -> Option<&'static [char]> {
    Some(match mark {
        '"' => &['"'],
        '“' | '”' | '„' | '‟' => &['”', '“', '"'],
        '«' => &['»'],
        '»' => &['«'],
        '‹' => &['›'],
        '‘' | '‚' => &['’', '‘', '\''],
        '\'' => &['\'', '’'],
        '`' => &['`', '\''],
        '「' => &['」'],
        '『' => &['』'],
        '《' => &['》'],
        _ => return None,
    })
}
