//! What every decorated function promises: one file for each promise, one test for each claim.
//!
//! Time is paused or unused: tests wait for each other by barriers and gates, and a test that hangs is ended by
//! `help::alone`. Bodies and tests meet in a `help::World`.

mod behaviour {
    mod help;
    #[path = "../backends/process.rs"]
    mod process;

    mod acceptance;
    mod attached;
    mod bounded;
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
    mod soft_timeout;
    mod stale;
    mod stale_if_error;
    mod stats;
    mod sync;
    mod tracing;
    mod weigh;
}
