//! All entries and tokens of a server.

use std::collections::HashMap;

use super::{At, Command, Entry, Fault, Message, NEWS, Reply, Token};
use crate::pattern::Pattern;
use crate::store::key::{self, Parsed, Prefix, StoreKey};
use crate::store::news::Change;

/// What a server answers, and what it publishes meanwhile.
pub type Answer<T> = (Result<T, Fault>, Vec<Message>);

/// A server, as far as the protocol needs one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    entries: HashMap<StoreKey, Entry>,
    tags: HashMap<StoreKey, Token>,
    /// With more entries, it looks which have run out.
    crowd: usize,
}

impl Server {
    /// Does what is asked about the entry of a key.
    pub fn entry(&mut self, at: At, key: &StoreKey, command: &Command<'_>) -> Answer<Reply> {
        let Some(entry) = self.entries.get_mut(key) else {
            let mut entry = Entry::default();
            let answer = entry.apply(at, key.as_str(), command);
            if !entry.is_empty() {
                self.make_room(at);
                self.entries.insert(key.clone(), entry);
            }
            return answer;
        };
        let answer = entry.apply(at, key.as_str(), command);
        if entry.is_empty() {
            self.entries.remove(key);
        }
        answer
    }

    /// The token of a tag. Whoever takes it out of here puts it back by what it is.
    pub fn tag(&mut self, key: &StoreKey) -> &mut Token {
        self.tags.entry(key.clone()).or_default()
    }

    /// What is there under a key.
    #[must_use]
    pub fn at(&self, key: &StoreKey) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// For tests: what is there under a key, to be changed as by a stranger.
    pub fn disturb(&mut self, key: &StoreKey) -> &mut Entry {
        self.entries.entry(key.clone()).or_default()
    }

    /// Takes out the entries whose keys begin so and, with a pattern, are readable and match, and what stands beside them.
    /// Says how many values there were.
    pub(crate) fn clear(
        &mut self,
        at: At,
        prefix: &Prefix,
        pattern: Option<&Pattern>,
        sender: &str,
    ) -> (u64, Vec<Message>) {
        let beginning = prefix.as_str().to_owned();
        let change = match pattern {
            None => Change::All(beginning),
            Some(pattern) => Change::Matching(beginning, pattern.as_str().to_owned()),
        };
        let told = Message { channel: NEWS.to_owned(), text: change.to_text(sender) };
        let is_meant = |key: &StoreKey| {
            prefix.holds(key.as_str())
                && match (pattern, key::parse(key.as_str())) {
                    (None, _) | (Some(_), Some(Parsed::TooLong)) => true,
                    (Some(pattern), Some(Parsed::Text(text))) => pattern.is_match(&text),
                    (Some(_), Some(Parsed::Digest(_)) | None) => false,
                }
        };
        let meant: Vec<StoreKey> = self.entries.keys().filter(|key| is_meant(key)).cloned().collect();
        // Told before and after: what is read in between is not kept.
        let mut messages = vec![told.clone()];
        let mut cleared = 0;
        for key in &meant {
            messages.extend(self.entry(at, key, &Command::Release).1);
            cleared += u64::from(self.entry(at, key, &Command::Unlink).0 == Ok(Reply::Flag(true)));
        }
        messages.push(told);
        (cleared, messages)
    }

    fn make_room(&mut self, at: At) {
        if self.entries.len() < self.crowd {
            return;
        }
        self.entries.retain(|_, entry| {
            entry.expire(at);
            !entry.is_empty()
        });
        self.crowd = self.entries.len() * 2 + 1_000;
    }
}
