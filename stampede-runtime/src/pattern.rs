//! Glob patterns over readable keys.

use std::fmt;

/// A glob: `*` is any text, `?` one character, `[abc]`, `[a-z]` and `[^a]` one of several or none of them, `\` takes away
/// the meaning of the next. The whole key has to match.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Any,
    One,
    This(char),
    /// Whether those in these ranges are meant, or all others.
    Of(bool, Vec<(char, char)>),
}

impl Pattern {
    /// Reads a pattern. Every text is one: a bracket that does not close means itself.
    #[must_use]
    pub fn new(text: &str) -> Pattern {
        let chars: Vec<char> = text.chars().collect();
        let (mut tokens, mut at) = (Vec::new(), 0);
        while let Some(&c) = chars.get(at) {
            at += 1;
            tokens.push(match c {
                '*' if tokens.last() == Some(&Token::Any) => continue,
                '*' => Token::Any,
                '?' => Token::One,
                '[' => match set(&chars[at..]) {
                    Some((token, length)) => {
                        at += length;
                        token
                    }
                    None => Token::This('['),
                },
                '\\' if at < chars.len() => {
                    at += 1;
                    Token::This(chars[at - 1])
                }
                c => Token::This(c),
            });
        }
        Pattern { text: text.into(), tokens }
    }

    /// Whether the whole of a key matches. Takes a time of the order of both lengths multiplied, at most.
    #[must_use]
    pub fn is_match(&self, key: &str) -> bool {
        let (tokens, mut token, mut rest) = (&self.tokens[..], 0, key);
        // Where the last `*` stands, and what of the key it has not taken.
        let mut back: Option<(usize, &str)> = None;
        loop {
            let mut chars = rest.chars();
            match (tokens.get(token), chars.next()) {
                (Some(Token::Any), _) => {
                    token += 1;
                    back = Some((token, rest));
                    continue;
                }
                (Some(one), Some(c)) if one.takes(c) => {
                    token += 1;
                    rest = chars.as_str();
                    continue;
                }
                (None, None) => return true,
                _ => {}
            }
            // The last `*` takes one more.
            let Some((after, left)) = back else { return false };
            let mut chars = left.chars();
            if chars.next().is_none() {
                return false;
            }
            (token, rest) = (after, chars.as_str());
            back = Some((after, rest));
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Token::Any => false,
            Token::One => true,
            Token::This(this) => *this == c,
            Token::Of(is_meant, ranges) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) == *is_meant,
        }
    }
}

/// What stands behind a `[`, and how many characters that is.
fn set(chars: &[char]) -> Option<(Token, usize)> {
    let is_meant = !matches!(chars.first(), Some('^' | '!'));
    let (mut at, mut ranges) = (usize::from(!is_meant), Vec::new());
    let first = at;
    loop {
        let mut c = *chars.get(at)?;
        at += 1;
        match c {
            // At the beginning it is a member.
            ']' if at - 1 > first => return Some((Token::Of(is_meant, ranges), at)),
            '\\' => {
                c = *chars.get(at)?;
                at += 1;
            }
            _ => {}
        }
        let to = match (chars.get(at), chars.get(at + 1)) {
            (Some('-'), Some(&to)) if to != ']' => {
                at += 2;
                to
            }
            _ => c,
        };
        ranges.push((c.min(to), c.max(to)));
    }
}

/// It may hold part of a key, which is the user's.
impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pattern").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_mean_what_they_mean_in_redis() {
        let matches = |pattern: &str, key: &str| Pattern::new(pattern).is_match(key);
        for (pattern, key) in [
            ("user:*", "user:"),
            ("user:*", "user:7:posts"),
            ("*", ""),
            ("**", "anything"),
            ("user:?", "user:é"),
            ("user:[0-9]", "user:7"),
            ("user:[^0-9]", "user:a"),
            ("user:[9-0]", "user:5"),
            ("user:[]]", "user:]"),
            ("user:[a\\-z]", "user:-"),
            ("user:\\*", "user:*"),
            ("user:[", "user:["),
            ("a*b*c", "a-b-b-c-c"),
            ("*:posts", "user:7:posts"),
            ("ends\\", "ends\\"),
        ] {
            assert!(matches(pattern, key), "{pattern} {key}");
        }
        for (pattern, key) in [
            ("user:*", "users"),
            ("user:?", "user:"),
            ("user:?", "user:77"),
            ("user:[0-9]", "user:a"),
            ("user:[^0-9]", "user:7"),
            ("user:\\*", "user:7"),
            ("", "a"),
            ("a*b*c", "a-b-b-c-d"),
            ("User:*", "user:1"),
        ] {
            assert!(!matches(pattern, key), "{pattern} {key}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let pattern = Pattern::new(&"*a".repeat(500));
        assert!(!pattern.is_match(&"a".repeat(499)));
        assert!(pattern.is_match(&"ba".repeat(500)));
        assert!(!Pattern::new(&format!("{}b", "a*".repeat(200))).is_match(&"a".repeat(10_000)));
    }
}
