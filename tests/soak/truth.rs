//! What is true, kept beside the functions in plain counters: invalidations, calls, bodies, copies.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use stampede_runtime::{Stats, clear_all, shutdown};
use tokio::runtime::{self, Handle};
use tokio::time::sleep;

use super::body::{Key, Seen, Value, Whose, panic_text};
use super::function::{Function, all};
use super::watch;

/// Few enough that callers meet.
pub(crate) const KEYS: usize = 96;

/// Tells how many copies there are of what holds it.
pub(crate) type Token = Arc<()>;

pub(crate) static TRUTH: LazyLock<Truth> = LazyLock::new(Truth::new);

static HOME: OnceLock<runtime::Id> = OnceLock::new();

/// Says which runtime lives to the end.
pub(crate) fn begin(home: runtime::Id) {
    HOME.set(home).expect("there is one beginning");
}

/// Whether the caller's runtime may end at any moment, if it has one at all.
fn is_doomed() -> bool {
    Handle::try_current().ok().map(|handle| handle.id()) != HOME.get().copied()
}

pub(crate) struct Truth {
    functions: Vec<Function>,
    books: Vec<Book>,
    tokens: [Token; 3],
    faults: Mutex<Vec<String>>,
    pub(crate) told: Told,
}

/// What is known of one function.
#[derive(Default)]
struct Book {
    /// Inserts are alone, so that it is known what was inserted before an invalidation. Invalidations meet.
    order: RwLock<()>,
    keys: Vec<Page>,
    calls: AtomicU64,
    bodies: AtomicU64,
    /// Refreshes from inside bodies. Inside of their own execution they run unshared, and no count tells.
    refreshes_inside: AtomicU64,
}

/// How many invalidations of a key have begun, and which is the latest that has been done.
#[derive(Default)]
struct Page {
    begun: AtomicU64,
    done: AtomicU64,
}

