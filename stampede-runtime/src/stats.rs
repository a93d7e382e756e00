//! What each function did: the snapshot that people read.

mod live;
mod semantic;
#[cfg(feature = "test-util")]
mod since;

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

#[cfg(feature = "semantic")]
pub(crate) use self::live::Striped;
pub(crate) use self::live::{Counters, Worth, count};
pub use self::semantic::{
    BoundStats, EmbedFaults, ErrorRate, LevelStats, Refusals, SemanticStats, ShadowStats, TierTime, VerifyStats,
};

/// What one decorated function did since its first call (or the last [`reset_stats`](crate::reset_stats)).
///
/// Every call is counted once, when it is decided what becomes of it, and every execution for one reason, so at any
/// moment `requests = cache_hits + stale_hits + coalesce_hits + led + bypassed + refused + misses` and
/// `executions = led + refreshes + retries`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Calls.
    pub requests: u64,
    /// Calls answered with a fresh value, or with a kept error (`cache_err`): from memory, or from the backend.
    pub cache_hits: u64,
    /// Calls answered with a value past its `ttl`, on purpose.
    pub stale_hits: u64,
    /// Calls that joined an execution under way.
    pub coalesce_hits: u64,
    /// Calls that began an execution.
    pub led: u64,
    /// Calls that ran their own body, unshared: in [`bypass`](crate::bypass), with `STAMPEDE_OFF`, or from inside their own
    /// execution.
    pub bypassed: u64,
    /// Calls that ended before an execution or a value was there for them: refused after `wait`, or dropped, while they
    /// queued for `max_concurrent` or while their backend was asked.
    pub refused: u64,
    /// Look-ups of a [`Cache`](crate::Cache) that found nothing, and executed nothing. A function has none.
    pub misses: u64,
    /// Executions begun: by calls, by refreshes, and anew after one was abandoned. Without `bypassed`.
    pub executions: u64,
    /// Executions begun by a refresh.
    pub refreshes: u64,
    /// Executions that no call is counted for: begun anew because a runtime shut down, because the call that drove the
    /// flight (`attached`) was dropped, or because the error of another caller was of another type; and those whose
    /// callers had all left when `max_concurrent` let them begin.
    pub retries: u64,
    /// Executions that ended with an error.
    pub errors: u64,
    /// Executions that ended with an error or by `timeout`, and whose callers received an old value
    /// (`stale_if_error`).
    pub fallbacks: u64,
    /// Calls that received an old value because the execution was slow: after `soft_timeout`, or in the place of the error
    /// that `wait` ends with. They are counted as led, joined or refused, too.
    pub soft_timeouts: u64,
    /// Executions that panicked.
    pub panics: u64,
    /// Executions ended by `timeout`.
    pub timeouts: u64,
    /// Flights that ended early, begun or still queued: nobody waited any more, their runtime shut down, or the call that
    /// drove them (`attached`) was dropped.
    pub abandoned: u64,
    /// Values dropped to make room.
    pub evictions: u64,
    /// Executions under way now, those queued by `max_concurrent` included.
    pub in_flight: usize,
    /// Look-ups in the backend that found a value. Most save an execution; one that is too old to be served does not.
    pub backend_hits: u64,
    /// Look-ups in the backend that found nothing, or nothing that is still of use.
    pub backend_misses: u64,
    /// Values written to the backend.
    pub backend_writes: u64,
    /// Times that the backend failed or did not answer in time. The calls went on without it.
    pub backend_failures: u64,
    /// Entries of the backend that could not be understood: of another version, cut off, or nobody's. They count as no
    /// misses, and were made anew.
    pub decode_errors: u64,
    /// Values that could not be written: too large, or of a kind that would not come back as it was.
    pub encode_errors: u64,
    /// The failures of the backend, by their kind.
    pub backend_faults: BackendFaults,
    /// How the backend stands now. One with several nodes stands as the worst of them: calls whose keys are on the others are
    /// answered all the same.
    pub backend_state: BackendState,
    /// Leases won. Those that a flight gave back, because it had to queue for `max_concurrent`, count too.
    pub lock_acquired: u64,
    /// Flights that waited for another process's execution, each with all its callers. A call that was answered so is counted
    /// as one that joined an execution (`coalesce_hits`).
    pub lock_waited: u64,
    /// Leases won after a wait: the process that had it before died, gave up, or ended with what cannot be shared. Part of
    /// `lock_acquired`.
    pub lock_taken_over: u64,
    /// Leases that another process had taken, or an invalidation had ended, when they were to be renewed.
    pub lock_lost: u64,
    /// Values and outcomes that the backend refused, because their lease was not the newest any more.
    pub fenced_writes: u64,
    /// Times that a wait was ended by a message.
    pub push_wakeups: u64,
    /// Times that a wait was ended by looking again.
    pub poll_wakeups: u64,
    /// Executions of a distributed function for this process alone: no backend with leases is configured, it failed, or what
    /// another process had made could not be sent.
    pub redis_failures: u64,
    /// Values kept now, some perhaps expired but not yet replaced.
    pub cache_size: usize,
    /// How long finished executions took.
    pub execution_time: ExecutionTime,
    /// What the values cost that bodies returned, in the unit of the function's `cost`. Values alone have a cost: an execution
    /// that ended with an error, a panic or early adds nothing. Zero in functions without `cost`, as are the next two.
    pub cost_spent: f64,
    /// What the values cost of the calls that were given one and spared an execution: hits, stale hits, calls that joined,
    /// calls that another process or tier answered. Each such call adds its value's cost.
    pub cost_saved: f64,
    /// How long those values took to make, likewise. Serialised in seconds.
    #[serde(serialize_with = "seconds")]
    pub time_saved: Duration,
    /// Hits of a `#[semantic_coalesce]` function, in any tier, for exactly their question. Part of `cache_hits` and `stale_hits`.
    pub exact_hits: u64,
    /// Hits of such a function for a question that means the same: in the index, and in memory, of what was found there or
    /// joined before. Part of `cache_hits`; those that joined an execution of such a question are part of `coalesce_hits`, and
    /// counted in `semantic.joined`.
    pub semantic_hits: u64,
    /// Vectors that were made of questions.
    pub embeddings_generated: u64,
    /// `semantic_hits / (exact_hits + semantic_hits)`, in `0.0..=1.0`; 0 without either.
    pub semantic_rate: f64,
    /// What else becomes of calls that mean something. Zero for other functions.
    pub semantic: SemanticStats,
    /// `cache_hits / requests`, in `0.0..=1.0`; 0 without requests.
    pub cache_hit_rate: f64,
    /// `coalesce_hits / requests`, in `0.0..=1.0`; 0 without requests.
    pub coalesce_rate: f64,
    /// `(cache_hits + stale_hits + coalesce_hits) / requests`, in `0.0..=1.0`; 0 without requests.
    pub savings_rate: f64,
}

