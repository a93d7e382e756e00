//! What every decorated function promises: one file for each promise, one test for each claim.
//!
//! Time is paused or unused: tests wait for each other by barriers and gates, and a test that hangs is ended by
//! `help::alone`. Bodies and tests meet in a `help::World`.

mod behaviour {
    mod help;

    mod acceptance;
    mod attached;
    mod backends;
    mod backends_broken;
    mod backends_forget;
    mod backends_help;
    mod backends_keys;
    mod backends_random;
    mod backends_ways;
    mod bounded;
    mod cache_backends;
    mod cache_basics;
    mod cache_blocking;
    mod cache_err;
    mod cache_flights;
    mod cache_through;
    mod cached;
    mod call_cost;
    mod call_outcomes;
    mod call_scopes;
    mod companion;
    mod configuration;
    mod distributed;
    mod early;
    mod endings;
    mod errors_shared_not_stored;
    mod hostile;
    mod invalidation_wins;
    mod jitter;
    mod keys;
    mod keys_apart;
    mod memory;
    mod methods;
    mod no_self_deadlock;
    mod nobody_owns_it;
    mod none_ttl;
    mod off;
    mod one;
    mod panics;
    mod programmatic;
    mod runtimes;
    mod semantic_apart;
    mod semantic_basics;
    mod semantic_chains;
    mod semantic_embedder_broken;
    mod semantic_endings;
    mod semantic_guards;
    mod semantic_help;
    mod semantic_hostile;
    mod semantic_index_broken;
    mod semantic_invalidation;
    mod semantic_nests;
    mod semantic_one;
    mod semantic_random;
    mod semantic_runtimes;
    mod semantic_stats;
    mod semantic_thresholds;
    mod semantic_time;
    mod semantic_values;
    mod soft_timeout;
    mod stale;
    mod stale_if_error;
    mod stats;
    mod sync;
    mod tracing;
    mod weigh;
}
