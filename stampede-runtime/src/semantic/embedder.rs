//! What makes vectors of texts.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Vectors on their way, one for each text, in the order of the texts.
pub type Embedded<'a> = Pin<Box<dyn Future<Output = Result<Vec<Vec<f32>>, EmbedError>> + Send + 'a>>;

/// How many texts are embedded at once unless an embedder says otherwise.
pub const BATCH_MAX: usize = 64;

/// Makes vectors of texts: near ones of texts that mean the same.
///
/// It is asked for several texts at once where several calls miss at one moment, and never twice for one call. Vectors need
/// not have length 1. What it answers is checked: a vector that is zero, holds what is no finite number or has another number
/// of dimensions is never compared, and the call goes on as if nothing had been near.
///
/// **Errors** and time: an embedder has a time of its own for each answer, and retries by itself what is worth it. A call whose
/// embedder fails or is too slow runs its body.
///
/// **Cancel**: the future may be dropped at any point.
pub trait Embedder: Send + Sync + 'static {
    /// The name of the model, with all that decides about its vectors. Vectors of different models never meet.
    fn model_id(&self) -> &str;

    /// How many numbers a vector has. 0: only its answers tell.
    fn dimensions(&self) -> usize;

    /// The most texts that it takes at once, at least 1.
    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    /// A vector for each text, in their order.
    fn embed<'a>(&'a self, texts: &'a [String]) -> Embedded<'a>;
}

impl<E: Embedder + ?Sized> Embedder for Arc<E> {
    fn model_id(&self) -> &str {
        (**self).model_id()
    }

    fn dimensions(&self) -> usize {
        (**self).dimensions()
    }

    fn batch_max(&self) -> usize {
        (**self).batch_max()
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> Embedded<'a> {
        (**self).embed(texts)
    }
}

/// An embedder from an async function of many texts. `dimensions`: 0 where only its answers tell.
pub fn from_fn<F, R, E>(model_id: impl Into<String>, dimensions: usize, embed: F) -> impl Embedder
where
    F: Fn(Vec<String>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Vec<Vec<f32>>, E>> + Send + 'static,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    FnEmbedder { model_id: model_id.into(), dimensions, embed }
}

/// A function as an [`Embedder`].
struct FnEmbedder<F> {
    model_id: String,
    dimensions: usize,
    embed: F,
}

impl<F, R, E> Embedder for FnEmbedder<F>
where
    F: Fn(Vec<String>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Vec<Vec<f32>>, E>> + Send + 'static,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    fn model_id(&self) -> &str {
        &self.model_id
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> Embedded<'a> {
        let vectors = (self.embed)(texts.to_vec());
        Box::pin(async move { vectors.await.map_err(|error| EmbedError::new(EmbedErrorKind::Other, error)) })
    }
}

/// What `embed = …` of an attribute can be: an [`Embedder`], an async function of a `String`, or one of a `Vec<String>`.
///
/// `Kind` tells them apart, and is found by the compiler. A function's path is the name of its model.
#[diagnostic::on_unimplemented(
    message = "`embed` takes an `Embedder`, `async fn(String) -> Result<Vec<f32>, E>` or `async fn(Vec<String>) -> Result<Vec<Vec<f32>>, E>`",
    label = "is none of them",
    note = "the future of an async function must be `Send`, and its error must become a `Box<dyn Error + Send + Sync>`"
)]
pub trait IntoEmbedder<Kind> {
    /// The embedder. `path`: how the attribute spells it.
    fn into_embedder(self, path: &'static str) -> Arc<dyn Embedder>;
}

/// An [`Embedder`], as it is.
#[derive(Debug)]
pub enum Itself {}

/// A function of one text.
#[derive(Debug)]
pub enum OfOne {}

/// A function of many.
#[derive(Debug)]
pub enum OfMany {}

impl<E: Embedder> IntoEmbedder<Itself> for E {
    fn into_embedder(self, _: &'static str) -> Arc<dyn Embedder> {
        Arc::new(self)
    }
}

impl<F, R, E> IntoEmbedder<OfMany> for F
where
    F: Fn(Vec<String>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Vec<Vec<f32>>, E>> + Send + 'static,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    fn into_embedder(self, path: &'static str) -> Arc<dyn Embedder> {
        Arc::new(from_fn(path, 0, self))
    }
}

