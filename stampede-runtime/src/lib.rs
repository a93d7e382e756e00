//! Runtime.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
mod coalescer;
mod config;
mod error;
mod evict;
mod flight;
mod fly;
mod invalidation;
mod key;
mod lanes;
mod nest;
mod policy;
mod programmatic;
mod registry;
mod run;
mod share;
mod site;
mod stats;
mod table;
pub mod testing;
pub mod ttl;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use config::{Config, ConfigBuilder, ConfigError};
pub use error::{Error, SharedError};
pub use invalidation::Invalidation;
pub use policy::Settings;
pub use programmatic::{Coalescer, CoalescerBuilder};
pub use registry::{all_stats, clear_all, configure, reset_stats, shutdown};
pub use stats::{ExecutionTime, Stats};
