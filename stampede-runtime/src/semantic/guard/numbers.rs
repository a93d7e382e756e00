//! The numbers of a question.
//!
//! Compared is which numbers there are, not how often or in which order.
//!
//! | written | is |
//! |---|---|
//! | `1,000` · `10,00,000` · `1_000` | 1000 · 1000000 · 1000 |
//! | `2.5` · `5.00` · `3.10` | 2.5 · 5 · 3.10, which is not 3.1: it may be a version |
//! | `1.2.3` | itself |
//! | `10k` · `3bn` · `2.5 million` · `5 lakh` | 10000 · 3000000000 · 2500000 · 500000 |
//! | `50%` · `50 per cent` · `fifty percent` | 50 %, which is not 50 |
//! | `-5` · `minus five` · `x=-5` | -5, where nothing stands before it that it could be taken from |
//! | `twenty-one` · `two hundred and five` · `a million` | 21 · 205 · 1000000 |
//! | `21st` · `twenty-first` | 21 |
//! | `d5200` · `5km` | 5200 · 5 |
//!
//! Units are not compared. Words that often are no numbers say less: *one* never makes a difference, and *first*, *second*
//! and Roman numerals do only where both questions have one that the other has not.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::text::{Text, Word, is_hyphen};

/// How much the absence of a number from the other question says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// Nothing.
    Silent,
    /// That they differ, if the other has one that is absent here.
    Soft,
    /// That they differ.
    Firm,
}

/// Numbers in one way of writing, sorted, each once.
struct Numbers {
    digits: String,
    all: Vec<Number>,
}

struct Number {
    from: usize,
    to: usize,
    weight: Weight,
}

pub(super) fn differ(one: &Text<'_>, other: &Text<'_>) -> bool {
    let (one, other) = (Numbers::of(one), Numbers::of(other));
    let (here, there) = (one.absent_from(&other), other.absent_from(&one));
    let most = here.max(there);
    most == Some(Weight::Firm) || here == Some(Weight::Soft) && there == here
}

impl Numbers {
    fn of(text: &Text<'_>) -> Numbers {
        let mut numbers = Numbers { digits: String::new(), all: Vec::new() };
        let mut at = 0;
        while let Some(word) = text.word(at) {
            at = if word.written.contains(char::is_numeric) {
                numbers.written(text, at, word)
            } else {
                numbers.spelt(text, at).unwrap_or(at + 1)
            };
        }
        let Numbers { digits, all } = &mut numbers;
        let text = |number: &Number| &digits[number.from..number.to];
        // Of equal ones the firmest comes first and stays.
        all.sort_unstable_by(|a, b| text(a).cmp(text(b)).then(b.weight.cmp(&a.weight)));
        all.dedup_by(|b, a| text(a) == text(b));
        numbers
    }

    /// The greatest weight of those that the other has not.
    fn absent_from(&self, other: &Numbers) -> Option<Weight> {
        let is_there = |number: &&Number| {
            let text = &self.digits[number.from..number.to];
            other.all.binary_search_by(|probe| other.digits[probe.from..probe.to].cmp(text)).is_ok()
        };
        self.all.iter().filter(|number| !is_there(number)).map(|number| number.weight).max()
    }

    /// Adds a number: what stands before and after its point, and by how many digits the point is too far to the left.
    fn push(&mut self, is_negative: bool, [whole, part]: [&str; 2], shift: usize, suffix: &str, weight: Weight) {
        let from = self.digits.len();
        if is_negative {
            self.digits.push('-');
        }
        let first = self.digits.len();
        let part_digits = || part.chars().filter(char::is_ascii_digit);
        let digits = whole.chars().filter(|c| c.is_numeric()).chain(part_digits().take(shift));
        // Zeros at the front say nothing.
        self.digits.extend(digits.skip_while(|c| *c == '0'));
        if self.digits.len() > first {
            let missing = shift.saturating_sub(part_digits().count());
            self.digits.extend(std::iter::repeat_n('0', missing));
        } else {
            self.digits.push('0');
        }
        if part_digits().skip(shift).any(|c| c != '0') {
            self.digits.push('.');
            self.digits.extend(part_digits().skip(shift));
        }
        self.digits.push_str(suffix);
        self.all.push(Number { from, to: self.digits.len(), weight });
    }

