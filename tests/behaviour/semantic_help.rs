//! An embedder whose vectors are written into the questions: `@30 …` is at 30 degrees. What says nothing is at 0.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use stampede_runtime::semantic::{Embedded, Embedder};

/// Counts what it is asked.
#[derive(Clone, Default)]
pub(super) struct Compass(Arc<Counts>);

#[derive(Default)]
struct Counts {
    batches: AtomicUsize,
    texts: AtomicUsize,
}

impl Compass {
    pub(super) fn texts(&self) -> usize {
        self.0.texts.load(SeqCst)
    }

    pub(super) fn batches(&self) -> usize {
        self.0.batches.load(SeqCst)
    }
}

/// Where a question points to.
pub(super) fn direction(text: &str) -> Vec<f32> {
    let degrees = text.split_whitespace().find_map(|word| word.strip_prefix('@')?.parse::<f32>().ok());
    let radians = degrees.unwrap_or_default().to_radians();
    vec![radians.cos(), radians.sin(), 0.0]
}

impl Embedder for Compass {
    fn model_id(&self) -> &'static str {
        "compass"
    }

    fn dimensions(&self) -> usize {
        3
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> Embedded<'a> {
        self.0.batches.fetch_add(1, SeqCst);
        self.0.texts.fetch_add(texts.len(), SeqCst);
        Box::pin(async move { Ok(texts.iter().map(|text| direction(text)).collect()) })
    }
}