/// How often a backend failed, by [`BackendErrorKind`](crate::store::BackendErrorKind).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BackendFaults {
    /// There was no connection, or it broke.
    pub unreachable: u64,
    /// It did not answer in time.
    pub timed_out: u64,
    /// It did not want to.
    pub refused: u64,
    /// It took no writes.
    pub read_only: u64,
    /// It was full.
    pub out_of_memory: u64,
    /// An entry was too large for it.
    pub too_large: u64,
    /// It had failed several times in a row, and was not asked.
    pub resting: u64,
    /// Anything else.
    pub other: u64,
}

/// How the backend of a function stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BackendState {
    /// The function has none.
    #[default]
    None,
    /// It is asked.
    Closed,
    /// It has failed several times in a row, and is being tried.
    HalfOpen,
    /// It has failed several times in a row, and is left alone for a while.
    Open,
    /// The function is to have one, and it is not configured, or is another function's of the same name: what it makes is
    /// shared in this process only.
    Missing,
}

/// How long executions took whose bodies returned, in time or not. Serialised in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExecutionTime {
    /// How many were measured.
    pub count: u64,
    /// All of them together.
    #[serde(serialize_with = "seconds")]
    pub total: Duration,
    /// The average; zero without executions.
    #[serde(serialize_with = "seconds")]
    pub mean: Duration,
    /// The longest.
    #[serde(serialize_with = "seconds")]
    pub max: Duration,
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

impl Stats {
    /// Adds another instantiation's figures of the same function.
    pub(crate) fn add(&mut self, other: &Stats) {
        self.cache_hits += other.cache_hits;
        self.stale_hits += other.stale_hits;
        self.coalesce_hits += other.coalesce_hits;
        self.led += other.led;
        self.bypassed += other.bypassed;
        self.refused += other.refused;
        self.misses += other.misses;
        self.refreshes += other.refreshes;
        self.retries += other.retries;
        self.errors += other.errors;
        self.fallbacks += other.fallbacks;
        self.soft_timeouts += other.soft_timeouts;
        self.panics += other.panics;
        self.timeouts += other.timeouts;
        self.abandoned += other.abandoned;
        self.evictions += other.evictions;
        self.backend_hits += other.backend_hits;
        self.backend_misses += other.backend_misses;
        self.backend_writes += other.backend_writes;
        self.backend_failures += other.backend_failures;
        self.decode_errors += other.decode_errors;
        self.encode_errors += other.encode_errors;
        self.backend_faults.add(&other.backend_faults);
        self.backend_state = self.backend_state.max(other.backend_state);
        self.lock_acquired += other.lock_acquired;
        self.lock_waited += other.lock_waited;
        self.lock_taken_over += other.lock_taken_over;
        self.lock_lost += other.lock_lost;
        self.fenced_writes += other.fenced_writes;
        self.push_wakeups += other.push_wakeups;
        self.poll_wakeups += other.poll_wakeups;
        self.redis_failures += other.redis_failures;
        self.in_flight += other.in_flight;
        self.cache_size += other.cache_size;
        let time = &mut self.execution_time;
        time.count += other.execution_time.count;
        time.total += other.execution_time.total;
        time.max = time.max.max(other.execution_time.max);
        self.cost_spent += other.cost_spent;
        self.cost_saved += other.cost_saved;
        self.time_saved += other.time_saved;
        self.embeddings_generated += other.embeddings_generated;
        self.semantic.add(&other.semantic);
        self.derive();
    }

