//! Values that are made where they are missing.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::Cache;
use crate::error::{Error, SharedError};
use crate::fly::Moved;
use crate::programmatic;
use crate::share::Shareable;

/// What a cache loads its values with. Made by [`CacheBuilder::loader`](super::CacheBuilder::loader).
pub struct Loader<V>(Arc<dyn Fn(String) -> Moved<Result<V, SharedError>> + Send + Sync>);

impl<V> Clone for Loader<V> {
    fn clone(&self) -> Self {
        Loader(Arc::clone(&self.0))
    }
}

impl<V> fmt::Debug for Loader<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader").finish_non_exhaustive()
    }
}

impl<V: 'static> Loader<V> {
    pub(super) fn new<F, E>(loader: impl Fn(String) -> F + Send + Sync + 'static) -> Loader<V>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Loader(Arc::new(move |key| {
            let load = loader(key);
            Box::pin(async { load.await.map_err(shared) })
        }))
    }
}

/// One error, for all who receive it.
pub(super) fn shared(error: impl Into<Box<dyn StdError + Send + Sync>>) -> SharedError {
    SharedError::pointing(error.into())
}

impl<V: Shareable, L, W> Cache<V, L, W> {
    /// The value of a key: from memory, else that of an execution under way, else from the backend, else that of `work`, which
    /// is kept in both.
    ///
    /// All who miss a key at once share one execution, and its error too, which is not kept. `work` makes the future, and may be
    /// called although the backend then has the value; the future runs detached, as a task, and for one caller only. Callers of
    /// one key should agree on `E`: to a caller of another type an error means nothing, and it runs its own `work`.
    ///
    /// **Cancel**: gives up this caller's place; the work ends when nobody waits for it.
    /// **Panic**: reaches every caller, with the same message.
    pub async fn get_or_set<W2, F, E>(&self, key: &str, work: W2) -> Result<V, E>
    where
        W2: FnOnce() -> F,
        F: Future<Output = Result<V, E>> + Send + 'static,
        E: Clone + Send + Sync + 'static,
    {
        programmatic::end(self.state(), self.board(key), work).await
    }
}

impl<V: Shareable, W> Cache<V, Loader<V>, W> {
    /// [`get_or_set`](Self::get_or_set) with the cache's loader.
    ///
    /// **Errors**: [`Error::Shared`], a view of what the loader returned. [`Error::downcast_ref`] gives the error itself.
    ///
    /// ```
    /// # use stampede_runtime::Cache;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), stampede_runtime::Error> {
    /// let squares = Cache::builder("squares")
    ///     .loader(|key: String| async move { key.parse::<u64>().map(|number| number * number) })
    ///     .build();
    /// assert_eq!(squares.load("12").await?, 144);
    /// let error = squares.load("twelve").await.unwrap_err();
    /// assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn load(&self, key: &str) -> Result<V, Error> {
        self.load_with(key, || ()).await
    }

    /// `executes` is called when the loader is.
    pub(super) async fn load_with(&self, key: &str, executes: impl FnOnce() + Send + 'static) -> Result<V, Error> {
        let loaded = self.get_or_set(key, || {
            let (loader, key) = (self.loader.clone(), key.to_owned());
            // Not before it is polled: the backend may have the value.
            async move {
                executes();
                (loader.0)(key).await
            }
        });
        loaded.await.map_err(Error::Shared)
    }
}
