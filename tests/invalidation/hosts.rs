//! Hosts that share a Redis: each has a runtime, a registry and a connection of its own, as a process has.

use std::time::{Duration, Instant};

use stampede_runtime::Config;
use stampede_runtime::store::RedisBackend;
use stampede_runtime::testing::{Isolated, isolate_with};
use tokio::runtime::{Builder, Runtime};

use crate::redis_server::RedisServer;

/// How long anything may take that happens at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Host {
    /// Ends first: what runs in it to its end must not find another registry.
    runtime: Runtime,
    _isolated: Isolated,
}

impl Host {
    pub(super) fn new(server: &RedisServer) -> Host {
        Host::with(server, false)
    }

    /// One whom the server tells of every change.
    pub(super) fn with(server: &RedisServer, tracking: bool) -> Host {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let redis = RedisBackend::builder(server.url()).tracking(tracking).build().expect("a backend");
        let config = Config::builder().backend("redis", redis).build().expect("a config");
        let entered = runtime.enter();
        let isolated = isolate_with(config);
        drop(entered);
        Host { runtime, _isolated: isolated }
    }

    /// Runs something there.
    pub(super) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("it takes no longer than it may") })
    }

    /// Waits until nothing is under way there, nor on its way to Redis.
    pub(super) fn settle(&self) {
        assert_eq!(self.run(stampede_runtime::shutdown(PATIENCE)), 0);
    }

    /// Has something run there.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime.spawn(work)
    }

    /// Waits until something is the case there. Returns how long that took.
    pub(super) fn until(&self, what: &str, is: impl Fn() -> bool) -> Duration {
        let begun = Instant::now();
        self.run(async {
            while !is() {
                assert!(begun.elapsed() < PATIENCE, "{what}");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        begun.elapsed()
    }
}
