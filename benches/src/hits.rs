//! How many requests are hits when not everything fits: one thread, what is missing is made and kept.

use quick_cache::sync::Cache;
use stampede_runtime::coalesce;

use crate::body::{self, Runs};
use crate::measure::{Effort, Zipf, block_on, runtime};
use crate::peers::quick_cache::QuickCache;
use crate::peers::stampede::Stampede;
use crate::peers::{Peer, TTL};
use crate::report::{Row, Section};

const KEYS: usize = 200_000;

#[coalesce(ttl = TTL, capacity = 2_000)]
async fn small(key: u64) -> u64 {
    body::number(key)
}

#[coalesce(ttl = TTL, capacity = 20_000)]
async fn large(key: u64) -> u64 {
    body::number(key)
}

/// Zipf alone.
fn zipf(requests: usize) -> Vec<u64> {
    let mut zipf = Zipf::new(KEYS, 0.9);
    (0..requests).map(|_| zipf.draw() as u64).collect()
}

/// After every 50,000 requests 10,000 for keys that are asked for once only.
fn zipf_and_scan(requests: usize) -> Vec<u64> {
    let mut once = KEYS as u64..;
    let mut requests = zipf(requests);
    requests.chunks_mut(60_000).for_each(|part| {
        let scanned = part.len() / 6;
        part[..scanned].iter_mut().zip(&mut once).for_each(|(request, key)| *request = key);
    });
    requests
}

/// The share of requests that ran no body, in per cent.
fn hits(requests: &[u64], call: impl Fn(u64) -> u64) -> f64 {
    let runs = Runs::so_far();
    for &key in requests {
        assert_eq!(call(key), key);
    }
    let missed = Runs::since(runs).started;
    100.0 * (1.0 - missed as f64 / requests.len() as f64)
}

fn stampede(requests: &[u64], capacity: usize) -> f64 {
    let runtime = runtime();
    if capacity == 2_000 {
        small::clear();
        hits(requests, |key| block_on(&runtime, small(key)))
    } else {
        large::clear();
        hits(requests, |key| block_on(&runtime, large(key)))
    }
}

fn quick_cache(requests: &[u64], capacity: usize) -> f64 {
    let cache = Cache::new(capacity);
    hits(requests, |key| {
        let Ok(value) = cache.get_or_insert_with(&key, || Ok::<_, std::convert::Infallible>(body::number(key)));
        value
    })
}

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    let requests = effort.of(2_000_000, 500_000);
    let traces = [zipf(requests), zipf_and_scan(requests)];
    let figures = |peer: fn(&[u64], usize) -> f64| {
        traces.iter().flat_map(|trace| [2_000, 20_000].map(|capacity| peer(trace, capacity))).collect::<Vec<_>>()
    };
    let (ours, theirs) = (figures(stampede), figures(quick_cache));
    let close = ours.iter().zip(&theirs).all(|(ours, theirs)| *ours >= 0.97 * theirs);
    let mut row = Row::new(Stampede::NAME, ours);
    row.goal("within 3 % of quick_cache", close);
    vec![Section {
        name: "hits",
        title: "hit ratio, % of zipf 0.9, 200k keys".to_owned(),
        columns: vec!["2k kept", "20k kept", "+ scan 2k", "+ scan 20k"],
        rows: vec![row, Row::new(QuickCache::NAME, theirs)],
    }]
}
