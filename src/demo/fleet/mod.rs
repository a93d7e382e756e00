//! `stampede demo --processes`: real processes with one function in common, a Redis where they meet, and an API that counts.
//!
//! The API lives in this process, so it is the witness of who called when, on one clock: also of how long it takes from the
//! death of a process to the call that is made in its place.

mod options;
mod processes;
mod report;
mod table;
mod wire;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::future::pending;
use std::time::Duration;

use stampede_runtime::ConfigError;
use stampede_runtime::store::{Backend as _, BackendError, RedisBackend};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, sleep_until};

pub(crate) use self::options::Options;
use self::processes::Processes;
use self::report::Report;
use self::wire::{Ended, Job, Said};
use super::upstream::{Arrival, LATENCY, Upstream};
use crate::demo;
use crate::failure::Failure;
use crate::report::{Format, json};
use crate::terminal;

/// The hidden command that makes this program a worker.
pub(crate) const WORKER: &str = "demo-worker";

/// As it stands in `functions.rs`.
const LEASE: Duration = Duration::from_secs(1);
/// How far into its call a process is killed. By then the others wait for it, and the call is far from its end.
const KILL_AFTER: Duration = LATENCY.checked_div(3).expect("three is not zero");
/// How long a round may take, or the start of all processes: many times what they do.
const PATIENCE: Duration = Duration::from_secs(60);
const ROUNDS: usize = 2;

/// Runs one worker.
pub(crate) fn work() -> Result<(), Failure> {
    terminal::runtime()?.block_on(worker::work())
}

pub(super) fn run(processes: u16, options: &demo::Options) -> Result<(), Failure> {
    let Options { redis, kill, callers, keys, .. } = &options.fleet;
    let redis = redis.clone().or_else(|| std::env::var("STAMPEDE_REDIS_URL").ok());
    let redis = redis.filter(|url| !url.is_empty()).ok_or_else(|| {
        usage(
            "processes meet in a Redis: name one with --redis URL or in STAMPEDE_REDIS_URL; \
             `redis-server --port 16379 --save ''` starts one to throw away, at redis://127.0.0.1:16379",
        )
    })?;
    let plan = Plan { processes, callers: *callers, keys: *keys, kill: *kill };
    if plan.keys > plan.callers {
        return Err(usage("--keys is more than --callers, so nobody would ask for some of them"));
    }
    if plan.kill && processes < 2 {
        return Err(usage("--kill takes two --processes: nobody is left to take over"));
    }
    let _ = rlimit::increase_nofile_limit(plan.requests_at_once() + 100);
    terminal::until_ctrl_c(show(plan, redis, options))
}

fn usage(sentence: &str) -> Failure {
    Failure::Usage(sentence.to_owned())
}

/// What is about to happen.
#[derive(Clone, Copy, Debug)]
struct Plan {
    processes: u16,
    /// Of each process.
    callers: u16,
    keys: u16,
    kill: bool,
}

impl Plan {
    fn requests_at_once(self) -> u64 {
        u64::from(self.processes) * u64::from(self.callers)
    }
}

async fn show(plan: Plan, redis: String, options: &demo::Options) -> Result<(), Failure> {
    look_for(&redis).await?;
    // Nobody is refused: the subject is not the rate limit.
    let calls_max = plan.requests_at_once() * ROUNDS as u64;
    let upstream = super::upstream(u32::try_from(calls_max).unwrap_or(u32::MAX)).await?;
    if options.format == Format::Table {
        terminal::print(&table::introduction(plan))?;
    }
    let run = format!("{:016x}", fastrand::u64(..));
    let jobs = (1..=plan.processes).map(|process| Job {
        redis: redis.clone(),
        api: upstream.address(),
        process,
        callers: plan.callers,
        keys: plan.keys,
        run: run.clone(),
    });
    let mut stage = Stage::set(Processes::start(jobs).await?, &upstream);
    stage.wait_for_all().await?;
    let mut rounds = Vec::new();
    for number in 0..ROUNDS {
        rounds.push(stage.round(plan.kill && number == 0).await?);
    }
    let report = Report::new(plan, &rounds);
    terminal::print(&match options.format {
        Format::Table => table::draw(&report, options.verbose),
        Format::Json => json(&report)?,
    })?;
    report.judge()
}

/// Whether the Redis is there, before as many processes as there are say that it is not.
async fn look_for(redis: &str) -> Result<(), Failure> {
    // It shows nothing of the url.
    let backend = RedisBackend::new(redis).map_err(|error| usage(&no_url(error)))?;
    backend.ping().await.map_err(|error| Failure::Failed(no_redis(&error)))
}

