//! What a million values take, each store in a process of its own.

use std::process::Command;
use std::sync::Arc;

use cached::{CachedExt as _, LruTtlCache};
use foyer_memory::{CacheBuilder, S3FifoConfig};
use stampede_runtime::coalesce;

use crate::measure::{Effort, block_on, runtime};
use crate::peers::cached::Cached;
use crate::peers::foyer::Foyer;
use crate::peers::moka::Moka;
use crate::peers::quick_cache::QuickCache;
use crate::peers::stampede::Stampede;
use crate::peers::{Peer, TTL, deadline};
use crate::report::{Row, Section};

const ENTRIES: usize = 1_000_000;
/// The argument that makes this program a store's own process.
pub(crate) const CHILD: &str = "--memory-of";

/// A name, and what fills the store with so many entries.
type Store = (&'static str, fn(usize));

const STORES: [Store; 6] = [
    (Stampede::NAME, stampede),
    (QuickCache::NAME, quick_cache),
    (Cached::NAME, cached),
    (Foyer::NAME, foyer),
    (Moka::NAME, moka),
    ("vector of keys and values", plain),
];

/// Nothing is evicted.
const CAPACITY: usize = 1_250_000;

fn value() -> Arc<str> {
    const VALUE: &str = "0123456789";
    VALUE.repeat(20).into()
}

fn key(number: usize) -> String {
    let key = format!("session/profile/of/the/user/no/{number:09}");
    key.into_boxed_str().into_string()
}

#[coalesce(ttl = TTL, capacity = 1_250_000)]
async fn kept(key: &str) -> Arc<str> {
    assert_eq!(key.len(), 40);
    value()
}

fn stampede(entries: usize) {
    let runtime = runtime();
    (0..entries).for_each(|number| drop(block_on(&runtime, kept(&key(number)))));
    assert_eq!(kept::stats().cache_size, entries);
}

fn quick_cache(entries: usize) {
    let cache = Box::leak(Box::new(quick_cache::sync::Cache::new(CAPACITY)));
    (0..entries).for_each(|number| cache.insert(key(number), (value(), deadline())));
    assert_eq!(cache.len(), entries);
}

/// What `#[cached(max_size, ttl_secs)]` keeps its values in.
fn cached(entries: usize) {
    let store = LruTtlCache::builder().max_size(CAPACITY).ttl(TTL).build().expect("both are more than nothing");
    let cache = Box::leak(Box::new(store));
    (0..entries).for_each(|number| _ = cache.set(key(number), value()));
    assert_eq!(cache.len(), entries);
}

fn foyer(entries: usize) {
    let builder = CacheBuilder::new(CAPACITY).with_eviction_config(S3FifoConfig::default());
    let cache: &foyer_memory::Cache<_, _> = Box::leak(Box::new(builder.build()));
    (0..entries).for_each(|number| drop(cache.insert(key(number), (value(), deadline()))));
    assert_eq!(cache.entries(), entries);
}

fn moka(entries: usize) {
    let runtime = runtime();
    let builder = moka::future::Cache::builder().max_capacity(CAPACITY as u64).time_to_live(TTL);
    let cache = Box::leak(Box::new(builder.build()));
    (0..entries).for_each(|number| block_on(&runtime, cache.insert(key(number), value())));
    block_on(&runtime, cache.run_pending_tasks());
    assert_eq!(cache.entry_count(), entries as u64);
}

fn plain(entries: usize) {
    let all: Vec<_> = (0..entries).map(|number| (key(number), value(), deadline())).collect();
    assert_eq!(all.leak().len(), entries);
}

/// The memory of this process, in bytes. `None` where the system does not say.
fn resident() -> Option<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// Fills one store and prints the bytes that each of its entries takes.
pub(crate) fn child(store: &str, entries: usize) {
    let (_, fill) = STORES.iter().find(|(name, _)| *name == store).expect("started by `measure`");
    let before = resident();
    fill(entries);
    if let (Some(before), Some(after)) = (before, resident()) {
        println!("{}", (after - before) as f64 / entries as f64);
    }
}

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    let entries = effort.of(ENTRIES, ENTRIES / 10);
    let this = std::env::current_exe().expect("a program knows where it lies");
    let bytes = STORES.map(|(store, _)| {
        let output = Command::new(&this).args([CHILD, store, &entries.to_string()]).output().expect("it runs already");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().parse::<f64>().unwrap_or(f64::NAN)
    });
    let rows = STORES.iter().zip(bytes).map(|((store, _), each)| {
        let ratio = each / bytes[1];
        let mut row = Row::new(store, [each, ratio]);
        if *store == Stampede::NAME && ratio.is_finite() {
            row.goal("≤ 1.05 x quick_cache", ratio <= 1.05);
        }
        row
    });
    vec![Section {
        name: "memory",
        title: format!("{entries} entries, key 40 B, value 200 B"),
        columns: vec!["RSS, bytes", "x quick_c."],
        rows: rows.collect(),
    }]
}
