//! A stampede: a crowd that calls with one key.

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

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    let keys = keys(1);
    [10, 100, 1_000, 10_000].map(|callers| fan_out(Crowd { keys, callers }, effort)).into()
}

fn fan_out(crowd: Crowd, effort: &Effort) -> Section {
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
    let samples = interleave(&mut runners, effort.of(31, 7));
    let floor = crowd.each(&samples[1], &samples[0]);
    // Fewer tasks take less than the timer and the parked thread do, which vary more.
    let is_telling = crowd.tasks() >= 1_000;
    let over = |cpu: f64, floor: f64| if is_telling { cpu / floor } else { f64::NAN };
    let rows = runners.iter().zip(&samples).skip(1).map(|(runner, samples_of)| {
        let each = crowd.each(samples_of, &samples[0]);
        let ratio = over(each.cpu_nanos, floor.cpu_nanos);
        let figures = [
            each.executions as f64,
            each.cpu_nanos,
            each.least_cpu_nanos,
            ratio,
            over(each.least_cpu_nanos, floor.least_cpu_nanos),
            each.allocations,
            each.bytes,
            each.wake_micros,
        ];
        let mut row = Row::new(runner.name, figures);
        if runner.name == Stampede::NAME {
            row.goal("1 execution", each.executions == 1);
            if is_telling {
                row.goal("≤ 1.3 x", ratio <= 1.3);
                row.goal("no allocation per waiter", each.allocations < 0.1);
            }
        }
        row
    });
    Section {
        name: "fan-out",
        title: format!("fan-out, {} tasks, body 5 ms", crowd.tasks()),
        columns: vec![
            "executions",
            "cpu ns each",
            "least ns",
            "x waker l.",
            "least x",
            "allocations",
            "bytes",
            "p99 wake us",
        ],
        rows: rows.collect(),
    }
}
