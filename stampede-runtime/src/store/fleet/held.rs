//! A lease that this process has: lengthened while the body runs, ended with what came of it, given back in any case.

use std::collections::HashMap;
use std::future::ready;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use super::outcome::{UNSHAREABLE, VALUE};
use super::{LONGEST_POLL, OUTCOME, SHORTEST_POLL};
use crate::blocking;
use crate::hooks::Keeping;
use crate::stats::count;
use crate::store::lease::{End, Leases, Token};
use crate::store::tier::Shared;
use crate::store::{BackendErrorKind, Storable, StoreKey, Times, UnixMillis};
use crate::tags::Tagged;
use crate::tier::{Lease, Told, Work};

/// Leases by owner.
pub(in crate::store) type Leased = HashMap<Box<str>, (StoreKey, Token)>;

/// A lease that this process has.
pub(super) struct Held {
    shared: Arc<Shared>,
    key: StoreKey,
    token: Token,
    is_over: AtomicBool,
    is_lost: Arc<AtomicBool>,
    renewal: AbortHandle,
}

impl Held {
    pub(super) fn new(shared: Arc<Shared>, key: StoreKey, token: Token) -> Arc<Held> {
        let is_lost = Arc::new(AtomicBool::new(false));
        shared.held().insert(token.owner.clone(), (key.clone(), token.clone()));
        // Not in the runtime of the body, which may be blocked by it, or end.
        let renewal = renew(Arc::clone(&shared), key.clone(), token.clone(), Arc::clone(&is_lost));
        let renewal = blocking::helper().spawn(renewal).abort_handle();
        Arc::new(Held { shared, key, token, is_over: AtomicBool::new(false), is_lost, renewal })
    }

    /// Ends it with this, unless it has ended before.
    fn end_with(&self, ending: impl FnOnce() -> Ending) -> Option<Work<bool>> {
        if self.is_over.load(SeqCst) {
            return None;
        }
        // The user's `Serialize`, which may panic: then the lease can still be given back.
        let ending = ending();
        if self.is_over.swap(true, SeqCst) {
            return None;
        }
        if self.is_lost.load(SeqCst) {
            // It would be refused.
            self.shared.held().remove(&self.token.owner);
            let is_refused = !matches!(ending, Ending::Nothing);
            if is_refused {
                count(&self.shared.counters.fenced);
            }
            return Some(Box::pin(ready(is_refused)));
        }
        self.renewal.abort();
        Some(Box::pin(end(Arc::clone(&self.shared), self.key.clone(), self.token.clone(), ending)))
    }
}

impl<V: Storable> Lease<V> for Held {
    fn fence(&self) -> u64 {
        self.token.fence
    }

    fn is_lost(&self) -> bool {
        self.is_lost.load(SeqCst)
    }

    fn commit(&self, value: &V, keeping: &Keeping, tagged: Option<&Arc<Tagged>>) -> Option<Work<bool>> {
        self.end_with(|| {
            let times = self.shared.times(keeping);
            match self.shared.entry(value, times) {
                Some(entry) => Ending::Value(entry, times, tagged.map(Arc::clone)),
                None => Ending::Told(vec![UNSHAREABLE], true),
            }
        })
    }

