//! What a million values take, each store in a process of its own.

use std::process::Command;
use std::sync::Arc;

use quick_cache::sync::Cache;
use stampede_runtime::coalesce;

use crate::measure::{Effort, block_on, runtime};
use crate::peers::quick_cache::QuickCache;
use crate::peers::stampede::Stampede;
use crate::peers::{Peer, TTL, deadline};
use crate::report::{Row, Section};

const ENTRIES: usize = 1_000_000;
/// The argument that makes this program a store's own process.
pub(crate) const CHILD: &str = "--memory-of";

/// A name, and what fills the store with so many entries.
type Store = (&'static str, fn(usize));

const STORES: [Store; 3] =
    [(Stampede::NAME, stampede), (QuickCache::NAME, quick_cache), ("vector of keys and values", plain)];

fn value() -> Arc<str> {
    const VALUE: &str = "0123456789";
    VALUE.repeat(20).into()
}

fn key(number: usize) -> String {
    let key = format!("session/profile/of/the/user/no/{number:09}");
    key.into_boxed_str().into_string()
}

/// Nothing expires and nothing is evicted.
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
    let cache = Box::leak(Box::new(Cache::new(1_250_000)));
    (0..entries).for_each(|number| cache.insert(key(number), (value(), deadline())));
    assert_eq!(cache.len(), entries);
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
