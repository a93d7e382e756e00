//! For tests of services that use stampede.

use std::marker::PhantomData;

use crate::config::Config;
use crate::registry::{self, Scope};

/// Gives the calling test a registry of its own: every decorated function starts without values, flights and counts,
/// and what the test leaves behind is gone when the result is dropped.
///
/// Decorated functions keep their state in statics, so tests of one process share it: one test sees another's values,
/// and a value stored under tokio's paused clock can be hours in another test's future. Begin each test with this.
///
/// Inside a tokio runtime it holds for all tasks of that runtime (`#[tokio::test]` makes one for each test), outside
/// for the calling thread.
///
/// ```
/// # use stampede_runtime::coalesce;
/// #[coalesce(ttl = 60)]
/// async fn answer() -> u32 {
///     42
/// }
///
/// #[tokio::test]
/// # async fn hidden() {}
/// async fn starts_cold() {
///     let _isolated = stampede_runtime::testing::isolate();
///     answer().await;
///     assert_eq!(answer::stats().executions, 1);
/// }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(starts_cold());
/// ```
///
/// # Panics
/// When the runtime or thread is isolated already.
#[must_use = "the isolation ends when this is dropped"]
pub fn isolate() -> Isolated {
    isolate_with(Config::default())
}

/// [`isolate`], with a configuration for this test.
///
/// An isolated test is configured by this and cannot be again: [`configure`](crate::configure) in it is a second one. So
/// let a service have a function that builds its [`Config`], for `main` to configure and for tests to isolate with.
///
/// # Panics
/// When the runtime or thread is isolated already.
#[must_use = "the isolation ends when this is dropped"]
pub fn isolate_with(config: Config) -> Isolated {
    let scope = Scope::here();
    assert!(registry::isolate(scope, config), "this test is isolated already; keep one `isolate()` for the whole test");
    Isolated { scope, stays: PhantomData }
}

/// A test's own registry, while it lives.
#[derive(Debug)]
pub struct Isolated {
    scope: Scope,
    /// Not `Send`: a thread's isolation ends on that thread.
    stays: PhantomData<*const ()>,
}

impl Drop for Isolated {
    fn drop(&mut self) {
        registry::end_isolation(self.scope);
    }
}
