//! A hit in Redis: many keys, all stored there, and a memory of one value, so that every call asks. Answered: at least 0.9
//! of the throughput of a raw `GET` of the same entries under the same keys.
//!
//! A raw `GET` returns the bytes; ours decode them, put the value into memory in the place of another, and count. A script
//! that only says `GET` shows what the server and the client take for it to be a script.
//!
//! The driver of our connection runs on a thread of its own, so the raw one that is compared with does, too. One whose
//! driver runs where its callers do is shown besides.

use std::future::{Future, pending};
use std::hint::black_box;
use std::sync::Arc;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Script, cmd};
use serde::{Deserialize, Serialize};
use stampede_runtime::{cached, distributed_coalesce};
use tokio::runtime::{Builder, Handle, Runtime};

use super::child::{Ask, Child, Said, connection, cpu_nanos, stamp};
use crate::body::{self, Runs};
use crate::measure::{Effort, Runner, interleave, keys, median};
use crate::report::{Row, Section};

const KEYS: usize = 4_096;
const VALUE_BYTES: usize = 200;

#[cached(backend = "redis", namespace = "bench-hit-cached", ttl = "1h", capacity = 1)]
async fn from_cached(topic: &str) -> Arc<str> {
    body::ready(&topic.repeat(VALUE_BYTES / topic.len()), 0)
}

#[distributed_coalesce(namespace = "bench-hit-distributed", ttl = "1h", capacity = 1)]
async fn from_distributed(topic: &str) -> Arc<str> {
    body::ready(&topic.repeat(VALUE_BYTES / topic.len()), 0)
}

const RAW: &str = "raw GET, driver on a thread";
const RAW_HERE: &str = "raw GET, driver with the callers";
const SCRIPT: &str = "raw EVALSHA of a GET, on a thread";
const CACHED: &str = "stampede #[cached(backend)]";
const DISTRIBUTED: &str = "stampede #[distributed_coalesce]";
const PEERS: [&str; 5] = [RAW, RAW_HERE, SCRIPT, CACHED, DISTRIBUTED];

/// Threads that the callers share, and how many calls are in flight at a time.
const SCENES: [(usize, usize); 4] = [(1, 1), (1, 256), (2, 1), (2, 256)];

/// All rounds of one peer in one scene. They come in the order of both.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Measured {
    peer: usize,
    rounds: Vec<Sample>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Sample {
    /// Of each call.
    nanos: f64,
    /// That this process used, of each call.
    client_cpu: f64,
    /// That the server used, of each call.
    server_cpu: f64,
}

pub(super) fn measure(url: &str, effort: &Effort) -> Vec<Section> {
    let mut child = Child::start(url);
    child.tell(&Ask::Hits { rounds: effort.of(31, 5), peers: effort.peers.clone() });
    let Said::Hits(measured) = child.hear() else { panic!("it was asked for hits") };
    let scenes = SCENES.iter().zip(measured.chunks(measured.len() / SCENES.len()));
    scenes.map(|(scene, measured)| section(*scene, measured)).collect()
}

fn section((threads, in_flight): (usize, usize), measured: &[Measured]) -> Section {
    let nanos = |of: &Measured| median(&of.rounds, |sample| sample.nanos);
    let [raw, here] = [&measured[0], &measured[1]].map(nanos);
    let rows = measured.iter().map(|of| {
        let peer = PEERS[of.peer];
        let each = nanos(of);
        let micros = |figure: fn(&Sample) -> f64| median(&of.rounds, figure) / 1e3;
        let figures = [
            each / 1e3,
            raw / each,
            here / each,
            micros(|sample| sample.client_cpu),
            micros(|sample| sample.server_cpu),
        ];
        let mut row = Row::new(peer, figures);
        if [CACHED, DISTRIBUTED].contains(&peer) {
            row.goal("≥ 0.9 of raw", raw / each >= 0.9);
        }
        row
    });
    Section {
        name: "redis",
        title: format!("hit in Redis, {in_flight} in flight, {threads} thread{}", if threads == 1 { "" } else { "s" }),
        columns: vec!["us each", "of raw", "of raw here", "cpu us", "server us"],
        rows: rows.collect(),
    }
}

/// In a child.
pub(super) fn run(url: &str, rounds: usize, peers: Vec<String>) -> Vec<Measured> {
    let effort = Effort { quick: false, peers };
    let own = runtime(1);
    own.block_on(fill());
    let entries: &'static [String] = own.block_on(async {
        let mut connection = connection(url, drop).await.expect("the bench's own server");
        let keys = cmd("KEYS").arg("*bench-hit-distributed*").query_async::<Vec<String>>(&mut connection).await;
        let keys = keys.expect("the bench's own server");
        assert_eq!(keys.len(), KEYS);
        keys.leak()
    });
    let measured = SCENES
        .iter()
        .flat_map(|&(threads, in_flight)| scene(url, threads, in_flight, entries, rounds, &effort))
        .collect();
    for stats in [from_cached::stats(), from_distributed::stats()] {
        assert!(stats.backend_hits as f64 >= stats.cache_hits as f64 * 0.99, "memory has answered: {stats}");
    }
    measured
}

