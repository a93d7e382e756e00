//! For tests of services that use stampede.
//!
//! [`isolate`] gives a test a state of its own. With the feature `test-util`, which belongs among the dev-dependencies,
//! there is more: `Clock` (expiry without sleeping), `count` (what a function did), `settled` (what goes on behind the
//! callers has ended), `Host` (several processes in one test) and, with a feature of theirs, `FaultyBackend` and `MemoryServer`
//! (`backends`), and `PlacedEmbedder` (`semantic`).
//! `docs/testing.md` tells how they go together.

#[cfg(all(feature = "test-util", feature = "backends"))]
mod backend;
#[cfg(feature = "test-util")]
mod clock;
#[cfg(feature = "test-util")]
mod counted;
#[cfg(all(feature = "test-util", feature = "semantic"))]
mod embedder;
#[cfg(all(feature = "test-util", feature = "backends"))]
mod faults;
#[cfg(feature = "test-util")]
mod host;
#[cfg(all(feature = "test-util", feature = "backends"))]
mod server;
#[cfg(feature = "test-util")]
mod settled;

use std::marker::PhantomData;
use std::sync::Arc;

use crate::config::Config;
use crate::registry::{self, Registry, Scope};

#[cfg(all(feature = "test-util", feature = "backends"))]
pub use self::backend::{Call, FaultyBackend, Verb};
#[cfg(feature = "test-util")]
pub use self::clock::Clock;
#[cfg(feature = "test-util")]
pub use self::counted::{Counted, count};
#[cfg(all(feature = "test-util", feature = "semantic"))]
pub use self::embedder::PlacedEmbedder;
#[cfg(all(feature = "test-util", feature = "backends"))]
pub use self::faults::{Fault, Script};
#[cfg(feature = "test-util")]
pub use self::host::Host;
#[cfg(all(feature = "test-util", feature = "backends"))]
pub use self::server::{MemoryClient, MemoryServer, Network};
#[cfg(feature = "test-util")]
pub use self::settled::{settled, settled_blocking};

/// Gives the calling test a registry of its own: every decorated function starts without values, flights and counts,
/// and what the test leaves behind is gone when the result is dropped.
///
/// Decorated functions keep their state in statics, so tests of one process share it: one test sees another's values,
/// and a value stored under tokio's paused clock can be hours in another test's future. Begin each test with this.
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
/// # What it holds for
/// - Inside a tokio runtime (`#[tokio::test]` makes one for each test): all tasks of that runtime, on each of its threads,
///   `spawn_blocking` included. Outside of one: the calling thread.
/// - What stampede runs elsewhere for them: bodies of sync functions on threads of their own, refreshes, what is sent to a
///   backend.
/// - A [`Coalescer`](crate::Coalescer) with a name that is made in it: it is listed and configured there. What a coalescer
///   keeps is its own in any case, so make it in the test.
///
/// It does not hold for threads and runtimes that the test begins by itself: they [`enter`](Handle::enter). Nor for what a
/// backend keeps: give each test its own, with [`isolate_with`].
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
    let registry = registry::isolate(scope, config);
    let registry = registry.expect("this test is isolated already; keep one `isolate()` for the whole test");
    Isolated { scope, registry, stays: PhantomData }
}

/// A test's own registry, while it lives.
pub struct Isolated {
    scope: Scope,
    #[cfg_attr(not(feature = "test-util"), expect(dead_code, reason = "the clock is in it"))]
    registry: Arc<Registry>,
    /// Not `Send`: a thread's isolation ends on that thread.
    stays: PhantomData<*const ()>,
}

impl Isolated {
    /// For threads and runtimes that the test begins by itself.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { scope: self.scope }
    }

    /// Takes the clock of this test in hand: from now on it stands still, and moves by [`Clock::advance`] alone.
    ///
    /// Called again, it returns the same clock.
    #[cfg(feature = "test-util")]
    #[must_use]
    pub fn clock(&self) -> Clock {
        Clock::new(self.registry.take_in_hand())
    }
}

impl std::fmt::Debug for Isolated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Isolated").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl Drop for Isolated {
    fn drop(&mut self) {
        registry::end_isolation(self.scope);
    }
}

/// The way into a test's isolation for other threads. After the isolation has ended it leads to the registry of the process.
#[derive(Clone, Debug)]
pub struct Handle {
    scope: Scope,
}

impl Handle {
    /// Takes the calling thread into the isolation, until the result is dropped.
    ///
    /// ```
    /// use stampede_runtime::{cached, testing};
    ///
    /// #[cached(ttl = 60)]
    /// fn answer() -> u32 {
    ///     42
    /// }
    ///
    /// let isolated = testing::isolate();
    /// let handle = isolated.handle();
    /// let other = std::thread::spawn(move || {
    ///     let _entered = handle.enter();
    ///     answer()
    /// });
    /// other.join().unwrap();
    /// assert_eq!(answer::stats().executions, 1);
    /// ```
    ///
    /// It goes before the runtime that the thread is in. So for a runtime that the test builds, each of its threads enters:
    /// the one that calls `block_on`, and the workers in `on_thread_start`. Do not hold it across an `.await`: other tasks of
    /// the thread would be in the isolation meanwhile.
    #[must_use = "the thread leaves when this is dropped"]
    pub fn enter(&self) -> Entered {
        Entered { _scope: self.scope.enter() }
    }
}

/// A thread's stay in an isolation. When stays are nested, the inner one is to end first.
pub struct Entered {
    _scope: registry::Entered,
}

impl std::fmt::Debug for Entered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entered").finish_non_exhaustive()
    }
}
