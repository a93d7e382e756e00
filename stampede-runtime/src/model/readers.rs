//! The table: what a reader looks at is not freed under its eyes, and what was removed is freed once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use shuttle::thread;

use super::check;
use crate::table::Table;

struct Node {
    key: u64,
    frees: Arc<AtomicUsize>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.frees.fetch_add(1, SeqCst);
    }
}

type Nodes = Table<Node, ()>;

/// All keys have one hash, so that they stand in one another's way.
const HASH: u64 = 7;

fn insert(table: &Nodes, key: u64) -> Arc<AtomicUsize> {
    let frees = Arc::new(AtomicUsize::new(0));
    let node = Arc::new(Node { key, frees: Arc::clone(&frees) });
    table.with(HASH, |shard| shard.insert(HASH, node));
    frees
}

fn remove(table: &Nodes, key: u64) {
    table.with(HASH, |shard| {
        let node = shard.find(HASH, |node| (node.key == key).then(|| Arc::clone(node)));
        assert!(node.is_some_and(|node| shard.remove(HASH, &node)), "who put it in takes it out");
    });
}

/// Looks at a node for a while.
fn look(table: &Nodes, key: u64) -> bool {
    let looked = table.find(HASH, |node| {
        (node.key == key).then(|| {
            let frees = Arc::clone(&node.frees);
            thread::yield_now();
            assert_eq!(frees.load(SeqCst), 0, "freed while it is looked at");
        })
    });
    looked.is_some()
}

#[test]
fn what_a_reader_looks_at_outlives_its_removal() {
    check("one looks, one removes, one makes the table grow", || {
        let table = Arc::new(Nodes::new(1, |_| ()));
        let first = insert(&table, 0);
        let act = |act: fn(&Nodes)| {
            let table = Arc::clone(&table);
            thread::spawn(move || act(&table))
        };
        let actors = [
            act(|table| _ = look(table, 0)),
            act(|table| remove(table, 0)),
            act(|table| {
                for key in 1..8 {
                    insert(table, key);
                }
                assert!(look(table, 7), "what is there is found");
            }),
        ];
        actors.into_iter().for_each(|actor| actor.join().expect("no actor panics"));
        // Two more writes: what a reader was looking at waits among two generations.
        (1..3).for_each(|key| remove(&table, key));
        assert_eq!(first.load(SeqCst), 1, "freed once");
    });
}
