//! The options of `stampede demo` that are about several processes.

use clap::{Args, value_parser};

#[derive(Debug, Args)]
// Two groups called alike are one too many for clap.
#[group(id = "fleet")]
#[command(next_help_heading = "Several processes")]
pub(crate) struct Options {
    /// Call from N processes at once instead, 1 to 16, which share their calls through a Redis
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=16),
          conflicts_with_all = ["threads", "cities", "prompts", "interactive", "flush"])]
    pub(crate) processes: Option<u16>,

    /// The Redis or Valkey where processes meet [default: what `STAMPEDE_REDIS_URL` says]
    ///
    /// What is stored there is gone after a minute. The URL is never shown: it may hold a password.
    #[arg(long, value_name = "URL", requires = "processes")]
    pub(super) redis: Option<String>,

    /// Kill the first process that calls the API (kill -9) while it does
    #[arg(long, requires = "processes")]
    pub(super) kill: bool,

    /// Callers at once in each process, 1 to 2500
    #[arg(long, value_name = "N", requires = "processes", default_value_t = 250,
          value_parser = value_parser!(u16).range(1..=2500))]
    pub(super) callers: u16,

    /// How many places the callers of each process ask for, 1 to 1000, and not more than it has callers
    #[arg(long, value_name = "N", requires = "processes", default_value_t = 1,
          value_parser = value_parser!(u16).range(1..=1000))]
    pub(super) keys: u16,
}
