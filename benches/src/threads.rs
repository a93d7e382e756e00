//! Growth with threads: as many calls as one thread makes, shared out among more.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use crate::body::Runs;
use crate::measure::{Effort, Runner, block_on, interleave, keys, median, runtime, unused};
use crate::peers::cached::{Cached, CachedByKey, CachedConcurrent};
use crate::peers::floor::ReadOnly;
use crate::peers::foyer::Foyer;
use crate::peers::moka::Moka;
use crate::peers::quick_cache::QuickCache;
use crate::peers::stampede::Stampede;
use crate::peers::{Bare, Peer};
use crate::report::{Row, Section};
use crate::warm::{self, Call};

/// How many threads, and how that stands in the table. Measured are the first four, and all that have a core each.
const COUNTS: [(usize, &str); 7] = [
    (1, "1 thread"),
    (2, "2 threads"),
    (4, "4 threads"),
    (8, "8 threads"),
    (16, "16 threads"),
    (32, "32 threads"),
    (64, "64 threads"),
];

/// Nanoseconds per call of all threads together, for each count of threads.
type Sample = Vec<f64>;

#[derive(Clone, Copy)]
enum Calls {
    /// Hits of many keys.
    Hits,
    /// Hits of the same key.
    HotKey,
    /// Each with a key of its own, which nobody has called with before.
    Misses,
}

impl Calls {
    fn of_a_round(self, keys: &'static [String], trace: &[Call]) -> Vec<Call> {
        match self {
            Calls::Hits => trace.to_vec(),
            Calls::HotKey => vec![trace[0]; trace.len()],
            Calls::Misses => (0..trace.len()).map(|at| (keys[at % keys.len()].as_str(), unused())).collect(),
        }
    }
}

/// From the first thread's first call to the last one's last.
fn nanos<P: Peer>(peer: P, calls: &[Call], threads: usize) -> f64 {
    let ready = Barrier::new(threads);
    let one = |part| {
        let runtime = runtime();
        ready.wait();
        let begin = Instant::now();
        block_on(&runtime, warm::calls(peer, part));
        (begin, Instant::now())
    };
    let times: Vec<_> = thread::scope(|scope| {
        let parts = calls.chunks(calls.len().div_ceil(threads));
        let threads: Vec<_> = parts.map(|part| scope.spawn(move || one(part))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no call panics")).collect()
    });
    let begin = times.iter().map(|(begin, _)| *begin).min().expect("some thread");
    let end = times.iter().map(|(_, end)| *end).max().expect("some thread");
    (end - begin).as_nanos() as f64 / calls.len() as f64
}

fn runner<P: Peer>(peer: P, which: Calls, keys: &'static [String], trace: &'static [Call]) -> Runner<Sample> {
    if P::NAME != Bare::NAME {
        warm::warm_up(peer, keys);
    }
    Runner::new(P::NAME, move || {
        let nanos = counts().map(|(threads, _)| {
            let calls = which.of_a_round(keys, trace);
            let before = Runs::so_far();
            let nanos = nanos(peer, &calls, threads);
            let runs = Runs::since(before).started;
            let hits = P::NAME != Bare::NAME && !matches!(which, Calls::Misses);
            assert_eq!(runs, if hits { 0 } else { calls.len() as u64 }, "{}: bodies that ran", P::NAME);
            nanos
        });
        nanos.collect()
    })
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn counts() -> impl Iterator<Item = (usize, &'static str)> {
    COUNTS.into_iter().enumerate().filter(|(at, (threads, _))| *at < 4 || *threads <= cores()).map(|(_, count)| count)
}

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    let keys = keys(warm::KEYS);
    let hits = warm::trace(keys, effort.of(200_000, 50_000));
    let misses = warm::trace(keys, effort.of(50_000, 20_000));
    vec![
        section("hits", Calls::Hits, keys, hits, effort),
        section("hits of one hot key", Calls::HotKey, keys, hits, effort),
        section("misses, evicting", Calls::Misses, keys, misses, effort),
    ]
}

fn section(title: &str, which: Calls, keys: &'static [String], trace: &'static [Call], effort: &Effort) -> Section {
    let mut runners = vec![
        runner(Stampede, which, keys, trace),
        runner(QuickCache::new(), which, keys, trace),
        runner(CachedConcurrent, which, keys, trace),
        runner(Cached, which, keys, trace),
        runner(CachedByKey, which, keys, trace),
        runner(Foyer::new(), which, keys, trace),
        runner(Moka::new(), which, keys, trace),
        runner(Bare, which, keys, trace),
    ];
    if !matches!(which, Calls::Misses) {
        let all = (0..keys.len()).map(|at| warm::call(keys, at));
        runners.insert(0, runner(ReadOnly::new(all), which, keys, trace));
    }
    let mut runners = effort.choose(runners, 0);
    let samples = interleave(&mut runners, effort.of(7, 3));
    let rows = runners.iter().zip(&samples).map(|(runner, samples)| {
        let millions = |at: usize| 1e3 / median(samples, |sample| sample[at]);
        let mut row = Row::new(runner.name, counts().enumerate().map(|(at, _)| millions(at)));
        // Hits of one key share that value's count of references, in the floor too.
        if runner.name == Stampede::NAME && matches!(which, Calls::Hits) && cores() > 1 {
            let busy = counts().filter(|(threads, _)| *threads <= cores()).count() - 1;
            row.goal("more cores gain", millions(busy) > millions(0));
        }
        row
    });
    Section {
        name: "threads",
        title: format!("{title}, M/s, {} cores", cores()),
        columns: counts().map(|(_, name)| name).collect(),
        rows: rows.collect(),
    }
}
