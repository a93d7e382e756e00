//! One function's tier outside of this process: what is looked for there, kept and forgotten, and in which order.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot::{Receiver, channel};

use crate::error::Error;
use crate::home::Home;
use crate::hooks::Keeping;
use crate::key::Id;
use crate::registry;
use crate::stats::Stats;
use crate::tier::{Found, Tier, Work};

pub(crate) struct Outside<V> {
    tier: Arc<dyn Tier<V>>,
    barred: Mutex<Barred>,
    /// How many values and invalidations are on their way.
    under_way: AtomicUsize,
}

/// What must not be read: it was invalidated here, and not there yet. Where a tier cannot be told, it stays barred.
#[derive(Default)]
struct Barred {
    /// By how many invalidations.
    ids: HashMap<Arc<Id>, usize>,
    all: usize,
}

/// When so many keys are barred, all are.
const MOST_BARRED: usize = 10_000;

impl<V: 'static> Outside<V> {
    pub(crate) fn new(tier: Arc<dyn Tier<V>>) -> Arc<Outside<V>> {
        Arc::new(Outside { tier, barred: Mutex::default(), under_way: AtomicUsize::new(0) })
    }

    fn barred(&self) -> MutexGuard<'_, Barred> {
        self.barred.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for a value, unless none may be taken from there.
    pub(crate) fn look(&self, id: &Arc<Id>) -> Option<Work<Option<Found<V>>>> {
        let barred = self.barred();
        let is_barred = barred.all > 0 || barred.ids.contains_key(id);
        drop(barred);
        (!is_barred).then(|| self.tier.look(id))
    }

    /// Sends a value, in the background. `is_outdated`: if it is by the time it has arrived, it is taken out again. What
    /// outdates a value here takes it out there after that, so whoever comes last finds it.
    pub(crate) fn store(
        self: &Arc<Self>,
        home: &Home,
        id: &Arc<Id>,
        value: &V,
        keeping: &Keeping,
        is_outdated: impl Fn() -> bool + Send + 'static,
    ) {
        // The user's `Serialize`.
        let work = catch_unwind(AssertUnwindSafe(|| self.tier.keep(id, value, keeping)));
        let Ok(Some(work)) = work else { return };
        let (under_way, id) = (UnderWay::begin(self), Arc::clone(id));
        home.run_outside(async move {
            let outside = &under_way.0;
            let is_kept = work.await;
            if is_outdated() {
                // Counted and logged there.
                let _ = outside.tier.forget(&id).await;
            } else if is_kept {
                outside.barred().ids.remove(&id);
            }
        });
    }

    /// Takes a key, or all, out.
    pub(crate) fn forget(self: &Arc<Self>, home: &Home, id: Option<Arc<Id>>) -> Receiver<Result<(), Error>> {
        let mut barred = self.barred();
        match &id {
            Some(id) if barred.ids.len() < MOST_BARRED => *barred.ids.entry(Arc::clone(id)).or_default() += 1,
            Some(_) => {
                barred.ids.clear();
                barred.all += 1;
            }
            None => barred.all += 1,
        }
        drop(barred);
        let under_way = UnderWay::begin(self);
        let (sender, receiver) = channel();
        home.run_outside(async move {
            let outside = &under_way.0;
            let told = match &id {
                Some(id) => outside.tier.forget(id).await,
                None => outside.tier.forget_all().await,
            };
            if told.is_ok() {
                outside.barred().lift(id.as_ref());
            }
            // Nobody may want to know.
            let _ = sender.send(told);
        });
        receiver
    }

    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(SeqCst)
    }

    pub(crate) fn add_stats(&self, stats: &mut Stats) {
        self.tier.add_stats(stats);
    }

    pub(crate) fn reset_stats(&self) {
        self.tier.reset_stats();
    }
}

impl Barred {
    fn lift(&mut self, id: Option<&Arc<Id>>) {
        match id.map(|id| self.ids.get_mut(id)) {
            Some(Some(times)) if *times > 1 => *times -= 1,
            Some(Some(_)) => _ = id.and_then(|id| self.ids.remove(id)),
            // The key is one of too many, or a newer value is there by now.
            Some(None) => (),
            None => self.all = self.all.saturating_sub(1),
        }
    }
}

/// A value or an invalidation on its way.
struct UnderWay<V>(Arc<Outside<V>>);

impl<V> UnderWay<V> {
    fn begin(outside: &Arc<Outside<V>>) -> UnderWay<V> {
        outside.under_way.fetch_add(1, SeqCst);
        UnderWay(Arc::clone(outside))
    }
}

impl<V> Drop for UnderWay<V> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, SeqCst);
        registry::a_flight_ended();
    }
}
