//! Random programs of several hosts on one Redis, against what has to hold for each answer: it is no older than the last
//! invalidation that its caller must know of.
//!
//! A write changes the database and then invalidates, by key, tag, tag of the value or pattern. From then on, at once: calls of
//! the same host, and calls of a host that has nothing in memory, see it. Calls of other hosts see it when the message has
//! reached them: that is waited for at the end, and has to come. Two things are not promised, and not asked for: what is in
//! the air may be joined although a tag of its value was invalidated, since nobody knows that tag yet; and without leases a
//! value that is being written while its key is invalidated may come after that, which tags notice and keys do not.
//!
//! `INVALIDATION_SEEDS=500` asks for more programs than the usual.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use stampede_runtime::{cached, distributed_coalesce, invalidate_pattern, invalidate_tags};

use super::hosts::Host;
use crate::redis_server::RedisServer;

const KEYS: usize = 4;

/// Programs run one after another, so they share the database.
static DATABASE: [AtomicU64; KEYS] = [const { AtomicU64::new(0) }; KEYS];

async fn read(key: usize) -> (usize, u64) {
    let seen = DATABASE[key].load(SeqCst);
    if !seen.is_multiple_of(3) {
        tokio::time::sleep(Duration::from_micros(300 * (seen % 5))).await;
    }
    (key, seen)
}

#[distributed_coalesce(ttl = "1h", namespace = "random", tags("key:{key}", |row| [format!("half:{}", row.0 % 2)]))]
async fn led(key: usize) -> (usize, u64) {
    read(key).await
}

#[distributed_coalesce(ttl = "1h", namespace = "random", key = "key:{key}", tags("key:{key}", |row| [format!("half:{}", row.0 % 2)]))]
async fn named(key: usize) -> (usize, u64) {
    read(key).await
}

#[cached(ttl = "1h", backend = "redis", namespace = "random", tags("key:{key}", |row| [format!("half:{}", row.0 % 2)]))]
async fn stored(key: usize) -> (usize, u64) {
    read(key).await
}

async fn call(function: u8, key: usize) -> u64 {
    match function {
        0 => led(key).await.1,
        1 => named(key).await.1,
        _ => stored(key).await.1,
    }
}

