//! The kinds of embedders.

use std::sync::Arc;

use super::{Given, Kind, one_of};
use crate::config::draft::Draft;
use crate::config::sources::Said;
use crate::semantic::{Embedder, LexicalEmbedder};
#[cfg(feature = "openai")]
use crate::{
    config::keys::{count, duration},
    semantic::OpenAiEmbedder,
};

pub(in crate::config) static EMBEDDERS: &[Kind<Arc<dyn Embedder>>] = &[
    Kind { name: "lexical", keys: &[], make: |_| Some(Arc::new(LexicalEmbedder::new())) },
    Kind {
        name: "openai",
        keys: &["model", "base_url", "api_key", "dimensions", "timeout", "retries", "batch_max"],
        make: openai,
    },
];

#[cfg(feature = "openai")]
fn openai(given: &mut Given<'_>) -> Option<Arc<dyn Embedder>> {
    use super::text;

    let model = given.needed("model", text);
    let [base_url, api_key] = ["base_url", "api_key"].map(|key| given.value(key, text));
    let [dimensions, retries, batch_max] = ["dimensions", "retries", "batch_max"].map(|key| given.value(key, count));
    let timeout = given.value("timeout", duration);
    // Without a model the rest is checked all the same.
    let mut builder = OpenAiEmbedder::builder(model.as_deref().unwrap_or("missing"));
    if let Some(url) = base_url {
        builder = builder.base_url(url);
    }
    if let Some(key) = api_key {
        builder = builder.api_key(key);
    }
    if let Some(dimensions) = dimensions {
        builder = builder.dimensions(dimensions);
    }
    if let Some(timeout) = timeout {
        builder = builder.timeout(timeout);
    }
    if let Some(retries) = retries {
        builder = builder.retries(retries);
    }
    if let Some(texts) = batch_max {
        builder = builder.batch_max(texts);
    }
    match builder.make() {
        Ok(embedder) => model.map(|_| Arc::new(embedder) as Arc<dyn Embedder>),
        Err(problems) => {
            for (key, problem) in problems {
                given.wrong(key, &problem);
            }
            None
        }
    }
}

#[cfg(not(feature = "openai"))]
fn openai(given: &mut Given<'_>) -> Option<Arc<dyn Embedder>> {
    given.wrong("kind", "kind `openai` needs the cargo feature `openai` of `stampede-runtime`");
    None
}

/// Makes an embedder, or says everything that is wrong with it.
pub(in crate::config) fn make(said: &Said, draft: &mut Draft) -> Option<Arc<dyn Embedder>> {
    one_of(EMBEDDERS, said, draft).map(|(_, embedder)| embedder)
}
