//! An index in this process, for when no database is configured.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::held::Held;
use self::item::Item;
use self::notes::Notes;
use super::Embedding;
use super::index::{Entry, Index, Near, New, Partition, QuestionHash};
use crate::clock;
use crate::store::{BackendErrorKind, Pending};

mod held;
mod item;
mod notes;
mod rows;
#[cfg(test)]
mod tests;

/// An [`Index`] in the memory of this process: a scan over the embeddings of a partition, which finds exactly the nearest.
///
/// ```
/// use stampede_runtime::semantic::EmbeddedIndex;
///
/// let index = EmbeddedIndex::new().partitions_max(100).bytes_max(64 << 20);
/// # drop(index);
/// ```
///
/// **Cost.** A look for the nearest compares the question with every entry of its partition: some 0.05 ms for a thousand
/// entries of 384 dimensions, 1.2 ms for ten thousand, 11 ms and more for fifty thousand, which no cache of the processor holds
/// (`cargo bench -p stampede-benches -- semantic`; a bare loop over the vectors takes as long). Beyond that an index of a
/// database is the better one. A scan holds no lock, so it delays neither other scans nor writers, and a long one lets other
/// tasks run in between.
///
/// **Limits.** Entries per partition: what [`New::capacity`] says. Partitions and bytes: what is set here. Who makes room are
/// the entries put first of the partition that was used least recently. An entry larger than all of it is refused
/// ([`BackendErrorKind::TooLarge`]). Of removals the last 10,000 of 10 minutes are remembered; what began before one that is
/// forgotten is not put.
///
/// **Time** is tokio's, which a test may pause. What is over takes memory until something is put into its partition.
pub struct EmbeddedIndex {
    partitions_max: usize,
    bytes_max: usize,
    /// Counts uses of partitions.
    uses: AtomicU64,
    /// Held for a look-up or for the change of one entry, `clear` aside; never while embeddings are scanned.
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    partitions: HashMap<Partition, Held>,
    notes: Notes,
    /// Counts what is put.
    puts: u64,
    /// What all entries take.
    bytes: usize,
}

impl EmbeddedIndex {
    /// How many partitions are kept unless [`partitions_max`](Self::partitions_max) says otherwise.
    pub const PARTITIONS_MAX: usize = 1000;
    /// How many bytes are kept unless [`bytes_max`](Self::bytes_max) says otherwise: 256 MiB.
    pub const BYTES_MAX: usize = 256 << 20;

    /// An empty index.
    #[must_use]
    pub fn new() -> EmbeddedIndex {
        EmbeddedIndex {
            partitions_max: EmbeddedIndex::PARTITIONS_MAX,
            bytes_max: EmbeddedIndex::BYTES_MAX,
            uses: AtomicU64::new(0),
            state: RwLock::default(),
        }
    }

    /// Keeps at most so many partitions, at least 1. The one used least recently goes.
    #[must_use]
    pub fn partitions_max(self, partitions_max: usize) -> EmbeddedIndex {
        EmbeddedIndex { partitions_max: partitions_max.max(1), ..self }
    }

    /// Keeps at most so many bytes: texts, embeddings and what it takes to find them.
    #[must_use]
    pub fn bytes_max(self, bytes_max: usize) -> EmbeddedIndex {
        EmbeddedIndex { bytes_max, ..self }
    }

    /// How often an entry has answered since it was put; `None`: it is not kept.
    pub fn hits(&self, of: &Partition, hash: &QuestionHash) -> Option<u64> {
        let now = clock::instant();
        let state = self.read();
        Some(state.partitions.get(of)?.get(hash).filter(|item| item.is_kept(now))?.hits())
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // No user code runs under the lock, and every state in between is a sound one.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn used(&self, held: &Held) {
        held.used.store(self.uses.fetch_add(1, Relaxed), Relaxed);
    }

    /// The entry of a question, if it is kept.
    fn item(&self, of: &Partition, hash: &QuestionHash) -> Option<Arc<Item>> {
        let state = self.read();
        let held = state.partitions.get(of)?;
        self.used(held);
        held.get(hash).cloned()
    }

