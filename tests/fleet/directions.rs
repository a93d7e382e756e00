//! Questions whose meanings are written into them: `@30 …` points to 30 degrees, and what says nothing to 0. Whose a question
//! is stands before it: `acme/@30 …`.

pub(super) const DIMENSIONS: usize = 3;
/// What the attribute has where nothing is said: two questions up to 23.07 degrees apart mean the same.
const THRESHOLD: f64 = 0.92;
/// More than numbers of 32 bits are off.
const SLACK: f64 = 1e-5;

/// Whose question a key is.
pub(super) fn tenant(key: &str) -> String {
    key.split_once('/').map_or("", |(tenant, _)| tenant).to_owned()
}

/// What a key asks.
pub(super) fn question(key: &str) -> String {
    key.split_once('/').map_or(key, |(_, question)| question).to_owned()
}

fn degrees(question: &str) -> f64 {
    question.split_whitespace().find_map(|word| word.strip_prefix('@')?.parse().ok()).unwrap_or_default()
}

/// The embedding of a question.
pub(super) fn direction(question: &str) -> Vec<f32> {
    let radians = degrees(question).to_radians();
    #[expect(clippy::cast_possible_truncation, reason = "as embeddings are")]
    [radians.cos(), radians.sin(), 0.0].map(|number| number as f32).to_vec()
}

/// Whether two keys are one question, however it is written.
pub(super) fn is_one(one: &str, other: &str) -> bool {
    let words = |key| question(key).to_lowercase().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    tenant(one) == tenant(other) && words(one) == words(other)
}

/// Whether a value that was made for one key answers another.
pub(super) fn answers(made_for: &str, asked: &str) -> bool {
    let apart = (degrees(&question(made_for)) - degrees(&question(asked))).to_radians();
    tenant(made_for) == tenant(asked) && (is_one(made_for, asked) || apart.cos() >= THRESHOLD - SLACK)
}
