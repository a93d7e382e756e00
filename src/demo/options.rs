//! The options of `stampede demo`, and what they mean together.

use std::path::PathBuf;

use clap::{Args, value_parser};

use super::fleet;
use crate::report::Format;

/// Send the same stampede of calls without and with the attribute, and compare
///
/// Starts a slow, paid, rate-limited HTTP API on a loopback port and sends it concurrent calls through a real client:
/// first through a plain function, then through the same function under an attribute of stampede. Each half has two
/// rounds with the same traffic, a cold one and a repeat; the rate limit starts afresh in every round.
///
/// With --processes it starts several processes of itself instead. They have one function in common, meet in a Redis,
/// and send their calls at the same moment, twice: whoever comes first calls the API, and all others get its answer.
///
/// Nothing leaves this machine, except to the Redis that you name.
#[derive(Debug, Args)]
#[command(after_long_help = EXITS_AND_JSON)]
pub(crate) struct Options {
    /// Callers at once: for each city [default: 10], or in all with --prompts [default: 50]
    #[arg(short, long, value_name = "N", value_parser = value_parser!(u16).range(1..=50))]
    pub(crate) threads: Option<u16>,

    /// How many cities the callers ask for, 1 to 5
    #[arg(short, long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u8).range(1..=5))]
    pub(crate) cities: u8,

    /// Ask for completions of the prompts in FILE instead, one prompt a line
    ///
    /// Earlier lines are asked for more often (Zipf, exponent 1.1, fixed seed). Empty lines are skipped, and so are
    /// lines that repeat an earlier one up to case and spacing. Shared with `coalesce_by_content`.
    #[arg(short, long, value_name = "FILE", conflicts_with = "cities")]
    pub(crate) prompts: Option<PathBuf>,

    /// Calls in a round, 1 to 10000 (with --prompts)
    #[arg(short, long, value_name = "N", default_value_t = 200, requires = "prompts",
          value_parser = value_parser!(u16).range(1..=10_000))]
    pub(crate) requests: u16,

    /// Pause between the two halves until Enter is pressed
    #[arg(short, long)]
    pub(crate) interactive: bool,

    /// Clear the stored results before the second round, so that it is as cold as the first
    ///
    /// Without it, the second round of the half with the attribute is served from memory.
    #[arg(short, long)]
    pub(crate) flush: bool,

    /// Show a row for each city, or for the 20 most wanted prompts
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// What to print at the end
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,

    #[command(flatten)]
    pub(crate) fleet: fleet::Options,
}

const EXITS_AND_JSON: &str = "\
Exit codes:
    0  every caller was answered, with one call per key and cold round; with
       --kill, one more for each key that the killed process was calling for
    1  the verdict is bad, or something failed
    2  the options are wrong
  130  interrupted

JSON fields:
  workload       kind (cities, prompts), keys, callers; rounds, cold_rounds and
                 requests of each half
  upstream       latency_ms, burst (calls let through in a round), price_usd
  without, with  requests, answered, refused (by the rate limit), failed;
                 calls (that reached the API), calls_saved, calls_per_key_max,
                 savings_rate (0 to 1); hits (served from memory), waits (joined
                 a call in flight), mean_wait_ms; latency_ms with p50, p99, max
                 (of answered requests); cost_usd, duration_ms
  stats          what stampede counted itself, by function
  verdict        one_call_per_key, all_answered
  keys           a list: key; without, with (requests, calls, refused, hits,
                 waits, mean_wait_ms)

JSON fields with --processes:
  workload       processes, callers (of each), keys, rounds
  upstream       latency_ms
  lease_ms       how long a process leads that is not heard of
  processes      a list: process, killed; requests, answered, failed; calls (that
                 reached the API); executions, joined (calls that joined one),
                 hits; waited (for another process), taken_over, lost (leases),
                 fenced (writes refused), push_wakeups, poll_wakeups,
                 redis_failures: what a process counts itself, so a killed one
                 has none of these
  total          the sums
  rounds         a list: calls, latency_ms with p50, p99, max; duration_ms
  kill           null, or process, after_ms (the round began), keys (it was
                 calling for), takeover_ms with p50, p99, max: from the kill to
                 the next call for each of these keys
  verdict        one_call_per_key, all_answered (but those of the killed),
                 taken_over (null without --kill)
  keys           a list: key, calls, processes (that called), takeover_ms
A time is null where there was nothing to measure.";
