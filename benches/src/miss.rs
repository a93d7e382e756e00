//! A miss: the body is ready at once, its value is stored, and another value makes room for it.

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Instant;

use crate::alloc::Allocated;
use crate::body::Runs;
use crate::measure::{Effort, Runner, block_on, interleave, keys, least, median, runtime};
use crate::peers::cached::{Cached, CachedByKey, CachedConcurrent};
use crate::peers::foyer::Foyer;
use crate::peers::moka::Moka;
use crate::peers::quick_cache::QuickCache;
use crate::peers::stampede::{Stampede, StampedeResult};
use crate::peers::{Bare, CAPACITY, Peer};
use crate::report::{Row, Section};

struct Sample {
    nanos: f64,
    allocations: f64,
    bytes: f64,
}

fn runner<P: Peer>(peer: P, keys: &'static [String], calls: usize) -> Runner<Sample> {
    let runtime = runtime();
    // Never used before, in any round.
    let next = Rc::new(Cell::new(1_000_000));
    let round = move |calls: usize| {
        block_on(&runtime, async {
            let runs = Runs::so_far();
            let (allocated, begin) = (Allocated::so_far(), Instant::now());
            for call in 0..calls {
                let topic = keys[call % keys.len()].as_str();
                let number = next.replace(next.get() + 1);
                let value = black_box(peer.ready(topic, number).await);
                assert_eq!(value.len(), topic.len());
            }
            let nanos = begin.elapsed().as_nanos() as f64 / calls as f64;
            let allocated = Allocated::since(allocated);
            assert_eq!(Runs::since(runs).started, calls as u64, "{}: a body must run for each new key", P::NAME);
            let each = |count: u64| count as f64 / calls as f64;
            Sample { nanos, allocations: each(allocated.count), bytes: each(allocated.bytes) }
        })
    };
    // Full from the start, so that every store evicts.
    round(2 * CAPACITY);
    Runner::new(P::NAME, move || round(calls))
}

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    let keys = keys(10_000);
    let calls = effort.of(50_000, 20_000);
    let runners = vec![
        runner(QuickCache::new(), keys, calls),
        runner(Stampede, keys, calls),
        runner(StampedeResult, keys, calls),
        runner(CachedConcurrent, keys, calls),
        runner(Cached, keys, calls),
        runner(CachedByKey, keys, calls),
        runner(Foyer::new(), keys, calls),
        runner(Moka::new(), keys, calls),
        runner(Bare, keys, calls),
    ];
    let mut runners = effort.choose(runners, 1);
    let samples = interleave(&mut runners, effort.of(31, 7));
    let quick_cache = median(&samples[0], |sample| sample.nanos);
    let least_quick_cache = least(&samples[0], |sample| sample.nanos);
    let rows = runners.iter().zip(&samples).map(|(runner, samples)| {
        let (nanos, least_nanos) = (median(samples, |sample| sample.nanos), least(samples, |sample| sample.nanos));
        let ratio = nanos / quick_cache;
        let allocations = median(samples, |sample| sample.allocations);
        let bytes = median(samples, |sample| sample.bytes);
        let mut row =
            Row::new(runner.name, [nanos, least_nanos, ratio, least_nanos / least_quick_cache, allocations, bytes]);
        if [Stampede::NAME, StampedeResult::NAME].contains(&runner.name) {
            row.goal("≤ 2 x quick_cache", ratio <= 2.0);
        }
        row
    });
    vec![Section {
        name: "miss",
        title: "miss + store + evict, unique keys, 20k kept".to_owned(),
        columns: vec!["ns", "least ns", "x quick_c.", "least x", "allocations", "bytes"],
        rows: rows.collect(),
    }]
}
