//! What other processes have changed, for the memory of this one.
//!
//! A message is short and names what has changed, and memory drops it. Messages may be lost, and then all of what memory has
//! got from the store, or has in front of it, is made old: when a connection is there again, and when messages come faster than
//! they are taken. While there is none, memory is as old as its `ttl` lets it be: to drop it then would have all processes run
//! to what is behind it at the moment when their store dies.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::key::{Parsed, Place};
use crate::coalescer::{Function, How};
use crate::key::Id;
use crate::pattern::Pattern;
use crate::tags::{Mark, Tag};

/// Messages that wait to be taken. With more, all of them are lost.
const WAITING_MAX: usize = 10_000;

/// Something that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The entry of this key.
    Entry(String),
    Tag(Tag, How),
    /// All keys that begin so.
    All(String),
    /// Those of them that are readable and match.
    Matching(String, String),
}

impl Change {
    /// As it is sent. No key, prefix or kind holds a space.
    pub(crate) fn to_text(&self, sender: &str) -> String {
        match self {
            Change::Entry(key) => format!("{sender} k {key}"),
            Change::Tag(tag, How::Remove) => format!("{sender} t {tag}"),
            Change::Tag(tag, How::Expire) => format!("{sender} e {tag}"),
            Change::All(prefix) => format!("{sender} c {prefix}"),
            Change::Matching(prefix, pattern) => format!("{sender} m {prefix} {pattern}"),
        }
    }

    /// What a message of another process says. One that is not understood, of a newer version perhaps, could be anything.
    fn of_text(text: &str) -> Option<Change> {
        let (kind, rest) = text.split_once(' ')?;
        Some(match kind {
            "k" => Change::Entry(rest.to_owned()),
            "t" => Change::Tag(rest.into(), How::Remove),
            "e" => Change::Tag(rest.into(), How::Expire),
            "c" => Change::All(rest.to_owned()),
            "m" => {
                let (prefix, pattern) = rest.split_once(' ')?;
                Change::Matching(prefix.to_owned(), pattern.to_owned())
            }
            _ => return None,
        })
    }
}

/// Where a store tells its news.
#[derive(Default)]
pub struct News(Arc<Inner>);

#[derive(Default)]
struct Inner {
    waiting: Mutex<VecDeque<Change>>,
    has_lost: AtomicBool,
    arrived: Notify,
    listeners: Mutex<Vec<Listener>>,
    is_taken: AtomicBool,
    losses: AtomicU64,
}

/// A function, and where its entries are.
struct Listener {
    place: Place,
    function: Weak<dyn Function>,
}

impl fmt::Debug for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("News").field("listeners", &self.0.listeners().len()).finish_non_exhaustive()
    }
}

impl News {
    /// Has a function hear them.
    pub(crate) fn listen(&self, place: Place, function: Weak<dyn Function>) {
        let mut listeners = self.0.listeners();
        listeners.retain(|listener| listener.function.strong_count() > 0);
        listeners.push(Listener { place, function });
        drop(listeners);
        if !self.0.is_taken.swap(true, Relaxed) {
            crate::blocking::helper().spawn(take(Arc::downgrade(&self.0)));
        }
    }

    /// Whether anybody wants to know.
    pub(crate) fn has_listeners(&self) -> bool {
        self.0.is_taken.load(Relaxed)
    }

    /// Takes a message: what follows the name of who sent it. Never waits.
    pub(crate) fn hear(&self, text: &str) {
        if !self.has_listeners() {
            return;
        }
        let mut waiting = self.0.waiting();
        match Change::of_text(text) {
            Some(change) if waiting.len() < WAITING_MAX => {
                waiting.push_back(change);
                drop(waiting);
                self.0.arrived.notify_one();
            }
            _ => {
                drop(waiting);
                self.lose();
            }
        }
    }

    /// How often messages may have been lost.
    pub(crate) fn losses(&self) -> u64 {
        self.0.losses.load(SeqCst)
    }

    /// Messages may have been lost.
    pub(crate) fn lose(&self) {
        self.0.losses.fetch_add(1, SeqCst);
        self.0.waiting().clear();
        self.0.has_lost.store(true, Relaxed);
        self.0.arrived.notify_one();
    }
}

impl Inner {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Change>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Listener>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells each function that a change may be about.
    fn each(&self, is_about: impl Fn(&Place) -> bool, tell: impl Fn(&dyn Function)) {
        let functions: Vec<_> = {
            let listeners = self.listeners();
            let about = listeners.iter().filter(|listener| is_about(&listener.place));
            about.filter_map(|listener| listener.function.upgrade()).collect()
        };
        for function in functions {
            // What a value does when it is dropped is the user's, and may panic.
            let _ = catch_unwind(AssertUnwindSafe(|| tell(&*function)));
        }
    }

    fn tell(&self, change: &Change) {
        match change {
            Change::Entry(key) => {
                let mark = match super::key::parse(key) {
                    Some(Parsed::Digest(digest)) => Some(Mark::Entry(Arc::new(Id::Digest(digest)))),
                    Some(Parsed::Text(text)) => Some(Mark::Entry(Arc::new(Id::Text(text.into())))),
                    // Which one it is, its digest does not tell.
                    Some(Parsed::TooLong) | None => None,
                };
                self.each(
                    |place| place.prefix().holds(key),
                    |function| match &mark {
                        Some(mark) => function.hear_marked(mark, How::Remove),
                        None => function.hear_all(),
                    },
                );
            }
            Change::Tag(tag, how) => {
                let mark = Mark::Tag(Arc::clone(tag));
                self.each(|_| true, |function| function.hear_marked(&mark, *how));
            }
            Change::All(prefix) => {
                self.each(|place| place.prefix().as_str().starts_with(prefix), Function::hear_all);
            }
            Change::Matching(prefix, pattern) => {
                let pattern = Pattern::new(pattern);
                let is_about = |place: &Place| place.prefix().as_str().starts_with(prefix);
                self.each(is_about, |function| function.hear_matching(&pattern));
            }
        }
    }
}

/// Takes messages until nobody sends any more.
async fn take(news: Weak<Inner>) {
    loop {
        let Some(inner) = news.upgrade() else { return };
        let has_lost = inner.has_lost.swap(false, Relaxed);
        let change = inner.waiting().pop_front();
        if has_lost {
            inner.each(|_| true, Function::doubt_all);
        }
        if let Some(change) = &change {
            inner.tell(change);
        }
        if change.is_some() {
            tokio::task::yield_now().await;
        } else if !has_lost {
            // Whoever ends the store is not kept from it by this.
            let _ = tokio::time::timeout(std::time::Duration::from_secs(1), inner.arrived.notified()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_they_said() {
        for change in [
            Change::Entry("stampede:{shop::f:v1:a b}".replace(' ', "%20")),
            Change::Tag("user: 7".into(), How::Remove),
            Change::Tag("user:7".into(), How::Expire),
            Change::All("stampede:{shop::".to_owned()),
            Change::Matching("stampede:{".to_owned(), "user:* [a]".to_owned()),
        ] {
            let text = change.to_text("0123456789abcdef");
            assert_eq!(Change::of_text(text.split_once(' ').unwrap().1), Some(change));
        }
        assert_eq!([Change::of_text(""), Change::of_text("x y"), Change::of_text("m only")], [None, None, None]);
    }
}
