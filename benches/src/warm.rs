//! A warm hit: every call is answered from memory.

use std::hint::black_box;
use std::time::Instant;

use crate::alloc::Allocated;
use crate::body::Runs;
use crate::measure::{Effort, Runner, Zipf, block_on, interleave, keys, least, median, runtime};
use crate::peers::cached::{Cached, CachedByKey, CachedConcurrent};
use crate::peers::floor::ReadOnly;
use crate::peers::foyer::Foyer;
use crate::peers::moka::Moka;
use crate::peers::quick_cache::QuickCache;
use crate::peers::stampede::{Stampede, StampedeResult};
use crate::peers::{Bare, Peer};
use crate::report::{Row, Section};

pub(crate) const KEYS: usize = 10_000;

struct Sample {
    nanos: f64,
    allocations: f64,
}

pub(crate) type Call = (&'static str, u32);

/// The calls of one round, the same in each.
pub(crate) fn trace(keys: &'static [String], calls: usize) -> &'static [Call] {
    let mut zipf = Zipf::new(keys.len(), 0.9);
    let calls: Vec<_> = (0..calls).map(|_| call(keys, zipf.draw())).collect();
    calls.leak()
}

pub(crate) fn call(keys: &'static [String], at: usize) -> Call {
    (&keys[at], u32::try_from(at % 7).expect("small"))
}

/// All calls of a trace, one after the other.
pub(crate) async fn calls<P: Peer>(peer: P, trace: &[Call]) {
    for &(topic, number) in trace {
        let value = black_box(peer.ready(topic, number).await);
        assert_eq!(value.len(), topic.len());
    }
}

/// Fills the cache and checks every value twice: when it is made, and when it is a hit.
pub(crate) fn warm_up<P: Peer>(peer: P, keys: &'static [String]) {
    let runtime = runtime();
    for round in 0..2 {
        let before = Runs::so_far();
        for at in 0..keys.len() {
            let (topic, number) = call(keys, at);
            let value = block_on(&runtime, peer.ready(topic, number));
            assert_eq!(&*value, topic, "{}: a wrong value", P::NAME);
        }
        let runs = Runs::since(before).started;
        assert!(round == 0 || runs == 0, "{}: {runs} of {KEYS} were no hits", P::NAME);
    }
}

fn runner<P: Peer>(peer: P, keys: &'static [String], trace: &'static [Call]) -> Runner<Sample> {
    let hits = P::NAME != Bare::NAME;
    if hits {
        warm_up(peer, keys);
    }
    let runtime = runtime();
    Runner::new(P::NAME, move || {
        block_on(&runtime, async {
            let (runs, allocated, begin) = (Runs::so_far(), Allocated::so_far(), Instant::now());
            calls(peer, trace).await;
            let nanos = begin.elapsed().as_nanos() as f64 / trace.len() as f64;
            let allocations = Allocated::since(allocated).count as f64 / trace.len() as f64;
            assert!(!hits || Runs::since(runs).started == 0, "{}: not all were hits", P::NAME);
            Sample { nanos, allocations }
        })
    })
}

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    let keys = keys(KEYS);
    let trace = trace(keys, effort.of(200_000, 50_000));
    let all = (0..keys.len()).map(|at| call(keys, at));
    let runners = vec![
        runner(ReadOnly::new(all), keys, trace),
        runner(Stampede, keys, trace),
        runner(StampedeResult, keys, trace),
        runner(QuickCache::new(), keys, trace),
        runner(CachedConcurrent, keys, trace),
        runner(Cached, keys, trace),
        runner(CachedByKey, keys, trace),
        runner(Foyer::new(), keys, trace),
        runner(Moka::new(), keys, trace),
        runner(Bare, keys, trace),
    ];
    let mut runners = effort.choose(runners, 1);
    let samples = interleave(&mut runners, effort.of(41, 9));
    let floor = median(&samples[0], |sample| sample.nanos);
    let least_floor = least(&samples[0], |sample| sample.nanos);
    let rows = runners.iter().zip(&samples).map(|(runner, samples)| {
        let (nanos, least_nanos) = (median(samples, |sample| sample.nanos), least(samples, |sample| sample.nanos));
        let allocations = median(samples, |sample| sample.allocations);
        let ratio = nanos / floor;
        let mut row = Row::new(runner.name, [nanos, least_nanos, ratio, least_nanos / least_floor, allocations]);
        if [Stampede::NAME, StampedeResult::NAME].contains(&runner.name) {
            row.goal("≤ 1.5 x", ratio <= 1.5);
            row.goal("aim 1.2 x", ratio <= 1.2);
            row.goal("0 allocations", allocations == 0.0);
        }
        row
    });
    vec![Section {
        name: "warm",
        title: "warm hit, 10k keys, zipf 0.9".to_owned(),
        columns: vec!["ns", "least ns", "x floor", "least x", "allocations"],
        rows: rows.collect(),
    }]
}
