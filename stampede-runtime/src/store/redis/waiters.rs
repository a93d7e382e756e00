//! Those in this process who wait for leases of others to end.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::redis::{PushInfo, PushKind, Value};
use tokio::sync::Notify;

use crate::store::lease::Waiter;

/// Messages to this process come through a channel of its own and name a waiter by its number.
pub(super) struct Waiters {
    /// The last part of the channel's name.
    id: String,
    /// Messages arrive: the channel is subscribed to.
    is_heard: AtomicBool,
    numbers: AtomicU64,
    /// Held for a look-up, or to wake all, which runs no code of theirs.
    by_number: Mutex<HashMap<u64, Arc<Notify>>>,
}

impl Waiters {
    pub(super) fn new() -> Arc<Waiters> {
        let id = format!("{:016x}", fastrand::u64(..));
        Arc::new(Waiters {
            id,
            is_heard: AtomicBool::new(false),
            numbers: AtomicU64::new(1),
            by_number: Mutex::default(),
        })
    }

    /// The channel's name.
    pub(super) fn channel(&self) -> String {
        format!("stampede:wake:{}", self.id)
    }

    pub(super) fn waiter(self: &Arc<Self>) -> OneWaiter {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let woken = Arc::new(Notify::new());
        self.by_number().insert(number, Arc::clone(&woken));
        OneWaiter { name: format!("w:{}:{number}", self.id), number, woken, waiters: Arc::clone(self) }
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
        if push.kind != PushKind::Message {
            return;
        }
        let Some(Value::BulkString(number)) = push.data.get(1) else { return };
        let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
        if let Some(woken) = number.and_then(|number: u64| self.by_number().get(&number).cloned()) {
            woken.notify_one();
        }
    }

    /// Messages may have been lost, so that everyone has to look.
    pub(super) fn wake_all(&self) {
        let all: Vec<_> = self.by_number().values().cloned().collect();
        for woken in all {
            woken.notify_one();
        }
    }

    fn by_number(&self) -> MutexGuard<'_, HashMap<u64, Arc<Notify>>> {
        self.by_number.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct OneWaiter {
    name: String,
    number: u64,
    /// Keeps one message for a waiter that does not listen right now.
    woken: Arc<Notify>,
    waiters: Arc<Waiters>,
}

impl Waiter for OneWaiter {
    fn name(&self) -> &str {
        &self.name
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
        self.waiters.by_number().remove(&self.number);
    }
}

impl std::fmt::Debug for Waiters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiters").field("is_heard", &self.is_heard()).field("count", &self.by_number().len()).finish()
    }
}
