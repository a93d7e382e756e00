//! Calls that mean the same.
//!
//! `#[semantic_coalesce]` gives two questions one answer when they are close enough in meaning: an [`Embedder`] makes a
//! vector of each question, and an [`Index`] finds the nearest of those that have an answer.
//!
//! ```text
//! question ── exactly this one? ──▶ memory, Redis, the index, each by itself
//!     │ no
//!     ▼
//! embedding ── near enough? ──▶ a flight under way, the index: the nearest that no guard refuses
//!     │ no
//!     ▼
//!   execute, and keep the answer with the embedding
//! ```
//!
//! - What has to be equal for that is the [`Partition`]: function, tenant, model, every argument but the question. It is
//!   compared exactly, and never part of the text whose meaning is compared.
//! - [`Guards`] turn a near hit into a miss where closeness deceives: other numbers, opposite words.
//! - [`EmbeddedIndex`] needs no server; with the feature `pgvector`, `PgvectorIndex` is for all processes of a PostgreSQL.
//!   [`conformance`] is the test for an index of your own.

mod batch;
pub(crate) mod bound;
mod call;
pub mod conformance;
mod embedded;
mod embedder;
mod embedding;
mod guard;
pub mod index;
mod lexical;
mod live;
pub(crate) mod meet;
#[cfg(feature = "openai")]
mod openai;
#[cfg(feature = "pgvector")]
mod pgvector;
mod rest;
mod schema;
mod tier;
pub(crate) mod trust;

pub use call::{at_least, at_least_now};
pub use embedded::EmbeddedIndex;
pub use embedder::{BATCH_MAX, EmbedError, EmbedErrorKind, Embedded, Embedder, IntoEmbedder, from_fn};
pub use embedding::Embedding;
pub use guard::{Guard, Guards};
#[doc(no_inline)]
pub use index::{Index, Partition};
pub use lexical::LexicalEmbedder;
#[cfg(feature = "openai")]
pub use openai::{OpenAiBuilder, OpenAiEmbedder};
#[cfg(feature = "pgvector")]
pub use pgvector::{PgvectorBuilder, PgvectorIndex, SchemaError};
pub use schema::PgvectorSchema;
pub(crate) use tier::Meant;

/// The longest question, in bytes of its normal form, whose meaning is compared. Longer ones are found exactly or not at all.
pub const QUESTION_BYTES_MAX: usize = 32 << 10;

/// How many near questions are looked at, where guards refuse the nearest ones.
const CANDIDATES: usize = 8;
