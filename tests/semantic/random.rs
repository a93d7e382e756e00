//! Random programs of questions at random angles, departures, endings, invalidations and faults. Every answer is one that its
//! question may be given: made in its partition, for a question near enough, not over, and begun after whatever had been taken
//! out when it was asked. Nobody waits for ever, and all is counted.
//!
//! `PROPTEST_CASES=5000 cargo test --test semantic random` runs more of them.

use std::collections::HashMap;
use std::env;
use std::fmt;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, FileFailurePersistence, TestCaseError, TestRunner};
use stampede_runtime::semantic::{EmbedErrorKind, at_least};
use stampede_runtime::testing::{Fault, isolate_with};
use stampede_runtime::{Settings, semantic_coalesce, shutdown};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::help::{Trouble, in_time, settle};
use super::parts::{Parts, Temper, cosine};
use super::process::{DOWN, HOUR, SECOND, check};

/// How many programs, unless `PROPTEST_CASES` says.
const PROGRAMS: u32 = 400;
const STEPS: usize = 50;
const TTL: Duration = Duration::from_secs(60);
/// Questions are so many degrees apart, and near up to 23.
const APART: usize = 10;
const QUESTIONS: usize = 7;
const TOPICS: usize = 2;
const THRESHOLD: f32 = 0.92;
/// The verb of the index that keeps.
const PUT: usize = 2;

#[semantic_coalesce(namespace = "random", guard = none, ttl = TTL, skip(world, at_once))]
async fn ask(topic: usize, question: &str, world: Arc<Book>, at_once: Option<bool>) -> Result<usize, Trouble> {
    world.body(topic, question, at_once).await
}

fn text(question: usize) -> String {
    format!("@{} asked", question * APART)
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    topic: usize,
    question: usize,
}

#[derive(Clone, Debug)]
enum Step {
    /// `strict`: insists on a similarity of 0.98. `at_once`: how its body ends, if it is the one to run.
    Call {
        asked: Asked,
        strict: bool,
        at_once: Option<bool>,
    },
    Refresh {
        asked: Asked,
        at_once: Option<bool>,
    },
    /// Lets a body end, of those that run counted from the first and round again.
    End {
        body: usize,
        well: bool,
    },
    Leave {
        caller: usize,
    },
    Invalidate {
        asked: Asked,
    },
    Clear,
    Insert {
        asked: Asked,
    },
    Embedder(Temper),
    OpenEmbedder,
    Index {
        verb: usize,
        fault: Fault,
    },
    OpenIndex,
    Advance {
        seconds: u64,
    },
    Settle,
}

#[derive(Clone)]
struct Program(Vec<Step>);

/// The steps, one a line.
impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        self.0.iter().try_for_each(|step| writeln!(f, "    {step:?}"))
    }
}

fn step() -> impl Strategy<Value = Step> {
    let asked = || (0..TOPICS, 0..QUESTIONS).prop_map(|(topic, question)| Asked { topic, question });
    let at_once = || proptest::option::weighted(0.3, proptest::bool::weighted(0.8));
    let temper = prop_oneof![
        4 => Just(Temper::Well),
        2 => Just(Temper::Waits),
        1 => Just(Temper::Fails(EmbedErrorKind::Other)),
        1 => Just(Temper::Panics),
        1 => Just(Temper::Vectors(99)),
    ];
    let fault = prop_oneof![
        4 => Just(Fault::None),
        3 => Just(Fault::HoldCall),
        3 => Just(Fault::HoldAnswer),
        1 => Just(DOWN),
        1 => Just(Fault::Panic),
    ];
    prop_oneof![
        24 => (asked(), proptest::bool::weighted(0.2), at_once())
            .prop_map(|(asked, strict, at_once)| Step::Call { asked, strict, at_once }),
        3 => (asked(), at_once()).prop_map(|(asked, at_once)| Step::Refresh { asked, at_once }),
        12 => (0..8_usize, proptest::bool::weighted(0.8)).prop_map(|(body, well)| Step::End { body, well }),
        4 => (0..8_usize).prop_map(|caller| Step::Leave { caller }),
        8 => asked().prop_map(|asked| Step::Invalidate { asked }),
        2 => Just(Step::Clear),
        3 => asked().prop_map(|asked| Step::Insert { asked }),
        2 => temper.prop_map(Step::Embedder),
        2 => Just(Step::OpenEmbedder),
        5 => (0..6_usize, fault).prop_map(|(verb, fault)| match fault {
            // On its way to an index, an answer's times stand still: they are told as so long from now.
            Fault::HoldCall if verb == PUT => Step::Index { verb, fault: Fault::HoldAnswer },
            fault => Step::Index { verb, fault },
        }),
        5 => Just(Step::OpenIndex),
        5 => (1..30_u64).prop_map(|seconds| Step::Advance { seconds }),
        10 => Just(Step::Settle),
    ]
}

/// Who made an answer, for what, and when.
#[derive(Clone, Copy, Debug)]
struct Made {
    asked: Asked,
    /// In steps of the book.
    began: u64,
    /// Over from then on, if it has been made.
    over: Option<Instant>,
}