/// What is wrong with a url, in one line.
fn no_url(error: ConfigError) -> String {
    match error {
        ConfigError::Invalid(problems) => format!("the Redis cannot be named so: {}", problems.join("; ")),
        error => error.to_string(),
    }
}

fn no_redis(error: &BackendError) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("the Redis does not answer: {error}{cause}")
}

/// What happened in one round.
struct Round {
    took: Duration,
    /// In the order in which they came.
    calls: Vec<Call>,
    /// Of those that lived to tell.
    ended: BTreeMap<u16, Ended>,
    kill: Option<Kill>,
}

/// A call that came to the API.
struct Call {
    key: String,
    process: u16,
    /// Since the round began.
    after: Duration,
}

#[derive(Clone, Copy)]
struct Kill {
    process: u16,
    /// Since the round began.
    after: Duration,
}

struct Stage {
    processes: Processes,
    arrivals: UnboundedReceiver<Arrival>,
}

impl Stage {
    fn set(processes: Processes, upstream: &Upstream) -> Self {
        Self { processes, arrivals: upstream.witness() }
    }

    /// Waits until every process has reached its Redis.
    async fn wait_for_all(&mut self) -> Result<(), Failure> {
        let mut awaited: BTreeSet<_> = self.processes.alive().collect();
        let late = sleep(PATIENCE);
        tokio::pin!(late);
        while !awaited.is_empty() {
            tokio::select! {
                (process, said) = self.processes.told() => match said {
                    Some(Said::Ready) => _ = awaited.remove(&process),
                    said => return Err(unexpected(process, said)),
                },
                () = &mut late => return Err(silent(&awaited)),
            }
        }
        Ok(())
    }

    /// Lets all callers of all processes call, and listens until each process has told what became of its own.
    async fn round(&mut self, kills: bool) -> Result<Round, Failure> {
        let begun = Instant::now();
        self.processes.begin().await?;
        let mut awaited: BTreeSet<_> = self.processes.alive().collect();
        let mut round = Round { took: Duration::ZERO, calls: Vec::new(), ended: BTreeMap::new(), kill: None };
        // Who is to be killed, and when.
        let mut doomed: Option<(u16, Instant)> = None;
        while !awaited.is_empty() {
            let is_due = async {
                match doomed {
                    Some((_, at)) if round.kill.is_none() => sleep_until(at).await,
                    _ => pending().await,
                }
            };
            tokio::select! {
                biased; // What came before a death is known before it.
                Some(arrival) = self.arrivals.recv() => {
                    let call = Call::new(arrival, begun);
                    if kills && doomed.is_none() {
                        doomed = Some((call.process, begun + call.after + KILL_AFTER));
                    }
                    round.calls.push(call);
                }
                () = is_due => {
                    let (process, _) = doomed.expect("it is due");
                    round.kill = Some(Kill { process, after: begun.elapsed() });
                    self.processes.kill(process).await?;
                    awaited.remove(&process);
                }
                (process, said) = self.processes.told() => match said {
                    Some(Said::Round(ended)) => {
                        awaited.remove(&process);
                        round.ended.insert(process, ended);
                    }
                    None if round.kill.is_some_and(|kill| kill.process == process) => {}
                    said => return Err(unexpected(process, said)),
                },
                () = sleep_until(begun + PATIENCE) => return Err(silent(&awaited)),
            }
        }
        round.took = begun.elapsed();
        while let Ok(arrival) = self.arrivals.try_recv() {
            round.calls.push(Call::new(arrival, begun));
        }
        Ok(round)
    }
}

impl Call {
    fn new(Arrival { key, process, at }: Arrival, begun: Instant) -> Self {
        Self { key, process: process.unwrap_or_default(), after: at.saturating_duration_since(begun) }
    }
}

fn unexpected(process: u16, said: Option<Said>) -> Failure {
    Failure::Failed(match said {
        Some(Said::Failed(why)) => format!("process {process} cannot go on: {why}"),
        Some(_) => format!("process {process} says what it was not asked"),
        None => format!("process {process} has ended too early"),
    })
}

fn silent(awaited: &BTreeSet<u16>) -> Failure {
    let first = awaited.first().copied().unwrap_or_default();
    Failure::Failed(format!("process {first} has said nothing for {} seconds", PATIENCE.as_secs()))
}