    fn keep(&self, of: &Partition, new: &New<'_>) -> Result<bool, BackendErrorKind> {
        let now = clock::instant();
        // Copied before the lock is taken, its number given after.
        let mut item = Item::new(0, new, now);
        let mut state = self.write();
        if state.notes.refuse(of, &new.hash, new.embedding, Some(item.began)) {
            return Ok(false);
        }
        let kept = state.partitions.get(of).and_then(|held| held.get(&new.hash));
        if kept.is_some_and(|kept| kept.is_kept(now) && kept.began > item.began) {
            return Ok(false);
        }
        if item.bytes() > self.bytes_max {
            // What cannot be kept ends the earlier entry too, which would be out of date.
            state.with(of, |held| held.remove(&new.hash));
            return Err(BackendErrorKind::TooLarge);
        }
        state.puts += 1;
        item.number = state.puts;
        if !state.partitions.contains_key(of) {
            state.make_room_for_a_partition(self.partitions_max);
            state.partitions.insert(of.clone(), Held::default());
        }
        state.with(of, |held| {
            self.used(held);
            held.let_go(now);
            held.insert(Arc::new(item), new.embedding);
            while held.len() > new.capacity.max(1) && held.remove_first().is_continue() {}
        });
        state.make_room(self.bytes_max);
        Ok(true)
    }

    async fn look_near(&self, of: &Partition, to: &Embedding, limit: usize) -> Vec<Near> {
        let rows = {
            let state = self.read();
            let Some(held) = state.partitions.get(of) else { return Vec::new() };
            self.used(held);
            let Some(rows) = held.rows(to.dimensions()) else { return Vec::new() };
            rows.clone()
        };
        let found = rows.nearest(to, limit, clock::instant()).await;
        // Others may have had their turn: what was removed is not served any more, and what was replaced is as it is now.
        let now = clock::instant();
        let mut found: Vec<_> = {
            let state = self.read();
            let Some(held) = state.partitions.get(of) else { return Vec::new() };
            found
                .into_iter()
                .filter_map(|found| held.now(found, to))
                .filter(|found| now < found.item.stale_at)
                .collect()
        };
        found.sort_unstable_by(|one, other| other.cmp(one));
        found.iter().map(|found| Near { entry: found.item.entry(now), similarity: found.similarity }).collect()
    }

    async fn take_near(&self, of: &Partition, to: &Embedding, similarity: f32) -> u64 {
        // Noted first, and also where nothing is kept: what is under way may be near.
        let (rows, puts) = {
            let mut state = self.write();
            state.notes.removed_near(of, to, similarity, clock::instant());
            let Some(held) = state.partitions.get(of) else { return 0 };
            let Some(rows) = held.rows(to.dimensions()) else { return 0 };
            (rows.clone(), state.puts)
        };
        let mut near = rows.within(to, similarity).await;
        // Else a writer would have to copy what nobody reads any more.
        drop(rows);
        let now = clock::instant();
        let mut state = self.write();
        let State { partitions, notes, .. } = &mut *state;
        let Some(held) = partitions.get(of) else { return 0 };
        near.retain(|item| held.holds(item));
        // Those that were put meanwhile are few, so they are compared under the lock.
        near.extend(held.near_since(puts + 1, to, similarity));
        for item in &near {
            notes.removed(of, item.hash, now);
        }
        state.with(of, |held| {
            for item in &near {
                held.remove(&item.hash);
            }
        });
        near.iter().filter(|item| item.is_kept(now)).count() as u64
    }

    /// Takes one out. Whether it was kept.
    pub(super) fn take_one(&self, of: &Partition, hash: &QuestionHash) -> bool {
        let now = clock::instant();
        let mut state = self.write();
        // Noted also where nothing is kept: what is under way may be its first answer.
        state.notes.removed(of, *hash, now);
        let removed = state.with(of, |held| held.remove(hash)).flatten();
        drop(state);
        removed.is_some_and(|item| item.is_kept(now))
    }

