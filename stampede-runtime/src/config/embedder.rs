//! The embedder of a configuration.

use std::fmt;
use std::sync::Arc;

use crate::semantic::Embedder;

/// What makes embeddings, if something does.
#[derive(Clone, Default)]
pub(crate) struct Chosen(Option<Arc<dyn Embedder>>);

/// Its model. What an embedder holds, a key perhaps, is nobody's business.
impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Embedder").field(&self.0.as_deref().map(Embedder::model_id)).finish()
    }
}

impl Chosen {
    /// Returns whether there was one.
    pub(super) fn choose(&mut self, embedder: Arc<dyn Embedder>) -> bool {
        self.0.replace(embedder).is_some()
    }

    pub(crate) fn get(&self) -> Option<Arc<dyn Embedder>> {
        self.0.clone()
    }
}
