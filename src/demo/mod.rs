//! `stampede demo`: the same traffic against the same API, without and with the attribute; or from several processes at
//! once (`fleet`).

mod api;
mod bucket;
mod fleet;
mod functions;
mod options;
mod plan;
mod progress;
mod prompts;
mod report;
mod table;
mod tally;
mod traffic;
mod upstream;
mod wire;

use std::sync::Arc;
use std::time::Instant;

use self::api::Api;
pub(crate) use self::fleet::{WORKER, work};
pub(crate) use self::options::Options;
use self::plan::Plan;
use self::progress::Bar;
use self::report::Report;
use self::tally::Half;
use self::traffic::Way;
use self::upstream::Upstream;
use crate::failure::Failure;
use crate::report::Format;
use crate::terminal;

/// The rounds of each half: a cold one and a repeat.
const ROUNDS: u64 = 2;

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if let Some(processes) = options.fleet.processes {
        return fleet::run(processes, options);
    }
    if options.interactive && !terminal::can_answer() {
        return Err(Failure::Usage("--interactive waits for Enter, but standard input is not a terminal".to_owned()));
    }
    let plan = Arc::new(plan(options)?);
    // Both ends of every connection are ours, and some systems allow a process only 256 open files. Where more are
    // refused, calls fail with a timeout that says so.
    let _ = rlimit::increase_nofile_limit(2 * plan.callers as u64 + 100);
    terminal::until_ctrl_c(show(options, &plan))
}

fn plan(options: &Options) -> Result<Plan, Failure> {
    match &options.prompts {
        None => Ok(Plan::cities(options.cities, options.threads.unwrap_or(10))),
        Some(file) => {
            let prompts = prompts::read(file)?;
            Ok(Plan::prompts(&prompts, options.requests, options.threads.unwrap_or(50)))
        }
    }
}

/// Both halves, the report, and the verdict as the ending.
async fn show(options: &Options, plan: &Arc<Plan>) -> Result<(), Failure> {
    let upstream = upstream(plan.burst()).await?;
    let stage = Stage { plan, api: Api::new(upstream.address()), upstream, flush: options.flush };
    if options.format == Format::Table {
        terminal::print(&table::introduction(plan, options.flush))?;
    }
    let without = stage.half(Way::Without).await;
    if options.interactive {
        terminal::wait_for_enter("Press Enter to send the same calls through the annotated function. ").await;
    }
    let with = stage.half(Way::With).await;

    let cold_rounds = if options.flush { ROUNDS } else { 1 };
    let report = Report::new(plan, ROUNDS, cold_rounds, without, with);
    terminal::print(&match options.format {
        Format::Table => table::draw(&report, options.verbose),
        Format::Json => report.json()?,
    })?;
    report.judge()
}

async fn upstream(burst: u32) -> Result<Upstream, Failure> {
    Upstream::start(burst)
        .await
        .map_err(|error| Failure::Failed(format!("the demo's API cannot listen on the loopback interface: {error}")))
}

/// What both halves have in common.
struct Stage<'a> {
    plan: &'a Arc<Plan>,
    api: Api,
    upstream: Upstream,
    flush: bool,
}

impl Stage<'_> {
    /// Sends all rounds one way, and counts.
    async fn half(&self, way: Way) -> Half {
        let start = Instant::now();
        let bar = Bar::start(way.title(), self.plan.requests.len() as u64 * ROUNDS);
        let mut calls = Vec::new();
        for round in 0..ROUNDS {
            self.upstream.refill();
            if self.flush && round > 0 {
                stampede_runtime::clear_all();
            }
            calls.extend(traffic::send(self.plan, &self.api, way, &bar).await);
        }
        bar.finish();

        let counts = self.upstream.take_counts();
        let count = |question: &plan::Question| counts.get(&question.key()).copied().unwrap_or_default();
        let counts: Vec<_> = self.plan.questions.iter().map(count).collect();
        Half::new(&calls, &counts, self.plan.kind.price_cents(), start.elapsed())
    }
}
