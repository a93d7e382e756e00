//! An embedder that needs nothing.

use super::Embedder;
use super::embedder::Embedded;
use crate::key::Steps;

/// How many numbers a vector has. The first one is kept for texts without anything in them.
const DIMENSIONS: usize = 1024;

/// An [`Embedder`] of letters, not of meanings: texts are near when they are spelt alike.
///
/// It needs no model, no server and no time, and is for tests, for first steps, and for questions that differ in their
/// typing errors, their case and their plurals. It knows nothing of what they mean: *cheap flights* and *inexpensive air
/// travel* are as far apart as any two texts, and *is it safe* is next to *is it unsafe*. Of 6,000 pairs of real questions
/// (Quora Question Pairs), one that means the same is nearer than one that does not in 75 of 100 draws of both. Chance is 50;
/// a small sentence transformer reaches 87.
///
/// **How.** Each word's sequences of three to five characters, its beginning and its end marked, each counted by the root of
/// how often it is there, in one of 1,023 places and with one of two signs, which its hash says. First the text is
/// normalised: NFKC, case folded; punctuation at the ends of words is left out where anything else is there.
///
/// A text without anything in it, or nothing but spaces, has a direction of its own: it is as near as can be to another such
/// text, and not near to any other.
///
/// The vectors are the same in every build and on every machine; [`model_id`](Embedder::model_id) changes when they do.
///
/// **Cost**: some 10 µs for a text of 60 characters, linear in its length.
#[derive(Clone, Debug, Default)]
pub struct LexicalEmbedder {
    _room: (),
}

impl LexicalEmbedder {
    /// The embedder.
    #[must_use]
    pub fn new() -> LexicalEmbedder {
        LexicalEmbedder::default()
    }
}

impl Embedder for LexicalEmbedder {
    fn model_id(&self) -> &'static str {
        "stampede-lexical-1"
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> Embedded<'a> {
        Box::pin(async move {
            let mut vectors = Vec::with_capacity(texts.len());
            for text in texts {
                vectors.push(vector(text));
                // A long text takes milliseconds, and there may be many.
                tokio::task::yield_now().await;
            }
            Ok(vectors)
        })
    }
}

fn vector(text: &str) -> Vec<f32> {
    let mut hashes = Vec::with_capacity(text.len() * 3);
    let text = Steps::ALL.apply(text);
    let mut marked = String::new();
    for word in text.split(char::is_whitespace).filter(|word| !word.is_empty()) {
        let inner = word.trim_matches(is_punctuation);
        marked.clear();
        marked.extend([" ", if inner.is_empty() { word } else { inner }, " "]);
        sequences(&marked, &mut hashes);
    }
    // Sorted, so that equal ones are side by side and the sums are added in one order everywhere.
    hashes.sort_unstable();
    let mut vector = vec![0.0; DIMENSIONS];
    for same in hashes.chunk_by(|one, other| one == other) {
        let places = DIMENSIONS as u64 - 1;
        let place = usize::try_from(1 + (same[0] >> 1) % places).expect("it is below the number of dimensions");
        #[expect(clippy::cast_possible_truncation, reason = "a root of a small number")]
        // The root, which is rounded in the same way everywhere; a logarithm is not.
        let weight = (same.len() as f64).sqrt() as f32;
        vector[place] += if same[0] & 1 == 0 { weight } else { -weight };
    }
    if vector.iter().all(|number| *number == 0.0) {
        vector[0] = 1.0;
    }
    vector
}

/// Adds the hashes of all sequences of three to five characters.
fn sequences(marked: &str, hashes: &mut Vec<u64>) {
    let starts = || marked.char_indices().map(|(at, _)| at);
    for length in 3..=5 {
        let ends = starts().chain([marked.len()]).skip(length);
        hashes.extend(starts().zip(ends).map(|(start, end)| hash(&marked[start..end])));
    }
}

/// FNV-1a, then mixed: its last bits alone say too little. Frozen: another hash is another model.
fn hash(text: &str) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    }
    hash = (hash ^ hash >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    hash ^ hash >> 32
}

/// What stands around words and says little.
fn is_punctuation(c: char) -> bool {
    matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | '¿' | '¡' | '…' | '(' | ')' | '[' | ']' | '"' | '\'')
        || matches!(c, '“' | '”' | '‘' | '’' | '«' | '»' | '。' | '、' | '，' | '？' | '！')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::semantic::Embedding;

    fn embedding(text: &str) -> Embedding {
        Embedding::new(vector(text), DIMENSIONS).expect("every text has a direction")
    }

    fn similarity(one: &str, other: &str) -> f32 {
        embedding(one).similarity(&embedding(other)).expect("all have one number of dimensions")
    }

    #[test]
    fn the_vectors_are_frozen() {
        let places = |text: &str| {
            let vector = vector(text);
            let places = vector.into_iter().enumerate().filter(|(_, number)| *number != 0.0);
            places.collect::<Vec<_>>()
        };
        assert_eq!(places("a"), [(587, 1.0)]);
        let aha = [(16, -1.0), (294, 1.0), (820, 1.0), (841, -1.0), (870, 1.0), (956, -1.0)];
        assert_eq!(places("Aha"), aha);
        let mut hasher = blake3::Hasher::new();
        for text in ["", " ", "What is Rust?", "Straße ﬁn", "🦀 c++ 1,5", &"long words and short ".repeat(100)] {
            for number in vector(text) {
                hasher.update(&number.to_bits().to_le_bytes());
            }
        }
        assert_eq!(hasher.finalize().to_hex()[..16], *"ee7c45fd040285ba");
    }

    #[test]
    fn what_is_spelt_alike_is_near() {
        let near = |one, other, least: f32| assert!(similarity(one, other) >= least, "{one} / {other}");
        near("How do I reset my password?", "how do i reset  my PASSWORD", 0.999);
        near("Straße", "STRASSE", 0.999);
        near("ｆｕｌｌ ﬁn", "full fin", 0.999);
        near("How do I reset my password?", "How do I reset my pasword?", 0.8);
        near("How do I reset my password?", "How do I reset my passwords?", 0.9);
        assert!(similarity("cheap flights", "inexpensive air travel") < 0.2);
        assert!(similarity("c++", "c") < 0.9, "signs inside words count");
    }

    #[test]
    fn what_is_empty_is_near_to_itself_alone() {
        for empty in ["", " ", "\u{3000}\n"] {
            assert!(similarity(empty, "") > 0.999);
            assert!(similarity(empty, "a").abs() < 0.001);
        }
        assert!(similarity("?", "!") < 0.5 && similarity("🦀", "🦀 ") > 0.999);
    }

    #[tokio::test]
    async fn each_text_has_its_vector() {
        let texts = ["a", "", "b"].map(str::to_owned);
        let vectors = LexicalEmbedder::new().embed(&texts).await.unwrap();
        assert_eq!(vectors, texts.each_ref().map(|text| vector(text)));
    }

    proptest! {
        #[test]
        fn every_text_has_a_direction(text in any::<String>()) {
            prop_assert!(similarity(&text, &text) > 0.999);
        }
    }
}
