//! Several processes in one test.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::runtime::Handle;

use crate::config::Config;
use crate::registry::{self, Registry, Scope};

/// A process of its own, as far as decorated functions can tell: a registry with values, flights and counts of its own, and a
/// configuration. A test may have many, and see how they share a backend; [`MemoryServer`](super::MemoryServer) has an example.
///
/// What a call in it begins (bodies that go on without their callers, refreshes, what is sent to a backend) is in it, too. What
/// runs on a thread of stampede's own in a service, such as the renewal of leases, runs on the runtime of the test here: so
/// with `tokio::time::pause` all of a host's time is the test's.
///
/// **Cancel**: dropped, its values are gone and calls under way land in nothing; what it told a backend stays there. Nothing is
/// given back: for other hosts a lease of it runs out, once its client is [cut off](super::MemoryClient::cut).
pub struct Host {
    scope: Scope,
    registry: Arc<Registry>,
}

impl Host {
    /// A host with this configuration, in the runtime around the caller.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(config: Config) -> Host {
        static HOSTS: AtomicU64 = AtomicU64::new(0);
        let scope = Scope::Host(HOSTS.fetch_add(1, Relaxed));
        let registry = registry::isolate(scope, config).expect("no two hosts have one number");
        registry.runtime.get_or_init(Handle::current);
        Host { scope, registry }
    }

    /// Does this in the host: every call that it makes is one of the host's.
    ///
    /// What the work hands to `tokio::spawn` by itself is not in the host, unless that is `run` there.
    pub async fn run<W: Future>(&self, work: W) -> W::Output {
        self.scope.around(work).await
    }

    /// The same of what is not async, such as a look at figures.
    pub fn within<R>(&self, work: impl FnOnce() -> R) -> R {
        let _entered = self.scope.enter();
        work()
    }

    /// The clock of this host, [in hand](super::Isolated::clock) from now on.
    #[must_use]
    pub fn clock(&self) -> super::Clock {
        super::Clock::new(self.registry.take_in_hand())
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        registry::end_isolation(self.scope);
    }
}
