//! The first caller is dropped after 1 of 5 milliseconds; 99 others wait.

use std::time::{Duration, Instant};

use crate::body::Runs;
use crate::measure::{Effort, Runner, interleave, keys, median, runtime, unused};
use crate::peers::Peer;
use crate::peers::cached::CachedByKey;
use crate::peers::foyer::Foyer;
use crate::peers::moka::Moka;
use crate::peers::quick_cache::QuickCache;
use crate::peers::shared::FuturesShared;
use crate::peers::singleflight::SingleflightAsync;
use crate::peers::stampede::Stampede;
use crate::report::{Row, Section};

struct Sample {
    runs: Runs,
    millis: f64,
}

fn runner<P: Peer>(peer: P, keys: &'static [String]) -> Runner<Sample> {
    let runtime = runtime();
    Runner::new(P::NAME, move || {
        runtime.block_on(async {
            let (topic, number) = (keys[0].as_str(), unused());
            let (runs, begin) = (Runs::so_far(), Instant::now());
            let first = tokio::spawn(peer.slow(topic, number));
            let others: Vec<_> = (0..99).map(|_| tokio::spawn(peer.slow(topic, number))).collect();
            tokio::time::sleep(Duration::from_millis(1)).await;
            first.abort();
            assert!(first.await.is_err_and(|error| error.is_cancelled()));
            for other in others {
                assert_eq!(&*other.await.expect("no task panics"), topic);
            }
            Sample { runs: Runs::since(runs), millis: begin.elapsed().as_secs_f64() * 1e3 }
        })
    })
}

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    let keys = keys(1);
    let runners = vec![
        runner(Stampede, keys),
        runner(FuturesShared::new(), keys),
        runner(SingleflightAsync::new(), keys),
        runner(QuickCache::new(), keys),
        runner(CachedByKey, keys),
        runner(Foyer::new(), keys),
        runner(Moka::new(), keys),
    ];
    let mut runners = effort.choose(runners, 0);
    let samples = interleave(&mut runners, effort.of(31, 7));
    let rows = runners.iter().zip(&samples).map(|(runner, samples)| {
        let most = |figure: fn(&Sample) -> u64| samples.iter().map(figure).max().unwrap_or(0);
        let (started, finished) = (most(|sample| sample.runs.started), most(|sample| sample.runs.finished));
        let millis = median(samples, |sample| sample.millis);
        let mut row = Row::new(runner.name, [started as f64, finished as f64, millis]);
        if runner.name == Stampede::NAME {
            row.goal("1 body, nothing lost", started == 1 && finished == 1);
        }
        row
    });
    vec![Section {
        name: "dropped",
        title: "first of 100 callers dropped after 1 ms".to_owned(),
        columns: vec!["started", "finished", "wall ms"],
        rows: rows.collect(),
    }]
}
