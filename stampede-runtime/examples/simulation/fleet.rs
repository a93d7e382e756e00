//! A fleet: its processes, their server, and what is noted of them.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stampede_runtime::testing::{Host, MemoryClient, MemoryServer, Network};
use stampede_runtime::{Config, Stats, distributed_coalesce};
use tokio::time::{Instant, sleep};

/// How long a body takes, in milliseconds.
static BODY: AtomicU64 = AtomicU64::new(0);
static FAILS: AtomicBool = AtomicBool::new(false);
/// When each execution began.
static BEGUN: Mutex<Vec<Instant>> = Mutex::new(Vec::new());

/// With the `ttl` and the lease that a function has unless it says otherwise.
#[distributed_coalesce(namespace = "simulation", ttl = "60s", lease = "5s")]
pub(crate) async fn value(key: u32) -> Result<u32, String> {
    begun().push(Instant::now());
    sleep(Duration::from_millis(BODY.load(SeqCst))).await;
    if FAILS.load(SeqCst) { Err(format!("no {key}")) } else { Ok(key) }
}

/// From now on bodies fail, until there is another fleet.
pub(crate) fn fail() {
    FAILS.store(true, SeqCst);
}

/// When each execution of the last fleet began.
pub(crate) fn executions() -> Vec<Instant> {
    begun().clone()
}

fn begun() -> MutexGuard<'static, Vec<Instant>> {
    BEGUN.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct Node {
    pub(crate) host: Host,
    pub(crate) client: MemoryClient,
}

pub(crate) struct Fleet {
    pub(crate) server: MemoryServer,
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) since: Instant,
    /// How many commands the server had done at the end of each [`GRAIN`].
    commands: Arc<Mutex<Vec<u64>>>,
}

/// One way between two processes of a data centre, at most.
const LATENCY: Duration = Duration::from_millis(2);
/// How finely commands are counted.
const GRAIN: Duration = Duration::from_millis(20);

impl Fleet {
    /// A fleet of so many, whose bodies take so long. Inside of a runtime whose time is paused.
    pub(crate) fn new(nodes: usize, body: Duration) -> Fleet {
        BODY.store(u64::try_from(body.as_millis()).expect("it is short"), SeqCst);
        FAILS.store(false, SeqCst);
        begun().clear();
        let server = MemoryServer::new();
        server.network(Network { latency: LATENCY, reconnects_within: Duration::from_secs(2), ..Network::default() });
        let node = || {
            let client = server.client();
            let config = Config::builder().backend("redis", client.clone()).build().expect("nothing is wrong with it");
            Arc::new(Node { host: Host::new(config), client })
        };
        let nodes = (0..nodes).map(|_| node()).collect();
        let commands = Arc::new(Mutex::new(Vec::new()));
        let (counted, counting) = (server.clone(), Arc::clone(&commands));
        tokio::spawn(async move {
            loop {
                sleep(GRAIN).await;
                counting.lock().unwrap_or_else(PoisonError::into_inner).push(counted.commands());
            }
        });
        Fleet { server, nodes, since: Instant::now(), commands }
    }

    /// Has each process do something, and waits for all of them.
    pub(crate) async fn each<T, F>(&self, act: impl Fn(Arc<Node>) -> F) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let tasks: Vec<_> = self.nodes.iter().map(|node| tokio::spawn(act(Arc::clone(node)))).collect();
        let mut all = Vec::with_capacity(tasks.len());
        for task in tasks {
            all.push(task.await.expect("nobody panics"));
        }
        all
    }

    /// A sum over all processes.
    pub(crate) fn sum(&self, of: impl Fn(&Stats) -> u64) -> u64 {
        self.nodes.iter().map(|node| of(&node.host.within(value::stats))).sum()
    }

    /// Whoever has been given a lease.
    pub(crate) fn leader(&self) -> Option<&Arc<Node>> {
        self.nodes.iter().find(|node| node.host.within(value::stats).lock_acquired > 0)
    }

    /// Commands a second between two moments.
    pub(crate) fn rate(&self, (from, until): (Duration, Duration)) -> f64 {
        let commands = self.commands();
        let at = |moment| commands.get(grains(moment)).copied().unwrap_or(0);
        (at(until) - at(from)) as f64 / until.saturating_sub(from).as_secs_f64()
    }

    /// Commands in the busiest 20 ms from a moment on.
    pub(crate) fn peak(&self, from: Duration) -> u64 {
        let commands = self.commands();
        let since = commands.get(grains(from)..).unwrap_or_default();
        since.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
    }

    fn commands(&self) -> MutexGuard<'_, Vec<u64>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which of the counts is that of a moment.
fn grains(moment: Duration) -> usize {
    usize::try_from(moment.as_millis() / GRAIN.as_millis()).expect("it is short").saturating_sub(1)
}
