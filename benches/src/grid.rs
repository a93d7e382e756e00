//! A full house: a crowd that calls with 10,000 keys at once, ten callers for each.

use crate::crowd::Crowd;
use crate::measure::{Effort, interleave, keys};
use crate::peers::Peer;
use crate::peers::cached::CachedByKey;
use crate::peers::floor::WakerList;
use crate::peers::foyer::Foyer;
use crate::peers::moka::Moka;
use crate::peers::quick_cache::QuickCache;
use crate::peers::shared::FuturesShared;
use crate::peers::singleflight::SingleflightAsync;
use crate::peers::stampede::Stampede;
use crate::report::{Row, Section};

const KEYS: usize = 10_000;

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    let crowd = Crowd { keys: keys(KEYS), callers: 10 };
    let runners = vec![
        crowd.bare(),
        crowd.runner(WakerList::new()),
        crowd.runner(Stampede),
        crowd.runner(FuturesShared::new()),
        crowd.runner(SingleflightAsync::new()),
        crowd.runner(QuickCache::new()),
        crowd.runner(CachedByKey),
        crowd.runner(Foyer::new()),
        crowd.runner(Moka::new()),
    ];
    let mut runners = effort.choose(runners, 2);
    let samples = interleave(&mut runners, effort.of(7, 3));
    let floor = crowd.each(&samples[1], &samples[0]);
    let rows = runners.iter().zip(&samples).skip(1).map(|(runner, samples_of)| {
        let each = crowd.each(samples_of, &samples[0]);
        let figures = [
            each.executions as f64,
            each.wall_millis,
            each.wall_millis / floor.wall_millis,
            each.cpu_nanos,
            each.cpu_nanos / floor.cpu_nanos,
            each.least_cpu_nanos / floor.least_cpu_nanos,
            each.allocations,
            each.bytes,
        ];
        let mut row = Row::new(runner.name, figures);
        if runner.name == Stampede::NAME {
            row.goal("1 execution a key", each.executions == KEYS as u64);
        }
        row
    });
    vec![Section {
        name: "grid",
        title: "10,000 keys x 10 callers, body 5 ms".to_owned(),
        columns: vec![
            "executions",
            "wall ms",
            "x wall",
            "cpu ns each",
            "x waker l.",
            "least x",
            "allocations",
            "bytes",
        ],
        rows: rows.collect(),
    }]
}
