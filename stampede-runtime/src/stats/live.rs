//! The counters of one function while it is in use: a hit pays next to nothing for its own.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::{ExecutionTime, Stats};
use crate::flight::Rare;
use crate::lanes;
use crate::share::Share;

/// The live counters of one function.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) cache_hits: Striped,
    pub(crate) stale_hits: Striped,
    pub(crate) coalesce_hits: Striped,
    pub(crate) led: Striped,
    pub(crate) bypassed: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) misses: AtomicU64,
    pub(crate) refreshes: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) fallbacks: AtomicU64,
    pub(crate) soft_timeouts: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) abandoned: AtomicU64,
    pub(crate) evictions: AtomicU64,
    pub(crate) in_flight: AtomicUsize,
    /// Executions of a distributed function without a lease.
    pub(crate) unleased: AtomicU64,
    times: Striped,
    total_nanos: Striped,
    max_nanos: AtomicU64,
    /// In functions whose values have a cost.
    costs: Option<Box<Costs>>,
}

/// What values cost, and what was saved.
#[derive(Default)]
struct Costs {
    spent: Striped,
    saved: Striped,
    nanos_saved: Striped,
}

/// What a call is spared that is given a value.
#[derive(Clone, Copy)]
pub(crate) struct Worth {
    /// As the function's `cost` says.
    pub(crate) cost: f64,
    /// How long the value took to make.
    pub(crate) time: Duration,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Counters {
    /// `has_cost`: whether values have a cost.
    pub(crate) fn new(has_cost: bool) -> Counters {
        Counters { costs: has_cost.then(Box::default), ..Counters::default() }
    }

    /// Counts what a value cost that was just made.
    pub(crate) fn spent(&self, cost: Option<f64>) {
        if let (Some(costs), Some(cost)) = (&self.costs, cost) {
            costs.spent.add_number(cost);
        }
    }

    /// Counts what a call was spared.
    pub(crate) fn saved(&self, worth: Option<Worth>) {
        if let (Some(costs), Some(worth)) = (&self.costs, worth) {
            costs.saved.add_number(worth.cost);
            costs.nanos_saved.add(nanos(worth.time));
        }
    }

    /// The counter of executions that end like this.
    pub(crate) fn of<K, S: Share>(&self, ending: &Rare<K, S>) -> &AtomicU64 {
        match ending {
            Rare::Fault(..) => &self.errors,
            Rare::Panicked(_) => &self.panics,
            Rare::TimedOut(..) => &self.timeouts,
            Rare::Abandoned(_) => &self.abandoned,
        }
    }

    /// Counts a call that a value answered, kept here or outside.
    pub(crate) fn hit(&self, is_stale: bool) {
        if is_stale { &self.stale_hits } else { &self.cache_hits }.add_one();
    }

    pub(crate) fn took(&self, time: Duration) {
        let nanos = nanos(time);
        self.times.add_one();
        self.total_nanos.add(nanos);
        if nanos > self.max_nanos.load(Relaxed) {
            self.max_nanos.fetch_max(nanos, Relaxed);
        }
    }

    pub(crate) fn snapshot(&self, cache_size: usize) -> Stats {
        let mut stats = Stats {
            cache_hits: self.cache_hits.sum(),
            stale_hits: self.stale_hits.sum(),
            coalesce_hits: self.coalesce_hits.sum(),
            led: self.led.sum(),
            bypassed: self.bypassed.load(Relaxed),
            refused: self.refused.load(Relaxed),
            misses: self.misses.load(Relaxed),
            refreshes: self.refreshes.load(Relaxed),
            retries: self.retries.load(Relaxed),
            errors: self.errors.load(Relaxed),
            fallbacks: self.fallbacks.load(Relaxed),
            soft_timeouts: self.soft_timeouts.load(Relaxed),
            panics: self.panics.load(Relaxed),
            timeouts: self.timeouts.load(Relaxed),
            abandoned: self.abandoned.load(Relaxed),
            evictions: self.evictions.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            redis_failures: self.unleased.load(Relaxed),
            cache_size,
            execution_time: ExecutionTime {
                count: self.times.sum(),
                total: Duration::from_nanos(self.total_nanos.sum()),
                max: Duration::from_nanos(self.max_nanos.load(Relaxed)),
                mean: Duration::ZERO,
            },
            ..Stats::default()
        };
        if let Some(costs) = &self.costs {
            stats.cost_spent = costs.spent.sum_of_numbers();
            stats.cost_saved = costs.saved.sum_of_numbers();
            stats.time_saved = Duration::from_nanos(costs.nanos_saved.sum());
        }
        stats.derive();
        stats
    }

    /// Back to zero, except for what is counted down again.
    pub(crate) fn reset(&self) {
        for striped in
            [&self.cache_hits, &self.stale_hits, &self.coalesce_hits, &self.led, &self.times, &self.total_nanos]
        {
            striped.reset();
        }
        if let Some(costs) = &self.costs {
            costs.spent.reset_numbers();
            costs.saved.reset_numbers();
            costs.nanos_saved.reset();
        }
        let plain = [
            &self.bypassed,
            &self.refused,
            &self.misses,
            &self.refreshes,
            &self.retries,
            &self.errors,
            &self.fallbacks,
            &self.soft_timeouts,
            &self.panics,
            &self.timeouts,
            &self.abandoned,
            &self.evictions,
            &self.unleased,
            &self.max_nanos,
        ];
        for counter in plain {
            counter.store(0, Relaxed);
        }
    }
}

/// Threads with a lane below this number count in a stripe of their own.
const STRIPES: usize = 64;

/// A counter with a cell for each thread: one core's hits never move another core's cache line, and since a cell has
/// one writer, adding is a load and a store.
pub(crate) struct Striped {
    stripes: [OnceLock<Box<Stripe>>; STRIPES],
    /// For threads without a stripe.
    shared: AtomicU64,
    /// What had been counted at the last reset. The cells themselves only ever grow: a reset that wrote to them would
    /// race with their owners.
    forgotten: AtomicU64,
}

#[derive(Default)]
#[repr(align(128))]
struct Stripe(AtomicU64);

impl Default for Striped {
    fn default() -> Striped {
        Striped {
            stripes: [const { OnceLock::new() }; STRIPES],
            shared: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
        }
    }
}

impl Striped {
    #[inline]
    pub(crate) fn add_one(&self) {
        self.add(1);
    }

