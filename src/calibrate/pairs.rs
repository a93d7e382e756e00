//! The file of pairs.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};
use stampede_runtime::semantic::QUESTION_BYTES_MAX;
use unicode_normalization::UnicodeNormalization as _;

use crate::failure::Failure;
use crate::file::{self, LINE_BYTES_MAX, name};

const PAIRS_MAX: usize = 100_000;

/// Two questions, and whether they mean the same.
#[derive(Debug, PartialEq)]
pub(super) struct Pair {
    pub(super) questions: [String; 2],
    pub(super) is_same: bool,
}

#[derive(Deserialize)]
struct Line {
    a: String,
    b: String,
    label: Value,
}

/// Reads the pairs in `path`.
pub(super) fn read(path: &Path) -> Result<Vec<Pair>, Failure> {
    file::parse(path, parse)
}

fn parse(bytes: &[u8]) -> Result<Vec<Pair>, String> {
    let (mut pairs, mut wrong, mut too_long) = (Vec::new(), Vec::new(), Vec::new());
    for (number, line) in file::lines(bytes) {
        if line.len() > LINE_BYTES_MAX {
            too_long.push(number);
        } else if !line.trim_ascii().is_empty() {
            match pair(line) {
                Some(pair) if pair.questions.iter().all(|question| question.len() <= QUESTION_BYTES_MAX) => {
                    pairs.push(pair);
                }
                Some(_) => too_long.push(number),
                None => wrong.push(number),
            }
        }
    }
    if !wrong.is_empty() {
        let what = if wrong.len() == 1 { "is no pair" } else { "are no pairs" };
        return Err(format!("has {} that {what}, such as {{\"a\": \"…\", \"b\": \"…\", \"label\": 1}}", name(&wrong)));
    }
    if !too_long.is_empty() {
        return Err(format!("has a question of more than {} KiB in {}", QUESTION_BYTES_MAX >> 10, name(&too_long)));
    }
    match pairs.len() {
        0 => Err("has no pairs in it: every line is empty".to_owned()),
        1..=PAIRS_MAX => Ok(pairs),
        count => Err(format!("has {count} pairs, and {PAIRS_MAX} are the most")),
    }
}

fn pair(line: &[u8]) -> Option<Pair> {
    // An object first: a list of three would do for the other.
    let object: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let Line { a, b, label } = serde_json::from_value(object.into()).ok()?;
    let is_same = match label {
        Value::Bool(is_same) => is_same,
        Value::Number(number) => match number.as_u64()? {
            0 => false,
            1 => true,
            _ => return None,
        },
        _ => return None,
    };
    let questions = [a, b].map(|question| normal(&question));
    questions.iter().all(|question| !question.is_empty()).then_some(Pair { questions, is_same })
}

/// What of a question is embedded: it, composed, with single spaces.
fn normal(question: &str) -> String {
    let composed: String = question.nfkc().collect();
    composed.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> Pair {
        Pair { questions: [a, b].map(str::to_owned), is_same: true }
    }

    #[test]
    fn a_pair_is_a_line_in_the_form_that_is_embedded() {
        let text = "\u{feff}{\"a\": \" A \\t b\", \"b\": \"ﬁne\", \"label\": 1, \"more\": []}\r\n\n\
                    {\"label\": true, \"b\": \"d\", \"a\": \"c\"}\n{\"a\": \"e\", \"b\": \"f\", \"label\": 0}";
        let different = Pair { is_same: false, ..same("e", "f") };
        assert_eq!(parse(text.as_bytes()).unwrap(), [same("A b", "fine"), same("c", "d"), different]);
    }

    #[test]
    fn bad_lines_are_named_and_not_shown() {
        let good = r#"{"a": "a", "b": "b", "label": 1}"#;
        let bad = [
            "secret",
            r#"["secret", "b", 1]"#,
            r#"{"a": "secret", "b": "b"}"#,
            r#"{"a": "secret", "b": "b", "label": 2}"#,
            r#"{"a": "secret", "b": "b", "label": "1"}"#,
            r#"{"a": "secret", "b": "b", "label": 0.5}"#,
            r#"{"a": "secret", "b": " ", "label": 1}"#,
            r#"{"a": 1, "b": "secret", "label": 1}"#,
            "\u{ff}secret",
        ];
        for line in bad {
            let why = parse(format!("{good}\n{line}\n").as_bytes()).unwrap_err();
            assert_eq!(why, r#"has line 2 that is no pair, such as {"a": "…", "b": "…", "label": 1}"#, "{line}");
        }
        assert!(parse(b"\xff").unwrap_err().starts_with("has line 1 that is no pair"));
        assert!(
            parse(bad.join("\n").as_bytes())
                .unwrap_err()
                .starts_with("has lines 1, 2, 3, 4, 5 and 4 more that are no pairs")
        );
    }

    #[test]
    fn there_are_limits() {
        assert_eq!(parse(b"\n \n").unwrap_err(), "has no pairs in it: every line is empty");
        let long = format!(r#"{{"a": "{}", "b": "b", "label": 1}}"#, "x".repeat(QUESTION_BYTES_MAX + 1));
        assert_eq!(parse(long.as_bytes()).unwrap_err(), "has a question of more than 32 KiB in line 1");
        let longer = format!(r#"{{"a": "{}", "b": "b", "label": 1}}"#, " ".repeat(LINE_BYTES_MAX));
        assert_eq!(parse(longer.as_bytes()).unwrap_err(), "has a question of more than 32 KiB in line 1");
        let many = "{\"a\": \"a\", \"b\": \"b\", \"label\": 1}\n".repeat(PAIRS_MAX + 1);
        assert_eq!(parse(many.as_bytes()).unwrap_err(), "has 100001 pairs, and 100000 are the most");
    }
}
