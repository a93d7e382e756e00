//! The one public error: what a call can end with besides what its body returned.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How a call ended that did not get its body's own result.
///
/// A function whose error type implements `From<stampede_runtime::Error>` receives these through it; `anyhow::Error`
/// and `Box<dyn Error + Send + Sync>` do so by themselves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The body returned an error that cannot be cloned. Every caller of that execution receives this view of it.
    Shared(SharedError),
    /// The body ran longer than the function's `timeout`. It was ended and its result, if any, discarded; a new call
    /// starts afresh.
    Timeout {
        /// `namespace::function`.
        function: Arc<str>,
        /// The function's `timeout`.
        limit: Duration,
    },
    /// This caller waited as long as `wait` allows. The execution goes on for those who still wait.
    WaitTimeout {
        /// `namespace::function`.
        function: Arc<str>,
        /// The function's `wait`.
        limit: Duration,
    },
    /// `max_concurrent` executions were running for as long as `wait` allows, so this call never started. Try later.
    Refused {
        /// `namespace::function`.
        function: Arc<str>,
        /// The function's `max_concurrent`.
        limit: usize,
    },
    /// The tokio runtime that ran the body shut down before it finished.
    Abandoned {
        /// `namespace::function`.
        function: Arc<str>,
    },
    /// The backend could not do what was asked of it.
    Backend {
        /// What went wrong. No part of a key or of a secret is in it.
        reason: Arc<str>,
    },
    /// The body called its own function with its own key, over and over. The recursion has no end.
    TooDeep {
        /// `namespace::function`.
        function: Arc<str>,
        /// How many of its own calls were running inside one another.
        depth: usize,
    },
}

impl Error {
    #[cfg_attr(not(feature = "backends"), expect(dead_code, reason = "for backends"))]
    pub(crate) fn backend(error: impl fmt::Display) -> Error {
        Error::Backend { reason: error.to_string().into() }
    }

    /// A value that cannot become bytes, or too many of them.
    pub(crate) fn unwritable() -> Error {
        Error::Backend { reason: "the value cannot be written there".into() }
    }

    /// A backend that was not asked in the end.
    pub(crate) fn unreached() -> Error {
        Error::Backend { reason: "the tokio runtime shut down before it was asked".into() }
    }

    /// The error that the body returned, if it was of type `E`.
    #[must_use]
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        match self {
            Error::Shared(shared) => shared.downcast_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Shared(shared) => fmt::Display::fmt(shared, f),
            Error::Timeout { function, limit } => write!(f, "`{function}` took longer than its timeout of {limit:?}"),
            Error::WaitTimeout { function, limit } => {
                write!(f, "waited {limit:?} for `{function}`, as long as `wait` allows")
            }
            Error::Refused { function, limit } => {
                write!(
                    f,
                    "`{function}` was refused: {limit} executions, as many as `max_concurrent` allows, were running"
                )
            }
            Error::Abandoned { function } => {
                write!(f, "the tokio runtime that ran `{function}` shut down before it finished")
            }
            Error::Backend { reason } => write!(f, "the backend could not do it: {reason}"),
            Error::TooDeep { function, depth } => {
                write!(
                    f,
                    "`{function}` called itself with its own key {depth} times, one inside the other, without an end"
                )
            }
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::Shared(shared) => shared.source(),
            _ => None,
        }
    }
}

/// A cheap view of one error that several callers received: same text, same causes.
#[derive(Clone)]
pub struct SharedError(Arc<dyn Viewed>);

/// An error held once, of which callers get views.
trait Viewed: Send + Sync {
    fn error(&self) -> &(dyn StdError + 'static);
    fn whole(&self) -> &dyn Any;
}

struct Plain<E>(E);

impl<E: StdError + Send + Sync + 'static> Viewed for Plain<E> {
    fn error(&self) -> &(dyn StdError + 'static) {
        &self.0
    }

    fn whole(&self) -> &dyn Any {
        &self.0
    }
}

/// An error such as `anyhow::Error`, which is none itself but points at one.
struct Pointing<E>(E);

impl<E> Viewed for Pointing<E>
where
    E: std::ops::Deref<Target = dyn StdError + Send + Sync> + Send + Sync + 'static,
{
    fn error(&self) -> &(dyn StdError + 'static) {
        &*self.0
    }

    fn whole(&self) -> &dyn Any {
        &self.0
    }
}

impl SharedError {
    pub(crate) fn plain<E: StdError + Send + Sync + 'static>(error: E) -> SharedError {
        SharedError(Arc::new(Plain(error)))
    }

    pub(crate) fn pointing<E>(error: E) -> SharedError
    where
        E: std::ops::Deref<Target = dyn StdError + Send + Sync> + Send + Sync + 'static,
    {
        SharedError(Arc::new(Pointing(error)))
    }

    /// The error, if it is of type `E`: the type that the body returned, or the one inside a boxed error.
    #[must_use]
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.0.error().downcast_ref().or_else(|| self.0.whole().downcast_ref())
    }
}

impl fmt::Debug for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0.error(), f)
    }
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0.error(), f)
    }
}

impl StdError for SharedError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.error().source()
    }
}
