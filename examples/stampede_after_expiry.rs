//! A hot value that expires again and again under steady load. Run it with
//! `cargo run --release --example stampede_after_expiry`.

mod support;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stampede_runtime::coalesce;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

const TTL: Duration = Duration::from_millis(500);
/// 400 requests a second, for three seconds.
const EVERY: Duration = Duration::from_micros(2_500);
const REQUESTS: usize = 1_200;

/// The cache that most of us have written once: look, miss, compute, store. Nothing keeps a second caller from missing
/// while the first computes. The last of them stores late, so this cache even expires less often.
#[derive(Clone, Default)]
struct NaiveCache(Arc<Mutex<Option<(u64, Instant)>>>);

impl NaiveCache {
    async fn headline(&self, database: &Database) -> u64 {
        let kept = *self.0.lock().expect("no panic under the lock");
        if let Some((value, until)) = kept
            && Instant::now() < until
        {
            return value;
        }
        let value = database.compute().await;
        *self.0.lock().expect("no panic under the lock") = Some((value, Instant::now() + TTL));
        value
    }
}

#[coalesce(ttl = TTL, skip(database))]
async fn headline(database: &Database) -> u64 {
    database.compute().await
}

#[tokio::main]
async fn main() {
    println!("400 requests a second for one value, which takes 50 ms and is kept for {TTL:?}.\n");

    let (cache, database) = (NaiveCache::default(), Database::new());
    let without = (0..REQUESTS).map(|_| {
        let (cache, database) = (cache.clone(), database.clone());
        async move { Ok::<_, Infallible>(cache.headline(&database).await) }
    });
    let without = support::send(EVERY, without).await;
    let before = database.rounds();

    let database = Database::new();
    let with = (0..REQUESTS).map(|_| {
        let database = database.clone();
        async move { Ok::<_, Infallible>(headline(&database).await) }
    });
    let with = support::send(EVERY, with).await;
    let after = database.rounds();

    let calls = [&before, &after].map(|rounds| rounds.iter().sum());
    let worst = [&before, &after].map(|rounds| rounds.iter().max().map_or(0, |most| *most).to_string());
    support::report("computations", calls, [&without, &with], &[("most for one expiry", worst)]);
    println!("for each expiry, without: {before:?}");
    println!("for each expiry, with:    {after:?}");
}

/// Computes two values at a time, as a small database would; the others queue. That is why a stampede is slow, and
/// not only dear.
#[derive(Clone)]
struct Database {
    slots: Arc<Semaphore>,
    calls: Arc<Mutex<Vec<Instant>>>,
}

impl Database {
    fn new() -> Self {
        Self { slots: Arc::new(Semaphore::new(2)), calls: Arc::default() }
    }

    async fn compute(&self) -> u64 {
        self.calls.lock().expect("no panic under the lock").push(Instant::now());
        let _slot = self.slots.acquire().await.expect("nobody closes it");
        sleep(Duration::from_millis(50)).await;
        42
    }

    /// How many calls came for each expiry: those of one follow each other closely.
    fn rounds(&self) -> Vec<u64> {
        let mut calls = self.calls.lock().expect("no panic under the lock").clone();
        calls.sort_unstable();
        calls.chunk_by(|one, next| *next - *one < TTL / 2).map(|round| round.len() as u64).collect()
    }
}
