//! `key = "user:{id}"`: a readable text, written into a buffer that the thread keeps, so that a hit allocates nothing.

use std::cell::Cell;
use std::fmt::{self, Write};
use std::hash::{Hash, Hasher};

use super::Look;

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
}