/// Invalidates what has been written, in some way, until that has arrived.
async fn invalidate(how: u8, key: usize) {
    loop {
        let told = match how {
            0 => {
                let told = [led::invalidate(key), named::invalidate(key), stored::invalidate(key)];
                let [a, b, c] = told.map(IntoFuture::into_future);
                a.await.and(b.await).and(c.await)
            }
            1 => invalidate_tags([format!("key:{key}")]).await,
            2 => invalidate_tags([format!("half:{}", key % 2)]).await,
            // Only one function has readable keys.
            _ => {
                let told = [invalidate_pattern(format!("key:{key}")), led::invalidate(key), stored::invalidate(key)];
                let [a, b, c] = told.map(IntoFuture::into_future);
                a.await.and(b.await).and(c.await)
            }
        };
        match told {
            Ok(()) => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// What calls have to see at least.
#[derive(Default)]
struct Floor([[AtomicU64; KEYS]; 3]);

impl Floor {
    fn get(&self, function: u8, key: usize) -> u64 {
        self.0[usize::from(function)][key].load(SeqCst)
    }

    /// What was written is invalidated.
    fn raise(&self, how: u8, key: usize, written: u64) {
        for function in 0..3 {
            if function < 2 || how == 1 || how == 2 {
                self.0[function][key].fetch_max(written, SeqCst);
            }
        }
    }
}

struct Member {
    host: Host,
    floor: Arc<Floor>,
}

impl Member {
    /// A host that begins now has nothing in memory.
    fn new(server: &RedisServer, done: &Floor) -> Member {
        let floor = Floor::default();
        for (mine, done) in floor.0.iter().flatten().zip(done.0.iter().flatten()) {
            mine.store(done.load(SeqCst), SeqCst);
        }
        Member { host: Host::new(server), floor: Arc::new(floor) }
    }
}

/// One of so many.
fn pick(of: usize, rolled: u32) -> usize {
    usize::try_from(rolled).unwrap_or(0) % of
}

fn low(rolled: u32) -> u8 {
    u8::try_from(rolled).unwrap_or(0)
}

/// Runs one program. Returns how long messages took to others' memories.
fn program(server: &RedisServer, done: &Arc<Floor>, seed: u64) -> Vec<Duration> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut roll = |below: u32| random.next_u32() % below;
    let mut members: Vec<_> = (0..2 + roll(2)).map(|_| Member::new(server, done)).collect();
    let mut tasks = Vec::new();
    for step in 0..40 + roll(60) {
        let (at, key, function, how) =
            (pick(members.len(), roll(64)), pick(KEYS, roll(64)), low(roll(3)), low(roll(4)));
        match roll(100) {
            0..=1 => {
                // It dies with whatever it was doing.
                members[at] = Member::new(server, done);
            }
            2..=3 => {
                server.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            }
            4 => {
                server.ask(&["FLUSHALL"]);
            }
            5..=24 => {
                let (mine, done) = (Arc::clone(&members[at].floor), Arc::clone(done));
                tasks.push(members[at].host.spawn(async move {
                    let written = DATABASE[key].fetch_add(1, SeqCst) + 1;
                    invalidate(how, key).await;
                    if how != 2 {
                        mine.raise(how, key, written);
                        done.raise(how, key, written);
                    }
                    Some((how, key, written))
                }));
            }
            _ => {
                let floor = Arc::clone(&members[at].floor);
                tasks.push(members[at].host.spawn(async move {
                    let least = floor.get(function, key);
                    let got = call(function, key).await;
                    assert!(
                        got >= least,
                        "seed {seed}, step {step}: function {function} of key {key} gave {got} after {least}"
                    );
                    None
                }));
            }
        }
        if roll(4) == 0 {
            std::thread::sleep(Duration::from_micros(roll(3_000).into()));
        }
    }
    let mut late = Vec::new();
    for task in tasks {
        match members[0].host.run(task) {
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // Nothing is in the air any more, or will be joined by those who come now.
            Ok(Some((how, key, written))) => late.push((how, key, written)),
            // It ended with its host.
            _ => (),
        }
    }
    for (how, key, written) in late {
        done.raise(how, key, written);
    }
    // A stranger, who has nothing in memory, sees everything at once; the others soon.
    let stranger = Member::new(server, done);
    let mut delays = Vec::new();
    for key in 0..KEYS {
        for function in 0..3 {
            let least = done.get(function, key);
            let got = stranger.host.run(call(function, key));
            assert!(
                got >= least,
                "seed {seed}: function {function} of key {key} gives {got} to a stranger, after {least}"
            );
            for member in &members {
                let begun = Instant::now();
                while member.host.run(call(function, key)) < least {
                    assert!(begun.elapsed() < Duration::from_secs(10), "seed {seed}: {key} stays old in a memory");
                    std::thread::sleep(Duration::from_millis(1));
                }
                delays.push(begun.elapsed());
            }
        }
    }
    delays
}

#[test]
fn no_answer_is_older_than_the_last_invalidation() {
    let Some(server) = RedisServer::start("no_answer_is_older_than_the_last_invalidation") else { return };
    let seeds = std::env::var("INVALIDATION_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(25);
    // One that died between writing and invalidating has invalidated nothing.
    let done = Arc::new(Floor::default());
    let mut delays: Vec<_> = (0..seeds).flat_map(|seed| program(&server, &done, seed)).collect();
    delays.sort_unstable();
    let at = |percent: usize| delays[(delays.len() - 1) * percent / 100];
    println!(
        "{seeds} programs; at their ends memories were right within {:?} (p50), {:?} (p99), {:?} (most)",
        at(50),
        at(99),
        at(100)
    );
}