/// What bodies and the test write down.
#[derive(Default)]
struct Book(Mutex<Pages>);

#[derive(Default)]
struct Pages {
    ticks: u64,
    made: Vec<Made>,
    running: Vec<(usize, oneshot::Sender<bool>)>,
    /// When questions were taken out last, and all.
    taken_out: HashMap<(usize, usize), u64>,
    cleared: u64,
}

impl Pages {
    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    fn make(&mut self, asked: Asked) -> usize {
        let began = self.tick();
        self.made.push(Made { asked, began, over: None });
        self.made.len() - 1
    }

    fn taken_out(&self, Asked { topic, question }: Asked) -> u64 {
        self.taken_out.get(&(topic, question)).copied().unwrap_or_default().max(self.cleared)
    }
}

impl Book {
    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.0.lock().expect("no panic")
    }

    async fn body(&self, topic: usize, question: &str, at_once: Option<bool>) -> Result<usize, Trouble> {
        let degrees: usize = question[1..].split(' ').next().unwrap().parse().unwrap();
        let (number, ending) = {
            let mut pages = self.pages();
            let number = pages.make(Asked { topic, question: degrees / APART });
            let (sender, ending) = oneshot::channel();
            if at_once.is_none() {
                pages.running.push((number, sender));
            }
            (number, ending)
        };
        let well = match at_once {
            Some(well) => well,
            None => ending.await.unwrap_or(false),
        };
        self.pages().made[number].over = Some(Instant::now() + TTL);
        if well { Ok(number) } else { Err(Trouble::Fire) }
    }

    /// What is wrong with an answer.
    fn check(&self, number: usize, call: &Caller) -> Result<(), String> {
        let pages = self.pages();
        let Some(made) = pages.made.get(number) else { return Err("nobody made it".to_owned()) };
        let wrong = |what: &str| Err(format!("{what}: {made:?}"));
        if made.asked.topic != call.asked.topic {
            return wrong("it is of another partition");
        }
        let degrees = made.asked.question.abs_diff(call.asked.question) * APART;
        let least = if call.strict { 0.98 } else { THRESHOLD };
        if degrees > 0 && cosine(degrees as f32) < least {
            return wrong("it is not near enough");
        }
        if made.began < call.own_taken_out {
            return wrong("its question had been taken out since that began");
        }
        if made.began < call.taken_out[made.asked.question] {
            return wrong("what it is the answer to had been taken out since that began");
        }
        if made.over.is_some_and(|over| over <= call.arrived_at) {
            return wrong("it was over");
        }
        Ok(())
    }
}

struct Caller {
    asked: Asked,
    strict: bool,
    arrived_at: Instant,
    /// As it was when it arrived: when its question had been taken out, and when each of its topic had been.
    own_taken_out: u64,
    taken_out: Vec<u64>,
    task: JoinHandle<Result<usize, Trouble>>,
}

struct Play {
    parts: Parts,
    book: Arc<Book>,
    callers: Vec<(usize, Caller)>,
    calls: u64,
    told: String,
}

impl Play {
    async fn call(&mut self, asked: Asked, strict: bool, is_refresh: bool, at_once: Option<bool>) {
        let (own_taken_out, taken_out) = {
            let pages = self.book.pages();
            let all = (0..QUESTIONS).map(|question| pages.taken_out(Asked { question, ..asked })).collect();
            (pages.taken_out(asked), all)
        };
        let (book, question) = (Arc::clone(&self.book), text(asked.question));
        let task = tokio::spawn(async move {
            match (strict, is_refresh) {
                (_, true) => ask::refresh(asked.topic, &question, book, at_once).await,
                (true, _) => at_least(0.98, ask(asked.topic, &question, book, at_once)).await,
                (false, _) => ask(asked.topic, &question, book, at_once).await,
            }
        });
        self.calls += u64::from(!is_refresh);
        // It has boarded.
        tokio::task::yield_now().await;
        let arrived_at = Instant::now();
        let caller = Caller { asked, strict, arrived_at, own_taken_out, taken_out, task };
        self.callers.push((self.callers.len(), caller));
    }

    /// What has been answered so far.
    async fn look(&mut self) -> Result<(), String> {
        let mut waiting = Vec::new();
        for (number, mut caller) in std::mem::take(&mut self.callers) {
            if !caller.task.is_finished() {
                waiting.push((number, caller));
                continue;
            }
            match (&mut caller.task).await {
                Ok(Ok(answer)) => {
                    let of_caller = |problem| format!("{:?} was answered with {answer}: {problem}", caller.asked);
                    self.book.check(answer, &caller).map_err(of_caller)?;
                }
                Ok(Err(Trouble::Fire)) => {}
                Ok(Err(error)) => return Err(format!("{:?} ended with {error:?}", caller.asked)),
                Err(error) if error.is_cancelled() => {}
                Err(error) => return Err(format!("{:?} panicked: {error}", caller.asked)),
            }
        }
        self.callers = waiting;
        Ok(())
    }

