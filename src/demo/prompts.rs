//! The file of prompts: read whole, with limits, and refused with one sentence that says what to look at.

use std::collections::HashSet;
use std::path::Path;

use unicase::UniCase;
use unicode_normalization::UnicodeNormalization as _;

use crate::failure::Failure;
use crate::file::{self, LINE_BYTES_MAX, name};

/// Reads the prompts in `path`, each once.
pub(crate) fn read(path: &Path) -> Result<Vec<String>, Failure> {
    file::parse(path, parse)
}

fn parse(bytes: &[u8]) -> Result<Vec<String>, String> {
    let (mut prompts, mut not_text, mut too_long) = (Vec::new(), Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for (line, bytes) in file::lines(bytes) {
        if bytes.len() > LINE_BYTES_MAX {
            too_long.push(line);
            continue;
        }
        let Ok(text) = str::from_utf8(bytes) else {
            not_text.push(line);
            continue;
        };
        let prompt = text.trim();
        if !prompt.is_empty() && seen.insert(content(prompt)) {
            prompts.push(prompt.to_owned());
        }
    }
    if !not_text.is_empty() {
        return Err(format!("is not UTF-8 text in {}", name(&not_text)));
    }
    if !too_long.is_empty() {
        return Err(format!("has more than {} KiB in {}", LINE_BYTES_MAX >> 10, name(&too_long)));
    }
    if prompts.is_empty() {
        return Err("has no prompts in it: every line is empty".to_owned());
    }
    Ok(prompts)
}

/// What makes two prompts the same to `coalesce_by_content`.
pub(crate) fn content(prompt: &str) -> UniCase<String> {
    let composed: String = prompt.nfkc().collect();
    UniCase::unicode(composed.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_a_line_and_each_counts_once() {
        let text = "\u{feff}Why is the sky blue?\r\n\n  what is rust? \nWHY IS  THE SKY BLUE?\nWhat is Rust?";
        assert_eq!(parse(text.as_bytes()).unwrap(), ["Why is the sky blue?", "what is rust?"]);
    }

    #[test]
    fn bad_lines_are_named() {
        assert_eq!(parse(b"one\ntwo\xff\nthree").unwrap_err(), "is not UTF-8 text in line 2");
        assert_eq!(parse(b"\xff\n\xff\nthree").unwrap_err(), "is not UTF-8 text in lines 1 and 2");
        let many = parse(&b"\xff\n".repeat(9)).unwrap_err();
        assert_eq!(many, "is not UTF-8 text in lines 1, 2, 3, 4, 5 and 4 more");
        let long = parse(&vec![b'x'; LINE_BYTES_MAX + 1]).unwrap_err();
        assert_eq!(long, "has more than 64 KiB in line 1");
    }

    #[test]
    fn a_file_of_empty_lines_has_no_prompts() {
        assert!(parse(b"\n \r\n\t\n").unwrap_err().starts_with("has no prompts"));
        assert!(parse(b"").unwrap_err().starts_with("has no prompts"));
    }
}
