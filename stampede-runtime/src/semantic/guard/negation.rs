//! Whether a question is negated.

use super::text::Text;

pub(super) fn differ(one: &Text<'_>, other: &Text<'_>) -> bool {
    is_negated(one) != is_negated(other)
}

fn is_negated(text: &Text<'_>) -> bool {
    (0..text.len()).any(|at| {
        let word = |at: usize| text.word(at).map(|word| word.folded);
        match word(at) {
            // "or not" asks, and "not only" affirms.
            Some("not") => !(at > 0 && word(at - 1) == Some("or")) && word(at + 1) != Some("only"),
            Some(word) => NEGATIONS.binary_search(&word).is_ok() || word.ends_with("n't"),
            None => false,
        }
    })
}

/// Sorted. Also those that are written without their apostrophe.
const NEGATIONS: [&str; 30] = [
    "aint", "arent", "cannot", "cant", "couldnt", "didnt", "doesnt", "dont", "hadnt", "hasnt", "havent", "isnt",
    "lack", "lacking", "lacks", "mustnt", "neither", "never", "no", "nobody", "none", "nor", "nothing", "nowhere",
    "shouldnt", "wasnt", "werent", "without", "wont", "wouldnt",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        assert!(NEGATIONS.is_sorted());
    }

    #[test]
    fn negations_are_seen() {
        let is_negated = |text| super::is_negated(&Text::new(text));
        for text in ["I can't log in", "it DON’T work", "is it not safe", "no refund?", "cannot pay", "it isnt there"]
        {
            assert!(is_negated(text), "{text}");
        }
        for text in ["", "not", "is it safe or not?", "not only cats but dogs", "a knot, a note", "know nonsense"] {
            assert_eq!(is_negated(text), text == "not", "{text}");
        }
    }
}
