//! Which kept values make room for new ones: S3-FIFO (Yang, Zhang, Qiu, Yue & Vinayak, "FIFO queues are all you need
//! for cache eviction", SOSP 2023).
//!
//! A new value enters a small queue (a tenth of the capacity). At its end, one that was hit meanwhile moves to the
//! main queue and one that was not is dropped, its hash remembered for a while; a value whose hash is remembered
//! enters the main queue at once. The main queue gives each value as many more rounds as it had hits, up to three.
//! Hits only raise a counter in the node: no queue moves, no lock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use crate::table::{low_bits, prefetch};

/// How often a value was hit since it was last looked at, and which queue it stands in.
#[derive(Default)]
pub(crate) struct Residence {
    heat: AtomicU8,
    /// A `Place`; changed under the shard's lock alone.
    place: AtomicU8,
}

const HOTTEST: u8 = 3;

/// Not kept: in the air, or taken out.
const NOWHERE: u8 = 0;
const IN_SMALL: u8 = 1;
const IN_MAIN: u8 = 2;

impl Residence {
    /// Notes a hit. A value at its hottest is not written to, so that cores reading it share its cache line.
    #[inline]
    pub(crate) fn warm(&self) {
        let heat = self.heat.load(Relaxed);
        if heat < HOTTEST {
            self.heat.store(heat + 1, Relaxed);
        }
    }

    fn is_kept(&self) -> bool {
        self.place.load(Relaxed) != NOWHERE
    }

    /// Uses up the heat of a value at the end of the small queue.
    fn cool_off(&self) -> bool {
        self.heat.swap(0, Relaxed) > 0
    }

    /// Uses up one hit of a value at the end of the main queue.
    fn cool(&self) -> bool {
        let heat = self.heat.load(Relaxed);
        self.heat.store(heat.saturating_sub(1), Relaxed);
        heat > 0
    }
}

/// What the queues need to know of a node.
pub(crate) trait Resident {
    fn residence(&self) -> &Residence;
    fn hash(&self) -> u64;
    /// What it counts against the capacity, the same while it is kept.
    fn weight(&self) -> usize;
}

/// The kept values of one shard. They are held weakly: a value that is invalidated is dropped at once, and only its
/// empty shell waits here to be passed.
pub(crate) struct Queues<N> {
    /// What the kept values may weigh together.
    capacity: usize,
    /// How many values are kept.
    kept: usize,
    /// What they weigh.
    weight: usize,
    /// What those in the small queue weigh.
    small_weight: usize,
    small: VecDeque<Weak<N>>,
    main: VecDeque<Weak<N>>,
    ghosts: Ghosts,
}

impl<N: Resident> Queues<N> {
    pub(crate) fn new(capacity: usize) -> Queues<N> {
        Queues {
            capacity,
            kept: 0,
            weight: 0,
            small_weight: 0,
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghosts: Ghosts::new(capacity),
        }
    }

    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// Whether a value of this weight can be kept at all.
    pub(crate) fn holds(&self, weight: usize) -> bool {
        weight <= self.capacity
    }

    /// Takes a node in.
    pub(crate) fn admit(&mut self, node: &Arc<N>) {
        self.kept += 1;
        self.weight += node.weight();
        if self.ghosts.forget(node.hash()) {
            node.residence().place.store(IN_MAIN, Relaxed);
            self.main.push_back(Arc::downgrade(node));
        } else {
            node.residence().place.store(IN_SMALL, Relaxed);
            self.small_weight += node.weight();
            self.small.push_back(Arc::downgrade(node));
        }
    }

    /// Notes that a node has been taken out of the table. `passed` receives references that must not be dropped under
    /// the lock: they may be the last.
    pub(crate) fn dismiss(&mut self, node: &N, mut passed: impl FnMut(Arc<N>)) {
        let place = node.residence().place.swap(NOWHERE, Relaxed);
        if place == NOWHERE {
            return;
        }
        self.kept -= 1;
        self.weight -= node.weight();
        if place == IN_SMALL {
            self.small_weight -= node.weight();
        }
        let shells = self.small.len() + self.main.len() - self.kept;
        if shells > 32 && shells > self.kept {
            let mut is_kept = |shell: &Weak<N>| {
                shell.upgrade().is_some_and(|node| {
                    let kept = node.residence().is_kept();
                    passed(node);
                    kept
                })
            };
            self.small.retain(&mut is_kept);
            self.main.retain(&mut is_kept);
        }
    }

    /// Has the next victim brought to the cache: it is the node that nobody has touched for longest.
    pub(crate) fn announce_victim(&self) {
        let queue = if self.takes_from_small() { &self.small } else { &self.main };
        if let Some(shell) = queue.front() {
            prefetch(shell);
        }
    }

    fn takes_from_small(&self) -> bool {
        self.small_weight > (self.capacity / 10).max(1) || self.main.is_empty()
    }

    /// The next node to take out, while there are more than the capacity allows. `passed` receives references that
    /// must not be dropped under the lock.
    pub(crate) fn victim(&mut self, mut passed: impl FnMut(Arc<N>)) -> Option<Arc<N>> {
        while self.weight > self.capacity {
            let from_small = self.takes_from_small();
            let queue = if from_small { &mut self.small } else { &mut self.main };
            let shell = queue.pop_front()?;
            let Some(node) = shell.upgrade() else { continue };
            let residence = node.residence();
            if !residence.is_kept() {
                passed(node);
            } else if from_small && !residence.cool_off() {
                self.ghosts.remember(node.hash());
                return Some(node);
            } else if !from_small && !residence.cool() {
                return Some(node);
            } else {
                if from_small {
                    residence.place.store(IN_MAIN, Relaxed);
                    self.small_weight -= node.weight();
                }
                self.main.push_back(shell);
                passed(node);
            }
        }
        None
    }
}

/// Hashes of values dropped from the small queue, in a direct-mapped table of the capacity's size: an approximation
/// of the paper's ghost queue that costs four bytes a value and no upkeep.
struct Ghosts {
    /// Empty until the first value has been dropped.
    prints: Box<[u32]>,
    capacity: usize,
}

impl Ghosts {
    fn new(capacity: usize) -> Ghosts {
        // Bounded, since a capacity may be "as good as none" while memory is taken here at once.
        const MOST: usize = 1 << 20;
        Ghosts { prints: Box::default(), capacity: capacity.min(MOST).next_power_of_two() }
    }

    fn slot(&mut self, hash: u64) -> (&mut u32, u32) {
        let at = low_bits(hash) & (self.prints.len() - 1);
        // Zero means "empty".
        (&mut self.prints[at], u32::try_from(hash >> 32).unwrap_or_default() | 1)
    }

    fn remember(&mut self, hash: u64) {
        if self.prints.is_empty() {
            self.prints = vec![0; self.capacity].into();
        }
        let (slot, print) = self.slot(hash);
        *slot = print;
    }

    /// Whether the hash was remembered; it no longer is.
    fn forget(&mut self, hash: u64) -> bool {
        if self.prints.is_empty() {
            return false;
        }
        let (slot, print) = self.slot(hash);
        let known = *slot == print;
        if known {
            *slot = 0;
        }
        known
    }
}
