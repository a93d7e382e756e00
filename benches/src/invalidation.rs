//! A tag that 100,000 values have, invalidated: how long that takes, what it costs a Redis, and whether anybody else's hits stall.
//! And how long it takes until another process's memory knows.
//!
//! Beside it what most caches do with Redis: a set of members for each tag, read and deleted in chunks of 500.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ::redis::cmd;
use stampede_runtime::store::RedisBackend;
use stampede_runtime::testing::{Isolated, isolate_with};
use stampede_runtime::{Config, cached, distributed_coalesce, invalidate_tags, shutdown};
use tokio::runtime::{Builder, Runtime};

use crate::measure::{Effort, quantile};
use crate::redis::redis_server::RedisServer;
use crate::report::{Row, Section};

#[cached(ttl = "1h", capacity = 200_000, tags("group:{group}"))]
async fn member(id: u32, group: u32) -> u32 {
    id + group
}

#[cached(ttl = "1h", capacity = 200_000, backend = "redis", namespace = "bench", tags("group:{group}"))]
async fn stored(id: u32, group: u32) -> u32 {
    id + group
}

#[distributed_coalesce(ttl = "1h", namespace = "bench", tags("row:{id}"))]
async fn row(id: u32) -> u32 {
    id
}

pub(crate) fn measure(effort: &Effort) -> Vec<Section> {
    let members = u32::try_from(effort.of(100_000, 5_000)).unwrap_or(u32::MAX);
    let mut sections = vec![memory(members)];
    if let Some(server) = RedisServer::start("invalidation") {
        sections.push(redis(&server, members));
        sections.push(delay(&server, effort.of(500, 50)));
    }
    sections
}

/// Each has a registry, a connection and a thread of its own, as a process has.
struct Host {
    runtime: Runtime,
    _isolated: Isolated,
}

impl Host {
    fn new(config: Config) -> Host {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let entered = runtime.enter();
        let isolated = isolate_with(config);
        drop(entered);
        Host { runtime, _isolated: isolated }
    }

    fn with(server: &RedisServer) -> Host {
        let redis = RedisBackend::builder(server.url());
        let redis = redis.connect_timeout(Duration::from_secs(5)).response_timeout(Duration::from_secs(5));
        let redis = redis.build().expect("a backend");
        Host::new(Config::builder().backend("redis", redis).build().expect("a configuration"))
    }
}

fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

/// In memory, while another thread hits a value that has another tag.
fn memory(members: u32) -> Section {
    let host = Host::new(Config::default());
    let hits = |until: &AtomicBool| {
        let mut samples = Vec::new();
        while !until.load(Relaxed) {
            let begun = Instant::now();
            host.runtime.block_on(async {
                for _ in 0..100 {
                    member(0, 1).await;
                }
            });
            samples.push(micros(begun.elapsed()) / 100.0);
        }
        samples
    };
    host.runtime.block_on(async {
        member(0, 1).await;
        for id in 0..members {
            member(id, 0).await;
        }
    });
    let scene = |act: &(dyn Fn() -> usize + Sync)| {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let hitting = scope.spawn(|| hits(&is_over));
            std::thread::sleep(Duration::from_millis(50));
            let begun = Instant::now();
            let count = act();
            let took = begun.elapsed();
            is_over.store(true, Relaxed);
            (took, count, hitting.join().expect("it only hits"))
        })
    };
    let (_, _, before) = scene(&|| {
        std::thread::sleep(Duration::from_millis(100));
        0
    });
    let (took, removed, during) = scene(&|| host.runtime.block_on(async { invalidate_tags(["group:0"]).removed() }));
    let mut row = Row::new(
        "invalidate_tags",
        [
            micros(took) / 1e3,
            f64::from(u32::try_from(removed).unwrap_or(0)),
            quantile(&before, |s| *s, 0.999),
            quantile(&during, |s| *s, 0.999),
        ],
    );
    row.goal("all of them", removed == members as usize);
    Section {
        name: "invalidation-memory",
        title: format!("A tag of {members} values in memory"),
        columns: vec!["ms", "values", "hit p99.9 µs before", "… meanwhile"],
        rows: vec![row],
    }
}

