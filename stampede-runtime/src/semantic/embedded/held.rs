//! The entries of one partition: by their hash, by their meaning, by their age.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::time::Instant;

use super::item::Item;
use super::rows::{Found, Rows};
use crate::semantic::Embedding;
use crate::semantic::index::QuestionHash;

/// The entries of one partition.
#[derive(Default)]
pub(super) struct Held {
    entries: HashMap<QuestionHash, Place>,
    /// One for each number of dimensions; all but one are rare.
    spaces: Vec<Rows>,
    /// Their numbers, and so the order in which they make room.
    by_number: BTreeSet<(u64, QuestionHash)>,
    by_end: BTreeSet<(Instant, QuestionHash)>,
    bytes: usize,
    /// When it was used last, in uses of the index.
    pub(super) used: AtomicU64,
}

/// An entry, and which row it is among those of its number of dimensions.
struct Place {
    item: Arc<Item>,
    row: usize,
}

impl Held {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, hash: &QuestionHash) -> Option<&Arc<Item>> {
        self.entries.get(hash).map(|place| &place.item)
    }

    /// Whether exactly this one is still here.
    pub(super) fn holds(&self, item: &Arc<Item>) -> bool {
        self.get(&item.hash).is_some_and(|held| Arc::ptr_eq(held, item))
    }

    /// What was found, as it is now: itself, or what has been put in its place.
    pub(super) fn now(&self, found: Found, to: &Embedding) -> Option<Found> {
        let place = self.entries.get(&found.item.hash)?;
        if Arc::ptr_eq(&place.item, &found.item) {
            return Some(found);
        }
        let similarity = self.similarity(place, to)?;
        Some(Found { similarity, item: Arc::clone(&place.item) })
    }

    /// `None`: the numbers of their dimensions differ.
    fn similarity(&self, place: &Place, to: &Embedding) -> Option<f32> {
        let rows = self.rows(place.item.dimensions).filter(|rows| rows.dimensions() == to.dimensions())?;
        Some(rows.similarity(place.row, to))
    }

    pub(super) fn rows(&self, dimensions: usize) -> Option<&Rows> {
        self.spaces.iter().find(|rows| rows.dimensions() == dimensions)
    }

    /// Puts an entry in place of an earlier one.
    pub(super) fn insert(&mut self, item: Arc<Item>, embedding: &Embedding) {
        self.remove(&item.hash);
        let at = self.spaces.iter().position(|rows| rows.dimensions() == item.dimensions).unwrap_or_else(|| {
            self.spaces.push(Rows::new(item.dimensions));
            self.spaces.len() - 1
        });
        let row = self.spaces[at].push(embedding, Arc::clone(&item));
        self.by_number.insert((item.number, item.hash));
        self.by_end.insert((item.gone_at, item.hash));
        self.bytes += item.bytes();
        self.entries.insert(item.hash, Place { item, row });
    }

    pub(super) fn remove(&mut self, hash: &QuestionHash) -> Option<Arc<Item>> {
        let Place { item, row } = self.entries.remove(hash)?;
        self.by_number.remove(&(item.number, item.hash));
        self.by_end.remove(&(item.gone_at, item.hash));
        self.bytes -= item.bytes();
        let at = self.spaces.iter().position(|rows| rows.dimensions() == item.dimensions);
        let at = at.expect("every entry has its row");
        if let Some(moved) = self.spaces[at].swap_remove(row)
            && let Some(place) = self.entries.get_mut(&moved.hash)
        {
            place.row = row;
        }
        if self.spaces[at].is_empty() {
            self.spaces.swap_remove(at);
        }
        Some(item)
    }

    /// Takes those out that are over.
    pub(super) fn let_go(&mut self, now: Instant) {
        while let Some(&(end, hash)) = self.by_end.first()
            && end <= now
        {
            self.remove(&hash);
        }
    }

    /// Takes out the one that was put first.
    pub(super) fn remove_first(&mut self) -> ControlFlow<()> {
        let Some(&(_, hash)) = self.by_number.first() else { return ControlFlow::Break(()) };
        self.remove(&hash);
        ControlFlow::Continue(())
    }

    /// Those put from a number on that are at least so near.
    pub(super) fn near_since(&self, number: u64, to: &Embedding, similarity: f32) -> Vec<Arc<Item>> {
        let since = self.by_number.range((number, [0; 32])..).filter_map(|(_, hash)| self.entries.get(hash));
        let near = since.filter(|place| self.similarity(place, to).is_some_and(|of| of >= similarity));
        near.map(|place| Arc::clone(&place.item)).collect()
    }

    /// How many are not over.
    pub(super) fn kept(&self, now: Instant) -> u64 {
        self.entries.values().filter(|place| place.item.is_kept(now)).count() as u64
    }
}
