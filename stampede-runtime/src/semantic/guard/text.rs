//! A question as guards read it: its words, folded and as they were written.

use std::ops::Range;

use unicode_normalization::char::is_combining_mark;

/// A question and its words.
pub(super) struct Text<'a> {
    pub(super) original: &'a str,
    /// The words in lower case, with a space before and after each.
    folded: String,
    words: Vec<Span>,
}

struct Span {
    original: Range<usize>,
    folded: Range<usize>,
}

/// A word: letters and digits, with apostrophes inside.
#[derive(Clone, Copy)]
pub(super) struct Word<'a> {
    pub(super) written: &'a str,
    /// In lower case, its apostrophes straight.
    pub(super) folded: &'a str,
    /// Where it begins in the question.
    pub(super) start: usize,
}

impl Word<'_> {
    pub(super) fn end(&self) -> usize {
        self.start + self.written.len()
    }
}

impl<'a> Text<'a> {
    pub(super) fn new(original: &'a str) -> Text<'a> {
        let mut text = Text { original, folded: String::with_capacity(original.len() + 1), words: Vec::new() };
        text.folded.push(' ');
        let mut rest = original.char_indices().peekable();
        while let Some((start, first)) = rest.next() {
            if !is_of_word(first) {
                continue;
            }
            let from = text.folded.len();
            fold(first, &mut text.folded);
            let mut end = start + first.len_utf8();
            while let Some(&(at, c)) = rest.peek() {
                let is_inside = is_of_word(c) || is_apostrophe(c) && is_between_letters(original, at, c);
                if !is_inside {
                    break;
                }
                fold(c, &mut text.folded);
                end = at + c.len_utf8();
                rest.next();
            }
            text.words.push(Span { original: start..end, folded: from..text.folded.len() });
            text.folded.push(' ');
        }
        text
    }

    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    pub(super) fn word(&self, at: usize) -> Option<Word<'_>> {
        let span = self.words.get(at)?;
        Some(Word {
            written: &self.original[span.original.clone()],
            folded: &self.folded[span.folded.clone()],
            start: span.original.start,
        })
    }

    pub(super) fn words(&self) -> impl Iterator<Item = Word<'_>> {
        (0..self.words.len()).filter_map(|at| self.word(at))
    }

    /// What stands between a word and the one before it, or the start.
    pub(super) fn gap_before(&self, at: usize) -> &'a str {
        let start = at.checked_sub(1).and_then(|before| self.words.get(before)).map_or(0, |span| span.original.end);
        let end = self.words.get(at).map_or(self.original.len(), |span| span.original.start);
        self.original.get(start..end).unwrap_or_default()
    }

    /// Whether a word follows the one before it with nothing between but spaces or a hyphen.
    pub(super) fn follows(&self, at: usize) -> bool {
        at > 0 && self.gap_before(at).chars().all(|c| c.is_whitespace() || is_hyphen(c))
    }

    /// The folded words that begin within a part of the question, with single spaces between and around them.
    pub(super) fn within(&self, part: Range<usize>) -> &str {
        let from = self.words.partition_point(|span| span.original.start < part.start);
        let to = self.words.partition_point(|span| span.original.start < part.end);
        match self.words.get(from..to) {
            Some([first, .., last]) => &self.folded[first.folded.start - 1..=last.folded.end],
            Some([only]) => &self.folded[only.folded.start - 1..=only.folded.end],
            _ => "",
        }
    }

    /// All folded words, with single spaces between and around them.
    pub(super) fn folded(&self) -> &str {
        &self.folded
    }
}

fn is_of_word(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() } else { c.is_alphanumeric() || is_combining_mark(c) }
}

pub(super) fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’' | 'ʼ')
}

pub(super) fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '‐' | '‑')
}

fn is_between_letters(text: &str, at: usize, c: char) -> bool {
    let before = text[..at].chars().next_back();
    let after = text[at + c.len_utf8()..].chars().next();
    [before, after].into_iter().all(|c| c.is_some_and(char::is_alphabetic))
}

fn fold(c: char, into: &mut String) {
    match c {
        'ς' => into.push('σ'),
        c if is_apostrophe(c) => into.push('\''),
        c if c.is_ascii() => into.push(c.to_ascii_lowercase()),
        c => into.extend(c.to_lowercase()),
    }
}
