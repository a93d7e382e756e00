//! Leases on a server: the scripts, called.

use std::time::Duration;

use ::redis::{FromRedisValue, Value, cmd, from_redis_value};

use super::error::Failure;
use super::scripts::{ACQUIRE, Call, END, OVERWRITE, RENEW, lease_of};
use super::{RedisBackend, millis};
use crate::store::lease::{Acquired, Asked, End, Leases, Token, Waiter, Wish};
use crate::store::{BackendErrorKind, Envelope, Pending, StoreKey};

impl Leases for RedisBackend {
    fn look<'a>(&'a self, key: &'a StoreKey) -> Pending<'a, Option<(Vec<u8>, Option<Duration>)>> {
        Box::pin(async move {
            let [left, entry] = ["PTTL", "GET"].map(|name| cmd(name).arg(key.as_str()).clone());
            // In this order: where another entry comes in between, it looks older than it is, and never younger.
            let (left, entry): (i64, Option<Vec<u8>>) =
                self.servers.ask_in_order(key.as_str(), &[&left, &entry]).await?;
            Ok(entry.map(|entry| (entry, span(left))))
        })
    }

    fn acquire<'a>(&'a self, key: &'a StoreKey, asked: Asked<'a>) -> Pending<'a, Acquired> {
        Box::pin(async move {
            let header = Envelope::HEADER_BYTES.to_string();
            let (wanted, seen): (_, &[u8]) = match asked.value {
                Wish::Any => ("any", &[]),
                Wish::Other(seen) => ("other", seen),
                Wish::Newest => ("newest", header.as_bytes()),
            };
            // One that cannot be told would only be a field more.
            let waiter = match asked.waiter {
                Some(waiter) if self.servers.is_heard().await => waiter.name(),
                _ => "",
            };
            let mut call = Call::about(&ACQUIRE, key);
            call.arg(asked.owner).arg(lease_millis(asked.lease)).arg(wanted).arg(seen);
            call.arg(asked.joined.unwrap_or(0)).arg(waiter);
            let answer: Vec<Value> = self.servers.call(key.as_str(), &call).await?;
            acquired(answer, asked.owner).ok_or_else(|| strange().into())
        })
    }

    fn renew<'a>(&'a self, key: &'a StoreKey, token: &'a Token, lease: Duration) -> Pending<'a, bool> {
        Box::pin(async move {
            let mut call = Call::new(&RENEW, &[&lease_of(key)]);
            call.arg(&*token.owner).arg(token.fence).arg(lease_millis(lease));
            self.servers.call(key.as_str(), &call).await
        })
    }

    fn end<'a>(&'a self, key: &'a StoreKey, token: &'a Token, end: End<'a>) -> Pending<'a, bool> {
        Box::pin(async move {
            const NOTHING: (&[u8], Duration) = (&[], Duration::ZERO);
            let (how, (entry, ttl), (told, told_for), forget) = match end {
                End::Value { entry, ttl, told } => ("value", (entry, ttl), told.unwrap_or(NOTHING), false),
                End::Told { outcome, ttl, forget } => ("told", NOTHING, (outcome, ttl), forget),
                End::Nothing { forget } => ("nothing", NOTHING, NOTHING, forget),
            };
            super::fits(entry)?;
            super::fits(told)?;
            let mut call = Call::about(&END, key);
            call.arg(&*token.owner).arg(token.fence).arg(how);
            call.arg(millis(ttl)).arg(entry).arg(millis(told_for)).arg(told).arg(u8::from(forget));
            call.arg(self.servers.waiters().sender());
            self.servers.call(key.as_str(), &call).await
        })
    }

    fn overwrite<'a>(&'a self, key: &'a StoreKey, entry: &'a [u8], ttl: Duration) -> Pending<'a, ()> {
        Box::pin(async move {
            super::fits(entry)?;
            let mut call = Call::about(&OVERWRITE, key);
            call.arg(millis(ttl)).arg(entry).arg(self.servers.waiters().sender());
            self.servers.call(key.as_str(), &call).await
        })
    }

    fn overwrite_many<'a>(&'a self, entries: &'a [(StoreKey, Vec<u8>, Duration)]) -> Pending<'a, ()> {
        Box::pin(async move {
            if entries.is_empty() {
                return Ok(());
            }
            let sender = self.servers.waiters().sender();
            let mut calls = Vec::with_capacity(entries.len());
            for (key, entry, ttl) in entries {
                super::fits(entry)?;
                let mut call = Call::about(&OVERWRITE, key);
                call.arg(millis(*ttl)).arg(entry).arg(sender);
                calls.push((key.as_str(), call));
            }
            self.servers.call_each(&calls).await
        })
    }

    fn waiter(&self, key: &StoreKey) -> Box<dyn Waiter> {
        Box::new(self.servers.waiters().waiter(key))
    }
}

/// A lease of no time would be gone before anybody is told of it.
fn lease_millis(lease: Duration) -> u64 {
    millis(lease).max(1)
}

/// What is left of a key's life, if it has an end.
fn span(pttl: i64) -> Option<Duration> {
    pttl.try_into().ok().map(Duration::from_millis)
}

/// What the script says, or nothing if it is none of that.
fn acquired(answer: Vec<Value>, owner: &str) -> Option<Acquired> {
    fn read<T: FromRedisValue>(value: Option<Value>) -> Option<T> {
        from_redis_value(value?).ok()
    }
    let mut answer = answer.into_iter();
    Some(match read(answer.next())? {
        0 => {
            let (fence, left) = (read(answer.next())?, read::<i64>(answer.next())?);
            // A lease without an end, which nobody here makes, has -1.
            let left = Duration::from_millis(left.try_into().unwrap_or(0));
            Acquired::Wait { fence, left, entry: read(answer.next())? }
        }
        1 => Acquired::Lead(Token { owner: owner.into(), fence: read(answer.next())? }),
        2 => {
            let (entry, left) = (read(answer.next())?, read::<i64>(answer.next())?);
            Acquired::Value { entry, left: span(left) }
        }
        3 => Acquired::Told(read(answer.next())?),
        _ => return None,
    })
}

fn strange() -> Failure {
    Failure::new(BackendErrorKind::Other, "an answer that was not asked for")
}