/// What was done, for people.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) cancels: AtomicU64,
    pub(crate) invalidations: AtomicU64,
    pub(crate) inserts: AtomicU64,
    pub(crate) peeks: AtomicU64,
    pub(crate) refreshes: AtomicU64,
    pub(crate) runtimes: AtomicU64,
    values: AtomicU64,
    errors: AtomicU64,
    panics: AtomicU64,
    /// Ended by `timeout`, `wait` or `max_concurrent`.
    bounded: AtomicU64,
    /// Lost with a runtime.
    lost: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Truth {
    fn new() -> Truth {
        let functions = all();
        let book = || Book { keys: (0..KEYS).map(|_| Page::default()).collect(), ..Book::default() };
        Truth {
            books: functions.iter().map(|_| book()).collect(),
            functions,
            tokens: Default::default(),
            faults: Mutex::default(),
            told: Told::default(),
        }
    }

    pub(crate) fn functions(&self) -> &[Function] {
        &self.functions
    }

    pub(crate) fn stats(&self, function: usize) -> String {
        format!("{}: {}", self.functions[function].name, (self.functions[function].stats)())
    }

    pub(crate) fn fault(&self, fault: String) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    // What bodies and callers ask.

    pub(crate) fn key(&self, number: usize) -> Key {
        Key { number, token: Arc::clone(&self.tokens[0]) }
    }

    pub(crate) fn argument_token(&self) -> Token {
        Arc::clone(&self.tokens[1])
    }

    pub(crate) fn value_token(&self) -> Token {
        Arc::clone(&self.tokens[2])
    }

    pub(crate) fn body_begins(&self, function: usize) {
        count(&self.books[function].bodies);
    }

    pub(crate) fn call_begins(&self, function: usize) {
        count(&self.books[function].calls);
    }

    pub(crate) fn refresh_begins(&self, function: usize, depth: usize) {
        count(&self.told.refreshes);
        if depth > 0 {
            count(&self.books[function].refreshes_inside);
        }
    }

    pub(crate) fn may_nest(&self, function: usize, depth: usize) -> bool {
        depth < 3 && self.functions[function].may_nest
    }

    /// How many invalidations have begun: what is made now knows of them.
    pub(crate) fn generation(&self, function: usize, key: usize) -> u64 {
        self.books[function].keys[key].begun.load(SeqCst)
    }

    /// The latest invalidation that has been done: who begins now must not see what is older.
    pub(crate) fn floor(&self, function: usize, key: usize) -> u64 {
        self.books[function].keys[key].done.load(SeqCst)
    }

    // What is done to keys.

    /// Takes keys of a function out by `act`, and takes down that it has been done.
    fn invalidating(&self, function: usize, keys: std::ops::Range<usize>, act: impl FnOnce()) {
        let pages = &self.books[function].keys[keys];
        let begun = pages.iter().map(|page| page.begun.fetch_add(1, SeqCst) + 1).collect::<Vec<_>>();
        act();
        for (page, begun) in pages.iter().zip(begun) {
            page.done.fetch_max(begun, SeqCst);
        }
        count(&self.told.invalidations);
    }

    fn order(&self, function: usize) -> RwLockReadGuard<'_, ()> {
        self.books[function].order.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn order_alone(&self, function: usize) -> RwLockWriteGuard<'_, ()> {
        self.books[function].order.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn invalidate(&self, function: usize, key: usize) {
        let _order = self.order(function);
        self.invalidating(function, key..key + 1, || _ = (self.functions[function].invalidate)(self.key(key)));
    }

    pub(crate) fn clear(&self, function: usize) {
        let _order = self.order(function);
        self.invalidating(function, 0..KEYS, || _ = (self.functions[function].clear)());
    }

    pub(crate) fn clear_all(&self) {
        let _orders = (0..self.functions.len()).map(|function| self.order(function)).collect::<Vec<_>>();
        self.clear_from(0);
    }

    /// Inside of the invalidation of each function, that of all.
    fn clear_from(&self, function: usize) {
        if function == self.functions.len() {
            clear_all();
        } else {
            self.invalidating(function, 0..KEYS, || self.clear_from(function + 1));
        }
    }

    pub(crate) fn insert(&self, function: usize, key: usize, seed: u64) {
        let _order = self.order_alone(function);
        let generation = self.generation(function, key);
        let value = Value { function, key, generation, seed, token: self.value_token() };
        (self.functions[function].insert)(self.key(key), value);
        count(&self.told.inserts);
    }

    pub(crate) fn peek(&self, function: usize, key: usize) {
        let floor = self.floor(function, key);
        if let Some(seen) = (self.functions[function].peek)(self.key(key)) {
            self.check(function, key, floor, &seen);
        }
        count(&self.told.peeks);
    }

    // What must be so.

    /// Whether somebody who began at `floor` may see this.
    pub(crate) fn check(&self, function: usize, key: usize, floor: u64, seen: &Seen) {
        use stampede_runtime::Error;

        let whose = Whose { function, key };
        let (is_right, counter) = match seen {
            Seen::Value(value) => {
                let is_mine = Whose { function: value.function, key: value.key } == whose;
                (is_mine && value.generation >= floor, &self.told.values)
            }
            Seen::Fire(of) => (*of == whose, &self.told.errors),
            Seen::Stampede(Error::Timeout { .. } | Error::WaitTimeout { .. } | Error::Refused { .. }) => {
                (true, &self.told.bounded)
            }
            Seen::Stampede(Error::Abandoned { .. }) => (is_doomed(), &self.told.lost),
            Seen::Stampede(_) => (false, &self.told.errors),
            // Tokio's own, in a body that sleeps while its runtime is shut down.
            Seen::Panic(text) if text.contains("is being shutdown") => (true, &self.told.lost),
            Seen::Panic(text) => (*text == panic_text(whose), &self.told.panics),
        };
        count(counter);
        if !is_right {
            let generation = self.generation(function, key);
            self.fault(format!(
                "{} of key {key} ends with {seen:?}, begun after invalidation {floor} of {generation}",
                self.functions[function].name
            ));
        }
    }

    pub(crate) fn check_while_it_runs(&self) {
        for function in &self.functions {
            let stats = (function.stats)();
            if stats.cache_size > function.capacity {
                self.fault(format!("{}: more than {} are kept: {stats}", function.name, function.capacity));
            }
        }
    }

    /// When nobody calls any more.
    pub(crate) async fn check_at_the_end(&self) {
        let in_the_air = shutdown(Duration::from_secs(30)).await;
        if in_the_air > 0 || watch::waiting() > 0 {
            self.fault(format!("{in_the_air} flights are in the air, {} wait", watch::waiting()));
        }
        for (function, book) in self.functions.iter().zip(&self.books) {
            let (stats, calls) = ((function.stats)(), book.calls.load(SeqCst));
            let (bodies, refreshes) = (book.bodies.load(SeqCst), book.refreshes_inside.load(SeqCst));
            if stats.requests != calls {
                self.fault(format!("{}: {calls} calls have begun: {stats}", function.name));
            }
            // Some are ended before their first turn.
            if bodies > stats.executions + stats.bypassed + refreshes {
                self.fault(format!("{}: {bodies} bodies, {refreshes} refreshes inside: {stats}", function.name));
            }
            if stats.executions != stats.led + stats.refreshes + stats.retries || stats.in_flight > 0 {
                self.fault(format!("{}: {stats}", function.name));
            }
        }
        clear_all();
        let start = Instant::now();
        while self.left_behind() != [0; 3] && start.elapsed() < Duration::from_secs(30) {
            // Bodies that were ended go when they get a turn; what was being read, with the next change of its map.
            sleep(Duration::from_millis(5)).await;
            for function in &self.functions {
                (function.invalidate)(Key { number: 0, token: Token::default() });
            }
        }
        if self.left_behind() != [0; 3] {
            self.fault(format!("copies of keys, arguments and values are left: {:?}", self.left_behind()));
        }
    }

    fn left_behind(&self) -> [usize; 3] {
        self.tokens.each_ref().map(|token| Arc::strong_count(token) - 1)
    }

    // What was done.

    fn sum(&self, part: impl Fn(&Stats) -> u64) -> u64 {
        self.functions.iter().map(|function| part(&(function.stats)())).sum()
    }

    /// In a line.
    pub(crate) fn rates(&self, elapsed: Duration) -> String {
        let rate = |count: u64| format!("{:.0}", count as f64 / elapsed.as_secs_f64());
        format!(
            "per second: {} calls, {} executions, {} joined, {} hits, {} cancels, {} panics, {} invalidations",
            rate(self.sum(|stats| stats.requests)),
            rate(self.sum(|stats| stats.executions)),
            rate(self.sum(|stats| stats.coalesce_hits)),
            rate(self.sum(|stats| stats.cache_hits)),
            rate(self.told.cancels.load(Relaxed)),
            rate(self.sum(|stats| stats.panics)),
            rate(self.told.invalidations.load(Relaxed)),
        )
    }

    /// All of it.
    pub(crate) fn told(&self, elapsed: Duration) -> String {
        let told = |counter: &AtomicU64| counter.load(Relaxed);
        let each = (0..self.functions.len()).map(|function| format!("  {}\n", self.stats(function)));
        format!(
            "{}{}\nin all: {} calls, {} executions, {} unshared, {} refreshes asked for, {} inserts, {} peeks, {} \
             invalidations, {} cancels, {} abandoned, {} begun anew, {} evicted, {} runtimes that ended\nseen: {} \
             values, {} errors, {} panics, {} bounded, {} lost with a runtime",
            each.collect::<String>(),
            self.rates(elapsed),
            self.sum(|stats| stats.requests),
            self.sum(|stats| stats.executions),
            self.sum(|stats| stats.bypassed),
            told(&self.told.refreshes),
            told(&self.told.inserts),
            told(&self.told.peeks),
            told(&self.told.invalidations),
            told(&self.told.cancels),
            self.sum(|stats| stats.abandoned),
            self.sum(|stats| stats.retries),
            self.sum(|stats| stats.evictions),
            told(&self.told.runtimes),
            told(&self.told.values),
            told(&self.told.errors),
            told(&self.told.panics),
            told(&self.told.bounded),
            told(&self.told.lost),
        )
    }
}