    fn end(&self, told: Option<Told<&V>>) -> Option<Work<()>> {
        let ending = || match told {
            Some(told) => {
                let forget = matches!(told, Told::Value(_));
                Ending::Told(self.shared.outcome(told), forget)
            }
            None => Ending::Nothing,
        };
        let work = self.end_with(ending)?;
        Some(Box::pin(async move {
            work.await;
        }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(work) = self.end_with(|| Ending::Nothing) {
            blocking::helper().spawn(work);
        }
    }
}

/// Lengthens a lease again and again, until somebody else has it.
async fn renew(shared: Arc<Shared>, key: StoreKey, token: Token, is_lost: Arc<AtomicBool>) {
    let mut pause = shared.lease / 3;
    loop {
        tokio::time::sleep(pause).await;
        let renew = shared.leases().renew(&key, &token, shared.lease);
        pause = match shared.ask_to_write(&key, |is_mine| *is_mine, renew).await {
            Ok(true) => shared.lease / 3,
            Ok(false) => break,
            // Where nobody answers, nobody knows; the backend will when the lease ends. Perhaps there is still time.
            Err(_) => shared.lease / 10,
        };
    }
    is_lost.store(true, SeqCst);
    count(&shared.counters.lost);
    tracing::debug!(
        target: "stampede", function = &*shared.function,
        "a lease was lost: what its body returns is for this process's callers only",
    );
}

/// What a lease ends with.
enum Ending {
    Value(Vec<u8>, Times, Option<Arc<Tagged>>),
    /// Not kept. `true`: nor is what was kept before.
    Told(Vec<u8>, bool),
    Nothing,
}

/// Ends a lease. Returns whether what came of it was refused, or may have been.
async fn end(shared: Arc<Shared>, key: StoreKey, token: Token, mut ending: Ending) -> bool {
    let mut is_outdated = false;
    if let Ending::Value(entry, times, tagged) = &mut ending {
        is_outdated = !shared.tag(entry, tagged.as_ref(), times.cost()).await;
    }
    if is_outdated {
        // Whoever waits for it is to have something newer.
        ending = Ending::Nothing;
    }
    let outcome;
    let end = match &ending {
        Ending::Value(entry, times, _) => {
            let ttl = times.left(UnixMillis::now());
            // Whoever waits for it has it, even if it is gone by the time that a message was lost.
            outcome = if ttl < OUTCOME { [&[VALUE], &**entry].concat() } else { Vec::new() };
            End::Value { entry, ttl, told: (!outcome.is_empty()).then_some((&outcome, OUTCOME)) }
        }
        Ending::Told(outcome, forget) => End::Told { outcome, ttl: OUTCOME, forget: *forget },
        Ending::Nothing => End::Nothing { forget: false },
    };
    let ended = shared.ask_to_write(&key, |is_mine| *is_mine, shared.leases().end(&key, &token, end)).await;
    if ended.is_ok() {
        shared.held().remove(&token.owner);
    }
    match (ended, &ending) {
        (Ok(_), Ending::Nothing) => is_outdated,
        (Ok(true), Ending::Told(..)) => false,
        (Ok(true), Ending::Value(..)) => {
            count(&shared.counters.writes);
            false
        }
        (Ok(false), _) => {
            count(&shared.counters.fenced);
            true
        }
        (Err(error), _) => {
            // Those who wait need not wait for the lease to run out, if that much can still be said.
            let forget = !matches!(ending, Ending::Nothing);
            let is_too_large = error.kind() == BackendErrorKind::TooLarge;
            let with = if is_too_large { GiveBack::Unshareable } else { GiveBack::Nothing { forget } };
            // Somebody else may have made a newer one since; or it has arrived after all, and is found again.
            give_back(shared, key, token, with).await == Some(false)
        }
    }
}

/// What a lease ends with that could not be ended with what it should.
#[derive(Clone, Copy)]
pub(super) enum GiveBack {
    Unshareable,
    Nothing { forget: bool },
}

/// Says that a lease has ended until that is answered, or it must have run out: also to a backend that is left alone otherwise,
/// since others wait for it. All failures have been counted before. Returns whether there was such a lease, if that became known.
pub(super) async fn give_back(shared: Arc<Shared>, key: StoreKey, token: Token, with: GiveBack) -> Option<bool> {
    let end = match with {
        GiveBack::Unshareable => End::Told { outcome: &[UNSHAREABLE], ttl: OUTCOME, forget: true },
        GiveBack::Nothing { forget } => End::Nothing { forget },
    };
    let said = async {
        loop {
            let end = shared.leases().end(&key, &token, end);
            if let Ok(Ok(was_mine)) = tokio::time::timeout(shared.budget, end).await {
                return was_mine;
            }
            tokio::time::sleep((shared.lease / 10).clamp(SHORTEST_POLL, LONGEST_POLL)).await;
        }
    };
    let was_mine = tokio::time::timeout(shared.lease, said).await.ok();
    shared.held().remove(&token.owner);
    was_mine
}

/// Gives back all leases that this process has.
pub(super) fn give_all_back(shared: &Arc<Shared>) -> Vec<Work<()>> {
    let held: Vec<_> = shared.held().drain().collect();
    let end = |(_, (key, token))| -> Work<()> {
        let shared = Arc::clone(shared);
        Box::pin(async move {
            let end = shared.leases().end(&key, &token, End::Nothing { forget: false });
            // Whoever waits for it waits the lease out, then.
            let _ = shared.ask_to_write(&key, |is_mine| *is_mine, end).await;
        })
    };
    held.into_iter().map(end).collect()
}

impl Shared {
    /// The leases that this process has.
    fn held(&self) -> MutexGuard<'_, Leased> {
        self.leased.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn leases(&self) -> &dyn Leases {
        self.backend.backend().leases().expect("a fleet is made where there are leases")
    }
}
