//! A warm hit: every call is answered from memory.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use crate::alloc::Allocated;
use crate::body::Runs;
use crate::measure::{Effort, Runner, Zipf, block_on, interleave, keys, least, median, runtime};
use crate::peers::cached::{Cached, CachedByKey, CachedConcurrent};
use crate::peers::floor::ReadOnly;
use crate::peers::moka::Moka;
use crate::peers::quick_cache::QuickCache;
use crate::peers::stampede::{Stampede, StampedeResult};
use crate::peers::{Bare, Peer};
use crate::report::{Row, Section};

const KEYS: usize = 10_000;

struct Sample {
    nanos: f64,
    allocations: f64,
}

/// The calls of one round, the same in each.
type Trace = &'static [(&'static str, u32)];

fn trace(keys: &'static [String], calls: usize) -> Trace {
    let mut zipf = Zipf::new(keys.len(), 0.9);
    let calls: Vec<_> = (0..calls).map(|_| call(keys, zipf.draw())).collect();
    calls.leak()
}

fn call(keys: &'static [String], at: usize) -> (&'static str, u32) {
    (&keys[at], u32::try_from(at % 7).expect("small"))
}

/// All calls of a trace, one after the other.
async fn calls<P: Peer>(peer: P, trace: Trace) {
    for &(topic, number) in trace {
        let value = black_box(peer.ready(topic, number).await);
        assert_eq!(value.len(), topic.len());
    }
}

/// Fills the cache and checks every value twice: when it is made, and when it is a hit.
fn warm_up<P: Peer>(peer: P, keys: &'static [String], hits: bool) {
    let runtime = runtime();
    for round in 0..2 {
        let before = Runs::so_far();
        for at in 0..keys.len() {
            let (topic, number) = call(keys, at);
            let value = block_on(&runtime, peer.ready(topic, number));
            assert_eq!(&*value, topic, "{}: a wrong value", P::NAME);
        }
        let runs = Runs::since(before).started;
        assert!(round == 0 || !hits || runs == 0, "{}: {runs} of {KEYS} were no hits", P::NAME);
    }
}

fn one_thread<P: Peer>(peer: P, trace: Trace) -> Sample {
    let runtime = runtime();
    block_on(&runtime, async {
        let (allocated, begin) = (Allocated::so_far(), Instant::now());
        calls(peer, trace).await;
        let nanos = begin.elapsed().as_nanos() as f64 / trace.len() as f64;
        Sample { nanos, allocations: Allocated::since(allocated).count as f64 / trace.len() as f64 }
    })
}

/// Nanoseconds per call of both threads together: half of what each takes when neither disturbs the other.
fn two_threads<P: Peer>(peer: P, trace: Trace) -> Sample {
    let ready = Arc::new(Barrier::new(2));
    let each = |from: usize| {
        let ready = Arc::clone(&ready);
        // Each begins elsewhere in the trace.
        let (end, start) = trace.split_at(from);
        move || {
            let runtime = runtime();
            ready.wait();
            let begin = Instant::now();
            block_on(&runtime, async {
                calls(peer, start).await;
                calls(peer, end).await;
            });
            (begin, Instant::now())
        }
    };
    let threads = [thread::spawn(each(0)), thread::spawn(each(trace.len() / 2))];
    let times = threads.map(|thread| thread.join().expect("no call panics"));
    let begin = times.iter().map(|(begin, _)| *begin).min().expect("two");
    let end = times.iter().map(|(_, end)| *end).max().expect("two");
    Sample { nanos: (end - begin).as_nanos() as f64 / (2 * trace.len()) as f64, allocations: 0.0 }
}

fn runners(measure: Measure, keys: &'static [String], trace: Trace) -> Vec<Runner<Sample>> {
    fn runner<P: Peer>(peer: P, measure: Measure, keys: &'static [String], trace: Trace) -> Runner<Sample> {
        let hits = P::NAME != Bare::NAME;
        warm_up(peer, keys, hits);
        Runner::new(P::NAME, move || {
            let before = Runs::so_far();
            let sample = match measure {
                Measure::OneThread => one_thread(peer, trace),
                Measure::TwoThreads => two_threads(peer, trace),
            };
            assert!(!hits || Runs::since(before).started == 0, "{}: not all were hits", P::NAME);
            sample
        })
    }
    let all = (0..keys.len()).map(|at| call(keys, at));
    vec![
        runner(ReadOnly::new(all), measure, keys, trace),
        runner(Stampede, measure, keys, trace),
        runner(StampedeResult, measure, keys, trace),
        runner(QuickCache::new(), measure, keys, trace),
        runner(CachedConcurrent, measure, keys, trace),
        runner(Cached, measure, keys, trace),
        runner(CachedByKey, measure, keys, trace),
        runner(Moka::new(), measure, keys, trace),
        runner(Bare, measure, keys, trace),
    ]
}

#[derive(Clone, Copy)]
enum Measure {
    OneThread,
    TwoThreads,
}

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    let keys = keys(KEYS);
    let trace = trace(keys, effort.of(200_000, 50_000));
    let rounds = effort.of(41, 9);
    let run = |measure| {
        let mut runners = effort.choose(runners(measure, keys, trace), 1);
        let samples = interleave(&mut runners, rounds);
        runners.iter().map(|runner| runner.name).zip(samples).collect::<Vec<_>>()
    };
    let one = run(Measure::OneThread);
    let two = run(Measure::TwoThreads);
    let floor = median(&one[0].1, |sample| sample.nanos);
    let least_floor = least(&one[0].1, |sample| sample.nanos);
    let mut one_thread = Section {
        name: "warm",
        title: "warm hit, 10k keys, zipf 0.9".to_owned(),
        columns: vec!["ns", "least ns", "x floor", "least x", "allocations"],
        rows: Vec::new(),
    };
    let mut two_threads = Section {
        name: "warm",
        title: "the same on two threads".to_owned(),
        columns: vec!["Mops/s", "most Mops/s", "gain"],
        rows: Vec::new(),
    };
    for ((peer, one), (_, two)) in one.iter().zip(&two) {
        let (nanos, least_nanos) = (median(one, |sample| sample.nanos), least(one, |sample| sample.nanos));
        let allocations = median(one, |sample| sample.allocations);
        let ratio = nanos / floor;
        let mut row = Row::new(peer, [nanos, least_nanos, ratio, least_nanos / least_floor, allocations]);
        let ours = [Stampede::NAME, StampedeResult::NAME].contains(peer);
        if ours {
            row.goal("≤ 1.5 x", ratio <= 1.5);
            row.goal("aim 1.2 x", ratio <= 1.2);
            row.goal("0 allocations", allocations == 0.0);
        }
        one_thread.rows.push(row);

        let both = median(two, |sample| sample.nanos);
        let gain = nanos / both;
        let mut row = Row::new(peer, [1e3 / both, 1e3 / least(two, |sample| sample.nanos), gain]);
        if ours {
            row.goal("more cores gain", gain > 1.0);
        }
        two_threads.rows.push(row);
    }
    vec![one_thread, two_threads]
}
