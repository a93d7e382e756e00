//! Sentence-transformers from a folder on disk, as embedders of [`stampede_runtime`]: no server, no network, no Python.
//!
//! ```no_run
//! use stampede_candle::SentenceTransformer;
//! use stampede_runtime::{Config, configure};
//!
//! let model = SentenceTransformer::open("/models/all-MiniLM-L6-v2")?;
//! configure(Config::builder().embedder(model).build()?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The folder is as sentence-transformers writes it: `model.safetensors`, `config.json`, `tokenizer.json`, and where they are
//! there `sentence_bert_config.json` (the longest text) and `1_Pooling/config.json` (mean or first token). The model has to be
//! a BERT, which most small ones are: all-MiniLM, BGE, E5, GTE. Nothing is ever fetched.
//!
//! [candle](https://github.com/huggingface/candle) does the arithmetic, on the processor.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuilder};
use stampede_runtime::semantic::{EmbedError, EmbedErrorKind, Embedded, Embedder};
use tokio::sync::{Semaphore, oneshot};

use self::model::Model;
pub use self::open::OpenError;

mod model;
mod open;

/// How many texts are taken at once.
const BATCH_MAX: usize = 64;

/// How many batches may wait or run. What comes then is refused: it would wait for longer than its call is worth.
const BATCHES_MAX: usize = 64;

/// A sentence-transformer that runs on threads of this process. Clones share it.
///
/// **Vectors** have length 1. They are those of Python's sentence-transformers to 1e-5 in each number, whatever other texts
/// are embedded with them. A text longer than the model reads is cut at its end, as there; how long that is the folder says.
///
/// **Threads.** It computes on [`threads`](Builder::threads) threads of its own, one unless more are asked for, and never on
/// those of the caller's runtime nor on rayon's global ones. Batches go one after the other.
///
/// **Cancel.** A batch whose caller has gone before it began is not computed; one that has begun is.
///
/// **Errors.** [`EmbedErrorKind::RateLimited`] where 64 batches are under way, [`EmbedErrorKind::Unsuitable`] for what the
/// tokenizer does not take, [`EmbedErrorKind::Other`] when the arithmetic fails or panics. The model stays usable.
#[derive(Clone)]
pub struct SentenceTransformer(Arc<Shared>);

struct Shared {
    id: String,
    model: Arc<Model>,
    pool: ThreadPool,
    room: Arc<Semaphore>,
}

/// What there is to say about a [`SentenceTransformer`] besides where it is.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    id: Option<String>,
    threads: Option<usize>,
}

impl SentenceTransformer {
    /// Reads a model into memory: 90 MB and half a second for all-MiniLM-L6-v2. Blocks its thread, so do it at startup.
    ///
    /// # Errors
    /// [`OpenError`] says which file is missing or is not understood.
    pub fn open(folder: impl AsRef<Path>) -> Result<SentenceTransformer, OpenError> {
        SentenceTransformer::builder().open(folder)
    }

    /// The same with more to say.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// The name of the model, which keeps its vectors apart from all others. By default that of the folder with a digest of the
    /// weights: another model in the same folder is another model.
    #[must_use]
    pub fn model_id(mut self, id: impl Into<String>) -> Builder {
        self.id = Some(id.into());
        self
    }

    /// On how many threads it computes, at least 1, which is the default. More make one batch faster only where it is large.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Builder {
        self.threads = Some(threads.max(1));
        self
    }

    /// Reads the model, as [`SentenceTransformer::open`] does.
    ///
    /// # Errors
    /// [`OpenError`] says which file is missing or is not understood.
    pub fn open(self, folder: impl AsRef<Path>) -> Result<SentenceTransformer, OpenError> {
        let (model, named) = open::read(folder.as_ref())?;
        let pool = ThreadPoolBuilder::new()
            .num_threads(self.threads.unwrap_or(1))
            .thread_name(|at| format!("stampede-candle-{at}"))
            .build()
            .map_err(|error| OpenError::new(folder.as_ref(), "threads cannot be started", error))?;
        let (id, model, room) = (self.id.unwrap_or(named), Arc::new(model), Arc::new(Semaphore::new(BATCHES_MAX)));
        Ok(SentenceTransformer(Arc::new(Shared { id, model, pool, room })))
    }
}

impl Embedder for SentenceTransformer {
    fn model_id(&self) -> &str {
        &self.0.id
    }

    fn dimensions(&self) -> usize {
        self.0.model.dimensions()
    }

    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    fn embed<'a>(&'a self, texts: &'a [String]) -> Embedded<'a> {
        Box::pin(async move {
            let Ok(place) = Arc::clone(&self.0.room).try_acquire_owned() else {
                return Err(EmbedError::new(EmbedErrorKind::RateLimited, "64 batches are under way"));
            };
            let (answers, answer) = oneshot::channel();
            let (model, texts) = (Arc::clone(&self.0.model), texts.to_vec());
            self.0.pool.spawn_fifo(move || {
                let _place = place;
                if !answers.is_closed() {
                    let embedded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| model.embed(&texts)));
                    let embedded = embedded.unwrap_or_else(|_| {
                        Err(EmbedError::new(EmbedErrorKind::Other, "the model's arithmetic has panicked"))
                    });
                    // Who asked may have gone meanwhile.
                    let _ = answers.send(embedded);
                }
            });
            match answer.await {
                Ok(embedded) => embedded,
                Err(_) => Err(EmbedError::new(EmbedErrorKind::Other, "the model's threads have ended")),
            }
        })
    }
}

impl fmt::Debug for SentenceTransformer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentenceTransformer")
            .field("model_id", &self.0.id)
            .field("dimensions", &self.0.model.dimensions())
            .field("threads", &self.0.pool.current_num_threads())
            .finish_non_exhaustive()
    }
}