    /// Adds the numbers of a word with digits; returns which word comes next.
    fn written(&mut self, text: &Text<'_>, at: usize, word: Word<'_>) -> usize {
        let all = text.original;
        let mut start = word.start;
        let mut next = at + 1;
        while let Some(offset) = all[start..].find(char::is_numeric).filter(|offset| start + offset < word.end()) {
            start += offset;
            let run = Run::at(&all[start..]);
            let end = start + run.length;
            // What it takes in of the words that follow.
            while text.word(next).is_some_and(|following| following.start < end) {
                next += 1;
            }
            let last = text.word(next - 1).map_or(end, |last| last.end());
            let is_negative = start == word.start && is_negative(text, at);
            if run.is_version {
                let from = self.digits.len();
                self.digits.push_str(&all[start..end]);
                self.all.push(Number { from, to: self.digits.len(), weight: Weight::Firm });
            } else {
                let mut shift = shift_of(&all[end..last.max(end)]);
                if end >= last || shift > 0 {
                    while let Some(more) =
                        text.word(next).filter(|_| text.follows(next)).and_then(|word| scale(word.folded))
                        && shift + more <= SHIFT_MAX
                    {
                        shift += more;
                        next += 1;
                    }
                }
                let suffix = percent(text, &mut next);
                self.push(is_negative, run.digits(&all[start..]), shift, suffix, Weight::Firm);
            }
            start = end;
            if start >= word.end() {
                break;
            }
        }
        next
    }

    /// Adds the number that begins with this word, if one does; returns which word comes next.
    fn spelt(&mut self, text: &Text<'_>, at: usize) -> Option<usize> {
        let word = text.word(at)?;
        if let Some(value) = roman(word.written) {
            self.push(false, [&value.to_string(), ""], 0, "", Weight::Soft);
            return Some(at + 1);
        }
        let (value, mut next) = spelt(text, at)?;
        let suffix = percent(text, &mut next);
        let weight = match word.folded {
            _ if next > at + 1 => Weight::Firm,
            "one" => Weight::Silent,
            "first" | "second" => Weight::Soft,
            _ => Weight::Firm,
        };
        self.push(is_negative(text, at), [&value.to_string(), ""], 0, suffix, weight);
        Some(next)
    }
}

/// Digits as they are written, at the start of a text.
struct Run {
    length: usize,
    /// Where the point is, if there is one.
    point: Option<usize>,
    is_version: bool,
}

impl Run {
    fn at(text: &str) -> Run {
        let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
        let mut length = digits(0);
        if length == 0 {
            // Digits of another script are compared as they are.
            let length = text.find(|c: char| !c.is_numeric() || c.is_ascii()).unwrap_or(text.len());
            return Run { length, point: None, is_version: true };
        }
        if length <= 3 {
            length = grouped(text, length);
        }
        let is_point = |at: usize| text[at..].starts_with('.') && digits(at + 1) > 0;
        if !is_point(length) {
            return Run { length, point: None, is_version: false };
        }
        let point = length;
        length += 1 + digits(length + 1);
        let is_version = is_point(length);
        while is_point(length) {
            length += 1 + digits(length + 1);
        }
        Run { length, point: Some(point), is_version }
    }

    fn digits<'a>(&self, text: &'a str) -> [&'a str; 2] {
        match self.point {
            Some(point) => [&text[..point], &text[point + 1..self.length]],
            None => [&text[..self.length], ""],
        }
    }
}

/// The end of a number whose digits come in groups: of three, or of two and at last three.
fn grouped(text: &str, first: usize) -> usize {
    let Some(mark) = text[first..].chars().next().filter(|c| matches!(c, ',' | '_' | '\'' | '’')) else {
        return first;
    };
    let (mut at, mut end) = (first, first);
    // More is a list, which is not to be read to its end from each of its numbers.
    for _ in 0..GROUPS_MAX {
        if !text[at..].starts_with(mark) {
            break;
        }
        let from = at + mark.len_utf8();
        let count = text[from..].bytes().take_while(u8::is_ascii_digit).count();
        if count != 3 && !(count == 2 && mark == ',') {
            break;
        }
        at = from + count;
        if count == 3 {
            end = at;
        }
    }
    // Groups of two without three at the end are a list, and so is all that came before them.
    if at == end { end } else { first }
}

/// How many groups a number has after its first.
const GROUPS_MAX: usize = 12;
/// More zeros are no number that anyone means.
const SHIFT_MAX: usize = 15;

/// Directly behind digits, in the same word.
fn shift_of(suffix: &str) -> usize {
    match suffix {
        "k" | "K" => 3,
        "bn" => 9,
        _ => 0,
    }
}

/// How many zeros a word stands for behind a number.
fn scale(word: &str) -> Option<usize> {
    Some(match word {
        "hundred" => 2,
        "thousand" => 3,
        "lakh" | "lakhs" | "lac" | "lacs" => 5,
        "million" | "millions" => 6,
        "crore" | "crores" => 7,
        "billion" | "billions" => 9,
        "trillion" | "trillions" => 12,
        _ => return None,
    })
}