    async fn step(&mut self, step: Step) -> Result<(), String> {
        writeln!(self.told, "    {step:?}").expect("a string takes all");
        // What begins at one moment with an invalidation may have begun after it.
        tokio::time::advance(Duration::from_millis(1)).await;
        let index = &self.parts.index;
        match step {
            Step::Call { asked, strict, at_once } => self.call(asked, strict, false, at_once).await,
            Step::Refresh { asked, at_once } => self.call(asked, false, true, at_once).await,
            Step::End { body, well } => {
                let mut pages = self.book.pages();
                if !pages.running.is_empty() {
                    let at = body % pages.running.len();
                    let (_, ending) = pages.running.remove(at);
                    // Whoever was to hear it may be gone.
                    let _ = ending.send(well);
                }
            }
            Step::Leave { caller } => {
                if !self.callers.is_empty() {
                    self.callers[caller % self.callers.len()].1.task.abort();
                }
            }
            Step::Invalidate { asked } => {
                let told = ask::invalidate(asked.topic, &text(asked.question));
                let mut pages = self.book.pages();
                let now = pages.tick();
                pages.taken_out.insert((asked.topic, asked.question), now);
                drop(pages);
                // Nobody waits for it, as most do.
                drop(told);
            }
            Step::Clear => {
                drop(ask::clear());
                let mut pages = self.book.pages();
                pages.cleared = pages.tick();
            }
            Step::Insert { asked } => {
                let number = {
                    let mut pages = self.book.pages();
                    let number = pages.make(asked);
                    pages.made[number].over = Some(Instant::now() + TTL);
                    let began = pages.made[number].began;
                    pages.taken_out.insert((asked.topic, asked.question), began);
                    number
                };
                ask::insert(asked.topic, &text(asked.question), number);
            }
            Step::Embedder(temper) => {
                // Those who wait go on first.
                self.parts.compass.open();
                settle().await;
                self.parts.compass.is(temper);
            }
            Step::OpenEmbedder => self.parts.compass.open(),
            Step::Index { verb, fault } => {
                let verbs = [&index.exact, &index.nearest, &index.put, &index.remove, &index.remove_near, &index.clear];
                verbs[verb].release();
                settle().await;
                verbs[verb].always(fault);
            }
            Step::OpenIndex => index.release(),
            Step::Advance { seconds } => tokio::time::advance(SECOND * u32::try_from(seconds).unwrap()).await,
            Step::Settle => settle().await,
        }
        self.look().await
    }

    /// Everything goes on, and whoever waits is answered.
    async fn end(&mut self) -> Result<(), String> {
        for _ in 0..200 {
            self.parts.compass.open();
            self.parts.index.release();
            settle().await;
            self.parts.compass.is(Temper::Well);
            self.parts.index.always(Fault::None);
            for (_, ending) in std::mem::take(&mut self.book.pages().running) {
                let _ = ending.send(true);
            }
            tokio::time::advance(SECOND).await;
            self.look().await?;
            if self.callers.is_empty() {
                break;
            }
        }
        if let Some((number, caller)) = self.callers.first() {
            return Err(format!("caller {number} waits for ever: {:?}", caller.asked));
        }
        // Threads of their own may still try to tell the index something, and their time does not stand still.
        while shutdown(HOUR).await > 0 {
            std::thread::yield_now();
        }
        let stats = ask::stats();
        if stats.in_flight > 0 {
            return Err(format!("something is left: {stats}"));
        }
        check(&stats, self.calls);
        if stats.semantic.index_hits + stats.semantic.memory_hits > stats.cache_hits {
            return Err(format!("hits do not add up: {stats}"));
        }
        Ok(())
    }
}

fn play(program: &Program) -> Result<(), TestCaseError> {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("nothing is needed");
    let _inside = runtime.enter();
    let parts = Parts::new();
    let settings = Settings::new().backend_timeout(24 * HOUR).embed_timeout(24 * HOUR);
    let _isolated = isolate_with(parts.config().defaults(settings).build().expect("it is right"));
    let mut play = Play { parts, book: Arc::default(), callers: Vec::new(), calls: 0, told: String::new() };
    let played = runtime.block_on(in_time(async {
        for step in &program.0 {
            play.step(step.clone()).await?;
        }
        writeln!(play.told, "    (the end)").expect("a string takes all");
        play.end().await
    }));
    played.map_err(|problem| TestCaseError::fail(format!("{problem}\nafter\n{}", play.told)))
}

#[test]
fn every_answer_is_one_that_its_question_may_be_given() {
    let mut runs = Runs {
        source_file: Some(file!()),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        max_shrink_iters: 10_000,
        ..Runs::default()
    };
    if env::var_os("PROPTEST_CASES").is_none() {
        runs.cases = PROGRAMS;
    }
    let programs = vec(step(), 1..STEPS).prop_map(Program);
    if let Err(failure) = TestRunner::new(runs).run(&programs, |program| play(&program)) {
        panic!("{failure}");
    }
}