/// Has all values stored, by both functions.
async fn fill() {
    for topic in keys(KEYS) {
        from_cached(topic).await;
        from_distributed(topic).await;
    }
    assert_eq!(stampede_runtime::shutdown(std::time::Duration::from_secs(10)).await, 0, "all has arrived");
}

fn scene(
    url: &str,
    threads: usize,
    in_flight: usize,
    entries: &'static [String],
    rounds: usize,
    effort: &Effort,
) -> Vec<Measured> {
    let (callers, driver) = (Arc::new(runtime(threads)), driver());
    let connect = |handle: &Handle| {
        let url = url.to_owned();
        // Spawned, for a driver stays where it is made.
        let made = handle.spawn(async move { connection(&url, drop).await });
        callers.block_on(made).expect("no panic").expect("the bench's own server")
    };
    let [here, away, away_too, watch] = [callers.handle(), &driver, &driver, &driver].map(connect);
    let script = Arc::new(Script::new("return redis.call('GET', KEYS[1])"));
    let scene = Scene { callers, in_flight, watch };
    let topics = keys(KEYS);
    let runners = vec![
        scene.runner(RAW, entries, move |key| get(away.clone(), key)),
        scene.runner(RAW_HERE, entries, move |key| get(here.clone(), key)),
        scene.runner(SCRIPT, entries, move |key| evalsha(away_too.clone(), Arc::clone(&script), key)),
        scene.runner(CACHED, topics, |key| async move { from_cached(key).await.len() }),
        scene.runner(DISTRIBUTED, topics, |key| async move { from_distributed(key).await.len() }),
    ];
    let mut runners = effort.choose(runners, 2);
    let measured = interleave(&mut runners, rounds);
    let place = |name| PEERS.iter().position(|peer| *peer == name).expect("every peer has its place");
    let measured = runners.iter().zip(measured);
    measured.map(|(runner, rounds)| Measured { peer: place(runner.name), rounds }).collect()
}

async fn get(mut connection: MultiplexedConnection, key: &'static str) -> usize {
    let entry: Vec<u8> = cmd("GET").arg(key).query_async(&mut connection).await.expect("it is stored");
    entry.len()
}

async fn evalsha(mut connection: MultiplexedConnection, script: Arc<Script>, key: &'static str) -> usize {
    let entry: Vec<u8> = script.key(key).invoke_async(&mut connection).await.expect("it is stored");
    entry.len()
}

/// Where the calls of one table come from.
struct Scene {
    callers: Arc<Runtime>,
    in_flight: usize,
    watch: MultiplexedConnection,
}

impl Scene {
    fn runner<F>(
        &self,
        name: &'static str,
        keys: &'static [String],
        call: impl Fn(&'static str) -> F + Clone + Send + 'static,
    ) -> Runner<Sample>
    where
        F: Future<Output = usize> + Send + 'static,
    {
        let (callers, in_flight, watch) = (Arc::clone(&self.callers), self.in_flight, self.watch.clone());
        let each = if in_flight == 1 { KEYS / 2 } else { KEYS * 2 / in_flight };
        Runner::new(name, move || {
            let runs = Runs::so_far();
            let server = callers.block_on(server_cpu_nanos(watch.clone()));
            let (cpu, begin) = (cpu_nanos(), stamp());
            callers.block_on(async {
                let tasks: Vec<_> = (0..in_flight)
                    .map(|task| {
                        let call = call.clone();
                        // No two tasks are at one key, which would be one call.
                        let keys = keys.iter().skip(task).step_by(in_flight).cycle().take(each);
                        tokio::spawn(async move {
                            for key in keys {
                                assert!(black_box(call(key).await) >= VALUE_BYTES);
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.expect("no panic");
                }
            });
            let calls = (in_flight * each) as f64;
            let (nanos, client_cpu) = ((stamp() - begin) as f64 / calls, (cpu_nanos() - cpu) as f64 / calls);
            let server = callers.block_on(server_cpu_nanos(watch.clone())) - server;
            assert_eq!(Runs::since(runs).started, 0, "not all were hits");
            Sample { nanos, client_cpu, server_cpu: server / calls }
        })
    }
}

/// The CPU time that the server has used.
async fn server_cpu_nanos(mut connection: MultiplexedConnection) -> f64 {
    let info: String = cmd("INFO").arg("cpu").query_async(&mut connection).await.expect("the bench's own server");
    let used = ["used_cpu_sys:", "used_cpu_user:"];
    let seconds = info.lines().filter_map(|line| used.iter().find_map(|name| line.strip_prefix(name)));
    seconds.filter_map(|seconds| seconds.trim().parse::<f64>().ok()).sum::<f64>() * 1e9
}

/// A runtime of so many threads, the calling one if it is one.
pub(super) fn runtime(threads: usize) -> Runtime {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(threads).enable_all().build().expect("threads can be made")
}

/// A thread of its own for the drivers of connections, as ours is.
pub(super) fn driver() -> Handle {
    let runtime = runtime(1);
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(pending::<()>()));
    handle
}