/// A sign or a word for it behind a number that ends before the word `next`.
fn percent(text: &Text<'_>, next: &mut usize) -> &'static str {
    if text.gap_before(*next).trim_start().starts_with(['%', '％']) {
        return "%";
    }
    let word = |at| text.word(at).filter(|_| text.follows(at)).map(|word| word.folded);
    match (word(*next), word(*next + 1)) {
        (Some("percent" | "pct"), _) => *next += 1,
        (Some("per"), Some("cent")) => *next += 2,
        _ => return "",
    }
    "%"
}

/// Whether a minus stands before a word and nothing that it could be taken from.
fn is_negative(text: &Text<'_>, at: usize) -> bool {
    let gap = text.gap_before(at);
    let is_number = |word: Word<'_>| word.written.contains(char::is_numeric) || value(word.folded).is_some();
    let before = at.checked_sub(1).and_then(|before| text.word(before));
    if let Some(sign) = gap.strip_suffix(|c| is_hyphen(c) || c == '−') {
        return if sign.is_empty() {
            before.is_none()
        } else {
            sign.ends_with(|c: char| c.is_whitespace() || "([{=<>≤≥≈≠~^*/×÷·+,;:|$€£".contains(c))
        };
    }
    let is_minus = before.is_some_and(|before| before.folded == "minus") && text.follows(at);
    is_minus && !at.checked_sub(2).and_then(|at| text.word(at)).is_some_and(is_number)
}

/// What a word stands for in a number that is spelt.
#[derive(Clone, Copy)]
enum Spelt {
    /// Up to nineteen, and the tens.
    Small(u64),
    /// A hundred, a thousand and so on.
    Scale(u64),
}

/// What a word stands for, and whether a number ends with it.
fn value(word: &str) -> Option<(Spelt, bool)> {
    static VALUES: LazyLock<HashMap<&str, (Spelt, bool)>> = LazyLock::new(|| {
        let numbers = || (0..20).chain((20..100).step_by(10)).map(Spelt::Small);
        let words = |words: &'static str, is_end| words.split_whitespace().zip(numbers().map(move |of| (of, is_end)));
        words(CARDINALS, false).chain(words(ORDINALS, true)).collect()
    });
    if let Some(value) = VALUES.get(word) {
        return Some(*value);
    }
    let cardinal = word.strip_suffix("th");
    // Hundreds and millions of something are no number.
    let zeros = scale(cardinal.unwrap_or(word)).filter(|_| !word.ends_with('s'))?;
    Some((Spelt::Scale(10_u64.pow(u32::try_from(zeros).ok()?)), cardinal.is_some()))
}

/// From zero to twenty, then the tens.
const CARDINALS: &str = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen \
                         sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety";
const ORDINALS: &str = "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth \
                        thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth \
                        thirtieth fortieth fiftieth sixtieth seventieth eightieth ninetieth";

/// The number that is spelt from a word on, and the word behind it.
fn spelt(text: &Text<'_>, from: usize) -> Option<(u64, usize)> {
    // What is complete, what is below the next scale, and that scale.
    let (mut total, mut group, mut below) = (0, 0_u64, u64::MAX);
    let mut at = from;
    while at == from || text.follows(at) {
        let Some(word) = text.word(at) else { break };
        // "two hundred and five"
        let is_joint = word.folded == "and" && at > from && group % 100 == 0 && (group > 0 || below < u64::MAX);
        let at_value = if is_joint { at + 1 } else { at };
        let spelt = text.word(at_value).filter(|_| !is_joint || text.follows(at_value));
        let Some((spelt, is_end)) = spelt.and_then(|word| value(word.folded)) else { break };
        match spelt {
            Spelt::Small(small) if at == from => group = small,
            Spelt::Small(small) => {
                let has_room = group % 100 == 0 && (group > 0 || below < u64::MAX)
                    || (1..10).contains(&small) && group % 100 >= 20 && group % 10 == 0;
                if !has_room || small == 0 {
                    break;
                }
                group += small;
            }
            Spelt::Scale(_) if is_joint => break,
            Spelt::Scale(100) if at == from => group = 100,
            Spelt::Scale(100) if (1..100).contains(&group) => group *= 100,
            Spelt::Scale(scale) if scale > 100 && scale < below && (group > 0 || at == from) => {
                total += group.max(1) * scale;
                (group, below) = (0, scale);
            }
            Spelt::Scale(_) => break,
        }
        at = at_value + 1;
        if is_end {
            break;
        }
    }
    (at > from).then_some((total + group, at))
}

/// A Roman numeral of at least two letters, up to twenty.
fn roman(word: &str) -> Option<usize> {
    // What has one letter is a letter.
    const NUMERALS: &str = "- II III IV - VI VII VIII IX - XI XII XIII XIV XV XVI XVII XVIII XIX XX";
    if !word.bytes().all(|byte| matches!(byte, b'I' | b'V' | b'X')) {
        return None;
    }
    NUMERALS.split(' ').position(|numeral| numeral == word).map(|at| at + 1)
}
