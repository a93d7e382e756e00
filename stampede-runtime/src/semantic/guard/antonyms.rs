//! Words of one question that exclude words of the other.
//!
//! A group has sides: *buy*, *bought* | *sell*, *sold*. Two questions differ where both have words of a group and no side of
//! it in common. So one that names both sides never differs by that group, and one that names none does not either.

use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::fast::RandomState;

use super::opposites::{BEGINNINGS, GROUPS, LESS_AND_FUL, PARTICLES, PREFIXED, VERBS};
use super::text::Text;

pub(super) fn differ(one: &Text<'_>, other: &Text<'_>) -> bool {
    let (one, other) = (Sides::of(one), Sides::of(other));
    do_exclude(&one.of_groups, &other.of_groups) || do_exclude(&one.of_rests, &other.of_rests)
}

/// Which sides of what are in a question, a bit each. Sorted.
struct Sides<'a> {
    of_groups: Vec<(u16, u16)>,
    /// Of words that begin with one of [`BEGINNINGS`]: which group of beginnings, and the rest of the word.
    of_rests: Vec<((usize, &'a str), u16)>,
}

/// Whether both have something of one key, and nothing in common there.
fn do_exclude<K: Ord>(one: &[(K, u16)], other: &[(K, u16)]) -> bool {
    let (mut here, mut there) = (one.iter().peekable(), other.iter().peekable());
    while let (Some((key, sides)), Some((other_key, others))) = (here.peek(), there.peek()) {
        match key.cmp(other_key) {
            std::cmp::Ordering::Less => drop(here.next()),
            std::cmp::Ordering::Greater => drop(there.next()),
            std::cmp::Ordering::Equal if sides & others == 0 => return true,
            std::cmp::Ordering::Equal => drop((here.next(), there.next())),
        }
    }
    false
}

/// Sorts, and joins what is said of one key.
fn joined<K: Ord + Copy>(mut sides: Vec<(K, u16)>) -> Vec<(K, u16)> {
    sides.sort_unstable();
    sides.dedup_by(|(key, more), (kept, sides)| {
        let is_same = key == kept;
        *sides |= if is_same { *more } else { 0 };
        is_same
    });
    sides
}

impl<'a> Sides<'a> {
    fn of(text: &'a Text<'_>) -> Sides<'a> {
        let (mut groups, mut rests) = (Vec::new(), Vec::new());
        // How many words ago there was a verb that a particle turns around.
        let mut since_verb = usize::MAX;
        for word in text.words() {
            let word = word.folded;
            if let Some(particle) = WORDS.particles.get(word).filter(|_| since_verb < 3) {
                groups.push(*particle);
                since_verb = usize::MAX;
            }
            since_verb = since_verb.saturating_add(1);
            if let Some(known) = find(word, |word| WORDS.known.get(word)) {
                groups.extend_from_slice(&known.sides);
                since_verb = if known.is_verb { 0 } else { since_verb };
            }
            rests.extend(beginnings(word));
        }
        Sides { of_groups: joined(groups), of_rests: joined(rests) }
    }
}

/// The least rest that says something.
const REST_BYTES_MIN: usize = 4;

fn beginnings(word: &str) -> impl Iterator<Item = ((usize, &str), u16)> {
    BEGINNINGS.iter().enumerate().flat_map(move |(group, sides)| {
        let rest = |side: &&str| word.strip_prefix(*side).filter(|rest| rest.len() >= REST_BYTES_MIN);
        let with_side = sides.iter().enumerate().filter_map(move |(side, begin)| Some((side, rest(begin)?)));
        with_side.map(move |(side, rest)| ((group, rest), 1 << side))
    })
}

/// What is known of a word, or else of what it may be an inflection of.
fn find<T>(word: &str, known: impl Fn(&str) -> Option<T>) -> Option<T> {
    /// Endings, and what stands in their place.
    const ENDINGS: [(&str, &[&str]); 13] = [
        ("'s", &[""]),
        ("ies", &["y"]),
        ("es", &["", "e"]),
        ("s", &[""]),
        ("ied", &["y"]),
        ("ed", &["", "e"]),
        ("ing", &["", "e"]),
        ("ily", &["y"]),
        ("ly", &["", "le"]),
        ("ier", &["y"]),
        ("er", &["", "e"]),
        ("iest", &["y"]),
        ("est", &["", "e"]),
    ];
    if let Some(found) = known(word) {
        return Some(found);
    }
    let mut base = String::new();
    for (ending, places) in ENDINGS {
        let Some(stem) = word.strip_suffix(ending).filter(|stem| stem.len() >= 2) else { continue };
        // "stopped", "bigger"
        let undoubled = match *stem.as_bytes() {
            [.., one, other] if one == other && ending != "s" => stem.get(..stem.len() - 1),
            _ => None,
        };
        if let Some(found) = undoubled.and_then(&known) {
            return Some(found);
        }
        for place in places {
            base.clear();
            base.push_str(stem);
            base.push_str(place);
            if let Some(found) = known(&base) {
                return Some(found);
            }
        }
    }
    None
}

/// What the lists say, by word.
#[derive(Default)]
struct Words {
    known: HashMap<String, Known, RandomState>,
    particles: HashMap<&'static str, (u16, u16), RandomState>,
}

/// What they say of one word.
#[derive(Default)]
struct Known {
    sides: Vec<(u16, u16)>,
    /// A particle turns its meaning around.
    is_verb: bool,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let mut words = Words::default();
    let mut number = 0;
    let mut add = |sides: &[Vec<String>]| {
        for (side, of_side) in sides.iter().enumerate() {
            for word in of_side {
                words.known.entry(word.clone()).or_default().sides.push((number, 1 << side));
            }
        }
        number += 1;
    };
    for group in GROUPS {
        let sides = group.split('|').map(|side| side.split_whitespace().map(str::to_owned).collect());
        add(&sides.collect::<Vec<_>>());
    }
    for (prefix, stems) in PREFIXED {
        for stem in stems.split_whitespace() {
            add(&[vec![stem.to_owned()], vec![format!("{prefix}{stem}")]]);
        }
    }
    for stem in LESS_AND_FUL.split_whitespace() {
        add(&[vec![format!("{stem}ful")], vec![format!("{stem}less")]]);
    }
    for verb in VERBS.split_whitespace() {
        words.known.entry(verb.to_owned()).or_default().is_verb = true;
    }
    for pair in PARTICLES {
        for (side, particle) in pair.iter().enumerate() {
            words.particles.insert(particle, (number, 1 << side));
        }
        number += 1;
    }
    words
});