    #[inline]
    fn add(&self, more: u64) {
        match self.mine() {
            Some(count) => count.store(count.load(Relaxed) + more, Relaxed),
            None => _ = self.shared.fetch_add(more, Relaxed),
        }
    }

    /// The calling thread's cell, if it has one.
    #[inline]
    fn mine(&self) -> Option<&AtomicU64> {
        let stripe = lanes::mine().and_then(|lane| self.stripes.get(lane))?;
        Some(&stripe.get_or_init(Box::default).0)
    }

    fn cells(&self) -> impl Iterator<Item = u64> {
        let stripes = self.stripes.iter().filter_map(OnceLock::get).map(|stripe| &stripe.0);
        stripes.chain([&self.shared]).map(|cell| cell.load(Relaxed))
    }

    fn total(&self) -> u64 {
        self.cells().sum()
    }

    pub(crate) fn sum(&self) -> u64 {
        self.total().saturating_sub(self.forgotten.load(Relaxed))
    }

    pub(crate) fn reset(&self) {
        self.forgotten.store(self.total(), Relaxed);
    }

    /// Adds to a sum of numbers, whose cells hold the bits of an `f64`. The bits of zero are zero.
    fn add_number(&self, more: f64) {
        let add = |bits| (f64::from_bits(bits) + more).to_bits();
        match self.mine() {
            Some(sum) => sum.store(add(sum.load(Relaxed)), Relaxed),
            None => _ = self.shared.fetch_update(Relaxed, Relaxed, |bits| Some(add(bits))),
        }
    }

    fn total_of_numbers(&self) -> f64 {
        self.cells().map(f64::from_bits).sum()
    }

    fn sum_of_numbers(&self) -> f64 {
        (self.total_of_numbers() - f64::from_bits(self.forgotten.load(Relaxed))).max(0.0)
    }

    fn reset_numbers(&self) {
        self.forgotten.store(self.total_of_numbers().to_bits(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_count_is_lost_between_threads() {
        let counter = Striped::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10_000).for_each(|_| counter.add_one()));
            }
        });
        assert_eq!(counter.sum(), 80_000);
        counter.reset();
        counter.add_one();
        assert_eq!(counter.sum(), 1);
    }

    #[test]
    fn no_number_is_lost_between_threads() {
        let sum = Striped::default();
        let is = |expected: f64| (sum.sum_of_numbers() - expected).abs() < 1e-9;
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1_000).for_each(|_| sum.add_number(0.25)));
            }
        });
        assert!(is(2_000.0), "{}", sum.sum_of_numbers());
        sum.reset_numbers();
        assert!(is(0.0));
        sum.add_number(0.5);
        assert!(is(0.5));
    }

    #[test]
    fn rates_are_fractions_and_shown_as_per_cent() {
        let counters = Counters::default();
        counters.led.add(7);
        (0..13).for_each(|_| counters.coalesce_hits.add_one());
        let stats = counters.snapshot(0);
        assert!((stats.savings_rate - 0.65).abs() < 1e-12);
        assert!(stats.to_string().contains("65.0% saved"), "{stats}");
        assert!(Stats::default().to_string().contains("0.0% saved"));
    }
}
