//! Tokens of tags on a server. Each has a key of its own, in a slot of its own.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use ::redis::cmd;

use super::scripts::{AGREE, CHANGE};
use super::{RedisBackend, millis};
use crate::store::tokens::{INVALIDATED_FOR, Tokens};
use crate::store::{BackendError, Pending, StoreKey};

impl Tokens for RedisBackend {
    fn read<'a>(&'a self, tags: &'a [StoreKey]) -> Pending<'a, Vec<Option<u64>>> {
        Box::pin(async move {
            let mut read = cmd("MGET");
            for key in tags {
                read.arg(key.as_str());
            }
            self.link.ask(&read).await
        })
    }

    fn agree<'a>(&'a self, tags: &'a [StoreKey], life: Duration) -> Pending<'a, (Vec<u64>, u64)> {
        Box::pin(async move {
            if tags.is_empty() {
                let (seconds, micros): (u64, u64) = self.link.ask(&cmd("TIME")).await?;
                return Ok((Vec::new(), (seconds * 1_000_000 + micros) * 2));
            }
            let one = |key: &'a StoreKey| -> Pending<'a, (u64, u64)> {
                Box::pin(async move { self.link.call(AGREE.key(key.as_str()).arg(millis(life))).await })
            };
            let agreed = at_once(tags.iter().map(one).collect()).await?;
            // Where each is told by a server of its own, the earliest time.
            let now = agreed.iter().map(|(_, now)| *now).min().unwrap_or(0);
            Ok((agreed.into_iter().map(|(token, _)| token).collect(), now))
        })
    }

    fn change<'a>(&'a self, key: &'a StoreKey, tag: &'a str, expire: bool) -> Pending<'a, ()> {
        Box::pin(async move {
            let (how, sender) = (if expire { "e" } else { "t" }, self.link.waiters().sender());
            let mut call = CHANGE.key(key.as_str());
            call.arg(millis(INVALIDATED_FOR)).arg(sender).arg(how).arg(tag);
            self.link.call(&call).await
        })
    }
}

/// The answers to several questions that are on their way at once, or the first error.
async fn at_once<T>(mut asked: Vec<Pending<'_, T>>) -> Result<Vec<T>, BackendError> {
    let mut answers: Vec<Option<T>> = asked.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (question, answer) in asked.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let Poll::Ready(told) = Pin::as_mut(question).poll(cx)?
            {
                *answer = Some(told);
            }
        }
        let is_done = answers.iter().all(Option::is_some);
        if is_done { Poll::Ready(Ok::<_, BackendError>(())) } else { Poll::Pending }
    })
    .await?;
    Ok(answers.into_iter().flatten().collect())
}
