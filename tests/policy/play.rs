//! Plays a program on a function and on the model, and compares the two after every step.
//!
//! Where chance decides, the model is in several states at once: all that what has been seen allows.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::mem::take;

use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};
use stampede_runtime::{Stats, testing};
use tokio::runtime::Builder;
use tokio::task::{AbortHandle, yield_now};
use tokio::time::sleep;

use super::dice::Dice;
use super::function::{Body, Call, Function, Log, Pending};
use super::model::{Counts, Model, Seen};
use super::program::{Ending, Ms, Program, Script, Step, program, span};

/// How many programs, unless `PROPTEST_CASES` says.
const PROGRAMS: u32 = 1_000;

/// Longer than any body takes.
const END: Ms = 10_000;

/// Some hundred programs.
pub(super) fn random_programs_of(function: &Function) {
    let mut config = Config {
        source_file: Some(file!()),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        max_shrink_iters: 4_000,
        ..Config::default()
    };
    if env::var_os("PROPTEST_CASES").is_none() {
        config.cases = PROGRAMS;
    }
    let outcome = TestRunner::new(config).run(&program(), |program| play(function, &program));
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

fn play(function: &Function, program: &Program) -> Result<(), TestCaseError> {
    let runtime =
        Builder::new_current_thread().enable_all().start_paused(true).build().expect("no resources are needed");
    // That of this thread, on which everything here runs.
    fastrand::seed(program.seed);
    let _inside = runtime.enter();
    let config = stampede_runtime::Config::builder().namespace("policy", program.policy.settings()).build();
    let _isolated = testing::isolate_with(config.expect("policies are lawful"));
    let mut play = Play {
        function,
        states: vec![Model::new(function.attribute, &program.policy)],
        log: Log::new(),
        callers: BTreeMap::new(),
        told: String::new(),
    };
    let played = runtime.block_on(play.whole(program));
    played.map_err(|difference| TestCaseError::fail(format!("{difference}\nafter\n{}", play.told)))
}

struct Play<'a> {
    function: &'a Function,
    /// Where the model may be.
    states: Vec<Model>,
    log: Log,
    callers: BTreeMap<Call, AbortHandle>,
    /// What has been done and seen, for people.
    told: String,
}

/// What differs between the function and the model.
type Checked = Result<(), String>;

impl Play<'_> {
    async fn whole(&mut self, program: &Program) -> Checked {
        for (number, step) in program.steps.iter().enumerate() {
            self.step(number, *step).await?;
        }
        self.step(program.steps.len(), Step::Advance(END)).await?;
        match (self.function.stats)().in_flight {
            0 => Ok(()),
            left => Err(format!("{left} flights are still under way")),
        }
    }

    async fn step(&mut self, number: Call, step: Step) -> Checked {
        // Writing to a string cannot fail.
        let _ = writeln!(self.told, "{number}: {step:?}");
        match step {
            Step::Advance(ms) => {
                sleep(span(ms)).await;
                self.compare(|model| model.advance(ms)).await
            }
            Step::Call(script) => {
                self.spawn(number, script, self.function.call);
                self.compare(|model| model.call(number, script)).await
            }
            Step::Refresh(script) => {
                self.spawn(number, script, self.function.refresh);
                self.compare(|model| model.refresh(number, script)).await
            }
            Step::Drop(place) => {
                let waiting = self.callers.keys().copied().collect::<Vec<_>>();
                let Some(call) = waiting.get(place % waiting.len().max(1)).copied() else { return Ok(()) };
                let _ = writeln!(self.told, "    it is {call} that leaves");
                self.callers.remove(&call).expect("it waits").abort();
                self.compare(|model| model.leave(call)).await
            }
            Step::Invalidate => {
                (self.function.invalidate)();
                self.compare(Model::invalidate).await
            }
            Step::Clear => {
                (self.function.clear)();
                self.compare(Model::invalidate).await
            }
            Step::Insert(Ending::Panic) => Ok(()),
            Step::Insert(ending) => {
                (self.function.insert)(number, ending);
                self.compare(|model| model.insert(number, ending)).await
            }
        }
    }

    fn spawn(&mut self, call: Call, script: Script, begin: fn(Body) -> Pending) {
        let body = Body { call, script, log: self.log.clone() };
        self.callers.insert(call, tokio::spawn(begin(body)).abort_handle());
    }

    /// Lets everything come to pass that needs no time, and looks.
    async fn compare(&mut self, act: impl Fn(&mut Model)) -> Checked {
        for _ in 0..10 {
            yield_now().await;
        }
        let stats = (self.function.stats)();
        identities(&stats)?;
        let seen = Seen { events: self.log.events(), peek: (self.function.peek)(), counts: Counts::from(&stats) };
        self.callers.retain(|call, _| !seen.events.answers.contains_key(call));
        let _ = writeln!(self.told, "    peek: {:?}, {:?}", seen.peek, seen.counts);

        let mut said = None;
        for state in take(&mut self.states) {
            let mut dice = Dice::default();
            loop {
                let mut next = state.clone();
                next.dice = take(&mut dice);
                act(&mut next);
                next.advance(0);
                let says = next.seen();
                dice = take(&mut next.dice);
                if says != seen {
                    said.get_or_insert(says);
                } else if !self.states.contains(&next) {
                    self.states.push(next);
                }
                if !dice.turn() {
                    break;
                }
            }
        }
        match said {
            Some(said) if self.states.is_empty() => Err(format!("seen:   {seen:?}\nmodel:  {said:?}")),
            _ => Ok(()),
        }
    }
}

fn identities(stats: &Stats) -> Checked {
    let requests =
        stats.cache_hits + stats.stale_hits + stats.coalesce_hits + stats.led + stats.bypassed + stats.refused;
    let holds = stats.requests == requests
        && stats.executions == stats.led + stats.refreshes + stats.retries
        && stats.fallbacks <= stats.errors + stats.timeouts
        && (stats.retries, stats.bypassed, stats.refused, stats.evictions) == (0, 0, 0, 0)
        && stats.cache_size <= 1;
    if holds { Ok(()) } else { Err(format!("these statistics cannot be: {stats:?}")) }
}
