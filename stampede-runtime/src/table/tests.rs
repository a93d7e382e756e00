//! The table by itself: nothing is lost, nothing is freed twice or under a reader.

use std::sync::atomic::{AtomicBool, AtomicUsize};

use super::*;

struct Counted<'a>(u64, &'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.1.fetch_add(1, SeqCst);
    }
}

fn get(table: &Table<Counted<'_>, ()>, hash: u64, key: u64) -> bool {
    table.find(hash, |node| (node.0 == key).then_some(())).is_some()
}

fn remove(table: &Table<Counted<'_>, ()>, hash: u64, key: u64) -> bool {
    table.with(hash, |shard| {
        let node = shard.find(hash, |node| (node.0 == key).then(|| Arc::clone(node)));
        node.is_some_and(|node| shard.remove(hash, &node))
    })
}

#[test]
fn equal_hashes_are_told_apart_and_each_node_is_dropped_once() {
    let drops = AtomicUsize::new(0);
    let table = Table::new(1, |_| ());
    for key in 0..100 {
        table.with(7, |shard| shard.insert(7, Arc::new(Counted(key, &drops))));
    }
    assert!((0..100).all(|key| get(&table, 7, key)));
    assert!(!get(&table, 7, 100));
    for key in (0..100).step_by(2) {
        assert!(remove(&table, 7, key));
        assert!(!remove(&table, 7, key));
    }
    assert!((0..100).all(|key| get(&table, 7, key) == (key % 2 == 1)));
    drop(table);
    assert_eq!(drops.load(SeqCst), 100);
}

#[test]
fn tombstones_do_not_grow_the_table() {
    let drops = AtomicUsize::new(0);
    let table = Table::new(1, |_| ());
    for key in 0..if cfg!(miri) { 300 } else { 10_000 } {
        table.with(key, |shard| shard.insert(key, Arc::new(Counted(key, &drops))));
        assert!(remove(&table, key, key));
    }
    table.with(0, |shard| assert!(shard.slots().slots.len() <= 2 * FEWEST_SLOTS));
    drop(table);
    assert_eq!(drops.load(SeqCst), if cfg!(miri) { 300 } else { 10_000 });
}

#[test]
fn what_is_removed_is_dropped_without_waiting_for_more() {
    let drops = AtomicUsize::new(0);
    let table = Table::new(1, |_| ());
    for key in 0..100 {
        table.with(key, |shard| shard.insert(key, Arc::new(Counted(key, &drops))));
        assert!(remove(&table, key, key));
    }
    // Readers of other tables may have been inside, on threads that were paused; they leave.
    for _ in 0..1_000_000 {
        table.with(0, |_| ());
        if drops.load(SeqCst) == 100 {
            return;
        }
        std::thread::yield_now();
    }
    panic!("only {} of 100 were dropped", drops.load(SeqCst));
}

#[test]
fn a_reader_that_stays_costs_writers_no_more_the_longer_it_stays() {
    let most = if cfg!(miri) { 300 } else { 20_000 };
    let drops = AtomicUsize::new(0);
    let table = Table::new(1, |_| ());
    table.with(0, |shard| shard.insert(0, Arc::new(Counted(0, &drops))));
    table.find(0, |_| {
        for key in 1..most {
            table.with(key, |shard| shard.insert(key, Arc::new(Counted(key, &drops))));
            assert!(remove(&table, key, key));
        }
        Some(())
    });
    let generations = table.shards[0].lock().limbo.waiting.iter().count();
    assert_eq!((generations, drops.load(SeqCst)), (1, 0));
    drop(table);
    assert_eq!(drops.load(SeqCst) as u64, most);
}

#[test]
fn what_a_reader_sees_outlives_its_removal() {
    let drops = AtomicUsize::new(0);
    let table = Table::new(2, |_| ());
    table.with(1, |shard| shard.insert(1, Arc::new(Counted(1, &drops))));
    table.find(1, |node| {
        table.with_each(|shard| shard.drain(|_| ()));
        assert_eq!(drops.load(SeqCst), 0);
        (node.0 == 1).then_some(())
    });
    assert!(!get(&table, 1, 1));
    table.with(1, |shard| shard.insert(1, Arc::new(Counted(2, &drops))));
    assert!(remove(&table, 1, 2));
    drop(table);
    assert_eq!(drops.load(SeqCst), 2);
}

#[test]
fn readers_race_with_writers() {
    const KEYS: u64 = 64;
    let rounds = if cfg!(miri) { 150 } else { 20_000 };
    let drops = AtomicUsize::new(0);
    let table = Table::new(2, |_| ());
    let (made, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    // Hashes that collide in fours, and differ in their highest bits too.
    let hash = |key: u64| (key / 4).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut seen = 0_usize;
                for key in (0..KEYS).cycle() {
                    let found = table
                        .find(hash(key), |node: &Arc<Counted<'_>>| (node.0 % KEYS == key).then(|| Arc::clone(node)));
                    seen += usize::from(found.is_some_and(|node| node.0 % KEYS == key));
                    if key == 0 && done.load(SeqCst) {
                        break;
                    }
                }
                assert!(seen > 0);
            });
        }
        let mut random = 1_u64;
        for round in 0..rounds {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = (random >> 33) % KEYS;
            table.with(hash(key), |shard| {
                let old = shard.find(hash(key), |node| (node.0 % KEYS == key).then(|| Arc::clone(node)));
                if let Some(old) = old {
                    assert!(shard.remove(hash(key), &old));
                } else {
                    shard.insert(hash(key), Arc::new(Counted(key + KEYS * round, &drops)));
                    made.fetch_add(1, SeqCst);
                }
            });
        }
        done.store(true, SeqCst);
    });
    let made = made.load(SeqCst);
    drop(table);
    assert_eq!(drops.load(SeqCst), made);
}
