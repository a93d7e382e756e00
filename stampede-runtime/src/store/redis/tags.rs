//! Tokens of tags on a server. Each has a key of its own, in a slot of its own.

use std::time::Duration;

use ::redis::cmd;

use super::scripts::{AGREE, CHANGE, Call};
use super::{RedisBackend, millis};
use crate::store::tokens::{INVALIDATED_FOR, Tokens, at_once};
use crate::store::{Pending, StoreKey};

impl Tokens for RedisBackend {
    fn read<'a>(&'a self, tags: &'a [StoreKey]) -> Pending<'a, Vec<Option<u64>>> {
        Box::pin(async move {
            let keys: Vec<&str> = tags.iter().map(StoreKey::as_str).collect();
            // What is no token is nobody's.
            let found: Vec<Option<String>> = self.servers.get_each(&keys).await?;
            Ok(found.into_iter().map(|token| token?.parse().ok()).collect())
        })
    }

    fn agree<'a>(&'a self, tags: &'a [StoreKey], life: Duration) -> Pending<'a, (Vec<u64>, u64)> {
        Box::pin(async move {
            if tags.is_empty() {
                let (seconds, micros): (u64, u64) = self.servers.ask_anyone(&cmd("TIME")).await?;
                return Ok((Vec::new(), (seconds * 1_000_000 + micros) * 2));
            }
            let one = |key: &'a StoreKey| -> Pending<'a, (u64, u64)> {
                Box::pin(async move {
                    let mut call = Call::new(&AGREE, &[key.as_str()]);
                    self.servers.call(key.as_str(), call.arg(millis(life))).await
                })
            };
            let agreed = at_once(tags.iter().map(one).collect()).await?;
            // Where each is told by a server of its own, the earliest time.
            let now = agreed.iter().map(|(_, now)| *now).min().unwrap_or(0);
            Ok((agreed.into_iter().map(|(token, _)| token).collect(), now))
        })
    }

    fn change<'a>(&'a self, key: &'a StoreKey, tag: &'a str, expire: bool) -> Pending<'a, ()> {
        Box::pin(async move {
            let (how, sender) = (if expire { "e" } else { "t" }, self.servers.waiters().sender());
            let mut call = Call::new(&CHANGE, &[key.as_str()]);
            call.arg(millis(INVALIDATED_FOR)).arg(sender).arg(how).arg(tag);
            self.servers.call(key.as_str(), &call).await
        })
    }
}
