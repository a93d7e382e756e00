//! What turns a near hit into a miss where closeness deceives.

use std::fmt;

use self::text::Text;

mod antonyms;
mod entities;
mod negation;
mod numbers;
mod opposites;
mod quoted;
#[cfg(test)]
mod tests;
mod text;

/// One way to see that two questions differ although they are near.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Guard {
    /// Their numbers differ: digits, decimal signs, words for numbers.
    Numbers,
    /// One says the opposite of a word of the other: *increase*, *decrease*.
    Antonyms,
    /// One is negated and the other is not.
    Negation,
    /// Their names differ: words with a capital inside a sentence, abbreviations.
    Entities,
    /// What stands between quotation marks differs.
    Quoted,
}

impl Guard {
    /// All of them, in the order in which they are asked.
    pub const ALL: [Guard; 5] = [Guard::Numbers, Guard::Antonyms, Guard::Negation, Guard::Entities, Guard::Quoted];

    /// As attributes, files and statistics spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Guard::Numbers => "numbers",
            Guard::Antonyms => "antonyms",
            Guard::Negation => "negation",
            Guard::Entities => "entities",
            Guard::Quoted => "quoted",
        }
    }

    fn sees_that_they_differ(self, one: &Text<'_>, other: &Text<'_>) -> bool {
        match self {
            Guard::Numbers => numbers::differ(one, other),
            Guard::Antonyms => antonyms::differ(one, other),
            Guard::Negation => negation::differ(one, other),
            Guard::Entities => entities::differ(one, other),
            Guard::Quoted => quoted::differ(one, other),
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The guards that are on. By default `numbers` and `antonyms`.
///
/// What they cost and gain depends on the questions. Of 1,831 pairs of real ones that are spelt alike (Quora Question Pairs, at
/// least 0.7 by a [`LexicalEmbedder`](super::LexicalEmbedder)), refused are:
///
/// | | that do not mean the same | that do |
/// |---|---|---|
/// | `numbers` | 8.4 % | 3.8 % |
/// | `antonyms` | 1.4 % | 0.2 % |
/// | `negation` | 3.2 % | 1.3 % |
/// | `entities` | 36.9 % | 10.1 % |
/// | `quoted` | 0.9 % | 0.2 % |
/// | by default | 9.8 % | 4.0 % |
/// | all | 47.5 % | 14.2 % |
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Guards(u8);

impl Guards {
    /// None.
    pub const NONE: Guards = Guards(0);

    /// These.
    #[must_use]
    pub const fn of(guards: &[Guard]) -> Guards {
        let (mut bits, mut at) = (0, 0);
        while at < guards.len() {
            bits |= 1 << guards[at] as u8;
            at += 1;
        }
        Guards(bits)
    }

    /// Those of the names that are a guard's.
    pub(crate) fn named(names: &[&str]) -> Guards {
        let guards = Guard::ALL.into_iter().filter(|guard| names.contains(&guard.name()));
        guards.fold(Guards::NONE, |Guards(bits), guard| Guards(bits | 1 << guard as u8))
    }

    /// Whether a guard is on.
    #[must_use]
    pub fn has(self, guard: Guard) -> bool {
        self.0 & 1 << guard as u8 != 0
    }

    /// The first guard that is on and sees that the questions differ. It makes no difference which of them was asked first.
    ///
    /// Guards look at words, not at meanings, and know English: they miss differences, and see some where there are none. The
    /// price of the one is a wrong answer, that of the other an execution.
    ///
    /// **Cost**: some 5 µs for two questions of 60 characters, linear in the length of both.
    #[must_use]
    pub fn refuse(self, asked: &str, kept: &str) -> Option<Guard> {
        if self == Guards::NONE || asked == kept {
            return None;
        }
        let (asked, kept) = (Text::new(asked), Text::new(kept));
        Guard::ALL.into_iter().find(|guard| self.has(*guard) && guard.sees_that_they_differ(&asked, &kept))
    }
}

impl Default for Guards {
    fn default() -> Guards {
        Guards::of(&[Guard::Numbers, Guard::Antonyms])
    }
}

impl fmt::Debug for Guards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Guard::ALL.into_iter().filter(|guard| self.has(*guard))).finish()
    }
}
