//! Embeddings of one number of dimensions, side by side, so that a scan is a stream.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use tokio::time::Instant;

use super::item::Item;
use crate::semantic::Embedding;
use crate::semantic::embedding::dot;

/// What a block of rows takes at most: as much as a writer copies when a reader still holds it.
const BLOCK_BYTES: usize = 256 << 10;
/// How many numbers are compared before others get their turn: some 0.1 ms.
const NUMBERS_AT_ONCE: usize = 1 << 20;

/// Rows, of which readers take a copy that costs a pointer per block. Who scans holds no lock.
#[derive(Clone, Default)]
pub(super) struct Rows {
    dimensions: usize,
    blocks: Vec<Arc<Block>>,
}

/// All blocks are full but the last.
#[derive(Clone, Default)]
struct Block {
    numbers: Vec<f32>,
    items: Vec<Arc<Item>>,
}

/// An entry, and how near it is. Ordered by that; of two as near, the one that was put later is greater.
pub(super) struct Found {
    pub(super) similarity: f32,
    pub(super) item: Arc<Item>,
}

impl Rows {
    pub(super) fn new(dimensions: usize) -> Rows {
        Rows { dimensions, blocks: Vec::new() }
    }

    pub(super) fn dimensions(&self) -> usize {
        self.dimensions
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    fn rows_per_block(&self) -> usize {
        (BLOCK_BYTES / 4 / self.dimensions).max(1)
    }

    /// Adds a row, and says which it is.
    pub(super) fn push(&mut self, embedding: &Embedding, item: Arc<Item>) -> usize {
        let rows = self.rows_per_block();
        if self.blocks.last().is_none_or(|last| last.items.len() == rows) {
            self.blocks.push(Arc::default());
        }
        let before = (self.blocks.len() - 1) * rows;
        let last = Arc::make_mut(self.blocks.last_mut().expect("there is one now"));
        last.numbers.extend_from_slice(embedding.as_slice());
        last.items.push(item);
        before + last.items.len() - 1
    }

    /// Takes a row out and puts the last one in its place, which is returned.
    pub(super) fn swap_remove(&mut self, row: usize) -> Option<&Arc<Item>> {
        let (rows, dimensions) = (self.rows_per_block(), self.dimensions);
        let last_at = self.blocks.len().checked_sub(1)?;
        let last = Arc::make_mut(&mut self.blocks[last_at]);
        let item = last.items.pop()?;
        let numbers = last.numbers.split_off(last.numbers.len() - dimensions);
        let (at, end) = ((row / rows, row % rows), (last_at, last.items.len()));
        if last.items.is_empty() {
            self.blocks.pop();
        }
        if at == end {
            return None;
        }
        let block = Arc::make_mut(self.blocks.get_mut(at.0)?);
        block.numbers[at.1 * dimensions..][..dimensions].copy_from_slice(&numbers);
        block.items[at.1] = item;
        Some(&block.items[at.1])
    }

    /// The `limit` nearest of those that are fresh, nearest first.
    pub(super) async fn nearest(&self, to: &Embedding, limit: usize, now: Instant) -> Vec<Found> {
        let mut best: BinaryHeap<Reverse<Found>> = BinaryHeap::new();
        // What is nearer than this is among the best so far.
        let mut least = if limit == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
        self.scan(to, |similarity, item| {
            if similarity < least || limit == 0 || now >= item.stale_at {
                return;
            }
            best.push(Reverse(Found { similarity, item: Arc::clone(item) }));
            if best.len() > limit {
                best.pop();
            }
            if best.len() == limit
                && let Some(Reverse(last)) = best.peek()
            {
                least = last.similarity;
            }
        })
        .await;
        best.into_sorted_vec().into_iter().map(|Reverse(found)| found).collect()
    }

    /// Those that are at least so near, fresh or not.
    pub(super) async fn within(&self, to: &Embedding, similarity: f32) -> Vec<Arc<Item>> {
        let mut near = Vec::new();
        self.scan(to, |of, item| {
            if of >= similarity {
                near.push(Arc::clone(item));
            }
        })
        .await;
        near
    }

    /// Shows every row with its similarity. Long ones pause, so that others get their turn.
    async fn scan(&self, to: &Embedding, mut see: impl FnMut(f32, &Arc<Item>)) {
        let mut compared = 0;
        for block in &self.blocks {
            if compared >= NUMBERS_AT_ONCE {
                tokio::task::yield_now().await;
                compared = 0;
            }
            compared += block.numbers.len();
            for (row, item) in block.numbers.chunks_exact(self.dimensions).zip(&block.items) {
                see(dot(to.as_slice(), row).clamp(-1.0, 1.0), item);
            }
        }
    }

    /// How near one row is.
    pub(super) fn similarity(&self, row: usize, to: &Embedding) -> f32 {
        let rows = self.rows_per_block();
        let numbers = &self.blocks[row / rows].numbers[row % rows * self.dimensions..][..self.dimensions];
        dot(to.as_slice(), numbers).clamp(-1.0, 1.0)
    }
}

impl Ord for Found {
    fn cmp(&self, other: &Found) -> Ordering {
        self.similarity.total_cmp(&other.similarity).then(self.item.number.cmp(&other.item.number))
    }
}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Found) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Found {
    fn eq(&self, other: &Found) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Found {}
