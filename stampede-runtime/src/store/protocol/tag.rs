//! The token of a tag: a number that changes whenever the tag is invalidated.

use super::{At, Kept, Message, Run, expire};

/// The token under a tag's key, if there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Token(pub Option<Kept<u64>>);

impl Token {
    /// The token, if there is one.
    #[must_use]
    pub fn get(&mut self, at: At) -> Option<u64> {
        expire(&mut self.0, at);
        self.0.as_ref()?.what
    }

    /// `agree.lua`: the token, made where there is none, and kept for so many milliseconds at least; and the time, twice.
    pub fn agree(&mut self, at: At, millis: u64) -> (u64, u64) {
        let now = at.micros * 2;
        let run = Run::new(at);
        let token = self.get(at);
        match &mut self.0 {
            Some(kept) if token.is_some() => {
                // One without an end has less than any, as the server counts.
                if kept.left(at).is_none_or(|left| left < millis) {
                    kept.until = Some(run.until(millis));
                }
            }
            // Nothing, or nobody's.
            kept => *kept = Some(Kept::new(now, run.until(millis))),
        }
        (token.unwrap_or(now), now)
    }

    /// `change.lua`: another token. `how`: `t`, or `e` where old values may stay for errors.
    pub fn change(&mut self, at: At, millis: u64, sender: &str, how: &str, tag: &str) -> Vec<Message> {
        let mut run = Run::new(at);
        let before = self.get(at).unwrap_or(0);
        let mut now = at.micros * 2 + 1;
        // Another one in any case, also where the clock was set back.
        if now <= before {
            now = before + 2 - (before + 1) % 2;
        }
        let left = self.0.as_ref().and_then(|kept| kept.left(at)).unwrap_or(0).max(millis);
        self.0 = Some(Kept::new(now, run.until(left)));
        run.tell(sender, how, tag);
        run.messages
    }
}