    /// Fills in what follows from the rest.
    pub(crate) fn derive(&mut self) {
        let saved = self.cache_hits + self.stale_hits + self.coalesce_hits;
        self.requests = saved + self.led + self.bypassed + self.refused + self.misses;
        self.executions = self.led + self.refreshes + self.retries;
        let rate = |part: u64| if self.requests == 0 { 0.0 } else { part as f64 / self.requests as f64 };
        (self.cache_hit_rate, self.coalesce_rate, self.savings_rate) =
            (rate(self.cache_hits), rate(self.coalesce_hits), rate(saved));
        if self.semantic.is_used {
            #[cfg(feature = "semantic")]
            self.semantic.derive();
            // A call that is being counted now may be in one of the sums only.
            self.semantic_hits = (self.semantic.index_hits + self.semantic.memory_hits).min(self.cache_hits);
            self.exact_hits = self.cache_hits + self.stale_hits - self.semantic_hits;
            let hits = self.exact_hits + self.semantic_hits;
            self.semantic_rate = if hits == 0 { 0.0 } else { self.semantic_hits as f64 / hits as f64 };
        }
        let time = &mut self.execution_time;
        time.mean = u32::try_from(time.count).ok().and_then(|count| time.total.checked_div(count)).unwrap_or_default();
    }
}

impl BackendFaults {
    pub(crate) fn add(&mut self, other: &BackendFaults) {
        self.unreachable += other.unreachable;
        self.timed_out += other.timed_out;
        self.refused += other.refused;
        self.read_only += other.read_only;
        self.out_of_memory += other.out_of_memory;
        self.too_large += other.too_large;
        self.resting += other.resting;
        self.other += other.other;
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests, {} executions, {:.1}% saved ({} cache hits, {} stale, {} coalesced), \
             {} bypassed, {} refused, {} refreshes, {} retries, {} errors, {} fallbacks, {} soft timeouts, {} panics, {} timeouts, {} abandoned, {} evictions, {} in flight, {} kept, \
             mean execution {:.1?}",
            self.requests,
            self.executions,
            self.savings_rate * 100.0,
            self.cache_hits,
            self.stale_hits,
            self.coalesce_hits,
            self.bypassed,
            self.refused,
            self.refreshes,
            self.retries,
            self.errors,
            self.fallbacks,
            self.soft_timeouts,
            self.panics,
            self.timeouts,
            self.abandoned,
            self.evictions,
            self.in_flight,
            self.cache_size,
            self.execution_time.mean,
        )?;
        if self.cost_spent > 0.0 || self.cost_saved > 0.0 {
            let (spent, saved, time) = (self.cost_spent, self.cost_saved, self.time_saved);
            write!(f, "; cost {spent:.2} spent, {saved:.2} saved, {time:.1?} saved")?;
        }
        if self.semantic.is_used {
            write!(f, "; {}", self.semantic)?;
        }
        if self.backend_state == BackendState::None {
            return Ok(());
        }
        write!(
            f,
            "; backend {}: {} hits, {} misses, {} writes, {} failures",
            self.backend_state, self.backend_hits, self.backend_misses, self.backend_writes, self.backend_failures,
        )?;
        if self.lock_acquired + self.lock_waited + self.redis_failures == 0 {
            return Ok(());
        }
        write!(
            f,
            ", {} leases, {} waits, {} taken over, {} lost, {} writes refused, {} executions alone",
            self.lock_acquired,
            self.lock_waited,
            self.lock_taken_over,
            self.lock_lost,
            self.fenced_writes,
            self.redis_failures,
        )
    }
}

impl fmt::Display for BackendState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BackendState::None => "none",
            BackendState::Closed => "closed",
            BackendState::HalfOpen => "half open",
            BackendState::Open => "open",
            BackendState::Missing => "missing",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_shown_where_there_is_one() {
        let shown = |backend_state, lock_acquired| {
            let stats = Stats { backend_state, backend_hits: 3, lock_acquired, ..Stats::default() }.to_string();
            stats.split_once("; ").map(|(_, backend)| backend.to_owned())
        };
        assert_eq!(shown(BackendState::None, 0), None);
        let expected = "backend half open: 3 hits, 0 misses, 0 writes, 0 failures";
        assert_eq!(shown(BackendState::HalfOpen, 0).unwrap(), expected);
        let expected = "backend closed: 3 hits, 0 misses, 0 writes, 0 failures, 2 leases, 0 waits, 0 taken over, 0 lost, \
                        0 writes refused, 0 executions alone";
        assert_eq!(shown(BackendState::Closed, 2).unwrap(), expected);
    }
}
