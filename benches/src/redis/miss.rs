//! A miss that leads: the lease is asked for, a body runs that is ready at once, and its value is committed. Answered: two
//! round trips, counted by the server, and no more time than the `SET NX` and the `SET` that one writes by hand.
//!
//! By hand nothing is renewed, nobody is woken and nothing is refused. Ours returns the value when it is made; the commit
//! goes on behind it, and is waited for once, at the end of a round.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::cmd;
use serde::{Deserialize, Serialize};
use stampede_runtime::distributed_coalesce;
use tokio::runtime::Handle;

use super::child::{Ask, Child, Said, connection, stamp};
use super::hit::{driver, runtime};
use crate::body::{self, Runs};
use crate::measure::{Effort, Runner, interleave, keys, median, unused};
use crate::report::{Row, Section};

const CALLS: usize = 2_048;
const VALUE_BYTES: usize = 200;

#[distributed_coalesce(namespace = "bench-miss", ttl = "1h", capacity = 1)]
async fn made(topic: &str, number: u32) -> Arc<str> {
    body::ready(&topic.repeat(VALUE_BYTES / topic.len()), number)
}

const RAW: &str = "raw SET NX, SET";
const OURS: &str = "stampede #[distributed_coalesce]";
const PEERS: [&str; 2] = [RAW, OURS];
const IN_FLIGHT: [usize; 2] = [1, 256];

/// All rounds of one peer with so many calls in flight, in the order of both.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Measured(Vec<Sample>);

/// Of each call.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Sample {
    nanos: f64,
    /// Until the last of the callers had its value.
    called_nanos: f64,
    /// Commands that came to the server.
    round_trips: f64,
    /// That the server spent in them.
    server_nanos: f64,
}

pub(super) fn measure(url: &str, effort: &Effort) -> Vec<Section> {
    let mut child = Child::start(url);
    child.tell(&Ask::Misses { rounds: effort.of(21, 5) });
    let Said::Misses(measured) = child.hear() else { panic!("it was asked for misses") };
    let scenes = IN_FLIGHT.iter().zip(measured.chunks(PEERS.len()));
    let sections = scenes.map(|(in_flight, measured)| {
        let nanos = |of: &Measured| median(&of.0, |sample| sample.nanos);
        let rows = PEERS.iter().zip(measured).map(|(&peer, of)| {
            let each = nanos(of);
            let round_trips = median(&of.0, |sample| sample.round_trips);
            let figures = [
                each / 1e3,
                each / nanos(&measured[0]),
                median(&of.0, |sample| sample.called_nanos) / 1e3,
                round_trips,
                median(&of.0, |sample| sample.server_nanos) / 1e3,
            ];
            let mut row = Row::new(peer, figures);
            if peer == OURS {
                row.goal("2 round trips", (round_trips - 2.0).abs() < 0.01);
            }
            row
        });
        Section {
            name: "redis",
            title: format!("miss, lease and commit, {in_flight} in flight"),
            columns: vec!["us each", "x raw", "us to value", "round trips", "server us"],
            rows: rows.collect(),
        }
    });
    sections.collect()
}

/// In a child.
pub(super) fn run(url: &str, rounds: usize) -> Vec<Measured> {
    let driver = driver();
    IN_FLIGHT.iter().flat_map(|&in_flight| scene(url, &driver, in_flight, rounds)).collect()
}

fn scene(url: &str, driver: &Handle, in_flight: usize, rounds: usize) -> Vec<Measured> {
    let callers = Arc::new(runtime(2));
    let connect = || {
        let url = url.to_owned();
        let made = driver.spawn(async move { connection(&url, drop).await });
        callers.block_on(made).expect("no panic").expect("the bench's own server")
    };
    let (raw, watch) = (connect(), connect());
    let runner = |name, call: Call| {
        let (callers, watch) = (Arc::clone(&callers), watch.clone());
        Runner::new(name, move || callers.block_on(round(in_flight, watch.clone(), Arc::clone(&call))))
    };
    let mut runners = [
        runner(RAW, Arc::new(move |key, number| Box::pin(by_hand(raw.clone(), key, number)))),
        runner(
            OURS,
            Arc::new(|key, number| Box::pin(async move { assert!(made(key, number).await.len() >= VALUE_BYTES) })),
        ),
    ];
    interleave(&mut runners, rounds).into_iter().map(Measured).collect()
}

type Call = Arc<dyn Fn(&'static str, u32) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

async fn by_hand(mut connection: MultiplexedConnection, topic: &'static str, number: u32) {
    let key = format!("raw:{topic}:{number}");
    let mut lease = cmd("SET");
    lease.arg(format!("{{{key}}}:lease")).arg(number).arg("NX").arg("PX").arg(5_000);
    let won: bool = lease.query_async(&mut connection).await.expect("the bench's own server");
    assert!(won);
    let value = body::ready(&topic.repeat(VALUE_BYTES / topic.len()), number);
    let mut commit = cmd("SET");
    commit.arg(format!("{{{key}}}:value")).arg(&*value).arg("PX").arg(3_600_000);
    let () = commit.query_async(&mut connection).await.expect("the bench's own server");
}

async fn round(in_flight: usize, mut watch: MultiplexedConnection, call: Call) -> Sample {
    // Not the first call that the scripts are sent with, nor what an earlier round has stored.
    call(&keys(1)[0], unused()).await;
    stampede_runtime::shutdown(Duration::from_secs(10)).await;
    let () = cmd("FLUSHDB").query_async(&mut watch).await.expect("the bench's own server");
    let () = cmd("CONFIG").arg("RESETSTAT").query_async(&mut watch).await.expect("the bench's own server");
    let (topic, runs, begin): (&'static str, _, _) = (&keys(1)[0], Runs::so_far(), stamp());
    let tasks: Vec<_> = (0..in_flight)
        .map(|_| {
            let call = Arc::clone(&call);
            tokio::spawn(async move {
                for _ in 0..CALLS / in_flight {
                    call(topic, unused()).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    let called = stamp() - begin;
    assert_eq!(stampede_runtime::shutdown(Duration::from_secs(10)).await, 0, "all has arrived");
    let took = stamp() - begin;
    assert_eq!(Runs::since(runs).started, CALLS as u64, "not all were misses");
    let commands = commands(watch).await;
    // What a script does besides is no round trip; scripts here call no `SET NX` and by hand there are none.
    let asked: &[&str] = if commands.contains_key("evalsha") { &["evalsha", "eval", "script|load"] } else { &["set"] };
    let sum = |figure: fn(&(f64, f64)) -> f64| -> f64 {
        asked.iter().filter_map(|name| commands.get(*name)).map(figure).sum::<f64>() / CALLS as f64
    };
    Sample {
        nanos: took as f64 / CALLS as f64,
        called_nanos: called as f64 / CALLS as f64,
        round_trips: sum(|(calls, _)| *calls),
        server_nanos: sum(|(_, micros)| *micros) * 1e3,
    }
}

/// How often each command was called since the last reset, and the microseconds it took in all.
async fn commands(mut connection: MultiplexedConnection) -> HashMap<String, (f64, f64)> {
    let info: String =
        cmd("INFO").arg("commandstats").query_async(&mut connection).await.expect("the bench's own server");
    let line = |line: &str| {
        // cmdstat_get:calls=1,usec=2,…
        let (name, figures) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        let figure = |name: &str| figures.split(',').find_map(|figure| figure.strip_prefix(name)?.parse().ok());
        Some((name.to_owned(), (figure("calls=")?, figure("usec=")?)))
    };
    info.lines().filter_map(line).collect()
}
