//! `key = "user:{id}"`: a readable text, written into a buffer that the thread keeps, so that a hit allocates nothing.

use std::cell::Cell;
use std::fmt::{self, Write};
use std::hash::{Hash, Hasher};

use super::{Id, Look};

thread_local! {
    static BUFFER: Cell<String> = const { Cell::new(String::new()) };
}

/// A buffer that one long key has grown is not kept for ever.
const LONGEST_KEPT: usize = 4096;

/// A key that was formatted.
#[derive(Debug)]
pub struct Text(String);

/// Formats a key.
///
/// # Panics
/// When the `Display` of an argument fails.
#[must_use]
pub fn text(format: fmt::Arguments<'_>) -> Text {
    // Taken out while the user's `Display` runs, which may come here again.
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    buffer.clear();
    buffer.write_fmt(format).expect("the `Display` of an argument in `key = \"…\"` returned an error");
    Text(buffer)
}

/// A value in a key with text after it: where it ends must be plain to see, or `"a:b", "c"` and `"a", "b:c"` would be
/// one key of `"{a}:{b}"`. So the first character of that text, and `%`, stand in it as `%XX` for each byte.
pub struct Escaped<'a>(pub fmt::Arguments<'a>, pub char);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaping { to: f, stop: self.1 }.write_fmt(self.0)
    }
}

/// A value in a pattern over such keys: written as it stands in a key, and nothing in it has a meaning of its own.
#[derive(Debug)]
pub struct Globbed<'a>(pub fmt::Arguments<'a>, pub Option<char>);

impl fmt::Display for Globbed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = match self.1 {
            Some(stop) => Escaped(self.0, stop).to_string(),
            None => self.0.to_string(),
        };
        for c in value.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(c)?;
        }
        Ok(())
    }
}

struct Escaping<'a, 'f> {
    to: &'a mut fmt::Formatter<'f>,
    stop: char,
}

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive(['%', self.stop]) {
            let plain = piece.trim_end_matches(['%', self.stop]);
            self.to.write_str(plain)?;
            for byte in piece[plain.len()..].bytes() {
                write!(self.to, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        if self.0.capacity() <= LONGEST_KEPT {
            let buffer = std::mem::take(&mut self.0);
            // Without the thread's buffer this one is simply dropped.
            let _ = BUFFER.try_with(|kept| kept.set(buffer));
        }
    }
}

impl Look for Text {
    type Own = Box<str>;

    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.as_str().hash(hasher);
    }

    fn is(&self, own: &Box<str>) -> bool {
        self.0 == **own
    }

    fn own(&self) -> Box<str> {
        self.0.as_str().into()
    }

    fn again(&self) -> Self {
        Text(self.0.clone())
    }

    fn id(&self) -> Option<Id> {
        Some(Id::Text(self.own()))
    }
}

/// A readable key that is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain<'a>(pub(crate) &'a str);

impl Look for Plain<'_> {
    type Own = Box<str>;

    #[inline]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.hash(hasher);
    }

    #[inline]
    fn is(&self, own: &Box<str>) -> bool {
        *self.0 == **own
    }

    fn own(&self) -> Box<str> {
        self.0.into()
    }

    #[inline]
    fn again(&self) -> Self {
        *self
    }

    fn id(&self) -> Option<Id> {
        Some(Id::Text(self.own()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_apart() {
        let pair = |a: &str, b: &str| text(format_args!("{}:{}", Escaped(format_args!("{a}"), ':'), b)).own();
        assert_eq!(&*pair("a", "b"), "a:b");
        assert_eq!(&*pair("a:b", "c"), "a%3Ab:c");
        assert_ne!(pair("a:b", "c"), pair("a", "b:c"));
        assert_ne!(pair("%3A", ""), pair(":", ""));
        assert_eq!(text(format_args!("{}é", Escaped(format_args!("{:>3}", "é"), 'é'))).own().as_ref(), "  %C3%A9é");
    }

    #[test]
    fn values_in_patterns_mean_themselves() {
        let pattern =
            |id: &str| crate::pattern::Pattern::new(&format!("user:{}:*", Globbed(format_args!("{id}"), Some(':'))));
        for id in ["7", "a:b", "*", "[7]", "\\", "50%", "?"] {
            let key = text(format_args!("user:{}:{}", Escaped(format_args!("{id}"), ':'), "name")).own();
            assert!(pattern(id).is_match(&key), "{id} {key}");
            assert_eq!(pattern(id).is_match("user:7:name"), id == "7", "{id}");
        }
    }

    #[test]
    fn the_buffer_may_be_in_use() {
        struct Nested;
        impl fmt::Display for Nested {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&text(format_args!("inner")).own())
            }
        }
        assert_eq!(&*text(format_args!("outer {Nested}")).own(), "outer inner");
    }
}
