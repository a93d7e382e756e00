//! Rarer shapes.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use sharing::coalesce;

/// Before edition 2024 the guard in the last expression outlives the locals of its block.
#[coalesce(skip(counter), crate = sharing)]
pub async fn tail_temporary(counter: Arc<Mutex<u32>>, mut by: u32) -> u32 {
    by += 1;
    *counter
        .lock()
        .map(|mut count| {
            *count += by;
            count
        })
        .expect("nobody panics")
}

/// Not written yet.
#[coalesce(crate = sharing)]
pub async fn unfinished(_id: u64) -> Result<String, fmt::Error> {
    todo!()
}

/// Nothing in, nothing out.
#[coalesce(crate = sharing)]
pub async fn nothing() {}

/// Inner attributes, labels that look like lifetimes, and an early end.
#[coalesce(crate = sharing)]
pub async fn search<'a>(haystack: &'a [u32], needle: &'a u32) -> Option<usize> {
    #![allow(clippy::needless_range_loop)]
    let mut found = None;
    'a: for at in 0..haystack.len() {
        if haystack[at] == *needle {
            found = Some(at);
            break 'a;
        }
    }
    Some(found?)
}

/// Borrows that never end, and results that hold one.
#[coalesce(crate = sharing)]
pub async fn forever(name: &'static str, text: Cow<'static, str>) -> &'static str {
    if text.is_empty() {
        name
    } else {
        "other"
    }
}

/// A type without a name.
#[coalesce(companion = none, crate = sharing)]
pub async fn unnamed(value: impl Display + Clone + Hash + Eq + Send + Sync + 'static) -> String {
    value.to_string()
}

/// Lints that the author has thought about.
#[expect(clippy::too_many_arguments, reason = "a test")]
#[coalesce(crate = sharing)]
#[allow(clippy::many_single_char_names)]
pub async fn expected(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8) -> u8 {
    a + b + c + d + e + f + g + h
}

/// Not there.
#[coalesce(crate = sharing)]
#[cfg(any())]
pub async fn absent(id: Missing) -> Missing {
    id
}

/// Said farewell to.
#[coalesce(crate = sharing)]
#[deprecated = "use `nothing`"]
pub async fn old(id: u64) -> u64 {
    id
}

/// Hidden with its companion.
#[doc(hidden)]
#[coalesce(crate = sharing)]
pub async fn hidden(id: u64) -> u64 {
    id
}

/// Numbers that are not `Eq`, and a key without parts.
#[coalesce(ttl = 60, crate = sharing)]
pub async fn floats(x: f64, y: &f32, z: Option<&u8>) -> f64 {
    x + f64::from(*y) + z.copied().map_or(0.0, f64::from)
}

/// A service.
#[derive(Debug, Clone)]
pub struct Service {
    /// Says hello.
    pub greeting: String,
}

impl Service {
    /// Behind a borrowed pointer.
    #[coalesce(key(self.greeting, name), crate = sharing)]
    pub async fn pointed(self: &Arc<Self>, name: &str) -> String {
        let again = || self.greeting.clone();
        format!("{} {name} {}", self.greeting, again())
    }

    /// The whole of `self` is the key's only part.
    #[coalesce(key = "{self.greeting}/{name}", companion = consumed, crate = sharing)]
    pub async fn consumed(mut self, name: String) -> String {
        self.greeting.push_str(&name);
        self.greeting
    }

    /// Calls itself through `Self`.
    #[coalesce(skip(self), crate = sharing)]
    pub async fn count_down(&self, from: u32) -> u32 {
        if from == 0 {
            0
        } else {
            Self::count_down(self, from - 1).await + 1
        }
    }

    /// What is nested keeps its own `self`.
    #[coalesce(skip(self), crate = sharing)]
    pub async fn nested(&self) -> String {
        struct Inner(u8);
        impl Inner {
            fn get(&self) -> u8 {
                self.0
            }
        }
        format!("{}{}", self.greeting, Inner(1).get())
    }
}

mod inner {
    use sharing::coalesce;

    /// Seen from outside.
    #[coalesce(crate = sharing)]
    pub(super) async fn seen(id: u64) -> u64 {
        id
    }
}

/// Imports bring both.
pub async fn imported() -> u64 {
    use self::inner::seen;
    seen(5).await + seen::stats().requests
}
