//! What `stampede demo --processes` and its workers tell one another, as JSON, a line each: through pipes, where no other
//! user of the machine can read the url of a Redis.

use serde::{Deserialize, Serialize};
use stampede_runtime::Stats;

/// The first line that a worker is told. Every further one is empty, and begins a round.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) redis: String,
    pub(super) api: std::net::SocketAddr,
    /// Of this worker, from 1.
    pub(super) process: u16,
    pub(super) callers: u16,
    pub(super) keys: u16,
    /// The name of this run of the demo: a part of each key.
    pub(super) run: String,
}

/// What a worker says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// It has reached its Redis, and waits for a round to begin.
    Ready,
    /// Every caller of a round has its ending.
    Round(Ended),
    /// It cannot go on.
    Failed(String),
}

/// What became of the callers of one round.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) first_failure: Option<String>,
    /// How long the answered ones took.
    pub(super) took_micros: Vec<u64>,
    /// Of all rounds so far.
    pub(super) counted: Counted,
}

/// What a worker's function has counted about itself.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Counted {
    pub(super) executions: u64,
    pub(super) joined: u64,
    pub(super) hits: u64,
    pub(super) waited: u64,
    pub(super) taken_over: u64,
    pub(super) lost: u64,
    pub(super) fenced: u64,
    pub(super) push_wakeups: u64,
    pub(super) poll_wakeups: u64,
    pub(super) redis_failures: u64,
}

impl From<Stats> for Counted {
    fn from(stats: Stats) -> Self {
        Self {
            executions: stats.executions,
            joined: stats.coalesce_hits,
            hits: stats.cache_hits,
            waited: stats.lock_waited,
            taken_over: stats.lock_taken_over,
            lost: stats.lock_lost,
            fenced: stats.fenced_writes,
            push_wakeups: stats.push_wakeups,
            poll_wakeups: stats.poll_wakeups,
            redis_failures: stats.redis_failures,
        }
    }
}

/// The places that callers ask for: postcodes of Berlin, and on from there.
pub(super) fn places(keys: u16) -> impl Iterator<Item = (&'static str, String)> {
    (0..keys).map(|number| ("DE", (10_115 + u32::from(number)).to_string()))
}

/// What the API calls a place.
pub(super) fn key(country: &str, zip: &str) -> String {
    format!("{country}/{zip}")
}
