//! Bodies that stay in their calls.

use std::cell::RefCell;
use std::fmt::Display;
use std::hash::Hash;
use std::rc::Rc;
use std::sync::Arc;

use sharing::coalesce;

/// Borrows what is not in the key, and names the lifetime.
#[coalesce(skip(log), attached, crate = sharing)]
pub async fn borrowed<'a>(topic: &'a str, log: &RefCell<Vec<String>>, mut n: u32) -> usize {
    let topic: &'a str = topic.trim();
    n += 1;
    log.borrow_mut().push(format!("{topic}{n}"));
    topic.len()
}

/// References of the kinds that cannot be owned.
#[coalesce(key(id), attached, crate = sharing)]
pub async fn not_owned(id: u64, names: &[&str], name: &&str, show: &dyn Fn(&str)) -> usize {
    show(name);
    names.len()
}

/// Generic, with a pattern in the place of a name.
#[coalesce(ttl = "1m", attached, companion = Generic, crate = sharing)]
pub async fn generic<T, const N: usize>((item, _): ([T; N], u8), other: &str) -> String
where
    T: Clone + Display + Eq + Hash + Send + Sync + 'static,
{
    item.iter().map(ToString::to_string).collect::<String>() + other
}

/// Calls itself.
#[coalesce(attached, crate = sharing)]
pub async fn factorial(n: u64) -> u64 {
    if n == 0 {
        1
    } else {
        n * factorial(n - 1).await
    }
}

/// Borrows what it reads.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    shared: Rc<u32>,
}

impl<'a> Reader<'a> {
    /// A reader of a text.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Reader { text, shared: Rc::new(0) }
    }

    /// Borrows all of itself.
    #[coalesce(key(self.text, at), attached, companion = word, crate = sharing)]
    pub async fn word(&self, at: usize) -> Option<String> {
        let word: &'a str = self.text.split(' ').nth(at + *self.shared as usize)?;
        Some(word.to_owned())
    }

    /// A pointer.
    #[coalesce(skip(self), attached, crate = sharing)]
    pub async fn pointed(self: &Arc<Self>, at: usize) -> Option<String> {
        self.word(at).await
    }

    /// A pointer of one thread.
    #[coalesce(skip(self), attached, crate = sharing)]
    pub async fn counted(self: Rc<Self>) -> usize {
        self.text.len()
    }
}
