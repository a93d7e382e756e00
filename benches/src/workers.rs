//! Processes of this program that share a Redis, for what is measured by killing: them, or the server.
//!
//! They are told what to do through pipes, a line of JSON each way, and stamp times with a clock that all processes read alike.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{self, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stampede_runtime::store::RedisBackend;
use stampede_runtime::{Cache, Config, Settings, configure, distributed_coalesce};

/// The argument that makes this program a worker. The url of the server and the milliseconds of a lease follow.
pub(crate) const WORKER: &str = "--worker";

/// How long a body takes that nobody holds up.
const BODY: Duration = Duration::from_millis(20);

/// What a worker is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Lead these keys. The bodies run until keys up to theirs are released.
    Lead { first: u64, keys: u64 },
    /// End the bodies of all keys up to this one.
    Release { upto: u64 },
    /// Have so many callers call for each of these keys.
    Call { first: u64, keys: u64, callers: usize },
    /// Make so many caches, and keep and find a value in each.
    Caches { count: usize },
}

/// What a worker says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Said {
    Ready,
    Leads(u64),
    /// So many flights wait for other processes, since it began.
    Waiting(u64),
    /// All callers of a key have its value, the last of them at this moment.
    Got {
        key: u64,
        at: u64,
    },
    /// Of calls with these keys: all have ended, and so many bodies ran here since it began.
    Answered {
        first: u64,
        executions: u64,
    },
    Cached,
}

/// A worker, seen from outside. Dropped, it is killed.
pub(crate) struct Worker {
    process: process::Child,
    to: ChildStdin,
}

/// Workers that are ready, and all that they say from now on, each with its number.
pub(crate) fn start(count: usize, url: &str, lease: Duration) -> (Vec<Worker>, Receiver<(usize, Said)>) {
    let (say, said) = channel();
    let workers = (0..count).map(|number| Worker::start(number, url, lease, say.clone())).collect();
    for _ in 0..count {
        let (_, Said::Ready) = said.recv().expect("workers speak") else { panic!("a worker begins with that") };
    }
    (workers, said)
}

impl Worker {
    fn start(number: usize, url: &str, lease: Duration, say: Sender<(usize, Said)>) -> Worker {
        let this = std::env::current_exe().expect("a program knows where it lies");
        let mut command = Command::new(this);
        command.args([WORKER, url, &lease.as_millis().to_string()]).env_remove("STAMPEDE_OFF");
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs already");
        let to = process.stdin.take().expect("it is piped");
        let from = BufReader::new(process.stdout.take().expect("it is piped"));
        thread::spawn(move || {
            for line in from.lines().map_while(Result::ok) {
                // The last line of one that was killed may be cut off.
                let Ok(said) = serde_json::from_str(&line) else { continue };
                if say.send((number, said)).is_err() {
                    return;
                }
            }
        });
        Worker { process, to }
    }

    pub(crate) fn tell(&mut self, ask: &Ask) {
        let mut line = serde_json::to_vec(ask).expect("plain data");
        line.push(b'\n');
        self.to.write_all(&line).expect("a worker listens");
    }

    /// `kill -9`. Returns the moment before.
    pub(crate) fn kill(&mut self) -> u64 {
        let at = stamp();
        self.process.kill().expect("it is ours");
        self.process.wait().expect("it is ours");
        at
    }

    /// The memory that it has, in MiB.
    pub(crate) fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
        line.map_or(f64::NAN, |kib: f64| kib / 1024.0)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Nanoseconds of a clock that all processes of the machine read alike.
pub(crate) fn stamp() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(time.tv_sec).expect("clocks go forward") * 1_000_000_000
        + u64::try_from(time.tv_nsec).expect("it is small")
}

static RELEASED: AtomicU64 = AtomicU64::new(0);
static EXECUTIONS: AtomicU64 = AtomicU64::new(0);

#[distributed_coalesce(namespace = "bench-workers", ttl = "1m", capacity = 100_000, skip(is_held))]
async fn fetched(key: u64, is_held: bool) -> u64 {
    EXECUTIONS.fetch_add(1, SeqCst);
    if is_held {
        say(&Said::Leads(key));
        while RELEASED.load(SeqCst) < key {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    } else {
        tokio::time::sleep(BODY).await;
    }
    key
}

/// Does what it is told until nobody tells it anything any more.
pub(crate) fn worker(url: &str, lease: u64) {
    let redis = RedisBackend::new(url).expect("the bench's own url");
    let settings = Settings::new().lease(Duration::from_millis(lease));
    configure(Config::builder().backend("redis", redis).defaults(settings).build().expect("one backend"))
        .expect("the first thing it does");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("threads can be made");
    runtime.spawn(async {
        let mut told = 0;
        loop {
            let waiting = fetched::stats().lock_waited;
            if waiting != told {
                told = waiting;
                say(&Said::Waiting(waiting));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    say(&Said::Ready);
    for line in std::io::stdin().lines().map_while(Result::ok) {
        match serde_json::from_str(&line).expect("only this program itself says so") {
            Ask::Lead { first, keys } => (first..first + keys).for_each(|key| drop(runtime.spawn(fetched(key, true)))),
            Ask::Release { upto } => RELEASED.store(upto, SeqCst),
            Ask::Call { first, keys, callers } => {
                drop(runtime.spawn(async move {
                    let of_keys: Vec<_> = (first..first + keys).map(|key| tokio::spawn(call(key, callers))).collect();
                    for of_key in of_keys {
                        of_key.await.expect("no panic");
                    }
                    say(&Said::Answered { first, executions: EXECUTIONS.load(SeqCst) });
                }));
            }
            Ask::Caches { count } => runtime.block_on(async {
                let caches: Vec<Cache<u64>> = (0..count)
                    .map(|number| Cache::builder(format!("bench-{number}").leak()).backend("redis").build())
                    .collect();
                for (cache, number) in caches.iter().zip(0..) {
                    cache.set("key", number).await.expect("the bench's own server");
                    assert_eq!(cache.get("key").await, Some(number));
                }
                std::mem::forget(caches);
                say(&Said::Cached);
            }),
        }
    }
}

async fn call(key: u64, callers: usize) {
    let calls: Vec<_> = (0..callers).map(|_| tokio::spawn(fetched(key, false))).collect();
    for call in calls {
        assert_eq!(call.await.expect("no panic"), key);
    }
    say(&Said::Got { key, at: stamp() });
}

fn say(said: &Said) {
    let mut line = serde_json::to_vec(said).expect("plain data");
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    if stdout.write_all(&line).and_then(|()| stdout.flush()).is_err() {
        process::exit(1);
    }
}