    /// Takes out all of a namespace, and counts it.
    pub(super) fn take_all(&self, namespace: &str) -> u64 {
        let now = clock::instant();
        let mut state = self.write();
        state.notes.cleared(namespace, now);
        let cleared: Vec<_> = state.partitions.extract_if(|of, _| *of.namespace == *namespace).collect();
        state.bytes -= cleared.iter().map(|(_, held)| held.bytes()).sum::<usize>();
        // Counting and freeing them may take a while.
        drop(state);
        cleared.iter().map(|(_, held)| held.kept(now)).sum()
    }
}

impl State {
    /// Changes a partition, and drops it when nothing is left of it.
    fn with<T>(&mut self, of: &Partition, change: impl FnOnce(&mut Held) -> T) -> Option<T> {
        let held = self.partitions.get_mut(of)?;
        let before = held.bytes();
        let changed = change(held);
        self.bytes = self.bytes - before + held.bytes();
        if held.len() == 0 {
            self.partitions.remove(of);
        }
        Some(changed)
    }

    fn least_recent(&self) -> Option<Partition> {
        let least = self.partitions.iter().min_by_key(|(_, held)| held.used.load(Relaxed));
        least.map(|(partition, _)| partition.clone())
    }

    fn make_room_for_a_partition(&mut self, partitions_max: usize) {
        while self.partitions.len() >= partitions_max
            && let Some(least) = self.least_recent()
        {
            let held = self.partitions.remove(&least);
            self.bytes -= held.map_or(0, |held| held.bytes());
        }
    }

    fn make_room(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some(least) = self.least_recent()
        {
            let too_many = self.bytes - bytes_max;
            self.with(&least, |held| {
                let enough = held.bytes().saturating_sub(too_many);
                while held.bytes() > enough && held.remove_first().is_continue() {}
            });
        }
    }
}

impl Index for EmbeddedIndex {
    fn exact<'a>(&'a self, of: &'a Partition, hash: &'a QuestionHash) -> Pending<'a, Option<Entry>> {
        Box::pin(async move {
            let item = self.item(of, hash);
            let now = clock::instant();
            Ok(item.filter(|item| item.is_kept(now)).map(|item| item.entry(now)))
        })
    }

    fn nearest<'a>(&'a self, of: &'a Partition, to: &'a Embedding, limit: usize) -> Pending<'a, Vec<Near>> {
        Box::pin(async move { Ok(self.look_near(of, to, limit).await) })
    }

    fn put<'a>(&'a self, of: &'a Partition, new: New<'a>) -> Pending<'a, bool> {
        Box::pin(async move { Ok(self.keep(of, &new)?) })
    }

    fn hit<'a>(&'a self, of: &'a Partition, hash: &'a QuestionHash) -> Pending<'a, ()> {
        Box::pin(async move {
            if let Some(item) = self.item(of, hash) {
                item.hit();
            }
            Ok(())
        })
    }

    fn remove<'a>(&'a self, of: &'a Partition, hash: &'a QuestionHash) -> Pending<'a, bool> {
        Box::pin(async move { Ok(self.take_one(of, hash)) })
    }

    fn remove_near<'a>(&'a self, of: &'a Partition, to: &'a Embedding, similarity: f32) -> Pending<'a, u64> {
        Box::pin(async move { Ok(self.take_near(of, to, similarity).await) })
    }

    fn clear<'a>(&'a self, namespace: &'a str) -> Pending<'a, u64> {
        Box::pin(async move { Ok(self.take_all(namespace)) })
    }

    fn ping(&self) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

impl Default for EmbeddedIndex {
    fn default() -> EmbeddedIndex {
        EmbeddedIndex::new()
    }
}

impl fmt::Debug for EmbeddedIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (partitions, entries, bytes) = {
            let state = self.read();
            (state.partitions.len(), state.partitions.values().map(Held::len).sum::<usize>(), state.bytes)
        };
        f.debug_struct("EmbeddedIndex")
            .field("partitions_max", &self.partitions_max)
            .field("bytes_max", &self.bytes_max)
            .field("partitions", &partitions)
            .field("entries", &entries)
            .field("bytes", &bytes)
            .finish_non_exhaustive()
    }
}
