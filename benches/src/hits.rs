//! How many requests are hits when not everything fits: one thread, what is missing is made and kept.

use std::convert::Infallible;

use cached::CachedExt as _;
use cached::LruCache;
use foyer_memory::{CacheBuilder, S3FifoConfig};
use stampede_runtime::coalesce;

use crate::body::{self, Runs};
use crate::measure::{Effort, Zipf, block_on, runtime};
use crate::peers::foyer::Foyer;
use crate::peers::moka::Moka;
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

/// The first 10,000 of every 60,000 requests are a scan: for keys that are asked for this once and never again.
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
fn hits(requests: &[u64], mut call: impl FnMut(u64) -> u64) -> f64 {
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
    let cache = quick_cache::sync::Cache::new(capacity);
    hits(requests, |key| {
        let Ok(value) = cache.get_or_insert_with(&key, || Ok::<_, Infallible>(body::number(key)));
        value
    })
}

fn moka(requests: &[u64], capacity: usize) -> f64 {
    let runtime = runtime();
    let cache = moka::future::Cache::new(capacity as u64);
    hits(requests, |key| block_on(&runtime, cache.get_with(key, async { body::number(key) })))
}

fn foyer(requests: &[u64], capacity: usize) -> f64 {
    let builder = CacheBuilder::new(capacity).with_eviction_config(S3FifoConfig::default());
    let cache: foyer_memory::Cache<u64, u64> = builder.build();
    hits(requests, |key| *cache.get(&key).unwrap_or_else(|| cache.insert(key, body::number(key))))
}

fn lru(requests: &[u64], capacity: usize) -> f64 {
    let mut cache = LruCache::new(capacity);
    hits(requests, |key| *cache.get_or_set_with(key, || body::number(key)))
}

/// A name, and the hit ratio of these requests when so many values are kept.
type Policy = (&'static str, fn(&[u64], usize) -> f64);

/// Ours, then the one that the goal is measured by, then the others.
const POLICIES: [Policy; 5] = [
    (Stampede::NAME, stampede),
    (QuickCache::NAME, quick_cache),
    (Foyer::NAME, foyer),
    (Moka::NAME, moka),
    ("exact LRU, the store of cached", lru),
];

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    let requests = effort.of(2_000_000, 500_000);
    let traces = [zipf(requests), zipf_and_scan(requests)];
    let figures = POLICIES.map(|(_, policy)| {
        traces.iter().flat_map(|trace| [2_000, 20_000].map(|capacity| policy(trace, capacity))).collect::<Vec<_>>()
    });
    let close = figures[0].iter().zip(&figures[1]).all(|(ours, theirs)| *ours >= 0.97 * theirs);
    let mut rows: Vec<Row> = POLICIES.iter().zip(figures).map(|((name, _), figures)| Row::new(name, figures)).collect();
    rows[0].goal("within 3 % of quick_cache", close);
    vec![Section {
        name: "hits",
        title: "hit ratio, % of zipf 0.9, 200k keys".to_owned(),
        columns: vec!["2k kept", "20k kept", "+ scan 2k", "+ scan 20k"],
        rows,
    }]
}