fn commands(server: &RedisServer) -> f64 {
    let stats = server.ask(&["INFO", "stats"]);
    let processed = stats.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
    processed.and_then(|count| count.trim().parse().ok()).unwrap_or(f64::NAN)
}

/// In a Redis, beside a set of members.
fn redis(server: &RedisServer, members: u32) -> Section {
    let host = Host::with(server);
    host.runtime.block_on(async {
        for from in (0..members).step_by(500) {
            let some = (from..members.min(from + 500)).map(|id| tokio::spawn(stored(id, 0)));
            for call in some.collect::<Vec<_>>() {
                call.await.expect("it does not panic");
            }
        }
        shutdown(Duration::from_secs(60)).await;
    });
    let before = commands(server);
    let begun = Instant::now();
    host.runtime.block_on(async { invalidate_tags(["group:0"]).await }).expect("Redis answers");
    let ours = (begun.elapsed(), commands(server) - before - 1.0);

    let theirs = host.runtime.block_on(async {
        let client = ::redis::Client::open(server.url()).expect("a url");
        let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
        for from in (0..members).step_by(500) {
            let (mut all, mut set) = (::redis::pipe(), cmd("SADD"));
            set.arg("bench:members");
            for id in from..members.min(from + 500) {
                all.cmd("SET").arg(format!("bench:{id}")).arg("value").ignore();
                set.arg(format!("bench:{id}"));
            }
            all.add_command(set).ignore();
            let () = all.query_async(&mut connection).await.expect("Redis answers");
        }
        let before = commands(server);
        let begun = Instant::now();
        let keys: Vec<String> = cmd("SMEMBERS").arg("bench:members").query_async(&mut connection).await.expect("a set");
        for some in keys.chunks(500) {
            let () = cmd("UNLINK").arg(some).query_async(&mut connection).await.expect("Redis answers");
        }
        let () = cmd("DEL").arg("bench:members").query_async(&mut connection).await.expect("Redis answers");
        (begun.elapsed(), commands(server) - before - 1.0)
    });
    let row = |peer, (took, commands): (Duration, f64)| Row::new(peer, [micros(took) / 1e3, commands]);
    Section {
        name: "invalidation-redis",
        title: format!("A tag of {members} entries in Redis, and in memory"),
        columns: vec!["ms", "commands"],
        rows: vec![row("invalidate_tags", ours), row("a set of members, by hand", theirs)],
    }
}

/// Until another process's memory knows.
fn delay(server: &RedisServer, rounds: usize) -> Section {
    let (a, b) = (Host::with(server), Host::with(server));
    let (mut told, mut seen) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for host in [&a, &b] {
            host.runtime.block_on(row(7));
        }
        b.runtime.block_on(async {
            while row::peek(7).is_none() {
                row(7).await;
            }
        });
        let begun = Instant::now();
        let invalidated = a.runtime.spawn(async move {
            let told = invalidate_tags(["row:7"]).await;
            (told.is_ok(), begun.elapsed())
        });
        b.runtime.block_on(async {
            while row::peek(7).is_some() {
                tokio::task::yield_now().await;
            }
        });
        let took = begun.elapsed();
        let (is_told, at) = a.runtime.block_on(invalidated).expect("it does not panic");
        if round > 0 && is_told {
            seen.push(micros(took));
            told.push(micros(at));
        }
    }
    let row = |peer, samples: &[f64]| Row::new(peer, [0.5, 0.99, 1.0].map(|part| quantile(samples, |s| *s, part)));
    Section {
        name: "invalidation-delay",
        title: "From `invalidate_tags` on, in µs".to_owned(),
        columns: vec!["p50", "p99", "most"],
        rows: vec![row("until it is awaited", &told), row("until another memory knows", &seen)],
    }
}
