//! Snapshots compared: what has been counted in between.

use super::{
    BackendFaults, EmbedFaults, ExecutionTime, Refusals, SemanticStats, ShadowStats, Stats, TierTime, VerifyStats,
};

/// `later` less `earlier`, field by field. Every field is named, so that a new one is not forgotten: counters are
/// subtracted, structs of them are compared in turn, and the rest stays as it is.
macro_rules! less {
    ($later:ident, $earlier:ident, $type:ident { $($counter:ident,)* } each { $($inner:ident,)* } rest { $($other:ident,)* }) => {
        let $type { $($counter,)* $($inner,)* $($other: _,)* } = $earlier;
        $($later.$counter = $later.$counter.saturating_sub(*$counter);)*
        $($later.$inner = $later.$inner.since($inner);)*
    };
}

impl Stats {
    /// What has been counted since an earlier snapshot.
    pub(crate) fn since(mut self, earlier: &Stats) -> Stats {
        less!(self, earlier, Stats {
            cache_hits, stale_hits, coalesce_hits, led, bypassed, refused, misses, refreshes, retries,
            errors, fallbacks, soft_timeouts, panics, timeouts, abandoned, evictions,
            backend_hits, backend_misses, backend_writes, backend_failures, decode_errors, encode_errors,
            lock_acquired, lock_waited, lock_taken_over, lock_lost, fenced_writes, push_wakeups, poll_wakeups, redis_failures,
            embeddings_generated, time_saved,
        } each {
            backend_faults, execution_time, semantic,
        } rest {
            requests, executions, exact_hits, semantic_hits, semantic_rate, cache_hit_rate, coalesce_rate, savings_rate,
            in_flight, cache_size, backend_state, cost_spent, cost_saved,
        });
        self.cost_spent = (self.cost_spent - earlier.cost_spent).max(0.0);
        self.cost_saved = (self.cost_saved - earlier.cost_saved).max(0.0);
        self.derive();
        self
    }
}

impl SemanticStats {
    fn since(mut self, earlier: &SemanticStats) -> SemanticStats {
        less!(self, earlier, SemanticStats {
            backend_exact_hits, index_exact_hits, index_hits, memory_hits, joined, embedding_batches, not_embedded, index_writes,
            index_failures,
        } each {
            refused, embed_faults, index_faults, backend_time, index_exact_time, embed_time, index_time, verify, shadow,
        } rest {
            is_used, below_threshold, index_state, bound,
        });
        for (later, earlier) in self.below_threshold.iter_mut().zip(earlier.below_threshold) {
            *later = later.saturating_sub(earlier);
        }
        self
    }
}

impl VerifyStats {
    fn since(mut self, earlier: &VerifyStats) -> VerifyStats {
        less!(self, earlier, VerifyStats {
            same, different, remembered, timed_out, failed, panicked, saturated, resting,
        } each { time, } rest {});
        self
    }
}

impl ShadowStats {
    fn since(mut self, earlier: &ShadowStats) -> ShadowStats {
        less!(self, earlier, ShadowStats { compared, disagreed, failed, skipped, } each {} rest { error, });
        self
    }
}

impl BackendFaults {
    fn since(mut self, earlier: &BackendFaults) -> BackendFaults {
        less!(self, earlier, BackendFaults {
            unreachable, timed_out, refused, read_only, out_of_memory, too_large, resting, other,
        } each {} rest {});
        self
    }
}

impl EmbedFaults {
    fn since(mut self, earlier: &EmbedFaults) -> EmbedFaults {
        less!(self, earlier, EmbedFaults {
            unreachable, timed_out, refused, unsuitable, rate_limited, invalid, resting, other,
        } each {} rest {});
        self
    }
}

impl Refusals {
    fn since(mut self, earlier: &Refusals) -> Refusals {
        less!(self, earlier, Refusals { numbers, antonyms, negation, entities, quoted, } each {} rest {});
        self
    }
}

impl ExecutionTime {
    fn since(mut self, earlier: &ExecutionTime) -> ExecutionTime {
        less!(self, earlier, ExecutionTime { count, total, } each {} rest { mean, max, });
        self
    }
}

impl TierTime {
    fn since(mut self, earlier: &TierTime) -> TierTime {
        less!(self, earlier, TierTime { count, total, } each {} rest { max, });
        self
    }
}
