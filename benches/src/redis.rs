//! A Redis between processes: what a hit, a miss and a wake-up cost beside what the `redis` crate does by hand.
//!
//! The server is the bench's own, on this machine, and so competes with its clients for the cores. Everything that calls
//! runs in processes of its own ([`child`]), which stamp their times with a clock that all processes read alike.

pub(crate) mod child;
mod herd;
mod hit;
mod miss;
mod wake;

#[path = "../../stampede-runtime/tests/support/redis_server.rs"]
pub(crate) mod redis_server;

use redis_server::RedisServer;

use crate::measure::Effort;
use crate::report::Section;

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    // Says so where there is none.
    let Some(server) = RedisServer::start("redis") else { return Vec::new() };
    let url = server.url();
    let mut sections = hit::measure(&url, effort);
    sections.extend(miss::measure(&url, effort));
    sections.extend(wake::measure(&url, effort));
    sections.extend(herd::measure(&url, effort));
    sections
}