impl<F, R, E> IntoEmbedder<OfOne> for F
where
    F: Fn(String) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Vec<f32>, E>> + Send + 'static,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    fn into_embedder(self, path: &'static str) -> Arc<dyn Embedder> {
        let embed = Arc::new(self);
        let each = move |texts: Vec<String>| {
            let embed = Arc::clone(&embed);
            async move {
                // At once, as far as the user's function lets them.
                let mut asked = tokio::task::JoinSet::new();
                for (at, text) in texts.into_iter().enumerate() {
                    let vector = embed(text);
                    asked.spawn(async move { (at, vector.await.map_err(Into::into)) });
                }
                let mut vectors: Vec<(usize, Result<_, Box<dyn StdError + Send + Sync>>)> = asked.join_all().await;
                vectors.sort_unstable_by_key(|(at, _)| *at);
                // One that fails costs the others nothing: an empty vector is no embedding, of its own text alone.
                let is_any_there = vectors.iter().any(|(_, vector)| vector.is_ok());
                let each = vectors.into_iter().map(|(_, vector)| match vector {
                    Err(_) if is_any_there => Ok(Vec::new()),
                    vector => vector,
                });
                each.collect::<Result<_, _>>()
            }
        };
        Arc::new(from_fn(path, 0, each))
    }
}

/// Why there are no vectors.
///
/// All calls whose texts were asked for together get the same one, so it can be cloned.
#[derive(Clone, Debug)]
pub struct EmbedError {
    kind: EmbedErrorKind,
    source: Arc<dyn StdError + Send + Sync>,
}

/// What kind of fault an embedder has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EmbedErrorKind {
    /// There was no connection, or it broke.
    Unreachable,
    /// There was no answer in time.
    TimedOut,
    /// It does not want to, whatever the texts are: a wrong key, an unknown model.
    Refused,
    /// It does not take one of the texts, which may be too long. The others alone may be taken.
    Unsuitable,
    /// It has been asked too often.
    RateLimited,
    /// What it answered are no embeddings of the texts.
    Invalid,
    /// Anything else.
    Other,
}

impl EmbedErrorKind {
    /// All of them, in their order.
    pub(crate) const ALL: [EmbedErrorKind; 7] = {
        use EmbedErrorKind::{Invalid, Other, RateLimited, Refused, TimedOut, Unreachable, Unsuitable};
        [Unreachable, TimedOut, Refused, Unsuitable, RateLimited, Invalid, Other]
    };
}

impl EmbedError {
    /// An error of a kind. What `source` says may be logged: no secrets, and no texts.
    pub fn new(kind: EmbedErrorKind, source: impl Into<Box<dyn StdError + Send + Sync>>) -> EmbedError {
        EmbedError { kind, source: Arc::from(source.into()) }
    }

    /// What kind of fault it is.
    #[must_use]
    pub fn kind(&self) -> EmbedErrorKind {
        self.kind
    }
}

impl fmt::Display for EmbedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            EmbedErrorKind::Unreachable => "the embedder cannot be reached",
            EmbedErrorKind::TimedOut => "the embedder did not answer in time",
            EmbedErrorKind::Refused => "the embedder refuses",
            EmbedErrorKind::Unsuitable => "the embedder does not take a text",
            EmbedErrorKind::RateLimited => "the embedder has been asked too often",
            EmbedErrorKind::Invalid => "the embedder's answer is no embedding",
            EmbedErrorKind::Other => "the embedder has failed",
        })
    }
}

impl StdError for EmbedError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}

#[cfg(test)]
mod tests;
