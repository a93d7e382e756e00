//! Those in this process who wait for leases of others to end.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::redis::{PushInfo, PushKind, Value};
use tokio::sync::Notify;

use super::scripts::is_entry;
use crate::store::StoreKey;
use crate::store::lease::{Waiter, number_of_its_own};
use crate::store::news::News;

/// The channel of all processes.
pub(super) const NEWS: &str = "stampede:news";

/// Messages to this process come through a channel of its own, and name the entry whose lease has ended.
pub(super) struct Waiters {
    /// What the process is known by in a lease, and after its colon the last part of the channel's name.
    name: String,
    /// Messages arrive: the channel is subscribed to.
    is_heard: AtomicBool,
    news: News,
    /// Held for a look-up, or to wake all, which runs no code of theirs.
    by_entry: Mutex<HashMap<StoreKey, Vec<Arc<Notify>>>>,
}

impl Waiters {
    pub(super) fn new() -> Arc<Waiters> {
        let name = format!("w:{:016x}", number_of_its_own());
        Arc::new(Waiters { name, is_heard: AtomicBool::new(false), news: News::default(), by_entry: Mutex::default() })
    }

    /// The channel's name.
    pub(super) fn channel(&self) -> String {
        format!("stampede:wake:{}", self.sender())
    }

    /// What news of this process begin with.
    pub(super) fn sender(&self) -> &str {
        &self.name[2..]
    }

    /// Where all processes tell what they have changed.
    pub(super) fn news(&self) -> &News {
        &self.news
    }

    pub(super) fn waiter(self: &Arc<Self>, entry: &StoreKey) -> OneWaiter {
        let woken = Arc::new(Notify::new());
        self.by_entry().entry(entry.clone()).or_default().push(Arc::clone(&woken));
        OneWaiter { entry: entry.clone(), woken, waiters: Arc::clone(self) }
    }

    pub(super) fn is_heard(&self) -> bool {
        self.is_heard.load(Ordering::Acquire)
    }

    /// From now on messages arrive, or do not.
    pub(super) fn hear(&self, is_heard: bool) {
        self.is_heard.store(is_heard, Ordering::Release);
    }

    /// What came through the connection besides answers.
    pub(super) fn take(&self, push: &PushInfo) {
        if push.kind == PushKind::Invalidate {
            return self.changed(push.data.first());
        }
        if push.kind != PushKind::Message {
            return;
        }
        let text = |at: usize| match push.data.get(at) {
            Some(Value::BulkString(text)) => std::str::from_utf8(text).ok(),
            _ => None,
        };
        let (Some(channel), Some(entry)) = (text(0), text(1)) else { return };
        if channel == NEWS {
            match entry.split_once(' ') {
                Some((sender, news)) if sender != self.sender() => self.news.hear(news),
                _ => (),
            }
            return;
        }
        for woken in self.by_entry().get(entry).into_iter().flatten() {
            woken.notify_one();
        }
    }

    /// What the server tells of entries that somebody has changed.
    fn changed(&self, keys: Option<&Value>) {
        let Some(Value::Array(keys)) = keys else {
            // All of them.
            return self.news.lose();
        };
        for key in keys {
            if let Value::BulkString(key) = key
                && let Ok(key) = std::str::from_utf8(key)
                && is_entry(key)
            {
                self.news.hear(&format!("k {key}"));
            }
        }
    }

    /// Messages may have been lost, so that everyone has to look.
    pub(super) fn wake_all(&self) {
        for woken in self.by_entry().values().flatten() {
            woken.notify_one();
        }
    }

    fn by_entry(&self) -> MutexGuard<'_, HashMap<StoreKey, Vec<Arc<Notify>>>> {
        self.by_entry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct OneWaiter {
    entry: StoreKey,
    /// Keeps one message for a waiter that does not listen right now.
    woken: Arc<Notify>,
    waiters: Arc<Waiters>,
}

impl fmt::Debug for OneWaiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneWaiter").finish_non_exhaustive()
    }
}

impl Waiter for OneWaiter {
    fn name(&self) -> &str {
        &self.waiters.name
    }

    fn woken(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.woken.notified())
    }

    fn is_heard(&self) -> bool {
        self.waiters.is_heard()
    }
}

impl Drop for OneWaiter {
    fn drop(&mut self) {
        let mut by_entry = self.waiters.by_entry();
        if let Some(waiters) = by_entry.get_mut(&self.entry) {
            waiters.retain(|woken| !Arc::ptr_eq(woken, &self.woken));
            if waiters.is_empty() {
                by_entry.remove(&self.entry);
            }
        }
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiters").field("is_heard", &self.is_heard()).field("entries", &self.by_entry().len()).finish()
    }
}
