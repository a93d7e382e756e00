//! Plays a program twice, on a function and on the model, and compares the two after every step.

use std::collections::BTreeMap;
use std::env;
use std::fmt::{Arguments, Debug, Write as _};
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};
use stampede_runtime::testing;
use tokio::runtime::Builder;
use tokio::task::{unconstrained, yield_now};
use tokio::time::advance;

use super::body::{Key, Origin, Outcome, Script, Token, Value, World, panicked};
use super::function::{Function, Options, Pending, Seen};
use super::model::{Counts, Model};
use super::program::{Call, Ending, KEYS, Program, Put, Quality, Step, program};

/// More calls than this do not wait at once.
const CALLERS: usize = 8;

/// How many programs, unless `PROPTEST_CASES` says.
const PROGRAMS: u32 = 48;

const QUARTER: Duration = Duration::from_millis(250);

/// Held while a program is played: a thread inside of one map may keep what is taken out of another.
static PLAYING: RwLock<()> = RwLock::new(());

/// Some hundred programs.
pub(super) fn random_programs_of(function: &Function) {
    let mut config = Config {
        source_file: Some(file!()),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        max_shrink_iters: 20_000,
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
    let mut play = Play::new(function);
    let _inside = runtime.enter();
    let _isolated = testing::isolate();
    let playing = PLAYING.read().unwrap_or_else(PoisonError::into_inner);
    let played = runtime.block_on(unconstrained(play.whole(program)));
    drop(playing);
    played
        .and_then(|()| play.nothing_is_left())
        .map_err(|difference| TestCaseError::fail(format!("{difference}, after\n{}", play.told)))
}

/// A call that is made and neither ended nor dropped.
struct Caller {
    call: Call,
    pending: Pending,
    bell: Arc<Bell>,
    polled: bool,
}

/// Whether a caller has been woken since its last poll.
#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

struct Play<'a> {
    function: &'a Function,
    model: Model,
    world: Arc<World>,
    callers: Vec<Caller>,
    /// How bodies end that may.
    ends: BTreeMap<Call, Ending>,
    calls: Call,
    puts: usize,
    /// Copies of these are in every key, argument and value.
    tokens: [Token; 3],
    /// What has been done, for people.
    told: String,
}

/// What differs between the function and the model.
type Checked = Result<(), String>;

fn same<T: PartialEq + Debug>(what: &str, function: &T, model: &T) -> Checked {
    if function == model { Ok(()) } else { Err(format!("{what}: {function:?}, but the model says {model:?}")) }
}

fn within(what: &str, function: usize, model: RangeInclusive<usize>) -> Checked {
    if model.contains(&function) { Ok(()) } else { Err(format!("{what}: {function}, but the model says {model:?}")) }
}

impl<'a> Play<'a> {
    fn new(function: &'a Function) -> Play<'a> {
        Play {
            function,
            model: Model::new(function.options),
            world: Arc::default(),
            callers: Vec::new(),
            ends: BTreeMap::new(),
            calls: 0,
            puts: 0,
            tokens: Default::default(),
            told: String::new(),
        }
    }

    async fn whole(&mut self, program: &Program) -> Checked {
        for step in &program.0 {
            self.step(*step).await?;
        }
        self.end().await
    }

    async fn step(&mut self, step: Step) -> Checked {
        match step {
            Step::Call { key, at_once } => self.make(key, at_once, false, true).await?,
            Step::Refresh { key, at_once } => self.make(key, at_once, true, true).await?,
            Step::Unpolled { key, at_once, refresh } => self.make(key, at_once, refresh, false).await?,
            Step::Poll { caller } => {
                if !self.callers.is_empty() {
                    self.poll(caller % self.callers.len()).await?;
                }
            }
            Step::Drop { caller } => self.drop_caller(caller),
            Step::End { body, ending } => self.end_body(body, ending),
            Step::Invalidate { key } => {
                self.tell(format_args!("invalidate key {key}"));
                let removed = (self.function.invalidate)(self.key(key));
                within("removed", removed, self.model.invalidate(key..key + 1))?;
            }
            Step::Clear => self.clear()?,
            Step::Insert { key, put } => self.insert(key, put),
            Step::Advance { quarters } => {
                self.tell(format_args!("{quarters} quarters of a second pass"));
                for _ in 0..quarters {
                    self.settle().await;
                    advance(QUARTER).await;
                    self.model.advance(QUARTER);
                    self.settle().await;
                }
            }
            Step::Settle => {
                self.tell(format_args!("everything settles"));
                self.settle().await;
            }
        }
        let Options { max_concurrent, capacity, .. } = self.function.options;
        // Of two that land at once it is not said which is first, and then it would decide whose turn it is, or which
        // values are there to make room.
        let settled =
            max_concurrent.is_some() || capacity < KEYS || matches!(step, Step::Advance { .. } | Step::Settle);
        if settled {
            self.settle().await;
        }
        self.compare()?;
        if settled { self.compare_settled() } else { Ok(()) }
    }

    fn tell(&mut self, what: Arguments<'_>) {
        let _ = writeln!(self.told, "    {what}");
    }

    fn key(&self, number: usize) -> Key {
        Key { number, token: Arc::clone(&self.tokens[0]) }
    }

    async fn make(&mut self, key: usize, at_once: Option<Ending>, refresh: bool, polled: bool) -> Checked {
        if self.callers.len() == CALLERS {
            return Ok(());
        }
        let call = self.calls;
        self.calls += 1;
        let what = if refresh { "refresh" } else { "call" };
        match at_once {
            Some(ending) => self.tell(format_args!("{what} {call} of key {key}, whose body ends at once: {ending:?}")),
            None => self.tell(format_args!("{what} {call} of key {key}")),
        }
        if let Some(ending) = at_once {
            self.world.end(call, ending);
            self.ends.insert(call, ending);
        }
        let script = Script {
            call,
            world: Arc::clone(&self.world),
            argument: Arc::clone(&self.tokens[1]),
            value: Arc::clone(&self.tokens[2]),
        };
        let begin = if refresh { self.function.refresh } else { self.function.call };
        let pending = begin(self.key(key), script);
        self.model.make(call, key, refresh);
        self.callers.push(Caller { call, pending, bell: Arc::default(), polled: false });
        if polled { self.poll(self.callers.len() - 1).await } else { Ok(()) }
    }

    async fn poll(&mut self, place: usize) -> Checked {
        let queues = self.function.options.max_concurrent.is_some();
        let caller = &mut self.callers[place];
        let call = caller.call;
        let mut seen = caller.poll();
        let mut said = self.model.poll(call, &self.ends);
        if queues && said.is_none() {
            self.settle().await;
            said = self.model.poll(call, &self.ends);
            if seen.is_none() {
                seen = self.callers[place].poll();
            }
        }
        match &seen {
            Some(seen) => self.tell(format_args!("poll {call}: {:?}", seen.outcome)),
            None => self.tell(format_args!("poll {call}: it waits")),
        }
        if seen.is_some() {
            self.callers.remove(place);
        }
        same(&format!("call {call}"), &seen.map(|seen| seen.outcome), &said)
    }

    fn drop_caller(&mut self, place: usize) {
        if self.callers.is_empty() {
            return;
        }
        let caller = self.callers.remove(place % self.callers.len());
        self.tell(format_args!("drop {}", caller.call));
        self.model.leave(caller.call);
    }

    fn end_body(&mut self, place: usize, ending: Ending) {
        let bodies = self.model.running().into_iter().filter(|call| !self.ends.contains_key(call)).collect::<Vec<_>>();
        if bodies.is_empty() {
            return;
        }
        let call = bodies[place % bodies.len()];
        self.tell(format_args!("let the body of {call} end: {ending:?}"));
        self.world.end(call, ending);
        self.ends.insert(call, ending);
    }

    fn insert(&mut self, key: usize, put: Put) {
        let origin = Origin::Put(self.puts);
        self.puts += 1;
        self.tell(format_args!("insert {origin:?} for key {key}: {put:?}"));
        let token = &self.tokens[2];
        let value = put.ok().map(|quality| Value { key, origin, quality, token: Arc::clone(token) });
        (self.function.insert)(self.key(key), value);
        self.model.insert(key, put, origin);
    }

    fn clear(&mut self) -> Checked {
        self.tell(format_args!("clear"));
        let removed = (self.function.clear)();
        within("removed", removed, self.model.invalidate(0..KEYS))
    }

    async fn settle(&mut self) {
        // With a queue, one end may let others begin and end.
        let turns = if self.function.options.max_concurrent.is_some() { 32 } else { 8 };
        for _ in 0..turns {
            yield_now().await;
        }
        self.model.settle(&self.ends);
    }

    /// What may be looked at after any step.
    fn compare(&mut self) -> Checked {
        let stats = (self.function.stats)();
        let peeked = (0..KEYS).map(|key| (self.function.peek)(self.key(key))).collect::<Vec<_>>();
        // Values that made room are those that are missing.
        for (key, seen) in peeked.iter().enumerate() {
            if self.model.excess() > 0 && seen.is_none() && self.model.peek(key).is_some() {
                self.tell(format_args!("the value of key {key} makes room"));
                self.model.evict(key);
            }
        }
        for (key, seen) in peeked.into_iter().enumerate() {
            let said = self.model.peek(key).map(|origin| Seen { outcome: Outcome::Value(origin), key: Some(key) });
            same(&format!("peek of key {key}"), &seen, &said)?;
        }
        within("values kept", stats.cache_size, self.model.sizes())?;
        same("values too many", &self.model.excess(), &0)?;
        let unlike = Counts::from(&stats).unlike(&self.model.counts());
        if unlike.is_empty() { Ok(()) } else { Err(format!("statistics: {}", unlike.join(", "))) }
    }

    /// What may be looked at when everything has settled.
    fn compare_settled(&self) -> Checked {
        same("bodies alive", &self.world.alive(), &self.model.running())?;
        same("bodies begun", &self.world.begun().len(), &self.model.begun())?;
        let mut polled = self.callers.iter().filter(|caller| caller.polled);
        match polled.find(|caller| self.model.has_news(caller.call) && !caller.bell.0.load(SeqCst)) {
            Some(caller) => Err(format!("call {} has not been woken", caller.call)),
            None => Ok(()),
        }
    }

    /// Everybody leaves and every body ends.
    async fn end(&mut self) -> Checked {
        self.tell(format_args!("everybody leaves"));
        while !self.callers.is_empty() {
            self.drop_caller(0);
        }
        self.settle().await;
        // Some go on without callers.
        while !self.model.running().is_empty() {
            self.end_body(0, Ending::Value(Quality::Good));
            self.settle().await;
        }
        self.compare()?;
        self.compare_settled()?;
        same("flights in the air", &(self.function.stats)().in_flight, &0)?;
        self.clear()?;
        self.compare()
    }

    /// When nobody is inside of any map, all that has been taken out goes with the next changes.
    fn nothing_is_left(&self) -> Checked {
        let _quiet = PLAYING.write().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..3 {
            (self.function.invalidate)(Key { number: KEYS, token: Token::default() });
        }
        same("copies of keys, arguments and values", &self.left_behind(), &[0; 3])
    }

    fn left_behind(&self) -> [usize; 3] {
        self.tokens.each_ref().map(|token| Arc::strong_count(token) - 1)
    }
}

impl Caller {
    fn poll(&mut self) -> Option<Seen> {
        self.polled = true;
        self.bell.0.store(false, SeqCst);
        let waker = Waker::from(Arc::clone(&self.bell));
        let (pending, mut cx) = (&mut self.pending, Context::from_waker(&waker));
        match catch_unwind(AssertUnwindSafe(|| pending.as_mut().poll(&mut cx))) {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(seen)) => Some(seen),
            Err(panic) => {
                let message = panic.downcast_ref::<String>().expect("panics carry text");
                Some(Seen { outcome: panicked(message), key: None })
            }
        }
    }
}
